"""A run that is struck at one of its awaits, and the judgement on what it leaves behind."""

import asyncio
import json
import types
from collections import Counter
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import ContextVar

import anyio
from msgspec.structs import replace

from batch_uploader.app.uploader import Uploader
from batch_uploader.core.errors import InDoubt, LedgerError, NotSent, SearchFailed, SourceError
from batch_uploader.core.model import Failure
from batch_uploader.core.states import Status
from batch_uploader.ledgers.manifest import write_manifest
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sources.directory import DirectorySource
from support.ledger_changes import settle

CONNECTION = "calls"
OPTIONS = RunOptions(
    concurrency=2,
    min_age=0,
    min_age_open=0,
    sidecar_wait=0,
    grace=0.05,
    hold=1,
    retry=RetryPolicy(first_pause=0.001),
)
HANGS_AFTER = 60
_STRUCK = ContextVar("_STRUCK", default=None)


class Injected(Exception):  # noqa: N818 - no mistake of anybody's
    """Nobody raises this but a test."""


# At each suspension


class Blow:
    """``strike`` is called at the ``at``-th time that any task of a run is suspended."""

    def __init__(self, at):
        self.at = at
        self.count = 0
        self.strike = None

    @property
    def landed(self):
        return self.count >= self.at

    @types.coroutine
    def stepping(self, coroutine):
        """What a task does with a coroutine, by hand."""
        value, error = None, None
        while True:
            try:
                waiting_for = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self.at:
                self.strike()
            value, error = None, None
            try:
                value = yield waiting_for
            except BaseException as thrown:  # noqa: BLE001 - as a task would
                error = thrown


async def _stepped(blow, coroutine):
    return await blow.stepping(coroutine)


def _factory(loop, coroutine, **details):
    blow = _STRUCK.get()
    if blow is None:
        return asyncio.Task(coroutine, loop=loop, **details)
    task = asyncio.Task(_stepped(blow, coroutine), loop=loop, **details)
    # A task that is cancelled before it has begun closes its coroutine.
    task.add_done_callback(lambda _: coroutine.close())
    return task


@asynccontextmanager
async def counted_tasks():
    """Tasks that ``struck`` begins, and theirs, are stepped through."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(_factory)
    try:
        yield
    finally:
        loop.set_task_factory(before)


def _begun(blow, coroutine):
    mark = _STRUCK.set(blow)
    task = asyncio.create_task(coroutine)
    _STRUCK.reset(mark)
    return task


async def cancelled(coroutine, at):
    """Run it until asyncio cancels it at an await; whether it did."""
    blow = Blow(at)
    task = _begun(blow, coroutine)
    blow.strike = task.cancel
    with suppress(asyncio.CancelledError):
        await task
    return blow.landed


async def struck(uploader, how, at):
    """Run it until it is struck ``how`` at an await; whether it was."""
    scope = anyio.CancelScope()

    async def whole():
        with scope:
            async with uploader:
                await uploader.run()

    blow = Blow(at)
    task = _begun(blow, whole())
    blow.strike = {
        "native cancellation": task.cancel,
        "anyio cancellation": scope.cancel,
        "drain": lambda: uploader.drain("struck"),
        "cancel": uploader.cancel,
    }[how]
    done, _ = await asyncio.wait([task], timeout=HANGS_AFTER)
    assert done, f"the run hangs after {how} at await {at}"
    with suppress(asyncio.CancelledError):
        task.result()
    return blow.landed


# At each call of a port


class Fault:
    """The ``at``-th moment before or after the effect of a port's call raises."""

    def __init__(self, at, *, unexpected):
        self.at = at
        self.count = 0
        self._unexpected = unexpected

    @property
    def landed(self):
        return self.count >= self.at

    def moment(self, error):
        self.count += 1
        if self.count == self.at:
            raise Injected("injected") if self._unexpected else error


class Faulty:
    """A part of a run whose calls may fail, before they do anything or when they have done it."""

    def __init__(self, part, fault):
        self._part = part
        self._fault = fault

    def __getattr__(self, name):
        return getattr(self._part, name)

    def __enter__(self):
        self._part.__enter__()
        return self

    def __exit__(self, *exc):
        self._part.__exit__(*exc)

    async def __aenter__(self):
        await self._part.__aenter__()
        return self

    async def __aexit__(self, *exc):
        await self._part.__aexit__(*exc)


