"""The run as a whole, on the shipped fakes: what is sent, what is recorded, what is told."""

from collections import Counter

import anyio
import pytest
from support.engine_harness import (
    OPTIONS,
    CountingSource,
    Harness,
    Slow,
    of_call,
    recordings,
    sidecar,
    wav,
)

from batch_uploader.app.uploader import Uploader
from batch_uploader.core import events
from batch_uploader.core.changes import Claim, Settle
from batch_uploader.core.errors import (
    InDoubt,
    NotSent,
    Rejected,
    SourceError,
    Throttled,
    Unauthorized,
)
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.directory import DirectorySource


async def test_everything_goes_up_once():
    harness = Harness(recordings(20))
    summary = await harness.run()
    assert summary.ending is Ending.COMPLETED
    assert summary.counts == {Status.UPLOADED: 20}
    assert summary.uploaded_bytes == 20 * len(wav(0))
    assert summary.uploaded_duration == pytest.approx(20 * 0.1)
    assert Counter(talk.metadata.fields["n"] for talk in harness.sink.talks) == Counter(
        {str(n): 1 for n in range(20)}
    )
    rows = await harness.rows()
    assert {row.talk_id for row in rows} == {talk.talk_id for talk in harness.sink.talks}
    assert all(row.status is Status.UPLOADED and row.attempts == 1 for row in rows)


async def test_a_second_run_opens_nothing_and_asks_nothing():
    """Fault 76."""
    harness = Harness(recordings(20))
    await harness.run()
    attempts = harness.sink.attempts
    summary = await harness.run()
    assert summary.already_there == 20
    assert summary.counts == {}
    assert harness.sink.attempts == attempts
    assert not harness.source.opened


async def test_only_what_is_new_goes_up():
    harness = Harness(recordings(5))
    await harness.run()
    harness.source.put("new.wav", wav(99))
    harness.source.put("new.json", sidecar(n="99"))
    summary = await harness.run()
    assert (summary.already_there, summary.counts) == (5, {Status.UPLOADED: 1})
    assert set(harness.source.opened) == {"new.wav", "new.json"}


async def test_what_was_not_sent_is_tried_again():
    harness = Harness(recordings(1))
    harness.sink.fail_next(
        NotSent("busy", code="UNAVAILABLE"), Throttled("slower", code="X", retry_after=0.01)
    )
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 1}
    (row,) = await harness.rows()
    assert row.attempts == 3
    ended = harness.events(events.AttemptEnded)
    assert [event.code for event in ended] == ["UNAVAILABLE", "X", "OK"]
    assert [event.retry_in is None for event in ended] == [False, False, True]
    assert len({event.client_request_id for event in ended}) == 3
    assert [event.resumes_in for event in harness.events(events.Paused)] == [pytest.approx(0.01)]


async def test_attempts_run_out_and_the_next_run_tries_again():
    harness = Harness(recordings(1))
    harness.sink.fail_next(*[NotSent("busy", code="UNAVAILABLE") for _ in range(3)])
    summary = await harness.run()
    assert summary.counts == {Status.FAILED: 1}
    assert summary.needs_attention == 1
    assert summary.attention[0].failure.code == "UNAVAILABLE"
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 1}
    (row,) = await harness.rows()
    assert row.attempts == 4, "the attempts of both runs"


async def test_the_refused_stays_refused_until_it_changes():
    harness = Harness(recordings(1))
    harness.sink.fail_next(Rejected("no such field", code="INVALID_ARGUMENT"))
    assert (await harness.run()).counts == {Status.REJECTED: 1}
    attempts = harness.sink.attempts
    again = await harness.run()
    assert again.counts == {Status.REJECTED: 1}, "it still needs a human"
    assert harness.sink.attempts == attempts
    harness.source.put("0/call-0.json", sidecar(n="mended"))
    assert (await harness.run()).counts == {Status.UPLOADED: 1}


