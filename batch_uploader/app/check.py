"""What a run would do, without sending or hashing anything: the whole of ``check``."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from anyio import to_thread
from msgspec import Struct

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Defect
from batch_uploader.core.states import Action
from batch_uploader.plan.folders import Batch, FolderPlanner, Job
from batch_uploader.prepare.prepare import Preparer

_AT_ONCE = 64
"""Looking into a file takes less than crossing to a thread, so many cross together."""


class Finding(Struct, frozen=True):
    """What a look into one recording found: audio that would go up, or defects."""

    path: str
    size: int
    audio: AudioInfo | None
    defects: tuple[Defect, ...] = ()


async def survey(
    planner: FolderPlanner, preparer: Preparer
) -> AsyncGenerator[tuple[Batch, list[Finding]]]:
    """Each folder's decisions, with its recordings looked into, some at a time.

    A batch comes once, with its first findings; an empty one carries the others. Raises
    SourceError if the root cannot be read.
    """
    async with aclosing(planner.batches()) as batches:
        async for batch in batches:
            jobs = [job for job in batch.jobs if job.action is Action.UPLOAD]
            yield batch, await _inspect(preparer, jobs[:_AT_ONCE])
            for start in range(_AT_ONCE, len(jobs), _AT_ONCE):
                found = await _inspect(preparer, jobs[start : start + _AT_ONCE])
                yield Batch(batch.folder), found


async def _inspect(preparer: Preparer, jobs: Sequence[Job]) -> list[Finding]:
    return await to_thread.run_sync(lambda: [_finding(preparer, job) for job in jobs])


def _finding(preparer: Preparer, job: Job) -> Finding:
    try:
        seen = preparer.inspect(job.pair)
    except SourceError as error:
        cure = "see that it can be read, then check again"
        return Finding(
            job.path, job.size, None, (Defect(job.path, "unreadable", str(error), cure),)
        )
    if isinstance(seen, AudioInfo):
        return Finding(job.path, job.size, seen)
    return Finding(job.path, job.size, None, seen)