def _failing(name, before, after):
    async def call(self, *arguments, **more):
        self._fault.moment(before)
        result = await getattr(self._part, name)(*arguments, **more)
        self._fault.moment(after)
        return result

    return call


def _failing_stream(name, error):
    async def stream(self, *arguments):
        self._fault.moment(error)
        async for item in getattr(self._part, name)(*arguments):
            yield item
            self._fault.moment(error)

    return stream


def _failing_at_once(name, error):
    def call(self, *arguments):
        self._fault.moment(error)
        return getattr(self._part, name)(*arguments)

    return call


_BROKEN = LedgerError("injected")
_GONE = SourceError("injected")
_SEARCH = SearchFailed("injected", code="UNAVAILABLE")
_CALLS = ("recover", "apply", "fact", "known", "unchanged", "doubts", "canaries", "check")
FaultyLedger = type(
    "FaultyLedger",
    (Faulty,),
    {name: _failing(name, _BROKEN, _BROKEN) for name in _CALLS}
    | {"rows": _failing_stream("rows", _BROKEN)},
)
FaultySink = type(
    "FaultySink",
    (Faulty,),
    {
        "upload": _failing(
            "upload",
            NotSent("injected", code="UNAVAILABLE", retry_after=-1),
            InDoubt("injected", code="INTERNAL"),
        ),
        "find": _failing("find", _SEARCH, _SEARCH),
    },
)
FaultySource = type(
    "FaultySource",
    (Faulty,),
    {name: _failing_at_once(name, _GONE) for name in ("open", "stat", "handle_stat")}
    | {"entries": _failing_stream("entries", _GONE)},
)


# The directory, and the judgement


class Place:
    """A directory of recordings with its ledger and manifest; ``talks`` asks the sink."""

    def __init__(self, folder, contents):
        self.root = folder / "calls"
        self.root.mkdir(parents=True)
        self.names = set()
        for number, content in enumerate(contents):
            (self.root / f"{number}.wav").write_bytes(content)
            (self.root / f"{number}.json").write_text(json.dumps({"n": f"{number}.wav"}))
            self.names.add(f"{number}.wav")
        self.ledger_file = folder / "state" / "ledger.db"
        self.manifest = folder / "manifest.jsonl"

    def uploader(self, sink, fault=None):
        source, ledger = DirectorySource(self.root), SqliteLedger(self.ledger_file, CONNECTION)
        if fault is not None:
            source, ledger = FaultySource(source, fault), FaultyLedger(ledger, fault)
            sink = FaultySink(sink, fault)
        return Uploader(
            source=source, sink=sink, ledger=ledger, options=OPTIONS, manifest=self.manifest
        )

    async def judge(self, talks):
        """What is on record has to agree with the (name, talk ID) that there are; then decide.

        What is in doubt is decided as a human would who looks at the talks, with ``resolve``.
        """
        up = dict(talks)
        assert len(up) == len(talks), "something was sent twice"
        async with SqliteLedger(self.ledger_file, CONNECTION) as ledger:
            await ledger.recover()
            rows = {row.path: row async for row in ledger.rows()}
            for path, row in rows.items():
                assert row.status in {Status.UPLOADED, Status.IN_DOUBT, Status.FAILED}, row
                if row.status is Status.UPLOADED:
                    assert row.talk_id == up.get(path), "what is not up is on record as up"
            for path in up:
                status = rows[path].status if path in rows else None
                assert status in {Status.UPLOADED, Status.IN_DOUBT}, f"{path} is up, and {status}"
            for doubt in await ledger.doubts():
                outcome = replace(
                    doubt.outcome,
                    status=Status.UPLOADED if doubt.path in up else Status.FAILED,
                    talk_id=up.get(doubt.path),
                    failure=None if doubt.path in up else Failure("ABSENT", "nobody has it"),
                )
                await settle(ledger, outcome)
            async with aclosing(ledger.rows()) as decided:
                await write_manifest(decided, self.manifest)

    async def require_all_up(self, talks):
        """Each recording has one talk, and ledger and manifest know it."""
        assert Counter(name for name, _ in talks) == dict.fromkeys(self.names, 1)
        async with SqliteLedger(self.ledger_file, CONNECTION) as ledger:
            rows = [row async for row in ledger.rows()]
        assert {(row.path, row.talk_id) for row in rows} == set(talks)
        assert {row.status for row in rows} == {Status.UPLOADED}
        lines = [json.loads(line) for line in self.manifest.read_text().splitlines()]
        assert {(line["path"], line["talk_id"]) for line in lines} == set(talks)
