"""Refuses a directory without recordings where some should be: its share may not be mounted.

Called before anything is made: in an empty mount point a ledger or a manifest would lie below the
share, once that is back.
"""

import os
from contextlib import aclosing

from anyio import to_thread

from batch_uploader.app.passed_over import looks_like_audio, ways_to_take
from batch_uploader.app.places import Places
from batch_uploader.core.errors import CommandHint, LedgerError, SourceError
from batch_uploader.core.model import PassedOver
from batch_uploader.core.states import WAITS
from batch_uploader.core.text import plural, printable
from batch_uploader.ledgers.sqlite import LedgerReader
from batch_uploader.plan.passed_over import OtherFiles
from batch_uploader.run.absence import ALLOWS_EMPTY
from batch_uploader.sources.directory import DirectorySource

MOUNT = "check the mount"
ON_PURPOSE = CommandHint(
    "if files leave this directory on purpose, say so once", "upload", "--allow-empty"
)
_NAMES = "check the extensions: wav, mp3, ogg, oga and opus are taken, and what --include adds"


async def require_recordings(places: Places, source: DirectorySource, *, allowed: bool) -> None:
    """Raise SourceError if the directory is empty, and no ledger says that it may be.

    It may be with ``allowed``, with a ledger in which that is on record, and with one that has no
    recordings.
    """
    if allowed or await to_thread.run_sync(source.holds_anything):
        return
    directory = printable(os.fspath(places.directory))
    others = await _others_in(source)
    what = f": {looks_like_audio(others)}" if others else ""
    ways = ways_to_take(others, os.fspath(places.directory))
    if not places.ledger.exists():
        raise SourceError(
            f"the directory {directory} has no recordings{what}",
            hint=[
                *(ways if others else (MOUNT, _NAMES)),
                CommandHint("if it is to have none at first", "upload", "--allow-empty"),
            ],
        )
    try:
        async with LedgerReader(places.ledger) as reader:
            if await reader.fact(ALLOWS_EMPTY) is not None:
                return
            totals = await reader.counts()
    except LedgerError:
        return  # the run says what is wrong with it
    known = sum(totals[each].recordings for each in totals if each not in WAITS)
    if known:
        raise SourceError(
            f"the directory {directory} has no recordings, and its ledger has"
            f" {plural(known, 'recording')} on record{what}",
            hint=[MOUNT, *ways, ON_PURPOSE],
        )


async def _others_in(source: DirectorySource) -> tuple[PassedOver, ...]:
    """The files that look like audio and are not taken."""
    others = OtherFiles()
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            await others.sort_out(source, listing, counted=True)
    return others.found()
