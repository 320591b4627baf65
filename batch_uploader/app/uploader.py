"""The composition root: makes a run of a source, a sink and a ledger."""

import os
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Self

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.app.adopting import Adopted
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.bookkeeping import Bookkeeping
from batch_uploader.app.callids import lacking, lacks_call_ids
from batch_uploader.app.converting import AGREED, ASK, YES, choose_conversion
from batch_uploader.app.guard import RootGuard
from batch_uploader.app.newsettings import new_settings, settings_on_record
from batch_uploader.app.preparing import (
    described_fact,
    describer_of,
    joined_by,
    preparer_of,
)
from batch_uploader.app.runrecord import RunRecord
from batch_uploader.core.changes import Remember
from batch_uploader.core.checks import as_path, require_asyncio, require_type, require_word
from batch_uploader.core.clock import Clock
from batch_uploader.core.errors import ConfigError, LedgerError, LedgerGone, SinkError
from batch_uploader.core.events import (
    CarriedOver,
    Event,
    Listener,
    MostGone,
    RenewalFailed,
    RunFinished,
    RunStarted,
)
from batch_uploader.core.model import Ending, Outcome, Summary, Version
from batch_uploader.core.ports import Anchored, Ledger, Renewing, Sink, Source, apply_one
from batch_uploader.core.records import Likeness
from batch_uploader.core.states import UNDECIDED
from batch_uploader.doubts import Reconciler, SearchPatience
from batch_uploader.host.resources import spare_descriptors
from batch_uploader.pace import Caps, Pacer
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.prepare.audio import Convert
from batch_uploader.prepare.describer import (
    Describer,
    Refreshed,
    UnusableRows,
)
from batch_uploader.prepare.legs.lookalikes import LooksLikeLegs
from batch_uploader.prepare.rules import Rules
from batch_uploader.run.engine import Engine
from batch_uploader.run.options import RunOptions
from batch_uploader.run.stats import RunStats
from batch_uploader.sinks.speechsense.resources import uploads_within


