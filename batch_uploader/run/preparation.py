"""Prepares one recording, and records what becomes of it if it is not sent."""

import asyncio
from collections.abc import Callable

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.core.changes import Settle
from batch_uploader.core.errors import SourceChanged, SourceError
from batch_uploader.core.events import (
    AlreadyThere,
    Decided,
    Listener,
    SetAside,
    Settled,
    Waiting,
)
from batch_uploader.core.model import LEDGER_LOST, Failure, Outcome
from batch_uploader.core.ports import Sink
from batch_uploader.core.states import Action, Status
from batch_uploader.core.waiting import Wait
from batch_uploader.plan.batch import Job, invalid
from batch_uploader.plan.patience import postponed
from batch_uploader.prepare.bundle import version_of
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.prepare import Prepared, Preparer
from batch_uploader.run.filtering import Filtering, outcome_of
from batch_uploader.run.looks import Looks
from batch_uploader.run.recorder import Heard, Made, Recorder


class Preparation:
    """Makes jobs recordings that are ready to be claimed.

    What is left out, waits or cannot be sent is on record, or published, when that returns.
    ``now`` gives UTC nanoseconds, ``heard`` is told what is recorded.
    """

    def __init__(
        self,
        preparer: Preparer,
        sink: Sink,
        recorder: Recorder,
        looks: Looks,
        *,
        now: Callable[[], int],
        explain: bool,
        publish: Listener,
        heard: Heard,
    ) -> None:
        self._preparer = preparer
        self._filtering = Filtering.of(preparer)
        self._sink = sink
        self._recorder = recorder
        self._looks = looks
        self._now = now
        self._explain = explain
        self._publish = publish
        self._heard = heard

    async def prepare(self, job: Job, granted: int) -> Prepared | None:
        """What is to be sent; None if there is none, which is then recorded or published.

        Raises NeedsMemory, as ``Preparer.prepare`` does.
        """
        whole_limit = self._sink.whole_limit
        try:
            if job.action is Action.COMPARE_METADATA and await self._only_touched(job):
                return None
            preparer = self._filtering.preparer_for(job)
            prepared = preparer.prepare_cached(job.bundle, whole_limit)
            if prepared is None:
                prepared = await to_thread.run_sync(
                    preparer.prepare, job.bundle, whole_limit, self._sink.envelope, granted
                )
        except SourceChanged:
            await self._leave(job, Wait.READING)
            return None
        except SourceError as error:
            failure = Failure("UNREADABLE", str(error))
            outcome = Outcome(job.path, Status.FAILED, version_of(job.bundle), failure=failure)
            await self._settle_unsound(job, outcome)
            return None
        if (wait := job.due.wait(prepared)) is not None:
            if isinstance(prepared, Prepared):
                prepared.close()
            await self._leave(job, wait)
        elif isinstance(prepared, Prepared):
            left_out = self._filtering.after_all(job, prepared.recording)
            if left_out is None:
                return prepared
            prepared.close()
            await self._leave_out(job, left_out)
        elif isinstance(prepared, LeftOut):
            await self._leave_out(job, prepared)
        else:
            await self._settle_unsound(job, invalid(job.path, version_of(job.bundle), prepared))
        return None

    async def _leave(self, job: Job, wait: Wait) -> None:
        """Leave it to the next run, on record unless more is known of it."""
        now = postponed(job.path, version_of(job.bundle), wait, job.known, self._now())
        if now.new:
            await self._recorder.ask(Settle(now.outcome))
        if now.outcome.status is Status.WAITING:
            self._publish(Waiting(job.path, job.size, wait.value))
        else:
            self._publish(Settled(now.outcome))

    async def _leave_out(self, job: Job, left: LeftOut) -> None:
        """Record that a filter leaves it out; what is held stays so."""
        if job.known is not None and job.known.status is Status.POSSIBLE_DUPLICATE:
            self._publish(SetAside(job.path, job.size))
            return
        if self._explain:
            self._publish(Decided(job.path, Action.SKIP, left.message))
        await self._settle_and_wait(outcome_of(job, left))

    async def _settle_unsound(self, job: Job, outcome: Outcome) -> None:
        """Record what could not be prepared, unless a lost ledger may have had more."""
        if job.known is None or not job.known.unproved:
            await self._settle_and_wait(outcome)
            return
        before = job.known.outcome
        if before.status is Status.IN_DOUBT and outcome.failure is not None:
            reason = (
                f"{LEDGER_LOST.message}; before Search can look for it: {outcome.failure.message}"
            )
            self._publish(Settled(replace(before, failure=replace(LEDGER_LOST, message=reason))))
        else:
            self._publish(AlreadyThere(job.path, job.size, outdated=True))

    async def _only_touched(self, job: Job) -> bool:
        """Compare a touched sidecar with the talk's metadata, without opening the audio."""
        if job.known is None:
            return False
        metadata = await to_thread.run_sync(self._preparer.describer.describe, job.bundle)
        outdated = isinstance(metadata, tuple) or metadata.digest() != job.known.metadata
        if not outdated:
            before, now = job.known.stat, version_of(job.bundle)
            if before.ctime_ns is not None:
                # The audio was not compared, so its recorded values stay.
                now = replace(now, ctime_ns=before.ctime_ns, inode=before.inode)
            await self._recorder.ask(Settle(replace(job.known.outcome, stat=now)))
        else:
            await self._looks.correct_ids(job.known, self._preparer.identity(metadata))
        self._publish(AlreadyThere(job.path, job.size, outdated))
        return True

    async def _settle_and_wait(self, outcome: Outcome) -> None:
        """Record the outcome and wait, so that instant outcomes do not outrun the ledger."""
        policy = self._filtering.digests.of(outcome)
        recorded = asyncio.Event()

        def heard(answer: Made) -> None:
            # What is recorded is published, even if the caller was cancelled.
            self._heard(answer)
            recorded.set()

        self._recorder.record(Settle(outcome, policy), heard)
        await recorded.wait()