async def test_doubt_is_held_and_never_sent_again():
    harness = Harness(recordings(3))
    harness.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 2, Status.IN_DOUBT: 1}
    assert len(harness.sink.talks) == 3
    attempts = harness.sink.attempts
    again = await harness.run()
    assert again.counts == {Status.IN_DOUBT: 1}
    assert harness.sink.attempts == attempts
    assert len(harness.events(events.CarriedOver)) == 1


async def test_refused_credentials_drain_the_run_and_mark_nothing():
    """Fault 25: within one window of in-flight work."""
    harness = Harness(recordings(50))
    harness.sink.fail_next(*[Unauthorized("wrong key", code="UNAUTHENTICATED") for _ in range(50)])
    summary = await harness.run()
    assert summary.ending is Ending.UNAUTHORIZED
    assert summary.reason == "wrong key"
    assert harness.sink.attempts <= OPTIONS.concurrency
    assert await harness.statuses() == {}
    harness.sink._before.clear()
    assert (await harness.run()).counts == {Status.UPLOADED: 50}


async def test_the_same_recording_at_two_paths_is_sent_once():
    """Fault 43, within one run."""
    files = {}
    for name in ("a", "b", "c", "d", "e"):
        files[f"{name}.wav"] = wav(1)
        files[f"{name}.json"] = sidecar()
    harness = Harness(files)
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 1, Status.DUPLICATE: 4}
    assert len(harness.sink.talks) == 1
    rows = await harness.rows()
    original = next(row.path for row in rows if row.status is Status.UPLOADED)
    assert {row.duplicate_of for row in rows if row.status is Status.DUPLICATE} == {original}
    assert summary.needs_attention == 0


async def test_a_copy_of_what_could_not_be_sent_goes_up_itself():
    harness = Harness({n: wav(1) if n.endswith("wav") else sidecar() for n in ("a.wav", "a.json")})
    harness.source.put("b.wav", wav(1))
    harness.source.put("b.json", sidecar())
    harness.sink.fail_next(Rejected("no", code="INVALID_ARGUMENT"))
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 1, Status.REJECTED: 1}
    assert len(harness.sink.talks) == 1


async def test_a_moved_recording_is_a_duplicate():
    """Fault 43, between runs."""
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.remove("0/call-0.wav")
    harness.source.remove("0/call-0.json")
    harness.source.put("moved/x.wav", wav(0))
    harness.source.put("moved/x.json", of_call(0))
    assert (await harness.run()).counts == {Status.DUPLICATE: 1}
    assert len(harness.sink.talks) == 1


async def test_what_a_claim_records_is_told_and_not_recorded_once_more(monkeypatch):
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.put("copy.wav", wav(0))
    harness.source.put("copy.json", of_call(0))
    told = []
    apply = harness.ledger.apply

    async def recording_changes(changes):
        told.extend(changes)
        return await apply(changes)

    monkeypatch.setattr(harness.ledger, "apply", recording_changes)
    await harness.run()
    about = [type(change) for change in told if isinstance(change, Claim | Settle)]
    assert about == [Claim]
    (settled,) = harness.events(events.Settled)
    async with harness.ledger as ledger:
        assert (await ledger.known(""))["copy.wav"].outcome == settled.outcome
    assert settled.outcome.duplicate_of == "0/call-0.wav"


async def test_the_same_audio_of_two_calls_goes_up_twice():
    """Fault 42: silence, an announcement."""
    harness = Harness(
        {"a.wav": wav(1), "a.json": sidecar(id="1"), "b.wav": wav(1), "b.json": sidecar(id="2")}
    )
    assert (await harness.run()).counts == {Status.UPLOADED: 2}
    assert len(harness.sink.talks) == 2


async def test_a_touched_recording_is_recognised_by_its_content():
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.touch("0/call-0.wav")
    summary = await harness.run()
    assert (summary.already_there, summary.outdated, summary.counts) == (1, 0, {})
    harness.source.opened.clear()
    await harness.run()
    assert not harness.source.opened, "the new time is on record"