class Uploader:
    """Uploads from a source, as an async context manager that holds the ledger's lock.

    Several runs may follow each other: they share the ledger, the sink and its connections, and
    what the pacer learned about the service.

    ``manifest`` is the path of the manifest, written at the end of a run that changed something;
    with None it is not written. ``describer`` says what describes a recording, with None a sidecar
    does. ``belonging`` names the directory that the ledger must belong to,
    ``guard`` keeps other directories apart; ``adopted`` are the ledgers that it adopted.
    The ledger has the connection. ``stats`` has the counts of the latest run, also during it.
    Entering raises LedgerLocked, LedgerError also if the ledger is behind its manifest, and
    ConfigError if it is another directory's.
    """

    def __init__(  # noqa: PLR0913 - all that a run is put together from
        self,
        *,
        source: Source,
        sink: Sink,
        ledger: Ledger,
        rules: Rules | None = None,
        describer: Describer | None = None,
        options: RunOptions | None = None,
        manifest: str | os.PathLike[str] | None = None,
        belonging: Belonging | None = None,
        guard: RootGuard | None = None,
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
        self._describer = describer or describer_of(source, rules)
        self._source = source = joined_by(source, rules.legs, self._describer)
        self._sink = sink
        self._ledger = ledger
        manifest_file = None if manifest is None else as_path("manifest", manifest)
        self._books = Bookkeeping(ledger, manifest_file, belonging)
        self._guard = guard
        self.adopted: Sequence[Adopted] = ()
        self.lookalikes: LooksLikeLegs | None = None
        """What looked like legs and was not joined, in the latest run."""
        self.unconverted = 0
        """How many recordings earlier versions refused that could be converted."""
        self._listeners = listeners
        self._clock = clock or Clock()
        self._rules = rules
        self.faults = UnusableRows()
        """What of tables cannot be used, once entered."""
        self._options = options
        caps = Caps(options.concurrency, options.rate, options.bandwidth)
        # Not with the run's clock: the pacer waits by the event loop's clock, and must read the
        # same.
        self._pacer = Pacer(caps)
        self.exit_code: Callable[[Summary | Exception], int] | None = None
        """Gives the exit code of a process whose run ends so, for the record of the run."""
        self._resources = AsyncExitStack()
        self._has_run = self._running = False
        self._set_up_run()

    def _set_up_run(self) -> None:
        """Create what belongs to a single run."""
        self._broken: list[Listener] = []
        self.stats = RunStats()
        self._reconciler = Reconciler(
            self._sink,
            self._ledger,
            self._publish,
            patience=SearchPatience(self._options.hold),
            waits=self._options.wait_for_doubt,
            clock=self._clock,
        )
        self._set_up_engine()

    def _set_up_engine(self) -> None:
        """Create what depends on the rules."""
        source, sink, ledger, options = self._source, self._sink, self._ledger, self._options
        self._run_record = RunRecord(
            ledger,
            self.stats,
            {
                "source": source.where,
                "stamp_field": sink.stamp_field,
                **settings_on_record(source, self._rules),
                "options": options,
            },
        )
        if isinstance(sink, Renewing):
            sink.on_renewal_failed = self._renewal_failed
        preparer = preparer_of(source, ledger.connection_id, self._rules, self._describer)
        self._preparer = preparer
        self._planner = FolderPlanner(
            source,
            ledger,
            preparer.describer,
            self._rules.digest(),
            options.ages,
            options.explain,
            clock=lambda: self._clock.now().wall_ns,
            by=Likeness.MTIME if options.trust_times else Likeness.CTIME,
            filters=self._rules.filters,
        )
        self._engine = Engine(
            self._planner,
            preparer,
            sink,
            ledger,
            self._reconciler,
            pacer=self._pacer,
            options=options,
            publish=self._publish,
        )

    async def __aenter__(self) -> Self:
        """Hold source, ledger and sink; claims of killed runs become doubts."""
        require_asyncio()
        async with AsyncExitStack() as stack:
            if isinstance(self._source, Anchored):
                stack.enter_context(self._source)
            if self._guard is not None:
                await stack.enter_async_context(self._guard)
            await stack.enter_async_context(self._ledger)
            if self._guard is not None:
                await self._guard.require(self._ledger)
            # The directory may have been replaced just now, and then the ledger is another's.
            await self._require_same_source()
            await stack.enter_async_context(self._sink)
            if isinstance(self._describer, Refreshed):
                stack.callback(self._describer.close)
                await self._refresh(self._describer)
            await self._books.begin()
            if self._guard is not None:
                self.adopted = await self._guard.settle(self._ledger)
                self._books.stale |= bool(self.adopted)
            await self._choose_conversion()
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all of them."""
        await self._resources.__aexit__(kind, error, trace)

    async def run(self) -> Summary:
        """Upload everything that is due. It may be called again after it has returned.

        Failures of single recordings are in the summary. Raises only what ends the whole run, after
        what is in flight has finished: SourceError, LedgerError, or what a listener raised.
        """
        if self._running:
            raise ConfigError("a run is going on already", hint="await it before the next one")
        self._running = True
        try:
            summary = await self._run()
        except BaseException as error:
            await self._record_end(error)
            raise
        else:
            await self._record_end(summary)
            return summary
        finally:
            self._running = False

    async def _record_end(self, how: Summary | BaseException) -> None:
        # At once: this process may be killed before it leaves, or begin another run hours later.
        code = None
        if self.exit_code is not None and isinstance(how, Summary | Exception):
            code = self.exit_code(how)
        await self._run_record.finish(how, code)

    async def _run(self) -> Summary:
        if self._has_run:
            await self._books.go_on()
            if isinstance(self._describer, Refreshed):
                await self._refresh(self._describer)
            self._set_up_run()
        self._has_run = True
        started = self._clock.monotonic()
        run_id = str(uuid.uuid4())
        self._publish(RunStarted(run_id, self._source.where))
        try:
            await self._run_record.begin(run_id)
            await self._engine.run()
            await self._look_for_legs()
            await self._require_same_source()
            await self._remember_described()
            await self._ledger.check()
        except LedgerGone as error:
            await self._books.save(error)
            raise
        except LedgerError:
            raise
        except Exception as error:
            # Claims that a bug left open become doubts, also in the manifest.
            await self._books.recover(ours=True)
            try:
                await self._books.finish(changed=self.stats.wrote)
            except LedgerError as also:
                error.add_note(str(also))
            raise
        await self._report_unlisted()
        await self._report_gone()
        await self._books.finish(changed=self.stats.wrote)
        summary = self.stats.summary(
            self._engine.ending,
            self._engine.reason,
            self._clock.monotonic() - started,
            self._engine.hints,
        )
        self._publish(RunFinished(summary))
        return summary

    async def surprises(self) -> tuple[str, ...]:
        """What a run does suddenly, since its settings are not those of the one before.

        That takes a walk if they are others, and reads some metadata. Raises SourceError,
        LedgerError.
        """
        said: list[str] = []
        if await lacks_call_ids(self._ledger, self._preparer, self._planner):
            said.append(lacking(self._rules.call_ids.text))
        other = await new_settings(self._ledger, self._preparer)
        if other is not None:
            to_send, _ = await (await self._planner.with_sample()).count(self._planner.clock())
            said += other.lines(to_send)
        return tuple(said)

    @property
    def record(self) -> RunRecord:
        """What the ledger has of the latest run."""
        return self._run_record

    def drain(self, reason: str, ending: Ending = Ending.INTERRUPTED) -> None:
        """Drain the run: nothing new begins, what is in flight finishes within the grace.

        ``reason`` and ``ending`` are shown in the summary.
        """
        if ending is Ending.LIMIT:  # if only comparisons are left, no work is left undone
            self._engine.limit(reason)
        else:
            self._engine.drain(ending, reason)

    def cancel(self) -> None:
        """End the run at once: what is in flight is in doubt."""
        self._engine.cancel()

    async def _choose_conversion(self) -> None:
        choice = await choose_conversion(self._ledger, self._rules)
        self.unconverted = choice.waiting
        if choice.rules != self._rules:
            asked = self._engine
            self._rules = choice.rules
            self._set_up_engine()
            if asked.ending is not Ending.COMPLETED:
                # It was interrupted while it was entered.
                self._engine.drain(asked.ending, asked.reason or "")
        converts = self._rules.audio.convert is not Convert.OFF
        if (converts or choice.waiting) and await self._ledger.fact(AGREED) != YES:
            await apply_one(self._ledger, Remember(AGREED, YES if converts else ASK))

    async def _refresh(self, describer: Refreshed) -> None:
        """Bring tables up to date; what changed in them since the last whole run is planned."""
        seen = await self._ledger.fact(self._described) or ""
        await to_thread.run_sync(describer.refresh, seen)
        self.faults = describer.faults()

    async def _remember_described(self) -> None:
        if isinstance(self._describer, Refreshed) and self._engine.ending is Ending.COMPLETED:
            state = self._describer.state
            if state != await self._ledger.fact(self._described):
                await apply_one(self._ledger, Remember(self._described, state))

    @property
    def _described(self) -> str:
        """The fact of the ledger that says what the tables of this connection were."""
        return described_fact(self._ledger.connection_id)

    async def _require_same_source(self) -> None:
        if isinstance(self._source, Anchored):
            await to_thread.run_sync(self._source.require_same)

    def _renewal_failed(self, error: SinkError, expires_in: float | None) -> None:
        self._publish(RenewalFailed(expires_in, str(error)))

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
                # A cancellation raised by the listener's own code must not end a worker.
                self._broken.append(listener)
                failure = RuntimeError(f"the listener {listener!r} raised CancelledError")
                failure.__cause__ = error
                self._engine.fail(failure)

    async def _look_for_legs(self) -> None:
        if self._rules.legs is None:
            look = self._planner.lookalikes.look
            self.lookalikes = await to_thread.run_sync(look, self._source)

    async def _report_unlisted(self) -> None:
        """Report doubts whose files were moved or removed."""
        async with aclosing(self._ledger.rows(UNDECIDED)) as rows:
            async for row in rows:
                if row.path not in self.stats.doubts:
                    stat = Version(row.stat.size, 0)
                    outcome = Outcome(row.path, row.status, stat, failure=row.failure)
                    self._publish(CarriedOver(outcome))

    async def _report_gone(self) -> None:
        """Report that most of what was on record is gone, and was not found elsewhere."""
        if self._engine.ending is not Ending.COMPLETED:
            return
        gone = await self._engine.absence.judge(self.stats.copies)
        if gone is not None:
            self._publish(MostGone(gone.recordings, gone.of))


def within_descriptors(options: RunOptions) -> RunOptions:
    """The options, with concurrency limited by the descriptors of this process."""
    spare = spare_descriptors()
    if spare is None:
        return options
    return replace(options, concurrency=min(options.concurrency, uploads_within(spare)))


def _require_listeners(listeners: Sequence[object]) -> None:
    """Raise ConfigError for invalid listeners: the result of an async function would be dropped."""
    require_type("listeners", listeners, Sequence)
    for listener in listeners:
        call = getattr(listener, "__call__", None)  # noqa: B004 - an object's may be async
        if call is None or iscoroutinefunction(listener) or iscoroutinefunction(call):
            raise ConfigError(
                f"{listener!r} is not a listener", hint="give a function that is not async"
            )
