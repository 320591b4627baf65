"""Foretells what a run does with recordings: they are claimed in a copy of the ledger."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.app.duplicates import DuplicateExample, DuplicateGroup, groups_of
from batch_uploader.core.changes import Claim, Forget, LearnIdentity, Settle
from batch_uploader.core.errors import SourceChanged, SourceError
from batch_uploader.core.events import Listener
from batch_uploader.core.model import AudioInfo, Defect, Outcome, Recording
from batch_uploader.core.records import ClaimAnswer, ClaimResult
from batch_uploader.core.states import POSSIBLE, Status
from batch_uploader.core.waiting import Wait
from batch_uploader.ledgers.sqlite import ScratchLedger, is_foretold
from batch_uploader.plan.batch import Job, invalid
from batch_uploader.plan.patience import postponed
from batch_uploader.prepare.bundle import version_of
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.prepare import Prepared, Preparer, Unsent
from batch_uploader.run.filtering import Filtering, outcome_of
from batch_uploader.run.held import HeldBack
from batch_uploader.run.learning import Learning
from batch_uploader.run.lookout import Lookout


class Foretold(Struct, frozen=True):
    """What a run does with one recording: it has audio to send, defects, or an outcome.

    Without any of them it is on record, or set aside until the end of the scan. ``nbytes`` are
    those that were read. ``converts`` if its file is converted first, ``named`` if it has the ID of
    ``--call-id``.
    """

    path: str
    size: int
    audio: AudioInfo | None = None
    defects: tuple[Defect, ...] = ()
    outcome: Outcome | None = None
    already_there: bool = False
    nbytes: int = 0
    converts: bool = False
    named: bool = False


class Foretelling:
    """A run that sends nothing: its recordings are hashed and claimed in a copy of the ledger.

    ``ledger`` is the path of the one that is copied, None if there is none. With ``recover`` its
    claims are doubts, as in the next run. ``publish`` is called with what is learned and judged.
    """

    def __init__(
        self, ledger: Path | None, preparer: Preparer, publish: Listener, *, recover: bool
    ) -> None:
        self._preparer = preparer
        self._recover = recover
        self.ledger = ScratchLedger(ledger, preparer.connection_id)
        self._learning = Learning(preparer, self.ledger, publish)
        self._held = HeldBack(self.ledger, Lookout(Comparer(preparer)), publish, 0)
        self._filtering = Filtering.of(preparer)

    async def __aenter__(self) -> Self:
        """Copy the ledger. Raises LedgerError."""
        await self.ledger.__aenter__()
        if self._recover:
            await self.ledger.recover()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the copy."""
        await self.ledger.__aexit__(kind, error, trace)

    async def foretell(self, jobs: Sequence[Job]) -> list[Foretold]:
        """What a run does with these, in their order. Reads them whole."""
        prepared = await to_thread.run_sync(lambda: list(map(self._prepare, jobs)))
        left = [told.outcome for told in prepared if isinstance(told, Foretold)]
        await self.record([each for each in left if each is not None])
        await self.record(
            [
                invalid(job.path, version_of(job.bundle), told.defects)
                for job, told in zip(jobs, prepared, strict=True)
                if isinstance(told, Foretold) and told.defects
                if job.known is None or not job.known.unproved
            ]
        )
        sound = [each for each in prepared if isinstance(each, Recording)]
        for each in sound:
            await self._learning.before(each.identity)
        claims = [Claim(each, policy=self._filtering.digests.rules) for each in sound]
        answers = iter(await self.ledger.send(claims, Comparer(self._preparer).sight))
        return [
            _foretold(each, next(answers)) if isinstance(each, Recording) else each
            for each in prepared
        ]

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record what a run records without sending anything."""
        digests = self._filtering.digests
        await self.ledger.apply([Settle(each, digests.of(each)) for each in outcomes])

    async def correct(self, jobs: Sequence[Job]) -> None:
        """Record the IDs of talks whose sidecars were touched, as a run does."""
        found = await to_thread.run_sync(lambda: list(map(self._ids, jobs)))
        await self.ledger.apply([each for each in found if each is not None])

    def _ids(self, job: Job) -> LearnIdentity | None:
        if job.known is None:
            return None
        try:
            ids = self._preparer.identity(self._preparer.describer.describe(job.bundle))
        except SourceError:
            return None
        return LearnIdentity(job.path, job.known.stat, ids, corrected=True)

    async def forget(self, gone: Sequence[str]) -> None:
        """Forget what is gone and was never stored."""
        await self.ledger.apply([Forget(path) for path in gone])

    async def judge(self) -> list[str]:
        """At the end of the scan: the paths that were set aside, or held, and are free now."""
        return await self._held.judge()

    async def groups(self) -> tuple[DuplicateGroup, ...]:
        """What is held then, by cause."""
        return tuple(
            replace(group, examples=tuple(map(_without_made_up, group.examples)))
            for group in await groups_of(self.ledger)
        )

    def _prepare(self, job: Job) -> Recording | Foretold:
        try:
            prepared = self._filtering.preparer_for(job).prepare(job.bundle, 0, lambda _: b"")
        except SourceChanged:
            return waits(job, Wait.READING)
        except SourceError as error:
            return unreadable(job, error)
        if (wait := job.due.wait(prepared)) is not None:
            if isinstance(prepared, Prepared):
                prepared.close()
            return waits(job, wait)
        if isinstance(prepared, Prepared):
            with closing(prepared):
                recording = prepared.recording
            left = self._filtering.after_all(job, recording)
            if left is None:
                return recording
            prepared = left
        return unsent(job, prepared)


def _without_made_up(example: DuplicateExample) -> DuplicateExample:
    """Without the talk of what would be uploaded first."""
    other = example.other
    if other is None or other.talk_id is None or not is_foretold(other):
        return example
    return replace(example, other=replace(other, talk_id=None, settled_at_ns=None))


def unsent(job: Job, why: Unsent) -> Foretold:
    """A recording that a filter leaves out, or that has defects, unless somebody has seen them."""
    if isinstance(why, LeftOut) and job.known is not None and job.known.status in POSSIBLE:
        return Foretold(job.path, job.size)  # what is held stays so
    if isinstance(why, LeftOut):
        return Foretold(job.path, job.size, outcome=outcome_of(job, why))
    if job.known is not None and job.known.status is Status.ACKNOWLEDGED:
        found = invalid(job.path, version_of(job.bundle), why)
        if job.known.failure == found.failure and job.known.stat.is_like(found.stat):
            return Foretold(job.path, job.size, outcome=job.known.outcome)
    return Foretold(job.path, job.size, defects=why)


def waits(job: Job, wait: Wait) -> Foretold:
    """A recording that a run would leave to the next one."""
    told = postponed(job.path, version_of(job.bundle), wait, job.known, time.time_ns())
    return Foretold(job.path, job.size, outcome=told.outcome)


def unreadable(job: Job, error: SourceError) -> Foretold:
    """A recording that could not be read."""
    cure = "see that it can be read, then check again"
    defect = Defect(job.path, "unreadable", str(error), cure)
    return Foretold(job.path, job.size, defects=(defect,))


def _foretold(recording: Recording, answer: ClaimAnswer) -> Foretold:
    path, size = recording.path, recording.stat.size
    match answer.claim:
        case ClaimResult.GRANTED:
            converts, named = recording.sent is not None, bool(recording.identity.named_id)
            audio = recording.audio
            return Foretold(path, size, audio, nbytes=size, converts=converts, named=named)
        case ClaimResult.KNOWN | ClaimResult.OUTDATED:
            return Foretold(path, size, already_there=True, nbytes=size)
        case ClaimResult.DUPLICATE | ClaimResult.DOUBTED:
            return Foretold(path, size, outcome=answer.outcome, nbytes=size)
    return Foretold(path, size, nbytes=size)
