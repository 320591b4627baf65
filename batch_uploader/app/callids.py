"""Whether ``--call-id`` names anything: one that is misspelt tells no calls apart."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from anyio import to_thread
from msgspec import json

from batch_uploader.app.newsettings import CALL_ID, Past
from batch_uploader.core.errors import SourceError
from batch_uploader.core.states import Action
from batch_uploader.core.text import printable
from batch_uploader.plan.batch import Job
from batch_uploader.plan.folders import FolderPlanner
from batch_uploader.prepare.prepare import Preparer

_SOME: Final = 20


def lacking(call_ids: str) -> str:
    """That no recording has these fields."""
    return (
        f"no recording to send has all of --call-id ({printable(call_ids)}),"
        " so it tells no calls apart; check --explain PATH shows what there is"
    )


async def lacks_call_ids(past: Past, preparer: Preparer, planner: FolderPlanner) -> bool:
    """Whether none of the first recordings to send has the named ID, if that was not used before.

    Raises SourceError, LedgerError.
    """
    ids = preparer.rules.call_ids
    runs = await past.runs(1) if ids.named else []
    if not ids.named or (runs and json.decode(runs[0].begin.settings).get(CALL_ID) == ids.text):
        return False
    jobs: list[Job] = []
    async with aclosing(planner.batches()) as batches:
        async for batch in batches:
            jobs += [job for job in batch.jobs if job.action is Action.UPLOAD]
            if len(jobs) >= _SOME:
                break
    return bool(jobs) and not await to_thread.run_sync(_any_named, preparer, jobs[:_SOME])


def _any_named(preparer: Preparer, jobs: Sequence[Job]) -> bool:
    """Whether one of them has it, or cannot be told."""
    described = 0
    for job in jobs:
        try:
            metadata = preparer.describer.describe(job.bundle)
        except SourceError:
            continue
        if isinstance(metadata, tuple):
            continue
        described += 1
        if preparer.identity(metadata).named_id:
            return True
    return not described
