"""The queue between feed and workers, and how a run comes to its end."""

import asyncio

import anyio
import pytest
from support.engine_harness import Harness, recordings

from batch_uploader.core.events import Draining
from batch_uploader.core.model import Ending
from batch_uploader.run.drain import Drain, Drained
from batch_uploader.run.feed import JobQueue


@pytest.fixture
async def jobs():
    """Some of those that a feed makes."""
    async with Harness(recordings(6)).uploader() as uploader:
        planner = uploader._engine._feed._planner
        return [job async for batch in planner.batches() for job in batch.jobs]


async def taken(queue):
    return [job async for job in _all(queue)]


async def _all(queue):
    while (job := await queue.take()) is not None:
        await asyncio.sleep(0)
        yield job


async def test_jobs_are_taken_in_their_order_and_all_workers_hear_of_the_end(jobs):
    queue = JobQueue(len(jobs))
    for job in jobs:
        await queue.put(job)
    first = [await queue.take() for _ in jobs]
    assert first == jobs
    queue.close()
    with anyio.fail_after(10):
        assert await asyncio.gather(*(taken(queue) for _ in range(5))) == [[]] * 5


@pytest.mark.parametrize("room", [1, 2, 6])
@pytest.mark.parametrize("workers", [1, 3, 10])
async def test_each_job_goes_to_one_worker(jobs, room, workers):
    queue = JobQueue(room)

    async def feed():
        for job in jobs * 3:
            await queue.put(job)
        while not queue._jobs.empty():
            await asyncio.sleep(0)
        queue.close()

    with anyio.fail_after(10):
        *lots, _ = await asyncio.gather(*(taken(queue) for _ in range(workers)), feed())
    assert sorted(job.path for lot in lots for job in lot) == sorted(job.path for job in jobs * 3)


async def test_a_full_queue_holds_the_feed_back(jobs):
    queue = JobQueue(2)
    for job in jobs[:2]:
        assert not queue.full
        await queue.put(job)
    assert queue.full
    putting = asyncio.create_task(queue.put(jobs[2]))
    await anyio.wait_all_tasks_blocked()
    assert not putting.done()
    assert await queue.take() is jobs[0]
    await putting
    assert [await queue.take(), await queue.take()] == jobs[1:3]


async def test_what_is_left_when_it_closes_nobody_takes(jobs):
    queue = JobQueue(1)
    waiting = [asyncio.create_task(queue.take()) for _ in range(3)]
    await anyio.wait_all_tasks_blocked()
    await queue.put(jobs[0])
    await anyio.wait_all_tasks_blocked()
    assert sum(task.done() for task in waiting) == 1
    queue.close()
    with anyio.fail_after(10):
        assert await asyncio.gather(*waiting) == [jobs[0], None, None]
    full = JobQueue(1)
    await full.put(jobs[1])
    full.close()
    assert await full.take() is await full.take() is None


async def test_a_worker_that_is_cancelled_takes_no_job_along(jobs):
    queue = JobQueue(1)
    waiting = asyncio.create_task(queue.take())
    await anyio.wait_all_tasks_blocked()
    await queue.put(jobs[0])
    waiting.cancel()
    await anyio.wait_all_tasks_blocked()
    assert waiting.cancelled()
    assert await queue.take() is jobs[0]


@pytest.fixture
def told():
    return []


@pytest.fixture
def drain(told):
    return Drain(told.append)


def test_the_first_reason_to_end_counts_and_an_interruption_before_all(drain, told):
    drain.check()
    drain.begin(Ending.LIMIT, "enough")
    drain.begin(Ending.UNREACHABLE, "an outage")
    assert (drain.ending, drain.reason) == (Ending.LIMIT, "enough")
    drain.begin(Ending.INTERRUPTED, "a signal")
    drain.begin(Ending.LIMIT, "enough")
    assert (drain.ending, drain.reason) == (Ending.INTERRUPTED, "a signal")
    assert told == [Draining("enough"), Draining("a signal")]
    with pytest.raises(Drained):
        drain.check()


def test_what_is_over_does_not_drain(drain, told):
    drain.over = True
    drain.begin(Ending.INTERRUPTED, "a signal")
    assert (drain.ending, drain.begun, told) == (Ending.COMPLETED, False, [])


def test_a_note_counts_where_nothing_else_ended_it(drain):
    drain.note(Ending.LIMIT, "one is too long")
    drain.note(Ending.LIMIT, "another one is")
    assert (drain.ending, drain.reason, drain.begun) == (Ending.LIMIT, "one is too long", False)
    drain.begin(Ending.UNREACHABLE, "an outage")
    assert drain.ending is Ending.UNREACHABLE


def test_whoever_waits_is_woken_when_it_begins_and_when_it_hurries(drain):
    woken = []
    drain.on_begin(lambda: woken.append(drain.reason))
    drain.begin(Ending.LIMIT, "enough")
    drain.begin(Ending.INTERRUPTED, "a signal")
    assert woken == ["enough", "a signal"]


def test_the_first_failure_is_raised_and_the_others_are_noted_once_with_their_notes(drain):
    first, second = ValueError("one"), ValueError("two")
    second.add_note("with a note")
    for error in (first, second, first, ValueError("two"), ValueError("one")):
        drain.fail(error)
    assert drain.failure is first
    assert first.__notes__ == ["two", "with a note"]
    assert drain.ending is Ending.INTERRUPTED


async def test_the_grace_is_for_interruptions_and_a_cancellation_cuts_it_short(drain):
    waiting = asyncio.create_task(drain.wait_for_grace(60))
    drain.begin(Ending.LIMIT, "enough")
    await anyio.wait_all_tasks_blocked()
    drain.begin(Ending.INTERRUPTED, "a signal")
    await anyio.wait_all_tasks_blocked()
    assert not waiting.done()
    drain.cancel()
    with anyio.fail_after(10):
        await waiting
    assert drain.reason == "a signal"
