"""The feed of the workers: walks the source and plans it, folder by folder, as they proceed.

The jobs go into a bounded queue, so the scan never runs far ahead of the uploads.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Self

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct, field
from msgspec.structs import replace

from batch_uploader.core.changes import Learn, Remember, Settle
from batch_uploader.core.events import (
    CarriedOver,
    ComparisonStarted,
    Decided,
    FilesPassedOver,
    FolderPlanned,
    Listener,
    ProblemFound,
    ScanFinished,
    Unreadable,
)
from batch_uploader.core.model import Outcome, Version
from batch_uploader.core.ports import Ledger, apply_all, apply_one
from batch_uploader.core.records import Likeness
from batch_uploader.core.states import Action, Status
from batch_uploader.doubts import Reconciler
from batch_uploader.plan.batch import Batch, Job, in_turn, invalid, orphaned
from batch_uploader.plan.decide import filter_of
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.run.absence import Absence
from batch_uploader.run.held import HeldBack
from batch_uploader.run.passed_over import note_passed_over

_INODES, _KEPT, _MADE_UP = "inodes", "kept", "made up"
"""The ledger's fact about whether inodes are stable between runs."""
_FEW_LOOKS = 100
"""Up to this many are compared without checking whether inodes are stable."""
_LOOKS_KEPT = 4_096
"""The most that are kept in memory, some MB; for more the source is walked again."""
_LEARNED_AT_ONCE = 10_000
"""Recordings in one transaction that updates older records: after an upgrade all need it."""
_DROPPED = "it was to be sent again, but its file is gone or still being written"


class JobQueue:
    """Jobs between the feed and the workers, at most ``room`` at a time."""

    def __init__(self, room: int) -> None:
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue(room)

    @property
    def full(self) -> bool:
        """Whether a job would have to wait."""
        return self._jobs.full()

    async def put(self, job: Job) -> None:
        """Append a job, as soon as there is room."""
        if self._jobs.full():
            await self._jobs.put(job)
        else:
            self._jobs.put_nowait(job)

    async def take(self) -> Job | None:
        """The next job, as soon as there is one; None if there are no more."""
        job = await self._jobs.get() if self._jobs.empty() else self._jobs.get_nowait()
        if job is None:
            self._jobs.put_nowait(None)  # for the other workers
        return job

    def close(self) -> None:
        """End the queue; the jobs left in it are not taken."""
        while not self._jobs.empty():
            self._jobs.get_nowait()
        self._jobs.put_nowait(None)


