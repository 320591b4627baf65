"""What the workers get to do: the source is walked and decided, folder by folder, as they go on.

The jobs go into a bounded stream, so the scan never runs far ahead of the uploads.
"""

from collections.abc import Callable
from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from batch_uploader.events import Decided, FolderPlanned, Found, Held, Listener, ScanFinished
from batch_uploader.intake import Batch, Intake, Job, invalid, orphaned
from batch_uploader.model import Stat
from batch_uploader.planning import Action
from batch_uploader.ports import Ledger
from batch_uploader.reconcile import Reconciler

_LEFT_OUT = "it was to be sent again, and its file is gone or still being written"


class Planner:
    """Walks the source once; then what the search proves absent is sent again.

    Publishes what needs no worker. ``fail`` is told what the run cannot go on with: SourceError,
    LedgerError. ``finished`` has to be called for each job that was taken from the stream.
    """

    def __init__(
        self,
        intake: Intake,
        ledger: Ledger,
        reconciler: Reconciler,
        *,
        publish: Listener,
        fail: Callable[[Exception], None],
    ) -> None:
        self._intake = intake
        self._ledger = ledger
        self._reconciler = reconciler
        self._publish = publish
        self._fail = fail
        self._planned = (0, 0)
        self._unfinished = 0
        self._all_finished = anyio.Event()
        self._told = False

    async def run(self, jobs: MemoryObjectSendStream[Job]) -> None:
        """Put every job into the stream, and return when all of them have ended."""
        async with anyio.create_task_group() as ahead:
            try:
                await self._reconciler.before()
                await self._walk(jobs, ahead)
                self._tell_totals(*self._planned)
                await self._settle_doubts(jobs)
            except Exception as error:  # noqa: BLE001 - the workers finish, then it is raised
                self._fail(error)
            ahead.cancel_scope.cancel()

    def finished(self) -> None:
        """A job has ended, however it did."""
        self._unfinished -= 1
        if not self._unfinished:
            self._all_finished.set()

    async def _walk(self, jobs: MemoryObjectSendStream[Job], ahead: TaskGroup) -> None:
        began = self._intake.clock()
        counting = False
        async with aclosing(self._intake.batches()) as batches:
            async for batch in batches:
                await self._announce(batch)
                for job in batch.jobs:
                    if not (counting or _has_room(jobs)):
                        counting = True
                        ahead.start_soon(self._count_ahead, began)
                    await self._hand_on(job, jobs)

    async def _hand_on(self, job: Job, jobs: MemoryObjectSendStream[Job]) -> None:
        self._unfinished += 1
        await jobs.send(job)

    async def _settle_doubts(self, jobs: MemoryObjectSendStream[Job]) -> None:
        """When all has ended, look for what is in doubt, and send again what proves absent."""
        while True:
            while self._unfinished:
                self._all_finished = anyio.Event()
                await self._all_finished.wait()
            absent = await self._reconciler.after()
            if not absent:
                return
            batch = await self._intake.again(absent)
            await self._announce(batch)
            for path in batch.left_out:
                self._publish(Decided(path, Action.HOLD, _LEFT_OUT))
            for job in batch.jobs:
                await self._hand_on(job, jobs)

    async def _count_ahead(self, began: int) -> None:
        """The uploads hold the planner up: find out meanwhile how much there is in all."""
        try:
            self._tell_totals(*await self._intake.count(began))
        except Exception as error:  # noqa: BLE001 - as in run
            self._fail(error)

    def _tell_totals(self, files: int, octets: int) -> None:
        if not self._told:
            self._told = True
            self._publish(ScanFinished(files, octets))

    async def _announce(self, batch: Batch) -> None:
        for path, decision in batch.decisions:
            self._publish(Decided(path, decision.action, decision.reason))
        for outcome in batch.held:
            self._publish(Held(outcome))
        for outcome in map(orphaned, batch.orphans):
            await self._ledger.settle(outcome, policy=self._intake.policy)
            self._publish(Found(outcome))
        for defect in batch.unreadable:
            self._publish(Found(invalid(defect.path, Stat(0, 0), [defect])))
        if batch.gone:
            await self._ledger.forget(batch.gone)
        files, octets = len(batch.jobs), sum(job.size for job in batch.jobs)
        self._planned = (self._planned[0] + files, self._planned[1] + octets)
        self._publish(
            FolderPlanned(
                batch.folder,
                files,
                octets,
                skipped=batch.skipped,
                waiting=batch.waiting,
                forgotten=len(batch.gone),
            )
        )


def _has_room(jobs: MemoryObjectSendStream[Job]) -> bool:
    statistics = jobs.statistics()
    return statistics.current_buffer_used < statistics.max_buffer_size
