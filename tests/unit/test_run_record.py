"""What a run leaves of itself in the ledger, on the shipped fakes."""

import asyncio
import json
import os
import socket

import pytest
from msgspec.structs import replace
from support.engine_harness import OPTIONS, Harness, Slow, recordings
from support.ledger_cases import CONNECTION

from batch_uploader import __version__
from batch_uploader.app.uploader import Uploader
from batch_uploader.core.errors import ConfigError, SourceError
from batch_uploader.core.events import RunStarted
from batch_uploader.core.model import Ending
from batch_uploader.core.runs import RunEnd
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.memory import MemorySource


async def runs_of(harness):
    async with harness.ledger as ledger:
        return await ledger.runs(9)


async def test_a_run_is_on_record_with_its_settings_its_end_and_its_counts():
    harness = Harness({**recordings(3), "bad.wav": b"no audio", "bad.json": b"{}"})
    summary = await harness.run(options=replace(OPTIONS, max_recordings=2))
    (run,) = await runs_of(harness)
    begin, end = run.begin, run.end
    assert (begin.version, begin.host, begin.pid) == (
        __version__,
        socket.gethostname(),
        os.getpid(),
    )
    settings = json.loads(begin.settings)
    assert settings["options"]["max_recordings"] == 2
    assert settings["source"] == harness.source.where
    assert (end.ending, end.reason) == ("limit", summary.reason)
    assert end.counts == {str(status): count for status, count in summary.counts.items()}
    assert end.counts["uploaded"] == 2
    assert (end.left_over, end.attention) == (1, {"invalid": {"unknown": 1}})
    assert end.uploaded_bytes == summary.uploaded_bytes > 0
    assert end.uploaded_duration == summary.uploaded_duration > 0
    assert run.ended_at_ns >= run.began_at_ns


async def test_each_run_has_a_record_of_its_own_and_a_look_at_the_ledger_none():
    harness = Harness(recordings(1))
    for _ in range(2):
        await harness.run()
    async with harness.uploader():
        pass
    first, second = await runs_of(harness)
    assert first.begin.run_id != second.begin.run_id
    assert [run.end.ending for run in (first, second)] == ["completed"] * 2


async def test_whoever_knows_the_exit_code_has_it_on_record():
    harness = Harness(recordings(1))
    async with harness.uploader() as uploader:
        uploader.exit_code = lambda how: 6 if how.ending is Ending.LIMIT else 1
        await uploader.run()
    (run,) = await runs_of(harness)
    assert run.end.exit_code == 1


async def test_how_a_run_ended_is_on_record_at_once_and_not_when_its_session_ends():
    """Else one whose process is killed later passes for killed."""
    harness = Harness(recordings(1))
    async with harness.uploader() as uploader:
        await uploader.run()
        (run,) = await harness.ledger.runs(9)
        assert run.end.ending == "completed"


async def test_an_error_that_ends_the_run_is_its_reason():
    class Gone(MemorySource):
        def entries(self):
            raise SourceError("the share \udcff is gone")

    harness = Harness(recordings(1))
    with pytest.raises(SourceError):
        await harness.run(source=Gone({}))
    (run,) = await runs_of(harness)
    assert run.end == RunEnd("error", "the share \\udcff is gone", attention={})


async def test_a_run_that_is_cancelled_was_interrupted():
    harness, sink = Harness(recordings(9)), Slow()

    async def run():
        async with harness.uploader(sink=sink) as uploader:
            await uploader.run()

    task = asyncio.create_task(run())
    while sink.waiting < OPTIONS.concurrency:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = await runs_of(harness)
    assert run.end.ending == "interrupted"
    assert run.end.counts == {"in_doubt": OPTIONS.concurrency}


async def test_a_run_that_is_cancelled_while_it_is_put_on_record_was_interrupted_too(tmp_path):
    """The ledger finishes what it has begun to write."""
    ledger, loop = SqliteLedger(tmp_path / "ledger.db", CONNECTION), asyncio.get_running_loop()

    def cancel(event):
        if isinstance(event, RunStarted):
            # In the turn of the loop after the one in which the ledger begins to write.
            loop.call_soon(loop.call_soon, task.cancel)

    async def run():
        source, sink = MemorySource(recordings(1)), MemorySink()
        async with Uploader(
            source=source, sink=sink, ledger=ledger, listeners=[cancel]
        ) as uploader:
            await uploader.run()

    task = asyncio.create_task(run())
    with pytest.raises(asyncio.CancelledError):
        await task
    async with ledger:
        (cancelled,) = await ledger.runs(9)
    assert cancelled.end.ending == "interrupted"


async def test_an_error_that_was_caught_is_on_record_too_and_the_next_run_has_its_own_end():
    class GoneAtFirst(MemorySource):
        gone = True

        def entries(self):
            if self.gone:
                self.gone = False
                raise SourceError("the share is gone")
            return super().entries()

    harness = Harness(recordings(1))
    async with harness.uploader(source=GoneAtFirst(recordings(1))) as uploader:
        with pytest.raises(SourceError):
            await uploader.run()
        await uploader.run()
    latest, first = await runs_of(harness)
    assert (first.end.ending, first.end.reason) == ("error", "the share is gone")
    assert (latest.end.ending, latest.end.reason) == ("completed", None)


async def test_two_runs_at_once_are_refused():
    """The second one would take the claims of the first for those of nobody."""
    harness, sink = Harness(recordings(9)), Slow()
    async with harness.uploader(sink=sink) as uploader:
        task = asyncio.create_task(uploader.run())
        while sink.waiting < OPTIONS.concurrency:
            await asyncio.sleep(0.001)
        with pytest.raises(ConfigError, match=r"^a run is going on already; await it"):
            await uploader.run()
        sink.go.set()
        assert (await task).counts == {Status.UPLOADED: 9}
        assert (await uploader.run()).already_there == 9