class Feed:
    """Walks the source once; afterwards feeds what a search proved absent.

    Publishes what needs no worker. ``fail`` is called with errors that end the run: SourceError,
    LedgerError. ``finished`` must be called for each job taken from the queue.
    """

    def __init__(
        self,
        planner: FolderPlanner,
        ledger: Ledger,
        reconciler: Reconciler,
        absence: Absence,
        held: HeldBack,
        *,
        publish: Listener,
        fail: Callable[[Exception], None],
    ) -> None:
        self._planner = planner
        self._ledger = ledger
        self._reconciler = reconciler
        self._absence = absence
        self._held = held
        self._publish = publish
        self._fail = fail
        self._planned = (0, 0)
        self._unfinished = 0
        self._all_finished = anyio.Event()
        self._told = False
        self._kept_inodes: bool | None = None
        self._kept = self._moved = 0
        self._looks = _Looks()
        self._by_inode = _Looks()
        self._learned: list[Learn] = []
        self.looking = False
        """True when only comparisons of touched files are left."""
        self.looks_enough = False
        """True if these are left to the next run."""

    async def run(self, jobs: JobQueue) -> None:
        """Put every job into the queue, and return when all of them have ended."""
        async with anyio.create_task_group() as ahead:
            try:
                await self._reconciler.before()
                await self._choose_likeness()
                await self._absence.begin()
                self._planner = await self._planner.with_sample()
                await self._walk(jobs, ahead)
                self._tell_totals(*self._planned)
                await self._learn()
                await self._absence.walked()
                await self._tell_passed_over()
                await self._judge_held(jobs)
                await self._settle_doubts(jobs)
                await self._judge_inodes()
                if self._looks.files:
                    await self._look(jobs)
            except Exception as error:  # noqa: BLE001 - the workers finish, then it is raised
                self._fail(error)
            ahead.cancel_scope.cancel()

    def now(self) -> int:
        """The time by which files are young, in UTC nanoseconds."""
        return self._planner.clock()

    def begun(self) -> None:
        """A part of a job continues after its worker has taken another one."""
        self._unfinished += 1

    def finished(self) -> None:
        """A job, or the part of it that continued, has ended."""
        self._unfinished -= 1
        if not self._unfinished:
            self._all_finished.set()

    async def _tell_passed_over(self) -> None:
        kinds = await note_passed_over(self._ledger, self._planner.others.found())
        if kinds:
            self._publish(FilesPassedOver(kinds))

    async def _choose_likeness(self) -> None:
        """Inodes are compared only if two runs saw that they are stable."""
        if self._planner.by is Likeness.MTIME:
            return
        told = await self._ledger.fact(_INODES)
        self._kept_inodes = None if told is None else told == _KEPT
        self._planner = replace(
            self._planner,
            by=Likeness.INODE if self._kept_inodes else Likeness.CTIME,
            watches_inodes=self._kept_inodes is not False,
        )

    async def _judge_inodes(self) -> None:
        """If many are new at once, the file system makes inodes up each time."""
        if not self._planner.watches_inodes:
            return
        if self._kept_inodes and self._moved <= max(self._kept, _FEW_LOOKS):
            self._looks.add(self._by_inode)
            return
        if self._kept or self._moved:
            kept = self._kept_inodes is None and self._kept >= self._moved
            await apply_one(self._ledger, Remember(_INODES, _KEPT if kept else _MADE_UP))
        self._planner = replace(self._planner, by=Likeness.CTIME, watches_inodes=False)

    async def _look(self, jobs: JobQueue) -> None:
        """Compare what may have been touched: last, since a chown may touch a million files."""
        doubts = len(await self._ledger.doubts())
        self._publish(ComparisonStarted(self._looks.files, self._looks.nbytes))
        self.looking = True
        async with aclosing(self._due_looks()) as due:
            async for job in due:
                if self.looks_enough:
                    break
                await self._hand_on(job, jobs)
        await self._all_ended()
        self.looking = False
        if len(await self._ledger.doubts()) > doubts:
            await self._settle_doubts(jobs)

    async def _due_looks(self) -> AsyncGenerator[Job]:
        if len(self._looks.jobs) == self._looks.files:
            for job in self._looks.jobs:
                yield job
            return
        async with aclosing(self._planner.batches()) as batches:
            async for batch in batches:
                for job in batch.looks + batch.by_inode:
                    yield job

    async def _walk(self, jobs: JobQueue, ahead: TaskGroup) -> None:
        began = self._planner.clock()
        counting = False
        async with aclosing(self._planner.batches()) as batches:
            async for batch in batches:
                await self._announce(batch)
                for job in in_turn(batch.jobs):
                    if not counting and jobs.full:
                        counting = True
                        ahead.start_soon(self._count_ahead, began)
                    await self._hand_on(job, jobs)

    async def _hand_on(self, first: Job, jobs: JobQueue) -> None:
        job: Job | None = first
        while job is not None:
            self._unfinished += 1
            job = job.then
        await jobs.put(first)

    async def _settle_doubts(self, jobs: JobQueue) -> None:
        """When all else has ended, search for doubts, and send again what proves absent."""
        while True:
            await self._all_ended()
            absent = await self._reconciler.after()
            if not absent:
                return
            await self._send_again(absent, jobs)

    async def _judge_held(self, jobs: JobQueue) -> None:
        """When all else has ended, judge what may be calls on record, and send what is not."""
        await self._all_ended()
        freed = await self._held.judge()
        if freed:
            await self._send_again(freed, jobs)
            await self._all_ended()

    async def _send_again(self, paths: Collection[str], jobs: JobQueue) -> None:
        batch = await self._planner.again(paths)
        await self._announce(batch)
        for path in batch.dropped:
            self._publish(Decided(path, Action.HOLD, _DROPPED))
        for job in in_turn(batch.jobs):
            await self._hand_on(job, jobs)

    async def _all_ended(self) -> None:
        while self._unfinished:
            self._all_finished = anyio.Event()
            await self._all_finished.wait()

    async def _count_ahead(self, began: int) -> None:
        """The uploads hold the planner up: meanwhile count how much there is in total."""
        try:
            self._tell_totals(*await self._planner.count(began))
        except Exception as error:  # noqa: BLE001 - as in run
            self._fail(error)

    def _tell_totals(self, files: int, nbytes: int) -> None:
        if not self._told:
            self._told = True
            self._publish(ScanFinished(files, nbytes))

    async def _announce(self, batch: Batch) -> None:
        for path, decision in batch.decisions:
            self._publish(Decided(path, decision.action, decision.reason))
        for outcome in batch.held:
            # Possible duplicates are told at the end, when they were judged.
            if outcome.status is not Status.POSSIBLE_DUPLICATE:
                self._publish(CarriedOver(outcome))
        orphans = [orphaned(each) for each in batch.orphans]
        waits = [each.outcome for each in batch.waits if each.new]
        await self._record([*orphans, *batch.legs, *batch.outside, *waits])
        self._absence.add(batch)
        for outcome in orphans:
            self._publish(ProblemFound(outcome))
        for wait in batch.waits:
            if wait.outcome.status is not Status.WAITING:
                told = ProblemFound if wait.new else CarriedOver
                self._publish(told(wait.outcome))
        for defect in batch.unreadable:
            self._publish(Unreadable(invalid(defect.path, Version(0, 0), [defect])))
        self._kept += batch.kept
        self._moved += batch.moved
        self._looks.add(_Looks.of(batch.looks))
        self._by_inode.add(_Looks.of(batch.by_inode))
        self._learned += [Learn(*each) for each in batch.learned]
        files, nbytes = len(batch.jobs), sum(job.size for job in batch.jobs)
        self._planned = (self._planned[0] + files, self._planned[1] + nbytes)
        self._publish(
            FolderPlanned(
                batch.folder,
                files,
                nbytes,
                already_there=batch.already_there,
                waiting=batch.waiting,
                forgotten=len(batch.gone),
                left_out_by=batch.left_out + Counter(map(filter_of, batch.outside)),
                recorded=len(batch.outside) + len(waits),
                waiting_for=batch.waiting_for,
            )
        )
        if len(self._learned) >= _LEARNED_AT_ONCE:
            await self._learn()

    async def _record(self, problems: Sequence[Outcome]) -> None:
        """Record these; a drain does not interrupt it, since what is recorded must be published."""
        digests = self._planner.digests
        changes = [Settle(each, digests.of(each)) for each in problems]
        if changes:
            with anyio.CancelScope(shield=True):
                await apply_all(self._ledger, changes)

    async def _learn(self) -> None:
        learned, self._learned = self._learned, []
        if learned:
            await apply_all(self._ledger, learned)


class _Looks(Struct):
    """The number and bytes of recordings to compare; the recordings themselves, if not too many."""

    files: int = 0
    nbytes: int = 0
    jobs: list[Job] = field(default_factory=list)

    @classmethod
    def of(cls, jobs: list[Job]) -> Self:
        return cls(len(jobs), sum(job.size for job in jobs), jobs)

    def add(self, more: Self) -> None:
        if not more.files:
            return
        self.jobs = [*self.jobs, *more.jobs] if self.files + more.files <= _LOOKS_KEPT else []
        self.files += more.files
        self.nbytes += more.nbytes
