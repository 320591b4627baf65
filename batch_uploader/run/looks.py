"""Compares files that may have been touched with their records."""

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.changes import Learn, LearnIdentity, Settle
from batch_uploader.core.errors import SourceError
from batch_uploader.core.events import Compared, Comparison, Listener, Settled
from batch_uploader.core.identity import Identity
from batch_uploader.core.model import Fingerprint, Outcome, Recording, Version
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.plan.batch import Job
from batch_uploader.plan.decide import is_acknowledged
from batch_uploader.prepare.bundle import version_of
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.run.recorder import Recorder


class Looks(Struct, frozen=True):
    """Compares, publishes and records the results, so that each file is compared once."""

    preparer: Preparer
    recorder: Recorder
    publish: Listener

    @property
    def _policy(self) -> bytes:
        return self.preparer.rules.digest()

    async def is_other(self, job: Job) -> bool:
        """Whether the files of a recording at rest have other content. Raises LedgerError."""
        if job.known is None:
            return True
        before, now = job.known.outcome, version_of(job.bundle)
        try:
            found, ids = await to_thread.run_sync(
                Comparer(self.preparer).compare, job.bundle, job.known
            )
        except SourceError:
            # A file that became unreadable keeps its talk.
            found, ids = Comparison.UNREAD, None
        if found is Comparison.OUTDATED and before.status is not Status.UPLOADED:
            # Another call with the same audio, unless a human decided otherwise.
            found = Comparison.CHANGED if before.status is Status.DUPLICATE else Comparison.SAME
        if found is Comparison.SAME and before.stat.is_like(now):
            await self._learn(job.path, now)
        elif found is Comparison.SAME and before.status is Status.UPLOADED:
            await self._settle(replace(before, stat=now))
        elif found in {Comparison.SAME, Comparison.OUTDATED}:
            # The new metadata are not recorded, so they are reported each time.
            seen = replace(before.stat, ctime_ns=now.ctime_ns, inode=now.inode)
            await self._learn(job.path, seen)
        if found is Comparison.OUTDATED and ids is not None:
            await self.correct_ids(job.known, ids)
        self.publish(Compared(job.path, job.size, found))
        return found is Comparison.CHANGED

    async def still_rejected(self, job: Job, recording: Recording) -> bool:
        """Whether it is the same recording that was rejected, and its files were only touched.

        A human may have seen that, under other settings.
        """
        known = job.known
        if known is None or not (known.status is Status.REJECTED or is_acknowledged(known)):
            return False
        before = Fingerprint(known.sha256 or b"", known.metadata or b"")
        if recording.fingerprint != before or not known.stat.is_like(recording.stat):
            return False
        if is_acknowledged(known):
            again = Settle(replace(known.outcome, stat=recording.stat), self._policy)
            await self.recorder.ask(again)
        else:
            await self._learn(job.path, recording.stat)
        self.publish(Settled(known.outcome))
        return True

    async def correct_ids(self, known: Record, ids: Identity) -> None:
        """Record the IDs of a talk with new metadata: by these its file is known from now on."""
        pairs = (ids.default_id, known.default_id), (ids.named_id, known.named_id)
        if any(now and now != before for now, before in pairs):
            await self.recorder.ask(LearnIdentity(known.path, known.stat, ids, corrected=True))

    async def _settle(self, outcome: Outcome) -> None:
        await self.recorder.ask(Settle(outcome))

    async def _learn(self, path: str, stat: Version) -> None:
        await self.recorder.ask(Learn(path, stat))
