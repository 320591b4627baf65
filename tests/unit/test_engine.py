"""The run as a whole, on the shipped fakes: what is sent, what is recorded, what is told."""

from collections import Counter

import anyio
import pytest
from support.engine_harness import OPTIONS, CountingSource, House, Slow, recordings, sidecar, wav

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
    house = House(recordings(20))
    summary = await house.run()
    assert summary.ending is Ending.COMPLETED
    assert summary.counts == {Status.UPLOADED: 20}
    assert summary.uploaded_bytes == 20 * len(wav(0))
    assert summary.uploaded_duration == pytest.approx(20 * 0.1)
    assert Counter(talk.metadata.fields["n"] for talk in house.sink.talks) == Counter(
        {str(n): 1 for n in range(20)}
    )
    rows = await house.rows()
    assert {row.talk_id for row in rows} == {talk.talk_id for talk in house.sink.talks}
    assert all(row.status is Status.UPLOADED and row.attempts == 1 for row in rows)


async def test_a_second_run_opens_nothing_and_asks_nothing():
    """Fault 76."""
    house = House(recordings(20))
    await house.run()
    attempts = house.sink.attempts
    summary = await house.run()
    assert summary.already_there == 20
    assert summary.counts == {}
    assert house.sink.attempts == attempts
    assert not house.source.opened


async def test_only_what_is_new_goes_up():
    house = House(recordings(5))
    await house.run()
    house.source.put("new.wav", wav(99))
    house.source.put("new.json", sidecar(n="99"))
    summary = await house.run()
    assert (summary.already_there, summary.counts) == (5, {Status.UPLOADED: 1})
    assert set(house.source.opened) == {"new.wav", "new.json"}


async def test_what_was_not_sent_is_tried_again():
    house = House(recordings(1))
    house.sink.fail_next(
        NotSent("busy", code="UNAVAILABLE"), Throttled("slower", code="X", retry_after=0.01)
    )
    summary = await house.run()
    assert summary.counts == {Status.UPLOADED: 1}
    (row,) = await house.rows()
    assert row.attempts == 3
    ended = house.events(events.AttemptEnded)
    assert [event.code for event in ended] == ["UNAVAILABLE", "X", "OK"]
    assert [event.retry_in is None for event in ended] == [False, False, True]
    assert len({event.client_request_id for event in ended}) == 3
    assert [event.resumes_in for event in house.events(events.Paused)] == [pytest.approx(0.01)]


async def test_attempts_run_out_and_the_next_run_tries_again():
    house = House(recordings(1))
    house.sink.fail_next(*[NotSent("busy", code="UNAVAILABLE") for _ in range(3)])
    summary = await house.run()
    assert summary.counts == {Status.FAILED: 1}
    assert summary.needs_attention == 1
    assert summary.attention[0].failure.code == "UNAVAILABLE"
    summary = await house.run()
    assert summary.counts == {Status.UPLOADED: 1}
    (row,) = await house.rows()
    assert row.attempts == 4, "the attempts of both runs"


async def test_the_refused_stays_refused_until_it_changes():
    house = House(recordings(1))
    house.sink.fail_next(Rejected("no such field", code="INVALID_ARGUMENT"))
    assert (await house.run()).counts == {Status.REJECTED: 1}
    attempts = house.sink.attempts
    again = await house.run()
    assert again.counts == {Status.REJECTED: 1}, "it still needs a human"
    assert house.sink.attempts == attempts
    house.source.put("0/call-0.json", sidecar(n="mended"))
    assert (await house.run()).counts == {Status.UPLOADED: 1}


async def test_doubt_is_held_and_never_sent_again():
    house = House(recordings(3))
    house.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    summary = await house.run()
    assert summary.counts == {Status.UPLOADED: 2, Status.IN_DOUBT: 1}
    assert len(house.sink.talks) == 3
    attempts = house.sink.attempts
    again = await house.run()
    assert again.counts == {Status.IN_DOUBT: 1}
    assert house.sink.attempts == attempts
    assert len(house.events(events.CarriedOver)) == 1


async def test_refused_credentials_drain_the_run_and_mark_nothing():
    """Fault 25: within one window of in-flight work."""
    house = House(recordings(50))
    house.sink.fail_next(*[Unauthorized("wrong key", code="UNAUTHENTICATED") for _ in range(50)])
    summary = await house.run()
    assert summary.ending is Ending.UNAUTHORIZED
    assert summary.reason == "wrong key"
    assert house.sink.attempts <= OPTIONS.concurrency
    assert await house.statuses() == {}
    house.sink._before.clear()
    assert (await house.run()).counts == {Status.UPLOADED: 50}


