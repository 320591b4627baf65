"""The run: one feed, many workers, and an orderly end."""

import anyio
from anyio import CancelScope

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.events import Listener
from batch_uploader.core.model import Ending
from batch_uploader.core.ports import Ledger, Sink
from batch_uploader.doubts import Reconciler
from batch_uploader.pace import Pacer
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.run.absence import Absence
from batch_uploader.run.drain import Drain
from batch_uploader.run.feed import Feed, JobQueue
from batch_uploader.run.held import HeldBack
from batch_uploader.run.lookout import Lookout
from batch_uploader.run.options import RunOptions
from batch_uploader.run.reach import Reach
from batch_uploader.run.recorder import Made, Recorder
from batch_uploader.run.worker import Workers


class Engine:
    """One pass over a source. Publishes events from ``FolderPlanned`` to the last ``Settled``."""

    def __init__(
        self,
        planner: FolderPlanner,
        preparer: Preparer,
        sink: Sink,
        ledger: Ledger,
        reconciler: Reconciler,
        *,
        pacer: Pacer,
        options: RunOptions,
        publish: Listener,
    ) -> None:
        self._options = options
        self._drain = drain = Drain(publish)
        self._recorder = Recorder(ledger, drain.fail)
        self.absence = Absence(ledger, planner.source, allowed=options.allow_empty)
        """What is gone."""
        self._held = HeldBack(ledger, Lookout(Comparer(preparer)), publish, planner.clock())
        self._feed = Feed(
            planner,
            ledger,
            reconciler,
            self.absence,
            self._held,
            publish=publish,
            fail=drain.fail,
        )
        self._pacer = pacer
        self._reach = Reach(ledger, sink, self._recorder, self._heard)
        self._workers = Workers(
            preparer,
            sink,
            self._recorder,
            self._feed,
            drain,
            pacer=pacer,
            options=options,
            publish=publish,
        )

    @property
    def ending(self) -> Ending:
        """How the run ends, as far as known."""
        return self._drain.ending

    @property
    def reason(self) -> str | None:
        """Why it ends so."""
        return self._drain.reason

    @property
    def hints(self) -> tuple[str, ...]:
        """What to do about the reason."""
        return self._drain.hints

    async def run(self) -> None:
        """Send everything that is due, or drain.

        Raises the first run-level failure (SourceError, LedgerError) after draining.
        """
        await self._reach.tell(self._pacer)
        jobs = JobQueue(self._options.concurrency)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._plan, jobs)
                with CancelScope() as in_flight:
                    group.start_soon(self._watch, in_flight)
                    async with anyio.create_task_group() as workers:
                        for _ in range(self._options.concurrency):
                            workers.start_soon(self._workers.work, jobs)
                group.cancel_scope.cancel()
        finally:
            await self._recorder.finish()
        self._drain.over = True
        if self._drain.failure is not None:
            raise self._drain.failure
        await self._held.report()

    def limit(self, reason: str) -> None:
        """The maximum duration is over: drain, or leave mere comparisons to the next run."""
        self._feed.looks_enough = True
        if not self._feed.looking or self._workers.busy:
            self.drain(Ending.LIMIT, reason)

    def drain(self, ending: Ending, reason: str) -> None:
        """Start draining; what is in flight finishes, within the grace if this interrupts."""
        self._drain.begin(ending, reason)

    def cancel(self) -> None:
        """Stop at once; what is in flight is in doubt."""
        self._drain.cancel()

    def fail(self, error: Exception) -> None:
        """Drain, and raise this at the end."""
        self._drain.fail(error)

    def _heard(self, answer: Made) -> None:
        if isinstance(answer, LedgerError):
            self._drain.fail(answer)

    async def _watch(self, in_flight: CancelScope) -> None:
        await self._drain.wait_for_grace(self._options.grace)
        in_flight.cancel()

    async def _plan(self, jobs: JobQueue) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._cancel_on_drain, group.cancel_scope)
                await self._feed.run(jobs)
                group.cancel_scope.cancel()
        finally:
            jobs.close()

    async def _cancel_on_drain(self, scope: CancelScope) -> None:
        await self._drain.wait()
        scope.cancel()
