"""Doubts and runs: who searches when, what is sent again, what the summary says of it. Fault 29."""

import anyio
import pytest
from msgspec.structs import replace
from support.doubt_harness import HOUR, LOST, STAMP, Harness, Lagging, Swallowing, recordings, wav
from support.ledger_changes import claim_all
from support.sink_samples import Tries

from batch_uploader.app.preparing import preparer_of
from batch_uploader.core import events
from batch_uploader.core.errors import LedgerError, SearchFailed
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.doubts import Reconciler, SearchPatience
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.plan.patience import Ages
from batch_uploader.prepare.rules import Rules
from batch_uploader.sinks.memory import MemorySink


async def test_a_lost_answer_is_found_at_the_end_of_the_same_run():
    """Fault 16."""
    harness = Harness(recordings(3))
    harness.sink.lose_next(LOST)
    summary = await harness.run()
    assert {k: n for k, n in summary.counts.items() if n} == {Status.UPLOADED: 3}
    assert (summary.needs_attention, summary.attention) == (0, ())
    assert summary.uploaded_bytes == 3 * len(wav(0))
    assert harness.talks() == {"0": 1, "1": 1, "2": 1}
    rows = await harness.rows()
    assert {row.talk_id for row in rows.values()} == {talk.talk_id for talk in harness.sink.talks}
    (found,) = harness.told(events.Reconciled)
    assert found.before.status is Status.IN_DOUBT
    assert not harness.time.slept


async def test_nothing_in_doubt_is_nothing_to_search_for():
    """Fault 76."""
    harness = Harness(recordings(3))
    await harness.run()
    await harness.run()
    assert harness.sink.searches == 0


async def test_without_a_stamp_field_a_doubt_is_left_to_a_human():
    harness = Harness(recordings(2), stamp_field=None)
    harness.sink.lose_next(LOST)
    for _ in range(2):
        summary = await harness.run(waits=True)
        assert summary.counts[Status.IN_DOUBT] == 1
    assert harness.sink.searches == 0


@pytest.mark.parametrize("claimed_with", [None, "other"])
async def test_what_was_sent_without_this_stamp_is_not_searched_for(claimed_with):
    harness = Harness(recordings(2), stamp_field=claimed_with)
    harness.sink.swallows = 1
    await harness.run()
    harness.time.seconds += HOUR
    other = MemorySink(stamp_field=STAMP)
    for _ in range(2):
        summary = await harness.run(sink=other, waits=True)
        assert summary.counts[Status.IN_DOUBT] == 1
    assert other.searches == 0
    assert other.talks == []


async def test_what_a_killed_run_left_is_found_before_anything_is_planned():
    """Faults 1 and 10."""
    harness = Harness(recordings(4))
    await kill_while_sending(harness, stored=2)
    assert (await harness.rows())["d/0.wav"].status is Status.CLAIMED
    summary = await harness.run()
    assert summary.needs_attention == 2
    assert harness.talks() == {"0": 1, "1": 1}
    harness.time.seconds += HOUR
    # What goes up since proves the others absent.
    harness.more(recordings(5))
    summary = await harness.run()
    assert summary.counts == {Status.UPLOADED: 3}
    assert harness.talks() == {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1}


async def kill_while_sending(harness, *, stored):
    """Claims for all recordings; so many of them reached the service."""
    rules = Rules()
    preparer = preparer_of(harness.source, harness.ledger.connection_id, rules)
    planner = FolderPlanner(
        harness.source, harness.ledger, preparer.describer, rules.digest(), Ages()
    )
    async with harness.ledger as ledger:
        async for batch in planner.batches():
            for number, job in enumerate(sorted(batch.jobs, key=lambda job: job.path)):
                prepared = preparer.prepare(job.bundle, 1 << 20, lambda _: b"")
                await claim_all(ledger, [prepared.recording], stamp_field=STAMP)
                if number < stored:
                    await harness.sink.upload(prepared.recording, prepared.payload, Tries()())
                prepared.close()


async def test_absent_is_sent_again_after_the_hold_and_two_misses_by_a_later_run():
    """A run waits for the second miss, never for the hold."""
    harness = Harness(recordings(3))
    harness.sink.swallows = 1
    summary = await harness.run()
    assert summary.counts[Status.IN_DOUBT] == 1
    (left,) = summary.attention
    assert left.failure.code == "HELD"
    assert left.failure.request_id == "request-9"
    assert not harness.time.slept
    harness.time.seconds += 1000
    assert (await harness.run()).needs_attention == 1
    assert len(harness.sink.talks) == 2
    harness.time.seconds += 1000
    summary = await harness.run()
    assert harness.time.slept == [pytest.approx(60)]
    assert summary.counts[Status.UPLOADED] == 1
    assert summary.needs_attention == 0
    assert harness.talks() == {"0": 1, "1": 1, "2": 1}
    (row,) = [each for each in (await harness.rows()).values() if each.attempts == 2]
    assert row.status is Status.UPLOADED


async def test_waiting_for_doubt_ends_with_everything_up():
    harness = Harness(recordings(5))
    harness.sink.swallows = 3
    summary = await harness.run(waits=True)
    assert {k: n for k, n in summary.counts.items() if n} == {Status.UPLOADED: 5}
    assert set(harness.talks().values()) == {1}
    assert 1800 + 60 <= sum(harness.time.slept) < 2 * HOUR
    assert harness.told(events.DoubtsWaiting)[0].recordings == 3


