"""What a run records goes to the ledger step by step, and whoever asked hears of it."""

import asyncio

import anyio
import pytest
from support.ledger_cases import recording

from batch_uploader.core.changes import Claim, Release, Remember, Settle
from batch_uploader.core.errors import LedgerError, LedgerGone
from batch_uploader.core.model import Outcome, Version
from batch_uploader.core.records import ClaimResult
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.run.recorder import Recorder


class Slow(MemoryLedger):
    """Notes each step, and makes it when it is let go."""

    def __init__(self):
        super().__init__("connection")
        self.steps = []
        self.go = asyncio.Event()
        self.go.set()

    async def apply(self, changes):
        self.steps.append(list(changes))
        await self.go.wait()
        return await super().apply(changes)


@pytest.fixture
def failures():
    return []


@pytest.fixture
async def ledger():
    async with Slow() as ledger:
        yield ledger


@pytest.fixture
def recorder(ledger, failures):
    return Recorder(ledger, failures.append)


def fact(name):
    return Remember(name, name)


async def test_what_comes_in_one_turn_is_one_step_and_is_heard_in_its_order(ledger, recorder):
    heard = []
    for name in "abc":
        recorder.record(fact(name), lambda _, name=name: heard.append(name))
    await recorder.finish()
    assert ledger.steps == [[fact("a"), fact("b"), fact("c")]]
    assert heard == ["a", "b", "c"]


async def test_what_comes_during_a_step_is_the_next_one(ledger, recorder):
    ledger.go.clear()
    recorder.record(fact("a"), lambda _: None)
    await anyio.wait_all_tasks_blocked()
    for name in "bc":
        recorder.record(fact(name), lambda _: None)
    ledger.go.set()
    await recorder.finish()
    assert ledger.steps == [[fact("a")], [fact("b"), fact("c")]]


async def test_a_claim_sees_the_release_before_it(ledger, recorder):
    first, copy = recording("a.wav"), recording("b.wav")
    answer = await recorder.ask(Claim(first))
    assert answer.claim is ClaimResult.GRANTED
    recorder.record(Release(first.path), lambda _: None)
    answer = await recorder.ask(Claim(copy))
    assert answer.claim is ClaimResult.GRANTED


async def test_what_is_recorded_by_who_hears_is_finished_too(ledger, recorder):
    heard = []
    recorder.record(fact("a"), lambda _: recorder.record(fact("b"), heard.append))
    await recorder.finish()
    assert heard == [None]
    assert await ledger.fact("b") == "b"


async def test_a_refusal_is_heard_by_its_own_alone(recorder):
    outcome = Outcome("a.wav", Status.UPLOADED, Version(1, 1), talk_id="t-1")
    heard = []
    recorder.record(Settle(outcome), heard.append)
    recorder.record(fact("a"), heard.append)
    await recorder.finish()
    assert [type(answer) for answer in heard] == [LedgerError, type(None)]
    with pytest.raises(LedgerError, match="was not claimed"):
        await recorder.ask(Settle(outcome))


@pytest.mark.parametrize("error", [LedgerGone("gone"), ValueError("a bug")], ids=repr)
async def test_a_step_that_fails_is_heard_by_all_of_it(error, monkeypatch, ledger, recorder):
    async def apply(changes):
        raise error

    heard = []
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "apply", apply)
        for name in "ab":
            recorder.record(fact(name), heard.append)
        await recorder.finish()
    assert [str(answer) for answer in heard] == [str(error)] * 2
    assert heard[0] is not heard[1], "notes on one are not on the other"
    assert isinstance(heard[0], type(error) if isinstance(error, LedgerError) else LedgerError)
    await recorder.ask(fact("c"))


async def test_answers_that_are_too_few_are_a_failure(monkeypatch, ledger, recorder):
    async def apply(changes):
        return []

    monkeypatch.setattr(ledger, "apply", apply)
    with anyio.fail_after(10), pytest.raises(LedgerError):
        await recorder.ask(fact("a"))


async def test_who_raises_on_hearing_keeps_it_from_nobody_else(recorder, failures):
    error = ValueError("a bug")

    def raises(_):
        raise error

    heard = []
    recorder.record(fact("a"), raises)
    recorder.record(fact("b"), heard.append)
    with anyio.fail_after(10):
        await recorder.finish()
        await recorder.ask(fact("c"))
    assert heard == [None]
    assert failures == [error]


async def test_what_is_asked_by_one_who_is_cancelled_is_recorded(ledger, recorder):
    ledger.go.clear()
    with anyio.move_on_after(0.01):
        await recorder.ask(fact("a"))
    ledger.go.set()
    await recorder.finish()
    assert await ledger.fact("a") == "a"


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_all_is_recorded_before_a_cancelled_finish_ends(ledger, recorder, cancellations):
    ledger.go.clear()
    recorder.record(fact("a"), lambda _: None)
    await anyio.wait_all_tasks_blocked()
    recorder.record(fact("b"), lambda _: None)
    finishing = asyncio.create_task(recorder.finish())
    await anyio.wait_all_tasks_blocked()
    for _ in range(cancellations):
        finishing.cancel()
        await anyio.wait_all_tasks_blocked()
    assert not finishing.done()
    ledger.go.set()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert await ledger.fact("b") == "b"


@pytest.mark.parametrize("turns", range(5))
async def test_whoever_cancels_all_tasks_leaves_nobody_waiting(ledger, recorder, turns):
    """As some do when they shut down."""
    ledger.go.clear()
    before = asyncio.all_tasks()
    heard = []
    recorder.record(fact("a"), heard.append)
    for _ in range(turns):
        await asyncio.sleep(0)
    recorder.record(fact("b"), heard.append)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    ledger.go.set()
    with anyio.fail_after(10):
        await recorder.finish()
        await recorder.ask(fact("c"))
    assert len(heard) == 2
    assert {type(answer) for answer in heard} <= {type(None), LedgerError}
    assert heard[1] is None
