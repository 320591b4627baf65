"""What every ledger keeps of the runs: when, with what, how they ended, or that nobody saw it."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, recording, uploaded
from support.ledger_changes import settle
from support.ledger_harness import claim, known

from batch_uploader.core.changes import BeginRun, EndRun, Settle
from batch_uploader.core.model import Failure, Outcome, Version
from batch_uploader.core.ports import apply_one
from batch_uploader.core.runs import KILLED, Run, RunBegin, RunEnd
from batch_uploader.core.states import Status

END = RunEnd(
    *("limit", "--max-recordings is reached", 6, {"uploaded": 3, "failed": 1}, 99, 1.5, 7, {})
)


def begin_of(name):
    return RunBegin(name, "1.2.3", "host", 7, '{"concurrency": 3}')


async def begin(ledger, name):
    await apply_one(ledger, BeginRun(begin_of(name)))


async def end(ledger, name, how=END):
    await apply_one(ledger, EndRun(name, how))


async def test_a_run_is_on_record_from_its_beginning_and_with_its_end(ledger):
    assert await ledger.runs(9) == []
    await begin(ledger, "first")
    (run,) = await ledger.runs(9)
    assert run == Run(CONNECTION, begin_of("first"), run.began_at_ns)
    await end(ledger, "first")
    (after,) = await ledger.runs(9)
    assert after == Run(CONNECTION, begin_of("first"), run.began_at_ns, END, after.ended_at_ns)
    assert after.ended_at_ns > run.began_at_ns > 0


async def test_the_latest_runs_come_first_and_no_more_than_asked_for(ledger):
    for name in ("first", "second", "third"):
        await begin(ledger, name)
        await end(ledger, name)
    assert [run.begin.run_id for run in await ledger.runs(2)] == ["third", "second"]


async def test_what_needs_a_human_when_a_run_ends_is_on_record_by_kind(ledger):
    """The ledger counts it, whatever the run says."""
    for name in ("a.wav", "b.wav", "c.wav"):
        failure = Failure("empty" if name < "c" else "cut-off", "it has a defect")
        await apply_one(
            ledger, Settle(Outcome(name, Status.INVALID, Version(1, 1), 0, None, failure))
        )
    await claim(ledger, recording("up.wav"))
    await settle(ledger, uploaded("up.wav"))
    await claim(ledger, recording("doubt.wav", "another"))
    failure = Failure("DEADLINE_EXCEEDED", "no answer came")
    doubt = Outcome("doubt.wav", Status.IN_DOUBT, recording("doubt.wav").stat, failure=failure)
    await settle(ledger, doubt)
    await begin(ledger, "first")
    await end(ledger, "first", replace(END, attention={"failed": {"X": 9}}))
    (run,) = await ledger.runs(9)
    assert run.end.attention == {
        "invalid": {"empty": 2, "cut-off": 1},
        "in_doubt": {"DEADLINE_EXCEEDED": 1},
    }


@pytest.mark.parametrize(
    ("how", "bad"),
    [
        (RunEnd("completed", exit_code=0), False),
        (RunEnd("completed", exit_code=1), False),
        (RunEnd("completed"), False),
        (RunEnd("completed", exit_code=7), True),
        (RunEnd("limit", exit_code=6), True),
        (RunEnd("interrupted"), True),
        (RunEnd(KILLED), True),
    ],
)
def test_a_run_ended_badly_unless_it_did_all_that_it_could(how, bad):
    assert how.is_bad == bad


async def test_how_a_run_ended_is_said_once(ledger):
    await begin(ledger, "first")
    await end(ledger, "first")
    await end(ledger, "first", RunEnd("error"))
    await end(ledger, "never begun")
    assert [run.end for run in await ledger.runs(9)] == [END]


async def test_a_run_that_was_killed_is_known_to_be_when_the_next_one_recovers(opening):
    async with opening() as ledger:
        await begin(ledger, "killed")
        await claim(ledger, recording("a.wav"))
    async with opening() as ledger:
        await begin(ledger, "next")
        assert [run.end for run in await ledger.runs(9)] == [None, None]
        assert await ledger.recover() == 1
        after, killed = await ledger.runs(9)
        assert (after.end, killed.end, killed.ended_at_ns) == (None, RunEnd(KILLED), None)
        await end(ledger, "killed")
        assert (await ledger.runs(9))[1] == killed


@pytest.mark.parametrize("ours", [True, False])
async def test_a_run_that_gives_its_claims_up_goes_on_to_its_end(ledger, ours):
    await begin(ledger, "this one")
    await claim(ledger, recording("a.wav"))
    assert await ledger.recover(ours=ours) == int(ours)
    assert ((await known(ledger, "a.wav")).status is Status.IN_DOUBT) == ours
    await end(ledger, "this one")
    doubts = {"in_doubt": {"RUN_ENDED": 1}} if ours else {}
    assert [run.end for run in await ledger.runs(9)] == [replace(END, attention=doubts)]