async def test_a_touched_sidecar_costs_no_look_at_the_audio():
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.touch("0/call-0.json")
    summary = await harness.run()
    assert (summary.already_there, summary.outdated) == (1, 0)
    assert set(harness.source.opened) == {"0/call-0.json"}
    await harness.run()
    assert not harness.source.opened


async def test_a_new_sidecar_for_a_talk_that_is_up_is_counted_and_not_sent():
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.put("0/call-0.json", sidecar(n="other"))
    for _ in range(2):
        summary = await harness.run()
        assert (summary.already_there, summary.outdated) == (1, 1)
    assert len(harness.sink.talks) == 1
    assert await harness.statuses() == {"0/call-0.wav": Status.UPLOADED}


async def test_other_audio_at_the_same_path_is_a_new_recording():
    harness = Harness(recordings(1))
    await harness.run()
    harness.source.put("0/call-0.wav", wav(77))
    harness.source.put("0/call-0.json", of_call(77))
    assert (await harness.run()).counts == {Status.UPLOADED: 1}
    rows = await harness.rows()
    assert [row.path for row in rows] == ["0/call-0.wav"] * 2, "no talk is forgotten"
    assert {row.talk_id for row in rows} == {"talk-1", "talk-2"}


async def test_defects_are_recorded_and_the_sound_goes_up():
    """Faults 44, 57, 61."""
    files = recordings(2) | {
        "empty.wav": b"",
        "empty.json": sidecar(),
        "lonely.wav": wav(5),
        "orphan.json": sidecar(),
        "bad.wav": wav(6),
        "bad.json": b'{"a": NaN}',
    }
    harness = Harness(files)
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 2, Status.INVALID: 4}
    statuses = await harness.statuses()
    assert {path for path, status in statuses.items() if status is Status.INVALID} == {
        "empty.wav",
        "lonely.wav",
        "orphan.json",
        "bad.wav",
    }
    again = await harness.run()
    assert again.counts == {Status.INVALID: 4}
    assert not harness.source.opened, "the rules and the files are as they were"
    harness.source.put("lonely.json", sidecar(n="5"))
    harness.source.remove("orphan.json")
    third = await harness.run()
    assert third.counts == {Status.UPLOADED: 1, Status.INVALID: 2}
    assert "orphan.json" not in await harness.statuses(), "what is gone needs nobody"


async def test_a_file_that_cannot_be_opened_fails_alone():
    """Fault 35."""

    class Vanishing(CountingSource):
        def open(self, path):
            if path == "0/call-0.wav":
                raise SourceError("it is gone")
            return super().open(path)

    harness = Harness(recordings(3))
    summary = await harness.run(source=Vanishing(recordings(3)))
    assert summary.counts == {Status.UPLOADED: 2, Status.FAILED: 1}
    assert (await harness.run()).counts == {Status.UPLOADED: 1}


async def test_a_file_that_grows_under_the_reader_is_not_ready():
    """Fault 32."""

    class Growing(CountingSource):
        def handle_stat(self, handle, path):
            self.touch(path)
            return super().handle_stat(handle, path)

    harness = Harness(recordings(2))
    summary = await harness.run(source=Growing(recordings(2)))
    assert (summary.waiting, summary.counts) == (2, {})
    assert harness.sink.attempts == 0
    assert {*(await harness.statuses()).values()} == {Status.WAITING}
    assert (await harness.run()).counts == {Status.UPLOADED: 2}


async def test_a_young_file_waits(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(1))
    (tmp_path / "a.json").write_bytes(sidecar())
    harness = Harness({})
    summary = await harness.run(source=DirectorySource(tmp_path), options=RunOptions(min_age=60))
    assert (summary.waiting, summary.counts) == (1, {})


class Rewriting(MemorySink):
    """Changes the file in place between the claim and the sending."""

    def __init__(self, path):
        super().__init__(whole_limit=0)
        self.path = path

    async def upload(self, recording, audio, attempt):
        self.path.write_bytes(wav(2, frames=200_000))
        return await super().upload(recording, audio, attempt)


