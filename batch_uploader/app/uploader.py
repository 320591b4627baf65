"""The composition root: a source, a sink and a ledger become a run."""

import os
import uuid
from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Self

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.app.belonging import Belonging
from batch_uploader.app.bookkeeping import Bookkeeping
from batch_uploader.app.runrecord import RunRecord
from batch_uploader.core.checks import as_path, require_asyncio, require_type, require_word
from batch_uploader.core.clock import Clock
from batch_uploader.core.errors import ConfigError, LedgerError, LedgerGone
from batch_uploader.core.events import CarriedOver, Event, Listener, RunFinished, RunStarted
from batch_uploader.core.model import Ending, Outcome, Stat, Summary
from batch_uploader.core.ports import Anchored, Ledger, Sink, Source
from batch_uploader.core.records import Likeness
from batch_uploader.core.states import UNDECIDED
from batch_uploader.doubts import Patience, Reconciler
from batch_uploader.host.resources import spare_descriptors
from batch_uploader.pace import Caps, Pacer
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.prepare.prepare import Preparer, Rules
from batch_uploader.run.engine import Engine
from batch_uploader.run.options import RunOptions
from batch_uploader.run.stats import RunStats
from batch_uploader.sinks.speechsense.resources import DESCRIPTORS

_DESCRIPTORS_EACH = 4
"""A recording on its way has its file and a connection, for a moment its folder and its sidecar."""


