"""What is recorded is told, and what fails is told: also where nobody waits for it any more."""

import asyncio
import json

import anyio
import pytest
from support.engine_harness import OPTIONS, Harness, Slow, recordings

from batch_uploader.core import events
from batch_uploader.core.changes import Claim, Forget, Settle
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger


class Held(MemoryLedger):
    """Holds the first step with such a change until it is let go."""

    def __init__(self, kind):
        super().__init__("connection")
        self._kind = kind
        self.holding = asyncio.Event()
        self.go = asyncio.Event()

    async def apply(self, changes):
        if any(isinstance(each, self._kind) for each in changes) and not self.holding.is_set():
            self.holding.set()
            await self.go.wait()
        return await super().apply(changes)


async def test_a_run_that_is_cancelled_tells_of_the_defects_that_it_recorded(tmp_path):
    """Or the manifest would not have them, and not know that it has not."""
    harness = Harness({"a.wav": b"no audio"})
    harness.ledger = Held(Settle)
    manifest = tmp_path / "manifest.jsonl"
    with anyio.fail_after(20):
        async with harness.uploader(manifest=manifest) as uploader:
            running = asyncio.create_task(uploader.run())
            await harness.ledger.holding.wait()
            uploader.cancel()
            await anyio.wait_all_tasks_blocked()
            harness.ledger.go.set()
            summary = await running
    assert summary.counts == {Status.INVALID: 1}
    assert [event.outcome.path for event in harness.events(events.Settled)] == ["a.wav"]
    assert [json.loads(line)["path"] for line in manifest.read_text().splitlines()] == ["a.wav"]


@pytest.mark.parametrize("kind", [Settle, Forget])
async def test_a_run_that_is_drained_tells_what_its_scan_recorded(tmp_path, kind):
    """A sidecar without a recording; what is gone again."""
    harness = Harness(dict.fromkeys(("a.json", "b.json", "c.json"), b"{}"))
    manifest = tmp_path / "manifest.jsonl"
    harness.ledger = Held(kind)
    with anyio.fail_after(20):
        if kind is Forget:
            async with harness.uploader(manifest=manifest) as uploader:
                await uploader.run()
            assert manifest.read_text()
            harness.source.remove("a.json")
        async with harness.uploader(manifest=manifest) as uploader:
            running = asyncio.create_task(uploader.run())
            await harness.ledger.holding.wait()
            uploader.drain("told to")
            await anyio.wait_all_tasks_blocked()
            harness.ledger.go.set()
            summary = await running
    assert summary.ending is Ending.INTERRUPTED
    paths = [json.loads(line)["path"] for line in manifest.read_text().splitlines()]
    left = ["a.json", "b.json", "c.json"] if kind is Settle else ["b.json", "c.json"]
    assert paths == list(await harness.statuses()) == left


async def test_a_claim_that_fails_when_its_run_is_cancelled_ends_that_with_the_error():
    class Broken(Held):
        async def apply(self, changes):
            await super().apply(changes)
            if any(isinstance(each, Claim) for each in changes):
                return [LedgerError("the disk is gone")] * len(changes)
            return [None] * len(changes)

    harness = Harness(recordings(1))
    harness.ledger = Broken(Claim)
    with anyio.fail_after(20):
        async with harness.uploader() as uploader:
            running = asyncio.create_task(uploader.run())
            await harness.ledger.holding.wait()
            uploader.cancel()
            await anyio.wait_all_tasks_blocked()
            harness.ledger.go.set()
            with pytest.raises(LedgerError, match="the disk is gone"):
                await running


