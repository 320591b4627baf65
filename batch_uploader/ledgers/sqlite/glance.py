"""What a ledger says about itself at a glance, without its lock; changes nothing.

Everything here blocks.
"""

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from batch_uploader.ledgers.sqlite import file, queries, schema
from batch_uploader.ledgers.sqlite.news import fact_of
from batch_uploader.ledgers.sqlite.place import application_of

_LEDGER_ID = "ledger_id"
_MARK_SIZE = 30
"""The characters of the mark that name the last run, without whether it goes on."""


class Glance(Struct, frozen=True):
    """Its ID, the facts that were asked for, and whether it knows recordings of the connection.

    Those that are proved not to be stored do not count. ``last`` names its last opening for
    writing: if it is the same, nothing was written since. ``within`` is whether any of the
    recordings is in the folder that was asked for, or below it.
    """

    ledger_id: str | None = None
    last: str | None = None
    facts: Mapping[str, str] = {}
    knows: bool = False
    within: bool = False


def glance_at(
    path: Path, connection_id: str | None, *, facts: Collection[str] = (), folder: str = ""
) -> Glance:
    """Look at a ledger; None stands for any connection, and "" for all folders.

    Raises LedgerError if it cannot be read.
    """
    with file.translated(path), closing(file.connect_reading(path)) as connection:
        told = {name: fact_of(connection, name) for name in facts}
        return Glance(
            fact_of(connection, _LEDGER_ID),
            _last(connection),
            {name: value for name, value in told.items() if value},
            _has(connection, *queries.select_any(connection_id)),
            _has(connection, *queries.select_any(connection_id, folder)),
        )


def is_ledger(path: Path) -> bool:
    """Whether a file is a ledger, as far as it can be read."""
    try:
        return path.is_file() and application_of(path) == schema.APPLICATION_ID
    except (OSError, sqlite3.Error):
        return False


def _last(connection: sqlite3.Connection) -> str | None:
    if connection.execute(queries.SELECT_MARK_TABLE).fetchone() is None:
        return None
    line = connection.execute(queries.SELECT_MARK).fetchone()
    return None if line is None or line[0] == schema.NO_MARK else str(line[0])[:_MARK_SIZE]


def _has(connection: sqlite3.Connection, query: str, values: Collection[str]) -> bool:
    return connection.execute(query, tuple(values)).fetchone() is not None