class Uploader:
    """Uploads from a source, as an async context manager that holds the ledger's lock.

    What it holds outlives a run, so a run may follow a run: the ledger, the sink and its
    connections, and what was found out about the pace that the service takes.

    ``manifest`` is where the manifest is written at the end of a run that changed something; None
    writes none. ``belonging`` says which directory the ledger has to be of. The ledger names the
    connection. ``stats`` counts the latest run as it goes. Entering raises LedgerLocked,
    LedgerError also where the ledger is behind its manifest, and ConfigError where it is another
    directory's.
    """

    def __init__(  # noqa: PLR0913 - all that a run is put together from
        self,
        *,
        source: Source,
        sink: Sink,
        ledger: Ledger,
        rules: Rules | None = None,
        options: RunOptions | None = None,
        manifest: str | os.PathLike[str] | None = None,
        belonging: Belonging | None = None,
        listeners: Sequence[Listener] = (),
        clock: Clock | None = None,
    ) -> None:
        rules = rules or Rules()
        require_type("rules", rules, Rules)
        options = options or RunOptions()
        require_type("options", options, RunOptions)
        options = within_descriptors(options)
        require_word("connection_id", ledger.connection_id)
        _require_listeners(listeners)
        self._source = source
        self._sink = sink
        self._ledger = ledger
        manifest_file = None if manifest is None else as_path("manifest", manifest)
        self._books = Bookkeeping(ledger, manifest_file, belonging)
        self._listeners = listeners
        self._clock = clock or Clock()
        self._rules = rules
        self._options = options
        caps = Caps(options.concurrency, options.rate, options.bandwidth)
        # Not by the clock of the run: it waits by the event loop's, and both have to agree.
        self._pacer = Pacer(caps)
        self.exit_code: int | None = None
        """With what the process will end, if whoever runs it knows: for the record of the run."""
        self._resources = AsyncExitStack()
        self._has_run = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """All that is of one run alone."""
        source, sink, ledger, options = self._source, self._sink, self._ledger, self._options
        self._broken: list[Listener] = []
        self.stats = RunStats()
        self._run_record = RunRecord(
            ledger,
            self.stats,
            {
                "source": source.where,
                "stamp_field": sink.stamp_field,
                "rules": self._rules.digest().hex(),
                "options": options,
            },
        )
        self._reconciler = Reconciler(
            sink,
            ledger,
            self._publish,
            patience=Patience(options.hold),
            waits=options.wait_for_doubt,
            clock=self._clock,
        )
        self._engine = Engine(
            FolderPlanner(
                source,
                ledger,
                self._rules.digest(),
                options.min_age,
                options.explain,
                by=Likeness.MTIME if options.trust_times else Likeness.CTIME,
            ),
            Preparer(source, ledger.connection_id, self._rules),
            sink,
            ledger,
            self._reconciler,
            pacer=self._pacer,
            options=options,
            publish=self._publish,
        )

    async def __aenter__(self) -> Self:
        """Hold source, ledger and sink; what a killed run left is in doubt from here on."""
        require_asyncio()
        async with AsyncExitStack() as stack:
            if isinstance(self._source, Anchored):
                stack.enter_context(self._source)
            await stack.enter_async_context(self._ledger)
            # Or the ledger may be that of another directory, which took its place just now.
            await self._require_same_source()
            await stack.enter_async_context(self._sink)
            await self._books.begin()
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all of them; how the run ended is on record then."""
        try:
            await self._run_record.finish(error, self.exit_code)
        finally:
            await self._resources.__aexit__(kind, error, trace)

    async def run(self) -> Summary:
        """Upload everything that is due. Once it has returned it may be called again.

        The outcomes of single recordings are in the summary. Raises only what ends the run as a
        whole, after what is in flight has finished: SourceError, LedgerError, or what a listener
        raised.
        """
        if self._has_run:
            await self._run_record.finish(None, None)
            await self._books.go_on()
            self._begin_anew()
        self._has_run = True
        started = self._clock.monotonic()
        run_id = str(uuid.uuid4())
        self._publish(RunStarted(run_id, self._source.where))
        try:
            await self._run_record.begin(run_id)
            await self._engine.run()
            await self._require_same_source()
            await self._ledger.check()
        except LedgerGone as error:
            await self._books.save(error)
            raise
        except LedgerError:
            raise
        except Exception as error:
            # What a bug left claimed is in doubt, and the manifest says so.
            await self._books.recover(ours=True)
            try:
                await self._books.finish(changed=self.stats.wrote)
            except LedgerError as also:
                error.add_note(str(also))
            raise
        await self._report_unlisted()
        await self._books.finish(changed=self.stats.wrote)
        summary = self.stats.summary(
            self._engine.ending,
            self._engine.reason,
            self._clock.monotonic() - started,
            self._engine.hints,
        )
        self._run_record.summary = summary
        self._publish(RunFinished(summary))
        return summary

    def drain(self, reason: str, ending: Ending = Ending.INTERRUPTED) -> None:
        """End the run in order: nothing new begins, what is in flight finishes within the grace.

        ``reason`` and ``ending`` are what the summary will say.
        """
        if ending is Ending.LIMIT:  # which leaves no work undone where only looks are left
            self._engine.limit(reason)
        else:
            self._engine.drain(ending, reason)

    def cancel(self) -> None:
        """End the run at once: what is in flight is left in doubt."""
        self._engine.cancel()

    async def _require_same_source(self) -> None:
        if isinstance(self._source, Anchored):
            await to_thread.run_sync(self._source.require_same)

    def _publish(self, event: Event) -> None:
        self.stats.hear(event)
        self._reconciler.hear(event)
        for listener in self._listeners:
            if listener in self._broken:
                continue
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - theirs, and no reason to doubt an upload
                self._broken.append(listener)
                self._engine.fail(error)
            except CancelledError as error:
                # Of something of theirs: here nobody is cancelled, and no worker is to end by it.
                self._broken.append(listener)
                failure = RuntimeError(f"the listener {listener!r} raised CancelledError")
                failure.__cause__ = error
                self._engine.fail(failure)

    async def _report_unlisted(self) -> None:
        """A doubt whose file was moved or removed is a doubt all the same."""
        async with aclosing(self._ledger.rows(UNDECIDED)) as rows:
            async for row in rows:
                if row.path not in self.stats.doubts:
                    stat = Stat(row.stat.size, 0)
                    outcome = Outcome(row.path, row.status, stat, failure=row.failure)
                    self._publish(CarriedOver(outcome))


def within_descriptors(options: RunOptions) -> RunOptions:
    """The options, with no more at a time than this process may open files and connections for."""
    spare = spare_descriptors()
    if spare is None:
        return options
    most = max(1, (spare - DESCRIPTORS) // _DESCRIPTORS_EACH)
    return replace(options, concurrency=min(options.concurrency, most))


def _require_listeners(listeners: Sequence[object]) -> None:
    """Raise ConfigError for what would hear nothing: the result of an async function is dropped."""
    require_type("listeners", listeners, Sequence)
    for listener in listeners:
        call = getattr(listener, "__call__", None)  # noqa: B004 - an object's may be async
        if call is None or iscoroutinefunction(listener) or iscoroutinefunction(call):
            raise ConfigError(
                f"{listener!r} is not a listener", hint="give a function that is not async"
            )