async def test_a_miss_that_nothing_proves_leaves_it_in_doubt_and_ends_the_waiting():
    """Faults 29 and 82: it may be found until the hold is over; then an upload alone helps."""
    harness = Harness(recordings(3))
    await harness.run()
    harness.more(recordings(4))
    harness.sink.swallows = 1
    summary = await harness.run(waits=True)
    assert summary.attention[0].failure.code == "SEARCH_UNPROVED"
    assert len(harness.sink.talks) == 3
    assert 1800 <= sum(harness.time.slept) < 1801
    # Another recording goes up, and proves it.
    harness.more(recordings(5))
    assert (await harness.run()).needs_attention == 0
    assert harness.talks() == dict.fromkeys("01234", 1)


async def test_a_search_that_lags_is_asked_again():
    """Fault 29."""
    harness = Harness(recordings(2))
    harness.sink.lose_next(LOST)
    async with harness.uploader(waits=True) as uploader:
        harness.sink.unindexed = Lagging(harness, 600.0)
        summary = await uploader.run()
    assert summary.counts[Status.UPLOADED] == 2
    assert 600 <= sum(harness.time.slept) < 1800
    assert set(harness.talks().values()) == {1}


async def test_a_search_that_fails_leaves_the_reason_and_the_next_run_asks_again():
    """Fault 29."""
    harness = Harness(recordings(2))
    harness.sink.lose_next(LOST)
    harness.sink.fail_search(SearchFailed("the service did not tell", code="UNAVAILABLE"))
    summary = await harness.run()
    assert summary.attention[0].failure.code == "UNAVAILABLE"
    assert (
        "the next run with --stamp-field upload_key searches again"
        in (await harness.rows())[summary.attention[0].path].failure.message
    )
    summary = await harness.run()
    assert (summary.needs_attention, summary.already_there) == (0, 2)


async def test_a_search_that_fails_for_good_ends_the_waiting():
    """Fault 29."""
    harness = Harness(recordings(2))
    harness.sink.lose_next(LOST)
    harness.sink.fail_search(*[SearchFailed("no", code="UNAVAILABLE") for _ in range(1000)])
    summary = await harness.run(waits=True)
    assert summary.counts[Status.IN_DOUBT] == 1
    assert sum(harness.time.slept) < 4 * HOUR


async def test_two_hits_are_a_conflict_that_no_run_touches():
    """Fault 29."""
    harness = Harness(recordings(2))
    harness.sink.lose_next(LOST)

    class Doubling(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            found = await super().find(connection_id, keys, waits=waits)
            return [*found, *(replace(each, talk_id=f"{each.talk_id}b") for each in found)]

    doubling = Doubling(stamp_field=STAMP)
    doubling.talks, doubling._after = harness.sink.talks, harness.sink._after
    summary = await harness.run(sink=doubling, waits=True)
    assert summary.counts[Status.CONFLICT] == 1
    (left,) = summary.attention
    assert (left.status, left.failure.code) == (Status.CONFLICT, "CONFLICT")
    harness.time.seconds += HOUR
    summary = await harness.run(waits=True)
    assert summary.counts == {Status.CONFLICT: 1}
    assert len(harness.sink.talks) == 2


async def test_a_run_that_is_stopped_while_it_waits_ends():
    """Fault 72."""
    harness = Harness(recordings(2))
    harness.sink.swallows = 1
    harness.time.sleep = anyio.sleep
    async with harness.uploader(waits=True) as uploader:

        async def stop():
            while not harness.told(events.DoubtsWaiting):
                await anyio.sleep(0.01)
            uploader.drain("enough")

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(stop)
                summary = await uploader.run()
    assert summary.ending is Ending.INTERRUPTED
    assert summary.counts[Status.IN_DOUBT] == 1


async def test_a_ledger_that_fails_in_a_search_ends_the_run():
    harness = Harness(recordings(2))
    harness.sink.lose_next(LOST)
    async with harness.uploader() as uploader:

        async def failing():
            raise LedgerError("the disk is full")

        harness.ledger.doubts = failing
        with pytest.raises(LedgerError, match="the disk is full"):
            await uploader.run()


async def test_many_keys_go_into_one_search():
    class EverySecondAnswerLost(Swallowing):
        async def upload(self, recording, audio, attempt):
            receipt = await super().upload(recording, audio, attempt)
            if self.attempts % 2:
                raise LOST
            return receipt

    # All of them would look like an outage.
    harness = Harness(recordings(200))
    harness.sink = EverySecondAnswerLost(stamp_field=STAMP)
    summary = await harness.run()
    assert summary.counts[Status.UPLOADED] == 200
    assert harness.sink.searches == 2
    assert set(harness.talks().values()) == {1}


async def test_the_first_look_holds_the_uploads_up_for_a_while_at_most(monkeypatch):
    harness = Harness(recordings(2))

    class Endless(MemorySink):
        async def find(self, connection_id, keys, *, waits=None):
            await anyio.sleep_forever()

    harness.sink.lose_next(LOST)
    harness.sink.fail_search(SearchFailed("no", code="UNAVAILABLE"))
    await harness.run()
    monkeypatch.setattr("batch_uploader.doubts.loop._HEAD_START", 0.05)
    reconciler = Reconciler(
        Endless(stamp_field=STAMP), harness.ledger, harness.heard.append, patience=SearchPatience()
    )
    async with harness.ledger:
        with anyio.fail_after(5):
            await reconciler.before()
