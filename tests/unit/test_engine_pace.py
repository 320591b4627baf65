"""The pace of a run, on the shipped fakes: outages, turns, rates, limits, retries."""

from collections import Counter

import anyio
import pytest
from support.engine_harness import Harness, Slow, recordings, sidecar, wav

from batch_uploader.core import events
from batch_uploader.core.errors import (
    InDoubt,
    NotSent,
    Rejected,
    Throttled,
)
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.pace import Pacer, Timetable
from batch_uploader.pace.concurrency import START
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink


async def test_an_outage_costs_no_recording_its_attempts():
    """Fault 27: six attempts are all there are, and more than that fail."""
    harness = Harness(recordings(10))
    harness.sink.fail_next(*[NotSent("nobody is there", code="UNAVAILABLE") for _ in range(9)])
    options = RunOptions(concurrency=1, retry=RetryPolicy(attempts=6, first_pause=0.001))
    summary = await harness.run(options=options)
    assert summary.counts == {Status.UPLOADED: 10}
    assert max(row.attempts for row in await harness.rows()) == 5, "those before it was known"
    paused = harness.events(events.Paused)
    assert {event.reason for event in paused} == {"nobody is there"}
    seconds = [event.resumes_in for event in paused]
    assert seconds == sorted(seconds)


async def test_only_what_has_its_turn_is_claimed():
    """Fault 1: of what waits, a kill puts nothing in doubt."""
    harness = Harness(recordings(50))
    sink = Slow()
    options = RunOptions(concurrency=32)
    with anyio.fail_after(5):
        opened = harness.uploader(sink=sink, options=options)
        async with opened as uploader, anyio.create_task_group() as group:
            group.start_soon(uploader.run)
            while sink.waiting < START:
                await anyio.sleep(0.001)
            await anyio.sleep(0.05)
            assert await harness.claimed() == sink.waiting == START
            sink.go.set()


@pytest.mark.parametrize("expanded", [False, True])
async def test_over_an_expanded_pool_more_memory_is_in_use(expanded):
    expected = 4 if expanded else 2

    class Way(MemorySink):
        at_once = most = 0

        @property
        def expanded(self):
            return expanded

        async def upload(self, recording, audio, attempt):
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            if self.most >= expected:
                full.set()
            await full.wait()
            await anyio.sleep(0.002)
            self.at_once -= 1
            return await super().upload(recording, audio, attempt)

    sink, full = Way(), anyio.Event()
    room = int(len(wav(0)) * 2.1)
    options = RunOptions(concurrency=32, memory=2 * room, expanded_memory=4 * room)
    await Harness(recordings(60)).run(sink=sink, options=options)
    assert sink.most == expected


async def test_in_an_outage_nothing_is_claimed_but_the_probe():
    """Faults 1 and 27: an hour of outage leaves nothing in doubt if it ends with a kill."""

    class Nobody(MemorySink):
        claimed = ()

        async def upload(self, recording, audio, attempt):
            self.claimed = (*self.claimed, await harness.claimed())
            raise NotSent("nobody is there", code="UNAVAILABLE")

    harness = Harness(recordings(50))
    sink = Nobody()
    options = RunOptions(concurrency=32, max_outage=1.0, retry=RetryPolicy(first_pause=0.001))
    summary = await harness.run(sink=sink, options=options)
    assert summary.ending is Ending.UNREACHABLE
    assert sink.claimed[-3:] == (1, 1, 1)


async def test_duplicates_take_nothing_of_the_rate():
    """At one a second they would take a minute."""
    harness = Harness({"first.wav": wav(0), "first.json": sidecar()})
    options = RunOptions(rate=1.0)
    await harness.run(options=options)
    for n in range(60):
        harness.source.put(f"copy-{n}.wav", wav(0))
        harness.source.put(f"copy-{n}.json", sidecar())
    summary = await harness.run(options=options)
    assert summary.counts == {Status.DUPLICATE: 60}


