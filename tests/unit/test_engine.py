"""The run as a whole, on the shipped fakes: what is sent, what is recorded, how it ends."""

import io
import json
import wave
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from batch_uploader import events
from batch_uploader.engine import RunOptions
from batch_uploader.errors import (
    ConfigError,
    InDoubt,
    LedgerError,
    NotSent,
    Rejected,
    SourceError,
    Throttled,
    Unauthorized,
)
from batch_uploader.examine import Rules
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.model import Ending, Failure, Status
from batch_uploader.pace import Pacer, Timetable
from batch_uploader.pace.window import START
from batch_uploader.retry import RetryPolicy
from batch_uploader.sidecar import Schema
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource
from batch_uploader.uploader import Uploader

OPTIONS = RunOptions(concurrency=4, retry=RetryPolicy(attempts=3, first_pause=0.001))


def wav(seed: int, frames: int = 800) -> bytes:
    """Half-silent 16-bit audio, different for each seed."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(seed.to_bytes(4, "little") * (frames // 2))
    return buffer.getvalue()


def sidecar(**fields: str) -> bytes:
    return json.dumps(fields or {"operator_name": "Anna"}).encode()


def recordings(count: int) -> dict[str, bytes]:
    files = {}
    for n in range(count):
        files[f"{n % 3}/call-{n}.wav"] = wav(n)
        files[f"{n % 3}/call-{n}.json"] = sidecar(n=str(n))
    return files


class CountingSource(MemorySource):
    """Counts what is opened."""

    def __init__(self, files):
        super().__init__(files)
        self.opened = Counter()

    def open(self, path):
        self.opened[path] += 1
        return super().open(path)


class House:
    """A source, a sink and a ledger that live through several runs."""

    def __init__(self, files):
        self.source = CountingSource(files)
        self.sink = MemorySink()
        self.ledger = MemoryLedger("connection")
        self.heard = []

    def uploader(self, **kwargs):
        kwargs.setdefault("options", OPTIONS)
        return Uploader(
            source=kwargs.pop("source", self.source),
            sink=kwargs.pop("sink", self.sink),
            ledger=self.ledger,
            listeners=[self.heard.append],
            **kwargs,
        )

    async def run(self, **kwargs):
        self.heard.clear()
        self.source.opened.clear()
        with anyio.fail_after(20):
            async with self.uploader(**kwargs) as uploader:
                return await uploader.run()

    async def rows(self):
        async with self.ledger as ledger:
            return [row async for row in ledger.rows()]

    async def claimed(self):
        """How many claims are open, during a run."""
        return len([row async for row in self.ledger.rows(frozenset({Status.CLAIMED}))])

    async def statuses(self):
        return {row.path: row.status for row in await self.rows()}

    def events(self, kind):
        return [event for event in self.heard if isinstance(event, kind)]


async def test_everything_goes_up_once():
    house = House(recordings(20))
    summary = await house.run()
    assert summary.ending is Ending.COMPLETED
    assert summary.counts == {Status.UPLOADED: 20}
    assert summary.uploaded_bytes == 20 * len(wav(0))
    assert summary.uploaded_seconds == pytest.approx(20 * 0.1)
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
    assert summary.skipped == 20
    assert summary.counts == {}
    assert house.sink.attempts == attempts
    assert not house.source.opened


async def test_only_what_is_new_goes_up():
    house = House(recordings(5))
    await house.run()
    house.source.put("new.wav", wav(99))
    house.source.put("new.json", sidecar(n="99"))
    summary = await house.run()
    assert (summary.skipped, summary.counts) == (5, {Status.UPLOADED: 1})
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
    assert [event.seconds for event in house.events(events.Paused)] == [pytest.approx(0.01)]


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
    assert len(house.events(events.Held)) == 1


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
    assert (summary.skipped, summary.outdated, summary.counts) == (1, 0, {})
    house.source.opened.clear()
    await house.run()
    assert not house.source.opened, "the new time is on record"


async def test_a_touched_sidecar_costs_no_look_at_the_audio():
    house = House(recordings(1))
    await house.run()
    house.source.touch("0/call-0.json")
    summary = await house.run()
    assert (summary.skipped, summary.outdated) == (1, 0)
    assert set(house.source.opened) == {"0/call-0.json"}
    await house.run()
    assert not house.source.opened


async def test_a_new_sidecar_for_a_talk_that_is_up_is_counted_and_not_sent():
    house = House(recordings(1))
    await house.run()
    house.source.put("0/call-0.json", sidecar(n="other"))
    for _ in range(2):
        summary = await house.run()
        assert (summary.skipped, summary.outdated) == (1, 1)
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


class Slow(MemorySink):
    """Holds every upload until it is let go."""

    def __init__(self):
        super().__init__()
        self.go = anyio.Event()
        self.waiting = 0

    async def upload(self, recording, audio, attempt):
        self.waiting += 1
        await self.go.wait()
        return await super().upload(recording, audio, attempt)


async def test_a_drain_finishes_what_is_in_flight_and_begins_nothing():
    """Fault 72."""
    house = House(recordings(50))
    sink = Slow()
    async with house.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
        results = []

        async def run():
            results.append(await uploader.run())

        group.start_soon(run)
        while sink.waiting < OPTIONS.concurrency:
            await anyio.sleep(0.001)
        uploader.drain("told to")
        await anyio.sleep(0.01)
        sink.go.set()
    (summary,) = results
    assert summary.ending is Ending.INTERRUPTED
    assert summary.counts == {Status.UPLOADED: OPTIONS.concurrency}
    assert len(sink.talks) == OPTIONS.concurrency
    assert Counter((await house.statuses()).values()) == {Status.UPLOADED: OPTIONS.concurrency}


@asynccontextmanager
async def four_on_their_way(house, *, grace):
    """A run whose uploads all wait, and the list that its summary goes into."""
    sink = Slow()
    options = RunOptions(concurrency=4, grace=grace)
    results = []
    with anyio.fail_after(5):
        opened = house.uploader(sink=sink, options=options)
        async with opened as uploader, anyio.create_task_group() as group:

            async def run():
                results.append(await uploader.run())

            group.start_soon(run)
            while sink.waiting < 4:
                await anyio.sleep(0.001)
            yield uploader, results


@pytest.mark.parametrize("way", ["cancel", "grace"])
async def test_what_is_cut_off_is_in_doubt(way):
    house = House(recordings(50))
    async with four_on_their_way(house, grace=0.05) as (uploader, results):
        uploader.drain("told to")
        if way == "cancel":
            uploader.cancel()
    assert results[0].counts == {Status.IN_DOUBT: 4}
    assert Counter((await house.statuses()).values()) == {Status.IN_DOUBT: 4}


async def test_a_limit_in_time_waits_for_what_is_in_flight_and_a_signal_does_not():
    """Faults 72, 74."""
    house = House(recordings(50))
    async with four_on_their_way(house, grace=0.02) as (uploader, results):
        uploader.drain("--max-duration is over", Ending.LIMIT)
        await anyio.sleep(0.1)
        assert not results, "the grace is for signals"
        uploader.drain("stopped by SIGTERM")
    (summary,) = results
    assert (summary.ending, summary.reason) == (Ending.INTERRUPTED, "stopped by SIGTERM")
    assert summary.counts == {Status.IN_DOUBT: 4}


async def test_a_signal_after_the_work_changes_nothing():
    house = House(recordings(3))
    async with house.uploader() as uploader:
        await uploader._engine.run()
        uploader.drain("stopped by SIGTERM")
    assert uploader._engine.ending is Ending.COMPLETED


async def test_what_waits_for_a_retry_is_given_back_by_a_drain():
    house = House(recordings(1))
    house.sink.fail_next(NotSent("busy", code="UNAVAILABLE", retry_after=600))
    results = []
    with anyio.fail_after(5):
        async with house.uploader() as uploader, anyio.create_task_group() as group:

            async def run():
                results.append(await uploader.run())

            group.start_soon(run)
            while not house.events(events.AttemptEnded):
                await anyio.sleep(0.001)
            uploader.drain("told to")
    assert results[0].counts == {}
    assert await house.statuses() == {}, "it is as if unseen: nothing was stored"
    assert len(house.events(events.Released)) == 1


async def test_an_outage_costs_no_recording_its_attempts():
    """Fault 27: six attempts are all there are, and more than that fail."""
    house = House(recordings(10))
    house.sink.fail_next(*[NotSent("nobody is there", code="UNAVAILABLE") for _ in range(9)])
    options = RunOptions(concurrency=1, retry=RetryPolicy(attempts=6, first_pause=0.001))
    summary = await house.run(options=options)
    assert summary.counts == {Status.UPLOADED: 10}
    assert max(row.attempts for row in await house.rows()) == 5, "those before it was known"
    paused = house.events(events.Paused)
    assert {event.reason for event in paused} == {"nobody is there"}
    seconds = [event.seconds for event in paused]
    assert seconds == sorted(seconds)


async def test_only_what_has_its_turn_is_claimed():
    """Fault 1: of what waits, a kill puts nothing in doubt."""
    house = House(recordings(50))
    sink = Slow()
    options = RunOptions(concurrency=32)
    with anyio.fail_after(5):
        opened = house.uploader(sink=sink, options=options)
        async with opened as uploader, anyio.create_task_group() as group:
            group.start_soon(uploader.run)
            while sink.waiting < START:
                await anyio.sleep(0.001)
            await anyio.sleep(0.05)
            assert await house.claimed() == sink.waiting == START
            sink.go.set()


async def test_in_an_outage_nothing_is_claimed_but_the_probe():
    """Faults 1 and 27: an hour of outage leaves nothing in doubt if it ends with a kill."""

    class Nobody(MemorySink):
        claimed = ()

        async def upload(self, recording, audio, attempt):
            self.claimed = (*self.claimed, await house.claimed())
            raise NotSent("nobody is there", code="UNAVAILABLE")

    house = House(recordings(50))
    sink = Nobody()
    options = RunOptions(concurrency=32, max_outage=1.0, retry=RetryPolicy(first_pause=0.001))
    summary = await house.run(sink=sink, options=options)
    assert summary.ending is Ending.UNREACHABLE
    assert sink.claimed[-3:] == (1, 1, 1)


async def test_duplicates_take_nothing_of_the_rate():
    """At one a second they would take a minute."""
    house = House({"first.wav": wav(0), "first.json": sidecar()})
    options = RunOptions(rate=1.0)
    await house.run(options=options)
    for n in range(60):
        house.source.put(f"copy-{n}.wav", wav(0))
        house.source.put(f"copy-{n}.json", sidecar())
    summary = await house.run(options=options)
    assert summary.counts == {Status.DUPLICATE: 60}


@pytest.mark.parametrize("error", [NotSent, InDoubt])
async def test_an_outage_that_is_too_long_ends_the_run(error):
    """Fault 27, and 21: silence is one, too."""
    house = House(recordings(60))
    house.sink.fail_next(*[error("nobody is there", code="X") for _ in range(1000)])
    options = RunOptions(concurrency=1, max_outage=0.3, retry=RetryPolicy(first_pause=0.001))
    summary = await house.run(options=options)
    assert summary.ending is Ending.UNREACHABLE
    why = "nothing got through, and --max-outage is 300ms: nobody is there"
    assert summary.reason == why
    assert summary.counts.get(Status.IN_DOUBT, 0) <= 10
    house.sink._before.clear()
    held = summary.counts.get(Status.IN_DOUBT, 0)
    assert (await house.run()).counts[Status.UPLOADED] == 60 - held


async def test_a_limit_of_recordings_is_shared_by_all_workers():
    """Fault 74."""
    house = House(recordings(20))
    house.sink.fail_next(*[Rejected("no", code="INVALID_ARGUMENT") for _ in range(4)])
    options = RunOptions(concurrency=8, max_recordings=5)
    summary = await house.run(options=options)
    assert summary.ending is Ending.LIMIT
    assert summary.counts == {Status.UPLOADED: 5, Status.REJECTED: 4}
    assert len(house.sink.talks) == 5
    statuses = Counter((await house.statuses()).values())
    assert statuses == {Status.UPLOADED: 5, Status.REJECTED: 4}, "the others are as if unseen"


async def test_a_recording_longer_than_all_that_is_allowed_holds_nobody_up():
    """Fault 74: no later run would get past it either."""
    house = House(recordings(3))
    house.source.put("0/call-0.wav", wav(0, frames=8000))
    options = RunOptions(concurrency=1, max_audio=0.25)
    summary = await house.run(options=options)
    assert summary.ending is Ending.LIMIT
    assert summary.reason == (
        "0/call-0.wav is too long for any run: --max-audio is reached"
        " (0s of 250ms, the next one has 1s)"
    )
    assert summary.counts == {Status.UPLOADED: 2}


async def test_a_pause_longer_than_the_longest_outage_ends_the_run():
    """Fault 23: it would be obeyed otherwise, for however long."""
    house = House(recordings(3))
    house.sink.fail_next(Throttled("too much", code="RESOURCE_EXHAUSTED", retry_after=3600))
    options = RunOptions(concurrency=1, max_outage=1800)
    with anyio.fail_after(5):
        summary = await house.run(options=options)
    assert summary.ending is Ending.UNREACHABLE
    assert "--max-outage is 30m: too much" in summary.reason


async def test_a_recording_that_is_to_wait_for_longer_than_any_outage_fails():
    """Fault 23: the next run sends it, and this one need not end for it."""
    house = House(recordings(3))
    house.sink.fail_next(NotSent("busy", code="UNAVAILABLE", retry_after=36_000))
    with anyio.fail_after(5):
        summary = await house.run(options=RunOptions(concurrency=1))
    assert summary.ending is Ending.COMPLETED
    assert summary.counts == {Status.FAILED: 1, Status.UPLOADED: 2}


async def test_a_limited_bandwidth_gives_more_time_to_streams_alone():
    """A message that goes whole leaves at once, however little may leave after it."""

    class Timing(MemorySink):
        async def upload(self, recording, audio, attempt):
            timeouts.append(attempt.timeout)
            return await super().upload(recording, audio, attempt)

    timeouts = []
    options = RunOptions(concurrency=2, bandwidth=Timetable(((0, 1_000_000),)))
    size = len(wav(0))
    usual = options.retry.timeout(size)
    for whole_limit, more in ((size, 0), (size - 1, size / 500_000)):
        house = House(recordings(1))
        await house.run(options=options, sink=Timing(whole_limit=whole_limit))
        assert timeouts.pop() == pytest.approx(usual + more)


async def test_retries_and_they_alone_ask_the_budget(monkeypatch):
    """Fault 22."""
    asked = Counter()
    turn = Pacer.turn

    def counted(pacer, size, *, whole, again):
        asked[again] += 1
        return turn(pacer, size, whole=whole, again=again)

    monkeypatch.setattr(Pacer, "turn", counted)
    house = House(recordings(10))
    house.sink.fail_next(*[NotSent("busy", code="UNAVAILABLE") for _ in range(2)])
    await house.run()
    assert asked == {False: 10, True: 2}


async def test_a_ledger_that_fails_ends_the_run():
    class Broken(MemoryLedger):
        async def settle(self, outcome, *, policy=None):
            raise LedgerError("the disk is full")

    house = House(recordings(30))
    house.ledger = Broken("connection")
    with pytest.raises(LedgerError):
        await house.run()
    assert house.sink.attempts <= OPTIONS.concurrency, "nothing new begins"


async def test_a_listener_that_raises_puts_nothing_in_doubt():
    house = House(recordings(30))
    heard = []

    def broken(event):
        heard.append(event)
        if isinstance(event, events.UploadStarted):
            raise ZeroDivisionError

    with anyio.fail_after(5), pytest.raises(ZeroDivisionError):
        async with Uploader(
            source=house.source,
            sink=house.sink,
            ledger=house.ledger,
            options=OPTIONS,
            listeners=[broken, house.heard.append],
        ) as uploader:
            await uploader.run()
    assert isinstance(heard[-1], events.UploadStarted), "it is not called again"
    assert house.events(events.Draining)
    assert set((await house.statuses()).values()) <= {Status.UPLOADED}
    assert len(house.sink.talks) == len(await house.rows()) <= OPTIONS.concurrency


async def test_a_root_that_is_gone_ends_the_run(tmp_path):
    house = House({})
    with pytest.raises(SourceError):
        await house.run(source=DirectorySource(tmp_path / "nowhere"))


async def test_the_events_tell_the_whole_story():
    house = House(recordings(6))
    house.sink.fail_next(NotSent("busy", code="UNAVAILABLE"))
    summary = await house.run()
    assert isinstance(house.heard[0], events.RunStarted)
    assert house.heard[-1] == events.RunFinished(summary)
    planned = house.events(events.FolderPlanned)
    assert sum(folder.to_send for folder in planned) == 6
    assert sum(folder.to_send_bytes for folder in planned) == 6 * len(wav(0))
    sent = sum(event.octets for event in house.events(events.BytesSent))
    lost = sum(e.octets for e in house.events(events.AttemptEnded) if e.code != "OK")
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


async def given_up(house):
    """A recording of which the service holds a talk, in truth, and that a human gave up."""
    house.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    await house.run()
    async with house.ledger as ledger:
        known = (await ledger.known("0"))["0/call-0.wav"]
        failure = Failure("GIVEN_UP", "somebody decided so")
        await ledger.settle(replace(known.outcome, status=Status.GIVEN_UP, failure=failure))


@pytest.mark.parametrize(
    "change",
    [
        lambda source: source.touch("0/call-0.wav"),
        lambda source: source.touch("0/call-0.json"),
        lambda source: source.put("0/call-0.json", sidecar(n="corrected")),
        lambda source: source.put("0/call-0.wav.json", sidecar(n="0")),
    ],
    ids=["touched", "sidecar touched", "sidecar corrected", "second sidecar"],
)
async def test_what_was_given_up_is_never_sent_again_unasked(change):
    house = House(recordings(1))
    await given_up(house)
    change(house.source)
    for _ in range(2):
        summary = await house.run()
        assert summary.needs_attention == 0
    assert len(house.sink.talks) == 1
    assert await house.statuses() == {"0/call-0.wav": Status.GIVEN_UP}


async def test_a_copy_of_what_was_given_up_is_not_sent_either():
    house = House(recordings(1))
    await given_up(house)
    for ending in ("wav", "json"):
        house.source.put(f"moved/x.{ending}", house.source._files[f"0/call-0.{ending}"].content)
        house.source.remove(f"0/call-0.{ending}")
    assert (await house.run()).counts == {Status.DUPLICATE: 1}
    assert len(house.sink.talks) == 1


async def test_other_audio_at_the_path_of_what_was_given_up_is_a_new_recording():
    house = House(recordings(1))
    await given_up(house)
    house.source.put("0/call-0.wav", wav(5))
    assert (await house.run()).counts == {Status.UPLOADED: 1}
    house.source.put("0/call-0.wav", wav(0))
    summary = await house.run()
    assert (summary.skipped, summary.counts) == (1, {})
    assert len(house.sink.talks) == 2, "the one given up, and the new one"


@pytest.mark.parametrize("way", ["moved", "removed"])
async def test_a_doubt_whose_file_is_elsewhere_still_needs_a_human(way):
    house = House(recordings(3))
    house.sink.lose_next(InDoubt("no answer", code="DEADLINE_EXCEEDED"))
    await house.run()
    (path,) = [path for path, status in (await house.statuses()).items() if status == "in_doubt"]
    for name in (path, path.replace(".wav", ".json")):
        if way == "moved":
            house.source.put(f"done/{name}", house.source._files[name].content)
        house.source.remove(name)
    for _ in range(2):
        summary = await house.run()
        assert summary.needs_attention == 1
        assert summary.attention[0].path == path
        assert summary.attention[0].failure.code == "DEADLINE_EXCEEDED"
    assert len(house.sink.talks) == 3


async def test_audio_that_returns_to_its_path_is_its_old_talk_whatever_its_sidecar_says():
    house = House(recordings(1))
    await house.run()
    house.source.put("0/call-0.wav", wav(5))
    house.source.put("0/call-0.json", sidecar(n="5"))
    await house.run()
    house.source.put("0/call-0.wav", wav(0))
    house.source.put("0/call-0.json", sidecar(n="edited"))
    summary = await house.run()
    assert (summary.outdated, summary.counts) == (1, {})
    assert len(house.sink.talks) == 2
    assert {row.talk_id for row in await house.rows()} == {"talk-1", "talk-2"}, "none is forgotten"


async def test_other_defaults_make_no_other_call_of_a_moved_recording():
    def rules(value):
        return Rules(schema=Schema(defaults={"language": value}))

    house = House(recordings(1))
    await house.run(rules=rules("ru-RU"))
    assert house.sink.talks[0].metadata.fields["language"] == "ru-RU"
    for ending in ("wav", "json"):
        house.source.put(f"moved/x.{ending}", house.source._files[f"0/call-0.{ending}"].content)
        house.source.remove(f"0/call-0.{ending}")
    assert (await house.run(rules=rules("kk-KZ"))).counts == {Status.DUPLICATE: 1}


async def test_attempts_are_those_of_this_audio():
    house = House(recordings(1))
    for seed in (0, 1, 2):
        house.source.put("0/call-0.wav", wav(seed))
        await house.run()
    assert [row.attempts for row in await house.rows()] == [1, 1, 1]


async def test_a_ledger_that_fails_loses_no_talk_id():
    """Fault 6: what the log cannot tell, the error does."""

    class Full(MemoryLedger):
        async def settle(self, outcome, *, policy=None):
            raise LedgerError(f"the disk is full; {outcome.path} is up as {outcome.talk_id}")

    house = House(recordings(30))
    house.ledger = Full("connection")
    sink = Slow()
    errors = []

    async def run():
        try:
            await uploader.run()
        except LedgerError as error:
            errors.append(error)

    with anyio.fail_after(5):
        async with house.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
            group.start_soon(run)
            while sink.waiting < OPTIONS.concurrency:
                await anyio.sleep(0.001)
            sink.go.set()
    told = " ".join([str(errors[0]), *errors[0].__notes__])
    stored = {talk.talk_id for talk in sink.talks}
    assert len(stored) == OPTIONS.concurrency
    assert all(talk_id in told for talk_id in stored)
    assert {event.talk_id for event in house.events(events.AttemptEnded)} == stored


async def test_what_is_cancelled_before_it_began_is_in_no_doubt():
    class Asleep(MemorySink):
        waiting = 0

        async def upload(self, recording, audio, attempt):
            self.waiting += 1
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                attempt.never_began()
                raise

    house = House(recordings(10))
    sink = Asleep()
    with anyio.fail_after(5):
        async with house.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
            group.start_soon(uploader.run)
            while sink.waiting < OPTIONS.concurrency:
                await anyio.sleep(0.001)
            uploader.cancel()
    assert await house.statuses() == {}


async def test_settings_that_turn_out_unusable_on_the_way_end_the_run_without_doubt():
    class Unusable(MemorySink):
        async def upload(self, recording, audio, attempt):
            raise ConfigError("the CA file is gone")

    house = House(recordings(10))
    with pytest.raises(ConfigError):
        await house.run(sink=Unusable())
    assert await house.statuses() == {}


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
