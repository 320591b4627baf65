"""What proves absent, what only seems to, and what a run says of it. Fault 29."""

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace
from support.doubt_harness import HOUR, LOST, STAMP, Harness, Lagging, Swallowing, recordings, wav

from batch_uploader.core import events
from batch_uploader.core.changes import Settle
from batch_uploader.core.errors import InDoubt, SearchFailed
from batch_uploader.core.ports import Match
from batch_uploader.core.states import Status
from batch_uploader.doubts.loop import MAX_RESENDS
from batch_uploader.plan.patience import Ages
from batch_uploader.sinks.memory import MemorySink

DAY = 24 * HOUR


async def doubtful(harness):
    """The recordings that the ledger has in doubt."""
    return [path for path, row in (await harness.rows()).items() if row.status is Status.IN_DOUBT]


async def with_a_doubt(count, *, stamp_field=STAMP):
    """A harness with so many up, but for the second, which is in doubt and was never stored.

    The last one went up after that.
    """
    files = recordings(count)
    late = ("d/1.", f"d/{count - 1}.")
    harness = Harness({path: file for path, file in files.items() if not path.startswith(late)})
    await harness.run()
    harness.more({path: file for path, file in files.items() if path.startswith("d/1.")})
    harness.sink._stamp_field = stamp_field
    harness.sink.swallows = 1
    assert (await harness.run()).counts[Status.IN_DOUBT] == 1
    harness.sink._stamp_field = STAMP
    harness.more(files)
    await harness.run()
    return harness


async def run_while(harness, happens, **how):
    """A run during which something happens whenever it waits."""

    async def meanwhile():
        happens()

    return await run_while_awaiting(harness, meanwhile, **how)


async def run_while_others_go_up(harness):
    """A run that waits for its doubts, and between two looks another recording goes up."""
    return await run_while_awaiting(harness, harness.another_goes_up, waits=True)


async def run_while_awaiting(harness, meanwhile, **how):
    async with harness.uploader(**how) as uploader:
        harness.time.meanwhile = meanwhile
        try:
            return await uploader.run()
        finally:
            harness.time.meanwhile = None


async def test_a_truncated_talk_is_a_conflict_and_not_the_recording():
    """Fault 33: the service named it, so nobody has to find out that it is there."""
    harness = Harness(recordings(2))
    harness.sink.lose_next(InDoubt("compare talk talk-1 with the recording", code="SOURCE_CHANGED"))
    harness.sink.unindexed = {"talk-1"}
    harness.time.seconds += HOUR
    for _ in range(2):
        summary = await harness.run(hold=1.0)
        assert summary.counts[Status.IN_DOUBT] == 1
        assert "talk-1" in summary.attention[0].failure.message
        harness.time.seconds += HOUR
    harness.sink.unindexed = set()
    summary = await harness.run(hold=1.0)
    assert summary.counts == {Status.CONFLICT: 1}
    assert "compare talk talk-1" in summary.attention[0].failure.message
    assert len(harness.sink.talks) == 2


async def test_a_search_that_is_behind_proves_nothing():
    """Fault 29: it finds what went up long ago, and not yet what went up last."""
    harness = await with_a_doubt(4)
    harness.time.seconds += HOUR
    harness.more(recordings(5))
    harness.sink.unindexed = {f"talk-{len(harness.sink.talks) + 1}"}
    await harness.run()
    for _ in range(2):
        summary = await harness.run()
        assert summary.attention[0].failure.code == "SEARCH_BEHIND"
        harness.time.seconds += HOUR
    harness.sink.unindexed = set()
    assert (await harness.run()).needs_attention == 0
    assert set(harness.talks().values()) == {1}


async def test_what_the_service_may_have_deleted_since_is_not_sent_again():
    harness = await with_a_doubt(3)
    harness.time.seconds += 61 * DAY
    for _ in range(2):
        summary = await harness.run()
        assert summary.attention[0].failure.code == "TOO_OLD"
        harness.time.seconds += HOUR
    assert len(harness.sink.talks) == 2