@pytest.mark.parametrize("error", [NotSent, InDoubt])
async def test_an_outage_that_is_too_long_ends_the_run(error):
    """Fault 27, and 21: silence is one, too."""
    harness = Harness(recordings(60))
    harness.sink.fail_next(*[error("nobody is there", code="X") for _ in range(1000)])
    options = RunOptions(concurrency=1, max_outage=0.3, retry=RetryPolicy(first_pause=0.001))
    summary = await harness.run(options=options)
    assert summary.ending is Ending.UNREACHABLE
    why = "nothing got through, and --max-outage is 300ms: nobody is there"
    assert summary.reason == why
    assert summary.counts.get(Status.IN_DOUBT, 0) <= 10
    harness.sink._before.clear()
    held = summary.counts.get(Status.IN_DOUBT, 0)
    assert (await harness.run()).counts[Status.UPLOADED] == 60 - held


async def test_a_limit_of_recordings_is_shared_by_all_workers():
    """Fault 74."""
    harness = Harness(recordings(20))
    harness.sink.fail_next(*[Rejected("no", code="INVALID_ARGUMENT") for _ in range(4)])
    options = RunOptions(concurrency=8, max_recordings=5)
    summary = await harness.run(options=options)
    assert summary.ending is Ending.LIMIT
    assert summary.counts == {Status.UPLOADED: 5, Status.REJECTED: 4}
    assert len(harness.sink.talks) == 5
    statuses = Counter((await harness.statuses()).values())
    assert statuses == {Status.UPLOADED: 5, Status.REJECTED: 4}, "the others are as if unseen"


async def test_a_recording_longer_than_all_that_is_allowed_holds_nobody_up():
    """Fault 74: no later run would get past it either."""
    harness = Harness(recordings(3))
    harness.source.put("0/call-0.wav", wav(0, frames=8000))
    options = RunOptions(concurrency=1, max_audio=0.25)
    summary = await harness.run(options=options)
    assert summary.ending is Ending.LIMIT
    assert summary.reason == (
        "0/call-0.wav is too long for any run: --max-audio is reached"
        " (0s of 250ms, the next one has 1s)"
    )
    assert summary.counts == {Status.UPLOADED: 2}


async def test_a_pause_longer_than_the_longest_outage_ends_the_run():
    """Fault 23: it would be obeyed otherwise, for however long."""
    harness = Harness(recordings(3))
    harness.sink.fail_next(Throttled("too much", code="RESOURCE_EXHAUSTED", retry_after=3600))
    options = RunOptions(concurrency=1, max_outage=1800)
    with anyio.fail_after(5):
        summary = await harness.run(options=options)
    assert summary.ending is Ending.UNREACHABLE
    assert "--max-outage is 30m: too much" in summary.reason


async def test_a_recording_that_is_to_wait_for_longer_than_any_outage_fails():
    """Fault 23: the next run sends it, and this one need not end for it."""
    harness = Harness(recordings(3))
    harness.sink.fail_next(NotSent("busy", code="UNAVAILABLE", retry_after=36_000))
    with anyio.fail_after(5):
        summary = await harness.run(options=RunOptions(concurrency=1))
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
        harness = Harness(recordings(1))
        await harness.run(options=options, sink=Timing(whole_limit=whole_limit))
        assert timeouts.pop() == pytest.approx(usual + more)


async def test_retries_and_they_alone_ask_the_budget(monkeypatch):
    """Fault 22."""
    asked = Counter()
    turn = Pacer.turn

    def counted(pacer, size, *, whole, again):
        asked[again] += 1
        return turn(pacer, size, whole=whole, again=again)

    monkeypatch.setattr(Pacer, "turn", counted)
    harness = Harness(recordings(10))
    harness.sink.fail_next(*[NotSent("busy", code="UNAVAILABLE") for _ in range(2)])
    await harness.run()
    assert asked == {False: 10, True: 2}
