"""What proves absent, what only seems to, and what a run says of it. Fault 29."""

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace
from support.doubt_harness import HOUR, LOST, STAMP, House, Lagging, Swallowing, recordings, wav

from batch_uploader.core import events
from batch_uploader.core.changes import Settle
from batch_uploader.core.errors import InDoubt, SearchFailed
from batch_uploader.core.ports import Match
from batch_uploader.core.states import Status
from batch_uploader.doubts.loop import MAX_RESENDS
from batch_uploader.sinks.memory import MemorySink

DAY = 24 * HOUR


async def doubtful(house):
    """The recordings that the ledger has in doubt."""
    return [path for path, row in (await house.rows()).items() if row.status is Status.IN_DOUBT]


async def with_a_doubt(count, *, stamp_field=STAMP):
    """A house with so many up, but for the second, which is in doubt and was never stored.

    The last one went up after that.
    """
    files = recordings(count)
    late = ("d/1.", f"d/{count - 1}.")
    house = House({path: file for path, file in files.items() if not path.startswith(late)})
    await house.run()
    house.more({path: file for path, file in files.items() if path.startswith("d/1.")})
    house.sink._stamp_field = stamp_field
    house.sink.swallows = 1
    assert (await house.run()).counts[Status.IN_DOUBT] == 1
    house.sink._stamp_field = STAMP
    house.more(files)
    await house.run()
    return house


async def run_while(house, happens, **how):
    """A run during which something happens whenever it waits."""

    async def meanwhile():
        happens()

    return await run_while_awaiting(house, meanwhile, **how)


async def run_while_others_go_up(house):
    """A run that waits for its doubts, and between two looks another recording goes up."""
    return await run_while_awaiting(house, house.another_goes_up, waits=True)


async def run_while_awaiting(house, meanwhile, **how):
    async with house.uploader(**how) as uploader:
        house.time.meanwhile = meanwhile
        try:
            return await uploader.run()
        finally:
            house.time.meanwhile = None


async def test_a_truncated_talk_is_a_conflict_and_not_the_recording():
    """Fault 33: the service named it, so nobody has to find out that it is there."""
    house = House(recordings(2))
    house.sink.lose_next(InDoubt("compare talk talk-1 with the recording", code="SOURCE_CHANGED"))
    house.sink.unindexed = {"talk-1"}
    house.time.seconds += HOUR
    for _ in range(2):
        summary = await house.run(hold=1.0)
        assert summary.counts[Status.IN_DOUBT] == 1
        assert "talk-1" in summary.attention[0].failure.message
        house.time.seconds += HOUR
    house.sink.unindexed = set()
    summary = await house.run(hold=1.0)
    assert summary.counts == {Status.CONFLICT: 1}
    assert "compare talk talk-1" in summary.attention[0].failure.message
    assert len(house.sink.talks) == 2


async def test_a_search_that_is_behind_proves_nothing():
    """Fault 29: it finds what went up long ago, and not yet what went up last."""
    house = await with_a_doubt(4)
    house.time.seconds += HOUR
    house.more(recordings(5))
    house.sink.unindexed = {f"talk-{len(house.sink.talks) + 1}"}
    await house.run()
    for _ in range(2):
        summary = await house.run()
        assert summary.attention[0].failure.code == "SEARCH_BEHIND"
        house.time.seconds += HOUR
    house.sink.unindexed = set()
    assert (await house.run()).needs_attention == 0
    assert set(house.talks().values()) == {1}


async def test_what_the_service_may_have_deleted_since_is_not_sent_again():
    house = await with_a_doubt(3)
    house.time.seconds += 61 * DAY
    for _ in range(2):
        summary = await house.run()
        assert summary.attention[0].failure.code == "TOO_OLD"
        house.time.seconds += HOUR
    assert len(house.sink.talks) == 2


