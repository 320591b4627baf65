"""What several commands ask about a directory and its ledger before they begin."""

import os
import stat
from pathlib import Path

from batch_uploader.errors import LedgerError, SourceError
from batch_uploader.ledgers.sqlite import LedgerReader
from batch_uploader.settings import Places, Settings, refusal


def own_files(settings: Settings) -> list[Path]:
    """What may lie among the recordings and is none of them."""
    places = settings.places()
    files = (places.ledger, places.manifest, settings.path("log-file"), settings.file)
    return [file for file in files if file is not None]


def demand_directory(directory: Path) -> None:
    """Raise SourceError unless there is such a directory.

    Asked first, so that no ledger is made where somebody mistyped a name.
    """
    try:
        mode = directory.stat().st_mode
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise SourceError(
            f"the directory {directory} cannot be read ({reason}); check its name and the mount"
        ) from error
    if not stat.S_ISDIR(mode):
        raise SourceError(f"{directory} is not a directory; name the one with the recordings")


def demand_ledger(places: Places) -> None:
    """Raise LedgerError unless there is a ledger already."""
    if not places.ledger.exists():
        error = LedgerError(f"there is no ledger {places.ledger}: nothing was uploaded with it yet")
        error.add_note("begin with batch-uploader upload, or name the right one with --ledger")
        raise error


async def the_connection(places: Places) -> str | None:
    """The connection that was named, or else the only one that the ledger knows.

    None if there is no ledger, or nothing in it. Raises ConfigError if it could be several.
    """
    if places.connection_id is not None or not places.ledger.exists():
        return places.connection_id
    async with LedgerReader(places.ledger) as reader:
        known = await reader.connections()
    if len(known) > 1:
        raise refusal(
            f"the ledger {places.ledger} is about more than one connection",
            f"name one with --connection-id: {', '.join(known)}",
        )
    return known[0] if known else None
