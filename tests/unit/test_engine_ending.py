"""How a run ends, on the shipped fakes: limits, signals, failures, and what is in flight then."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace
from support.engine_harness import OPTIONS, Harness, Slow, recordings

from batch_uploader.app.uploader import Uploader
from batch_uploader.core import events
from batch_uploader.core.changes import Release, Settle
from batch_uploader.core.errors import (
    ConfigError,
    LedgerError,
    NotSent,
    SourceError,
)
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.directory import DirectorySource


class Full(MemoryLedger):
    """Records how nothing ended."""

    async def apply(self, changes):
        answers = iter(await super().apply([each for each in changes if type(each) is not Settle]))
        return [
            _full(each.outcome) if isinstance(each, Settle) else next(answers) for each in changes
        ]


def _full(outcome):
    return LedgerError(f"the disk is full; {outcome.path} is up as {outcome.talk_id}")


async def test_a_drain_finishes_what_is_in_flight_and_begins_nothing():
    """Fault 72."""
    harness = Harness(recordings(50))
    sink = Slow()
    async with harness.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
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
    assert Counter((await harness.statuses()).values()) == {Status.UPLOADED: OPTIONS.concurrency}


@asynccontextmanager
async def four_on_their_way(harness, *, grace):
    """A run whose uploads all wait, and the list that its summary goes into."""
    sink = Slow()
    options = RunOptions(concurrency=4, grace=grace)
    results = []
    with anyio.fail_after(5):
        opened = harness.uploader(sink=sink, options=options)
        async with opened as uploader, anyio.create_task_group() as group:

            async def run():
                results.append(await uploader.run())

            group.start_soon(run)
            while sink.waiting < 4:
                await anyio.sleep(0.001)
            yield uploader, results


@pytest.mark.parametrize("way", ["cancel", "grace"])
async def test_what_is_cut_off_is_in_doubt(way):
    harness = Harness(recordings(50))
    async with four_on_their_way(harness, grace=0.05) as (uploader, results):
        uploader.drain("told to")
        if way == "cancel":
            uploader.cancel()
    assert results[0].counts == {Status.IN_DOUBT: 4}
    assert Counter((await harness.statuses()).values()) == {Status.IN_DOUBT: 4}


async def test_a_limit_in_time_waits_for_what_is_in_flight_and_a_signal_does_not():
    """Faults 72, 74."""
    harness = Harness(recordings(50))
    async with four_on_their_way(harness, grace=0.02) as (uploader, results):
        uploader.drain("--max-duration is reached", Ending.LIMIT)
        await anyio.sleep(0.1)
        assert not results, "the grace is for signals"
        uploader.drain("stopped by SIGTERM")
    (summary,) = results
    assert (summary.ending, summary.reason) == (Ending.INTERRUPTED, "stopped by SIGTERM")
    assert summary.counts == {Status.IN_DOUBT: 4}


async def test_a_signal_after_the_work_changes_nothing():
    harness = Harness(recordings(3))
    async with harness.uploader() as uploader:
        await uploader._engine.run()
        uploader.drain("stopped by SIGTERM")
    assert uploader._engine.ending is Ending.COMPLETED


async def test_what_waits_for_a_retry_is_given_back_by_a_drain():
    harness = Harness(recordings(1))
    harness.sink.fail_next(NotSent("busy", code="UNAVAILABLE", retry_after=600))
    results = []
    with anyio.fail_after(5):
        async with harness.uploader() as uploader, anyio.create_task_group() as group:

            async def run():
                results.append(await uploader.run())

            group.start_soon(run)
            while not harness.events(events.AttemptEnded):
                await anyio.sleep(0.001)
            uploader.drain("told to")
    assert results[0].counts == {}
    assert await harness.statuses() == {}, "it is as if unseen: nothing was stored"
    assert len(harness.events(events.ReturnedUnsent)) == 1


async def test_a_ledger_that_fails_ends_the_run():
    harness = Harness(recordings(30))
    harness.ledger = Full("connection")
    with pytest.raises(LedgerError):
        await harness.run()
    assert harness.sink.attempts <= OPTIONS.concurrency, "nothing new begins"


async def test_a_listener_that_raises_puts_nothing_in_doubt():
    harness = Harness(recordings(30))
    heard = []

    def broken(event):
        heard.append(event)
        if isinstance(event, events.UploadStarted):
            raise ZeroDivisionError

    with anyio.fail_after(5), pytest.raises(ZeroDivisionError):
        async with Uploader(
            source=harness.source,
            sink=harness.sink,
            ledger=harness.ledger,
            options=OPTIONS,
            listeners=[broken, harness.heard.append],
        ) as uploader:
            await uploader.run()
    assert isinstance(heard[-1], events.UploadStarted), "it is not called again"
    assert harness.events(events.Draining)
    assert set((await harness.statuses()).values()) <= {Status.UPLOADED}
    assert len(harness.sink.talks) == len(await harness.rows()) <= OPTIONS.concurrency


async def test_a_root_that_is_gone_ends_the_run(tmp_path):
    harness = Harness({})
    with pytest.raises(SourceError):
        await harness.run(source=DirectorySource(tmp_path / "nowhere"))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_directory_goes_with_its_own_ledger_or_not_at_all(tmp_path, when):
    """Fault 93: it is rotated between the two, so that neither a link nor a name tells."""
    root = tmp_path / "calls"

    class Rotated(SqliteLedger):
        async def __aenter__(self):
            if when == "before":
                rotate()
            await super().__aenter__()
            if when == "after":
                rotate()
            return self

    def rotate():
        root.rename(tmp_path / "calls.1")
        root.mkdir()

    harness = Harness({})
    harness.ledger = Rotated(root / ".batch-uploader" / "ledger.db", "connection")
    for path, content in recordings(3).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    with pytest.raises(SourceError, match="became another directory"):
        await harness.run(
            source=DirectorySource(root),
            options=replace(OPTIONS, min_age=0, min_age_open=0, sidecar_wait=0),
        )
    assert harness.sink.attempts == 0


async def test_a_ledger_that_fails_loses_no_talk_id():
    """Fault 6: what the log cannot tell, the error does."""

    harness = Harness(recordings(30))
    harness.ledger = Full("connection")
    sink = Slow()
    errors = []

    async def run():
        try:
            await uploader.run()
        except LedgerError as error:
            errors.append(error)

    with anyio.fail_after(5):
        async with harness.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
            group.start_soon(run)
            while sink.waiting < OPTIONS.concurrency:
                await anyio.sleep(0.001)
            sink.go.set()
    told = " ".join([str(errors[0]), *errors[0].__notes__])
    stored = {talk.talk_id for talk in sink.talks}
    assert len(stored) == OPTIONS.concurrency
    assert all(talk_id in told for talk_id in stored)
    assert {event.talk_id for event in harness.events(events.AttemptEnded)} == stored


async def test_what_is_cancelled_before_it_began_is_in_no_doubt():
    class Asleep(MemorySink):
        waiting = 0

        async def upload(self, recording, audio, attempt):
            self.waiting += 1
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                attempt.on_not_started()
                raise

    harness = Harness(recordings(10))
    sink = Asleep()
    with anyio.fail_after(5):
        async with harness.uploader(sink=sink) as uploader, anyio.create_task_group() as group:
            group.start_soon(uploader.run)
            while sink.waiting < OPTIONS.concurrency:
                await anyio.sleep(0.001)
            uploader.cancel()
    assert await harness.statuses() == {}


async def test_settings_that_turn_out_unusable_on_the_way_end_the_run_without_doubt():
    class Unusable(MemorySink):
        async def upload(self, recording, audio, attempt):
            raise ConfigError("the CA file is gone")

    harness = Harness(recordings(10))
    with pytest.raises(ConfigError):
        await harness.run(sink=Unusable())
    assert await harness.statuses() == {}


async def test_what_nobody_foresaw_between_two_attempts_leaves_no_doubt(monkeypatch):
    """Fault 3: it is proved that nothing was stored, whatever goes wrong then."""
    harness = Harness(recordings(1))
    harness.sink.fail_next(NotSent("nobody is there", code="UNAVAILABLE"))

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(RetryPolicy, "_pause", broken)
    with pytest.raises(MemoryError):
        await harness.run()
    monkeypatch.undo()
    assert not await harness.statuses()
    assert (await harness.run()).counts == {Status.UPLOADED: 1}
    assert len(harness.sink.talks) == 1


async def test_a_claim_that_is_lost_meanwhile_ends_the_run_and_names_its_talk():
    """Another run took the ledger over and ended the claim: what is on record then stands."""
    harness = Harness(recordings(1))
    (path,) = (path for path in harness.source._files if path.endswith(".wav"))
    sink = Slow()
    uploader = harness.uploader(sink=sink)

    async def take_over():
        while not sink.waiting:
            await anyio.sleep(0.001)
        await harness.ledger.apply([Release(path)])
        sink.go.set()

    async with uploader:
        other = asyncio.create_task(take_over())
        with pytest.raises(LedgerError, match=rf"^the claim of {path} was lost to") as raised:
            await uploader.run()
    await other
    assert raised.value.__notes__ == [f"{path} is stored as talk {sink.talks[0].talk_id}"]