async def test_a_ledger_that_fails_with_one_text_loses_no_talk_id():
    """Fault 6: the talk is in the notes, as the ledger in a file has it."""

    class Full(MemoryLedger):
        async def apply(self, changes):
            answers = await super().apply([each for each in changes if type(each) is not Settle])
            left = iter(answers)
            return [full(each) if type(each) is Settle else next(left) for each in changes]

    def full(change):
        error = LedgerError("the disk is full")
        error.add_note(f"{change.outcome.path} is stored as talk {change.outcome.talk_id}")
        return error

    harness = Harness(recordings(30))
    harness.ledger = Full("connection")
    sink = Slow()
    with anyio.fail_after(20):
        async with harness.uploader(sink=sink) as uploader:
            running = asyncio.create_task(uploader.run())
            while sink.waiting < OPTIONS.concurrency:
                await anyio.sleep(0.001)
            sink.go.set()
            with pytest.raises(LedgerError, match="the disk is full") as raised:
                await running
    notes = raised.value.__notes__
    assert len(notes) == len(set(notes)) == OPTIONS.concurrency
    assert all(any(talk.talk_id in note for note in notes) for talk in sink.talks)


@pytest.mark.parametrize("kind", [events.UploadStarted, events.Settled])
async def test_a_listener_that_is_told_of_a_cancellation_ends_no_worker(kind):
    """Such as one that asks for the result of a future of its own."""
    harness = Harness(recordings(30))

    class Heard(list):
        def append(self, event):
            super().append(event)
            if isinstance(event, kind):
                raise asyncio.CancelledError

    harness.heard = heard = Heard()
    with anyio.fail_after(20):
        async with harness.uploader() as uploader:
            with pytest.raises(RuntimeError, match=r"listener .* raised CancelledError"):
                await uploader.run()
    assert isinstance(heard[-1], kind), "it is not called again"
    statuses = await harness.statuses()
    assert set(statuses.values()) <= {Status.UPLOADED}
    assert len(harness.sink.talks) == len(statuses) <= 2 * OPTIONS.concurrency


async def test_a_bug_on_hearing_ends_the_run_and_does_not_hang_it(monkeypatch):
    harness = Harness(recordings(30))
    with anyio.fail_after(20):
        async with harness.uploader() as uploader:

            def broken(event):
                raise ZeroDivisionError

            monkeypatch.setattr(uploader.stats, "_settled", broken)
            uploader.stats._handlers = {**uploader.stats._handlers, events.Settled: broken}
            with pytest.raises(ZeroDivisionError):
                await uploader.run()
    statuses = await harness.statuses()
    assert set(statuses.values()) <= {Status.UPLOADED}
    assert len(harness.sink.talks) == len(statuses) <= 2 * OPTIONS.concurrency


async def test_a_native_cancellation_that_is_repeated_leaves_nothing_unrecorded():
    harness = Harness(recordings(4))
    harness.ledger = Held(Settle)
    with anyio.fail_after(20):
        async with harness.uploader() as uploader:
            running = asyncio.create_task(uploader.run())
            await harness.ledger.holding.wait()
            for _ in range(3):
                running.cancel()
                await anyio.wait_all_tasks_blocked()
            assert not running.done()
            harness.ledger.go.set()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert not await harness.claimed()
    assert set((await harness.statuses()).values()) <= {Status.UPLOADED, Status.IN_DOUBT}
    assert len(harness.sink.talks) == len(await harness.rows())


async def test_a_run_after_one_whose_ledger_failed_finds_its_claims_in_doubt():
    class Fails(MemoryLedger):
        fails = True

        async def apply(self, changes):
            if self.fails and any(type(each) is Settle for each in changes):
                return [LedgerError("the disk is full") for _ in changes]
            return await super().apply(changes)

    harness = Harness(recordings(8))
    harness.ledger = Fails("connection")
    with anyio.fail_after(20):
        async with harness.uploader() as uploader:
            with pytest.raises(LedgerError):
                await uploader.run()
            harness.ledger.fails = False
            summary = await uploader.run()
            assert not await harness.claimed()
    assert summary.ending is Ending.COMPLETED
    doubts = len(harness.sink.talks) - summary.counts[Status.UPLOADED]
    assert doubts > 0
    assert summary.counts[Status.IN_DOUBT] == doubts
    assert len(await harness.rows()) == 8 == len(harness.sink.talks)