async def test_a_search_that_brings_up_the_talk_of_another_recording_is_a_conflict():
    """Fault 84: the first stays up."""

    class Confused(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            found = await super().find(connection_id, keys, waits=waits)
            return [replace(each, talk_id="talk-1") for each in found if each.talk_id != "talk-1"]

    harness = Harness(recordings(1))
    harness.sink = Confused(stamp_field=STAMP)
    await harness.run()
    harness.more(recordings(2))
    harness.sink.lose_next(LOST)
    summary = await harness.run()
    assert summary.counts == {Status.CONFLICT: 1}
    assert "was named for d/1.wav, but it is d/0.wav; " in summary.attention[0].failure.message
    rows = await harness.rows()
    assert rows["d/0.wav"].talk_id == "talk-1"
    assert [event.outcome.status for event in harness.told(events.Reconciled)] == [Status.CONFLICT]


class Astray(Swallowing):
    """Search brings up another talk for one of the keys, or for any."""

    unexpected_for = None
    loses_half = False

    async def upload(self, recording, audio, attempt):
        # All of them would look like an outage.
        self.swallows += self.loses_half and self.attempts % 2
        return await super().upload(recording, audio, attempt)

    async def find(self, connection_id, keys, *, waits=None):
        found = await super().find(connection_id, keys, waits=waits)
        if self.unexpected_for is None or self.unexpected_for in keys:
            found.append(Match("talk-x", connection_id, "nobody's"))
        return found


async def test_one_talk_too_many_keeps_its_own_recording_alone_in_doubt():
    """Fault 29: the others are searched for without it."""
    harness = Harness(recordings(40))
    harness.sink = Astray(stamp_field=STAMP)
    harness.sink.unexpected_for = "none yet"
    await harness.run()
    harness.more(recordings(80))
    harness.sink.loses_half = True
    assert (await harness.run()).counts[Status.IN_DOUBT] == 20
    harness.sink.loses_half = False
    async with harness.ledger as ledger:
        harness.sink.unexpected_for = (await ledger.doubts())[7].key
    harness.time.seconds += HOUR
    harness.sink.searches = 0
    summary = await harness.run()
    assert summary.counts == {Status.CONFLICT: 1, Status.UPLOADED: 19}
    assert "talk-x" in summary.attention[0].failure.message
    assert harness.sink.searches <= 2 * 32
    assert sorted(harness.talks().values()) == [1] * 79


async def test_a_talk_that_a_canary_brings_up_keeps_nobody_in_doubt():
    """Fault 29."""
    harness = await with_a_doubt(3)
    sink = Astray(stamp_field=STAMP)
    sink.talks, sink.unexpected_for = harness.sink.talks, harness.sink.talks[-1].key
    harness.sink = sink
    harness.time.seconds += HOUR
    assert (await harness.run()).needs_attention == 0
    assert set(harness.talks().values()) == {1}


async def test_of_two_doubts_the_one_without_the_stamp_stays_and_is_told():
    """What a look alone brought was never reported, so it is not taken back either."""
    harness = await with_a_doubt(3, stamp_field=None)
    harness.more(recordings(4))
    harness.sink.swallows = 1
    assert (await harness.run()).counts[Status.IN_DOUBT] == 2
    harness.gone("d/3.wav", "d/3.json")
    harness.more(recordings(3) | {"later.wav": wav(9), "later.json": b'{"n": "later"}'})
    harness.time.seconds += HOUR
    summary = await harness.run()
    assert summary.counts == {Status.IN_DOUBT: 1, Status.FAILED: 1, Status.UPLOADED: 1}
    assert await doubtful(harness) == ["d/1.wav"]


@pytest.mark.parametrize("named", ["d/1.wav", "d/1.json"])
async def test_what_proves_absent_and_cannot_be_sent_has_failed(named):
    """Its file is gone, or its sidecar: no talk, and not a word about it, would be a lost call."""
    harness = await with_a_doubt(3)
    harness.time.seconds += HOUR
    summary = await run_while(harness, lambda: harness.gone(named))
    assert summary.needs_attention == 1
    assert harness.tally.stats.needs_attention == 1
    assert len(harness.sink.talks) == 2
    # A recording without its sidecar is a defect, one that is gone has failed.
    expected = Status.FAILED if named.endswith(".wav") else Status.INVALID
    assert summary.counts == {expected: 1}
    assert (await harness.rows())["d/1.wav"].status is expected


async def test_what_an_earlier_look_proves_absent_and_is_gone_has_failed():
    harness = await with_a_doubt(3)
    harness.time.seconds += HOUR
    async with harness.uploader() as uploader:
        await uploader._reconciler.look()
    harness.time.seconds += HOUR
    harness.gone("d/1.wav", "d/1.json")
    summary = await harness.run()
    assert summary.counts == {Status.FAILED: 1}
    assert summary.attention[0].failure.code == "ABSENT"


async def test_what_was_touched_meanwhile_has_failed_until_it_is_at_rest():
    harness = await with_a_doubt(3)
    harness.time.seconds += HOUR

    async with harness.uploader() as uploader:
        planner = uploader._engine._feed._planner
        young = type(planner)(
            planner.source,
            planner.ledger,
            planner.describer,
            planner.policy,
            Ages(60.0),
            clock=lambda: intake_now(harness),
        )
        uploader._engine._feed._planner = young
        summary = await uploader.run()
    # The others are up as they are.
    assert (summary.counts, summary.already_there) == ({Status.FAILED: 1}, 2)
    assert not harness.sink.swallows
    assert len(harness.sink.talks) == 2


def intake_now(harness):
    """A second after the last file came."""
    return max(harness.source.stat(path).mtime_ns for path in harness.source._files) + 10**9


async def test_what_is_sent_again_has_the_sidecar_that_it_has_by_now():
    """Fault 61: another name, and another text."""
    harness = await with_a_doubt(3)
    harness.time.seconds += HOUR

    def renamed():
        harness.gone("d/1.json")
        harness.more({"d/1.wav.json": b'{"n": "corrected"}'})

    summary = await run_while(harness, renamed)
    assert summary.counts == {Status.UPLOADED: 1}
    assert harness.sink.talks[-1].metadata.fields["n"] == "corrected"


async def test_what_comes_into_doubt_each_time_is_sent_again_a_few_times_in_a_run():
    """Fault 21: a run that waits ends, and the next one tries once more."""
    harness = Harness(recordings(1))
    harness.sink.swallows = 1000
    summary = await run_while_others_go_up(harness)
    assert 1000 - harness.sink.swallows == 1 + MAX_RESENDS
    assert summary.counts == {Status.FAILED: 1}
    assert "still absent" in summary.attention[0].failure.message
    harness.sink.swallows = 0
    assert (await harness.run()).needs_attention == 0
    assert set(harness.talks().values()) == {1}


async def test_the_second_doubt_of_a_run_is_waited_for_as_long_as_the_first():
    """Each is given twice the hold and more: Search fails for most of the first one's time."""
    harness = Harness(recordings(1))

    class FailsAtFirst(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            if harness.time.seconds < until:
                raise SearchFailed("no", code="UNAVAILABLE")
            return await super().find(connection_id, keys, waits=waits)

    until = harness.time.seconds + 3000
    harness.sink = FailsAtFirst(stamp_field=STAMP)
    harness.sink.swallows = 1 + MAX_RESENDS
    summary = await run_while_others_go_up(harness)
    assert "still absent" in summary.attention[0].failure.message


async def test_more_doubts_than_a_search_takes_and_it_fails_once():
    """Fault 29: who does not answer is not asked for the others."""

    class EverySecondAnswerLost(MemorySink):
        async def upload(self, recording, audio, attempt):
            receipt = await super().upload(recording, audio, attempt)
            if self.attempts % 2:
                raise LOST
            return receipt

    harness = Harness(recordings(250))
    harness.sink = EverySecondAnswerLost(stamp_field=STAMP)
    harness.sink.fail_search(SearchFailed("no", code="UNAVAILABLE"))
    summary = await harness.run()
    assert summary.counts[Status.IN_DOUBT] == 125
    assert harness.sink.searches == 1
    assert {each.failure.code for each in summary.attention} == {"UNAVAILABLE"}


async def test_a_miss_is_as_old_as_the_beginning_of_its_search():
    """What is stored while the search is under way is not missed by it."""
    harness = await with_a_doubt(3)
    harness.time.seconds += HOUR
    began = harness.time.now()

    class Slow(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            found = await super().find(connection_id, keys, waits=waits)
            harness.time.seconds += 50
            return found

    slow = Slow(stamp_field=STAMP)
    slow.talks = harness.sink.talks
    async with harness.uploader(sink=slow) as uploader:
        await uploader._reconciler.look()
        (left,) = await harness.ledger.doubts()
    assert left.first_miss == began


async def test_a_look_that_is_cut_off_cuts_off_no_settlement():
    """What is on record is told, whatever else ends meanwhile."""
    harness = Harness(recordings(2))
    harness.sink.lose_next(LOST)
    harness.sink.fail_search(SearchFailed("no", code="UNAVAILABLE"))
    await harness.run()
    async with harness.uploader() as uploader:
        apply = harness.ledger.apply

        async def slowly(changes):
            answers = await apply(changes)
            if any(isinstance(each, Settle) for each in changes):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            return answers

        harness.ledger.apply = slowly
        with anyio.CancelScope() as scope:
            await uploader._reconciler.look()
        assert [event.outcome.status for event in harness.told(events.Reconciled)] == ["uploaded"]


async def test_a_run_that_does_not_wait_ends_though_the_search_takes_for_ever():
    """What is found by then is recorded, batch by batch."""

    class FirstBatchAlone(MemorySink):
        async def upload(self, recording, audio, attempt):
            receipt = await super().upload(recording, audio, attempt)
            if self.attempts % 2:
                raise LOST
            return receipt

        async def find(self, connection_id, keys, *, waits=None):
            if self.searches:
                waits(3600.0)
                await anyio.sleep_forever()
            return await super().find(connection_id, keys, waits=waits)

    harness = Harness(recordings(250))
    harness.sink = FirstBatchAlone(stamp_field=STAMP)
    async with harness.uploader() as uploader:
        uploader._reconciler._time_left = 3.0
        with anyio.fail_after(30):
            summary = await uploader.run()
    assert summary.counts == {Status.UPLOADED: 125 + 96, Status.IN_DOUBT: 125 - 96}
    (waiting,) = harness.told(events.DoubtsWaiting)
    assert (waiting.resumes_in, waiting.recordings) == (3600.0, 29)


async def test_a_search_that_lags_finds_it_while_the_run_waits():
    """Fault 29: also where the lag is longer than the hold, since the canaries lag as well."""
    harness = Harness(recordings(9))
    harness.sink.lose_next(LOST)
    async with harness.uploader(waits=True, hold=60.0) as uploader:
        until = Lagging(harness, 100.0)
        harness.sink.unindexed = until
        summary = await uploader.run()
    assert summary.counts[Status.UPLOADED] == 9
    assert sum(harness.time.slept) >= 100
    assert set(harness.talks().values()) == {1}