async def test_the_same_recording_at_two_paths_is_sent_once():
    """Fault 43, within one run."""
    files = {}
    for name in ("a", "b", "c", "d", "e"):
        files[f"{name}.wav"] = wav(1)
        files[f"{name}.json"] = sidecar()
    house = House(files)
    summary = await house.run()
    assert summary.counts == {Status.UPLOADED: 1, Status.DUPLICATE: 4}
    assert len(house.sink.talks) == 1
    rows = await house.rows()
    original = next(row.path for row in rows if row.status is Status.UPLOADED)
    assert {row.duplicate_of for row in rows if row.status is Status.DUPLICATE} == {original}
    assert summary.needs_attention == 0


async def test_a_copy_of_what_could_not_be_sent_goes_up_itself():
    house = House({n: wav(1) if n.endswith("wav") else sidecar() for n in ("a.wav", "a.json")})
    house.source.put("b.wav", wav(1))
    house.source.put("b.json", sidecar())
    house.sink.fail_next(Rejected("no", code="INVALID_ARGUMENT"))
    summary = await house.run()
    assert summary.counts == {Status.UPLOADED: 1, Status.REJECTED: 1}
    assert len(house.sink.talks) == 1


async def test_a_moved_recording_is_a_duplicate():
    """Fault 43, between runs."""
    house = House(recordings(1))
    await house.run()
    house.source.remove("0/call-0.wav")
    house.source.remove("0/call-0.json")
    house.source.put("moved/x.wav", wav(0))
    house.source.put("moved/x.json", sidecar(n="0"))
    assert (await house.run()).counts == {Status.DUPLICATE: 1}
    assert len(house.sink.talks) == 1


async def test_what_a_claim_records_is_told_and_not_recorded_once_more(monkeypatch):
    house = House(recordings(1))
    await house.run()
    house.source.put("copy.wav", wav(0))
    house.source.put("copy.json", sidecar(n="0"))
    told = []
    apply = house.ledger.apply

    async def recording_changes(changes):
        told.extend(changes)
        return await apply(changes)

    monkeypatch.setattr(house.ledger, "apply", recording_changes)
    await house.run()
    about = [type(change) for change in told if isinstance(change, Claim | Settle)]
    assert about == [Claim]
    (settled,) = house.events(events.Settled)
    async with house.ledger as ledger:
        assert (await ledger.known(""))["copy.wav"].outcome == settled.outcome
    assert settled.outcome.duplicate_of == "0/call-0.wav"


async def test_the_same_audio_of_two_calls_goes_up_twice():
    """Fault 42: silence, an announcement."""
    house = House(
        {"a.wav": wav(1), "a.json": sidecar(id="1"), "b.wav": wav(1), "b.json": sidecar(id="2")}
    )
    assert (await house.run()).counts == {Status.UPLOADED: 2}
    assert len(house.sink.talks) == 2


async def test_a_touched_recording_is_recognised_by_its_content():
    house = House(recordings(1))
    await house.run()
    house.source.touch("0/call-0.wav")
    summary = await house.run()
    assert (summary.already_there, summary.outdated, summary.counts) == (1, 0, {})
    house.source.opened.clear()
    await house.run()
    assert not house.source.opened, "the new time is on record"


async def test_a_touched_sidecar_costs_no_look_at_the_audio():
    house = House(recordings(1))
    await house.run()
    house.source.touch("0/call-0.json")
    summary = await house.run()
    assert (summary.already_there, summary.outdated) == (1, 0)
    assert set(house.source.opened) == {"0/call-0.json"}
    await house.run()
    assert not house.source.opened


async def test_a_new_sidecar_for_a_talk_that_is_up_is_counted_and_not_sent():
    house = House(recordings(1))
    await house.run()
    house.source.put("0/call-0.json", sidecar(n="other"))
    for _ in range(2):
        summary = await house.run()
        assert (summary.already_there, summary.outdated) == (1, 1)
    assert len(house.sink.talks) == 1
    assert await house.statuses() == {"0/call-0.wav": Status.UPLOADED}


async def test_other_audio_at_the_same_path_is_a_new_recording():
    house = House(recordings(1))
    await house.run()
    house.source.put("0/call-0.wav", wav(77))
    assert (await house.run()).counts == {Status.UPLOADED: 1}
    rows = await house.rows()
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
    house = House(files)
    summary = await house.run()
    assert summary.counts == {Status.UPLOADED: 2, Status.INVALID: 4}
    statuses = await house.statuses()
    assert {path for path, status in statuses.items() if status is Status.INVALID} == {
        "empty.wav",
        "lonely.wav",
        "orphan.json",
        "bad.wav",
    }
    again = await house.run()
    assert again.counts == {Status.INVALID: 4}
    assert not house.source.opened, "the rules and the files are as they were"
    house.source.put("lonely.json", sidecar(n="5"))
    house.source.remove("orphan.json")
    third = await house.run()
    assert third.counts == {Status.UPLOADED: 1, Status.INVALID: 2}
    assert "orphan.json" not in await house.statuses(), "what is gone needs nobody"


