"""What describes a recording need not be a sidecar: a run takes it from whoever describes it."""

import json

import pytest
from msgspec import Struct, field
from msgspec.structs import replace
from support.audio_makers import wav
from support.engine_harness import Harness

from batch_uploader.app.preparing import preparer_of
from batch_uploader.core.model import Defect, Metadata
from batch_uploader.core.records import Corrected
from batch_uploader.core.states import Status
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.rules import Rules

FILES = {f"2026/{name}.wav": wav(1 + number) for number, name in enumerate("abc")}
DATE = "2026-11-29T10:00:00+03:00"


class Rows(Struct):
    """Describes each recording by the row of its path, as a table does."""

    rows: dict[str, dict[str, str]]
    is_settled: bool = False
    gathered: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)

    def gather(self, listing, is_audio, at_rest=()):
        self.gathered.append(listing.folder)
        files = [entry for entry in listing.entries if is_audio(entry.path)]
        return [self.find(entry, None) for entry in files], []

    def find(self, audio, sidecar):
        row = self.rows.get(audio.path)
        version = None if row is None else json.dumps(row).encode()
        return replace(bundle_of(audio), about_version=version)

    def settled(self, listing):
        return self.is_settled

    def describe(self, bundle):
        self.described.append(bundle.path)
        row = self.rows.get(bundle.path)
        if row is None:
            return (Defect(bundle.path, "row-missing", "no row is about it", "add one"),)
        return Metadata(row)

    def describe_cached(self, bundle):
        return self.describe(bundle)


@pytest.fixture
def rows():
    return Rows({path: {"call": path, "date": DATE} for path in FILES})


@pytest.fixture
def harness():
    return Harness(FILES)


async def test_a_recording_goes_up_with_what_describes_it_and_once_something_does(harness, rows):
    late = rows.rows.pop("2026/c.wav")
    summary = await harness.run(describer=rows)
    assert summary.counts == {Status.UPLOADED: 2, Status.INVALID: 1}
    rows.rows["2026/c.wav"] = late
    summary = await harness.run(describer=rows)
    assert (summary.counts, summary.already_there) == ({Status.UPLOADED: 1}, 2)
    sent = {talk.metadata.fields["call"]: talk.metadata.fields for talk in harness.sink.talks}
    assert sent == rows.rows


async def test_what_is_described_as_before_is_neither_described_nor_opened_again(harness, rows):
    await harness.run(describer=rows)
    for rows.is_settled, gathered in ((False, ["2026"]), (True, [])):
        rows.rows["2026/elsewhere.wav"] = {"call": "a table grows"}
        rows.gathered, rows.described = [], []
        summary = await harness.run(describer=rows)
        assert (summary.already_there, summary.outdated) == (3, 0)
        assert [each for each in rows.gathered if each] == gathered
        assert (rows.described, dict(harness.source.opened)) == ([], {})


async def test_a_recording_that_is_described_otherwise_keeps_its_talk_and_is_told(harness, rows):
    await harness.run(describer=rows)
    rows.rows["2026/b.wav"] = {"call": "another", "date": DATE}
    rows.described = []
    summary = await harness.run(describer=rows)
    assert (summary.already_there, summary.outdated) == (3, 1)
    assert (rows.described, dict(harness.source.opened)) == (["2026/b.wav"], {})
    assert len(harness.sink.talks) == 3


async def test_a_look_at_the_file_of_a_record_sees_what_describes_it_now(harness, rows):
    await harness.run(describer=rows)
    comparer = Comparer(preparer_of(harness.source, "connection", Rules(), rows))
    (record, *_) = await harness.rows()
    assert comparer.sight(record).corrected is None
    rows.rows[record.path] = {"call": "another"}
    new = Metadata(rows.rows[record.path])
    assert comparer.sight(record).corrected == Corrected(new.digest(), b"")
    assert comparer.metadata_of(record) == new