async def test_what_changed_after_it_was_hashed_is_not_sent_as_if_it_were_the_same(tmp_path):
    """Fault 33."""
    file = tmp_path / "a.wav"
    file.write_bytes(wav(1, frames=200_000))
    (tmp_path / "a.json").write_bytes(sidecar())
    harness = Harness({})
    sink = Rewriting(file)
    options = RunOptions(min_age=0, min_age_open=0, sidecar_wait=0)
    summary = await harness.run(source=DirectorySource(tmp_path), sink=sink, options=options)
    assert summary.counts == {Status.FAILED: 1}
    assert summary.attention[0].failure.code == "CHANGED"
    assert sink.talks == []
    summary = await harness.run(source=DirectorySource(tmp_path), options=options)
    assert summary.counts == {Status.UPLOADED: 1}


async def test_the_events_tell_the_whole_story():
    harness = Harness(recordings(6))
    harness.sink.fail_next(NotSent("busy", code="UNAVAILABLE"))
    summary = await harness.run()
    assert isinstance(harness.heard[0], events.RunStarted)
    assert harness.heard[-1] == events.RunFinished(summary)
    planned = harness.events(events.FolderPlanned)
    assert sum(folder.to_send for folder in planned) == 6
    assert sum(folder.to_send_bytes for folder in planned) == 6 * len(wav(0))
    sent = sum(event.nbytes for event in harness.events(events.BytesSent))
    lost = sum(e.wire_bytes for e in harness.events(events.AttemptEnded) if e.code != "OK")
    assert sent - lost == 6 * len(wav(0))
    assert len(harness.events(events.UploadStarted)) == len(harness.events(events.Settled)) == 6


async def test_the_totals_come_while_the_uploads_hold_the_planner_up():
    harness = Harness(recordings(60))
    sink = Slow()
    async with harness.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
        group.start_soon(uploader.run)
        with anyio.fail_after(5):
            while not harness.events(events.ScanFinished):
                await anyio.sleep(0.001)
        assert len(harness.events(events.FolderPlanned)) < 4, "the planner is still in the middle"
        sink.go.set()
    (finished,) = harness.events(events.ScanFinished)
    assert finished == events.ScanFinished(60, 60 * len(wav(0)))


async def test_a_count_that_runs_ahead_knows_what_this_run_has_sent_already():
    harness = Harness(recordings(30))
    await harness.run()
    for path, content in recordings(90).items():
        if path not in harness.source._files:
            harness.source.put(path, content)
    await harness.run()
    (finished,) = harness.events(events.ScanFinished)
    assert finished == events.ScanFinished(60, 60 * len(wav(0)))


async def test_a_run_that_nothing_holds_up_counts_by_its_own_scan():
    harness = Harness(recordings(3))
    await harness.run()
    assert harness.events(events.ScanFinished) == [events.ScanFinished(3, 3 * len(wav(0)))]


async def test_a_manifest_that_a_killed_run_left_behind_is_caught_up(tmp_path):
    """Faults 1 and 12: killed when all was settled, before the manifest was written."""
    harness = Harness(recordings(2))
    manifest = tmp_path / "manifest.jsonl"
    notes = []

    def look(event):
        if isinstance(event, events.Settled):
            notes.append(sorted(path.name for path in tmp_path.iterdir()))

    with anyio.fail_after(5):
        async with Uploader(
            source=harness.source,
            sink=harness.sink,
            ledger=harness.ledger,
            options=OPTIONS,
            manifest=manifest,
            listeners=[look],
        ) as uploader:
            await uploader.run()
    assert notes[0] == [".manifest.jsonl.behind"], "the note is there while it may fall behind"
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.jsonl"]
    whole = manifest.read_bytes()
    manifest.write_bytes(whole.splitlines(keepends=True)[0])
    (tmp_path / ".manifest.jsonl.behind").touch()
    await harness.run(manifest=manifest)
    assert manifest.read_bytes() == whole
    before = manifest.stat()
    await harness.run(manifest=manifest)
    assert manifest.stat() == before, "nothing changed, and nothing was owed"