async def test_a_search_that_brings_up_the_talk_of_another_recording_is_a_conflict():
    """Fault 84: the first stays up."""

    class Confused(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            found = await super().find(connection_id, keys, waits=waits)
            return [replace(each, talk_id="talk-1") for each in found if each.talk_id != "talk-1"]

    house = House(recordings(1))
    house.sink = Confused(stamp_field=STAMP)
    await house.run()
    house.more(recordings(2))
    house.sink.lose_next(LOST)
    summary = await house.run()
    assert summary.counts == {Status.CONFLICT: 1}
    assert "was named for d/1.wav, but it is d/0.wav; " in summary.attention[0].failure.message
    rows = await house.rows()
    assert rows["d/0.wav"].talk_id == "talk-1"
    assert [event.outcome.status for event in house.told(events.Reconciled)] == [Status.CONFLICT]


class Astray(Swallowing):
    """Search brings up another talk for one of the keys, or for any."""

    strays_for = None
    loses_half = False

    async def upload(self, recording, audio, attempt):
        # All of them would look like an outage.
        self.swallows += self.loses_half and self.attempts % 2
        return await super().upload(recording, audio, attempt)

    async def find(self, connection_id, keys, *, waits=None):
        found = await super().find(connection_id, keys, waits=waits)
        if self.strays_for is None or self.strays_for in keys:
            found.append(Match("talk-x", connection_id, "nobody's"))
        return found


async def test_one_talk_too_many_keeps_its_own_recording_alone_in_doubt():
    """Fault 29: the others are searched for without it."""
    house = House(recordings(40))
    house.sink = Astray(stamp_field=STAMP)
    house.sink.strays_for = "none yet"
    await house.run()
    house.more(recordings(80))
    house.sink.loses_half = True
    assert (await house.run()).counts[Status.IN_DOUBT] == 20
    house.sink.loses_half = False
    async with house.ledger as ledger:
        house.sink.strays_for = (await ledger.doubts())[7].key
    house.time.seconds += HOUR
    house.sink.searches = 0
    summary = await house.run()
    assert summary.counts == {Status.CONFLICT: 1, Status.UPLOADED: 19}
    assert "talk-x" in summary.attention[0].failure.message
    assert house.sink.searches <= 2 * 32
    assert sorted(house.talks().values()) == [1] * 79


async def test_a_talk_that_a_canary_brings_up_keeps_nobody_in_doubt():
    """Fault 29."""
    house = await with_a_doubt(3)
    sink = Astray(stamp_field=STAMP)
    sink.talks, sink.strays_for = house.sink.talks, house.sink.talks[-1].key
    house.sink = sink
    house.time.seconds += HOUR
    assert (await house.run()).needs_attention == 0
    assert set(house.talks().values()) == {1}


async def test_of_two_doubts_the_one_without_the_stamp_stays_and_is_told():
    """What a look alone brought was never reported, so it is not taken back either."""
    house = await with_a_doubt(3, stamp_field=None)
    house.more(recordings(4))
    house.sink.swallows = 1
    assert (await house.run()).counts[Status.IN_DOUBT] == 2
    house.gone("d/3.wav", "d/3.json")
    house.more(recordings(3) | {"later.wav": wav(9), "later.json": b'{"n": "later"}'})
    house.time.seconds += HOUR
    summary = await house.run()
    assert summary.counts == {Status.IN_DOUBT: 1, Status.FAILED: 1, Status.UPLOADED: 1}
    assert await doubtful(house) == ["d/1.wav"]


@pytest.mark.parametrize("named", ["d/1.wav", "d/1.json"])
async def test_what_proves_absent_and_cannot_be_sent_has_failed(named):
    """Its file is gone, or its sidecar: no talk, and not a word about it, would be a lost call."""
    house = await with_a_doubt(3)
    house.time.seconds += HOUR
    summary = await run_while(house, lambda: house.gone(named))
    assert summary.needs_attention == 1
    assert house.tally.stats.needs_attention == 1
    assert len(house.sink.talks) == 2
    # A recording without its sidecar is a defect, one that is gone has failed.
    expected = Status.FAILED if named.endswith(".wav") else Status.INVALID
    assert summary.counts == {expected: 1}
    assert (await house.rows())["d/1.wav"].status is expected


async def test_what_an_earlier_look_proves_absent_and_is_gone_has_failed():
    house = await with_a_doubt(3)
    house.time.seconds += HOUR
    async with house.uploader() as uploader:
        await uploader._reconciler.look()
    house.time.seconds += HOUR
    house.gone("d/1.wav", "d/1.json")
    summary = await house.run()
    assert summary.counts == {Status.FAILED: 1}
    assert summary.attention[0].failure.code == "ABSENT"


async def test_what_was_touched_meanwhile_has_failed_until_it_is_at_rest():
    house = await with_a_doubt(3)
    house.time.seconds += HOUR

    async with house.uploader() as uploader:
        planner = uploader._engine._feed._planner
        young = type(planner)(
            planner.source, planner.ledger, planner.policy, 60.0, clock=lambda: intake_now(house)
        )
        uploader._engine._feed._planner = young
        summary = await uploader.run()
    assert (summary.counts, summary.waiting) == ({Status.FAILED: 1}, 3)


def intake_now(house):
    return house.source.stat("d/1.wav").mtime_ns + 10**9


async def test_what_is_sent_again_has_the_sidecar_that_it_has_by_now():
    """Fault 61: another name, and another text."""
    house = await with_a_doubt(3)
    house.time.seconds += HOUR

    def renamed():
        house.gone("d/1.json")
        house.more({"d/1.wav.json": b'{"n": "corrected"}'})

    summary = await run_while(house, renamed)
    assert summary.counts == {Status.UPLOADED: 1}
    assert house.sink.talks[-1].metadata.fields["n"] == "corrected"


async def test_what_comes_into_doubt_each_time_is_sent_again_a_few_times_in_a_run():
    """Fault 21: a run that waits ends, and the next one tries once more."""
    house = House(recordings(1))
    house.sink.swallows = 1000
    summary = await run_while_others_go_up(house)
    assert 1000 - house.sink.swallows == 1 + MAX_RESENDS
    assert summary.counts == {Status.FAILED: 1}
    assert "still absent" in summary.attention[0].failure.message
    house.sink.swallows = 0
    assert (await house.run()).needs_attention == 0
    assert set(house.talks().values()) == {1}


async def test_the_second_doubt_of_a_run_is_waited_for_as_long_as_the_first():
    """Each is given twice the hold and more: Search fails for most of the first one's time."""
    house = House(recordings(1))

    class FailsAtFirst(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            if house.time.seconds < until:
                raise SearchFailed("no", code="UNAVAILABLE")
            return await super().find(connection_id, keys, waits=waits)

    until = house.time.seconds + 3000
    house.sink = FailsAtFirst(stamp_field=STAMP)
    house.sink.swallows = 1 + MAX_RESENDS
    summary = await run_while_others_go_up(house)
    assert "still absent" in summary.attention[0].failure.message


async def test_more_doubts_than_a_search_takes_and_it_fails_once():
    """Fault 29: who does not answer is not asked for the others."""

    class EverySecondAnswerLost(MemorySink):
        async def upload(self, recording, audio, attempt):
            receipt = await super().upload(recording, audio, attempt)
            if self.attempts % 2:
                raise LOST
            return receipt

    house = House(recordings(250))
    house.sink = EverySecondAnswerLost(stamp_field=STAMP)
    house.sink.fail_search(SearchFailed("no", code="UNAVAILABLE"))
    summary = await house.run()
    assert summary.counts[Status.IN_DOUBT] == 125
    assert house.sink.searches == 1
    assert {each.failure.code for each in summary.attention} == {"UNAVAILABLE"}


async def test_a_miss_is_as_old_as_the_beginning_of_its_search():
    """What is stored while the search is under way is not missed by it."""
    house = await with_a_doubt(3)
    house.time.seconds += HOUR
    began = house.time.now()

    class Slow(Swallowing):
        async def find(self, connection_id, keys, *, waits=None):
            found = await super().find(connection_id, keys, waits=waits)
            house.time.seconds += 50
            return found

    slow = Slow(stamp_field=STAMP)
    slow.talks = house.sink.talks
    async with house.uploader(sink=slow) as uploader:
        await uploader._reconciler.look()
        (left,) = await house.ledger.doubts()
    assert left.first_miss == began


async def test_a_look_that_is_cut_off_cuts_off_no_settlement():
    """What is on record is told, whatever else ends meanwhile."""
    house = House(recordings(2))
    house.sink.lose_next(LOST)
    house.sink.fail_search(SearchFailed("no", code="UNAVAILABLE"))
    await house.run()
    async with house.uploader() as uploader:
        apply = house.ledger.apply

        async def slowly(changes):
            answers = await apply(changes)
            if any(isinstance(each, Settle) for each in changes):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            return answers

        house.ledger.apply = slowly
        with anyio.CancelScope() as scope:
            await uploader._reconciler.look()
        assert [event.outcome.status for event in house.told(events.Reconciled)] == ["uploaded"]


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

    house = House(recordings(250))
    house.sink = FirstBatchAlone(stamp_field=STAMP)
    async with house.uploader() as uploader:
        uploader._reconciler._time_left = 3.0
        with anyio.fail_after(30):
            summary = await uploader.run()
    assert summary.counts == {Status.UPLOADED: 125 + 96, Status.IN_DOUBT: 125 - 96}
    (waiting,) = house.told(events.DoubtsWaiting)
    assert (waiting.resumes_in, waiting.recordings) == (3600.0, 29)


async def test_a_search_that_lags_finds_it_while_the_run_waits():
    """Fault 29: also where the lag is longer than the hold, since the canaries lag as well."""
    house = House(recordings(9))
    house.sink.lose_next(LOST)
    async with house.uploader(waits=True, hold=60.0) as uploader:
        until = Lagging(house, 100.0)
        house.sink.unindexed = until
        summary = await uploader.run()
    assert summary.counts[Status.UPLOADED] == 9
    assert sum(house.time.slept) >= 100
    assert set(house.talks().values()) == {1}