async def test_a_file_that_cannot_be_opened_fails_alone():
    """Fault 35."""

    class Vanishing(CountingSource):
        def open(self, path):
            if path == "0/call-0.wav":
                raise SourceError("it is gone")
            return super().open(path)

    house = House(recordings(3))
    summary = await house.run(source=Vanishing(recordings(3)))
    assert summary.counts == {Status.UPLOADED: 2, Status.FAILED: 1}
    assert (await house.run()).counts == {Status.UPLOADED: 1}


async def test_a_file_that_grows_under_the_reader_is_not_ready():
    """Fault 32."""

    class Growing(CountingSource):
        def handle_stat(self, handle, path):
            self.touch(path)
            return super().handle_stat(handle, path)

    house = House(recordings(2))
    summary = await house.run(source=Growing(recordings(2)))
    assert (summary.waiting, summary.counts) == (2, {})
    assert house.sink.attempts == 0
    assert await house.statuses() == {}
    assert (await house.run()).counts == {Status.UPLOADED: 2}


async def test_a_young_file_waits(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(1))
    (tmp_path / "a.json").write_bytes(sidecar())
    house = House({})
    summary = await house.run(source=DirectorySource(tmp_path), options=RunOptions(min_age=60))
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
    house = House({})
    sink = Rewriting(file)
    options = RunOptions(min_age=0)
    summary = await house.run(source=DirectorySource(tmp_path), sink=sink, options=options)
    assert summary.counts == {Status.FAILED: 1}
    assert summary.attention[0].failure.code == "CHANGED"
    assert sink.talks == []
    summary = await house.run(source=DirectorySource(tmp_path), options=options)
    assert summary.counts == {Status.UPLOADED: 1}


async def test_the_events_tell_the_whole_story():
    house = House(recordings(6))
    house.sink.fail_next(NotSent("busy", code="UNAVAILABLE"))
    summary = await house.run()
    assert isinstance(house.heard[0], events.RunStarted)
    assert house.heard[-1] == events.RunFinished(summary)
    planned = house.events(events.FolderPlanned)
    assert sum(folder.to_send for folder in planned) == 6
    assert sum(folder.to_send_bytes for folder in planned) == 6 * len(wav(0))
    sent = sum(event.nbytes for event in house.events(events.BytesSent))
    lost = sum(e.wire_bytes for e in house.events(events.AttemptEnded) if e.code != "OK")
    assert sent - lost == 6 * len(wav(0))
    assert len(house.events(events.UploadStarted)) == len(house.events(events.Settled)) == 6


async def test_the_totals_come_while_the_uploads_hold_the_planner_up():
    house = House(recordings(60))
    sink = Slow()
    async with house.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
        group.start_soon(uploader.run)
        with anyio.fail_after(5):
            while not house.events(events.ScanFinished):
                await anyio.sleep(0.001)
        assert len(house.events(events.FolderPlanned)) < 4, "the planner is still in the middle"
        sink.go.set()
    (finished,) = house.events(events.ScanFinished)
    assert finished == events.ScanFinished(60, 60 * len(wav(0)))


async def test_a_count_that_runs_ahead_knows_what_this_run_has_sent_already():
    house = House(recordings(30))
    await house.run()
    for path, content in recordings(90).items():
        if path not in house.source._files:
            house.source.put(path, content)
    await house.run()
    (finished,) = house.events(events.ScanFinished)
    assert finished == events.ScanFinished(60, 60 * len(wav(0)))


async def test_a_run_that_nothing_holds_up_counts_by_its_own_scan():
    house = House(recordings(3))
    await house.run()
    assert house.events(events.ScanFinished) == [events.ScanFinished(3, 3 * len(wav(0)))]


async def test_a_manifest_that_a_killed_run_left_behind_is_caught_up(tmp_path):
    """Faults 1 and 12: killed when all was settled, before the manifest was written."""
    house = House(recordings(2))
    manifest = tmp_path / "manifest.jsonl"
    notes = []

    def look(event):
        if isinstance(event, events.Settled):
            notes.append(sorted(path.name for path in tmp_path.iterdir()))

    with anyio.fail_after(5):
        async with Uploader(
            source=house.source,
            sink=house.sink,
            ledger=house.ledger,
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
    await house.run(manifest=manifest)
    assert manifest.read_bytes() == whole
    before = manifest.stat()
    await house.run(manifest=manifest)
    assert manifest.stat() == before, "nothing changed, and nothing was owed"
