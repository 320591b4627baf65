"""A ledger's facts about itself, and the lines of a manifest that it lacks."""

# ruff: noqa: S608 - only our own constants are put together here; values are parameters

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from batch_uploader.core.records import Record
from batch_uploader.core.states import MAYBE_STORED, STANDING
from batch_uploader.ledgers.sqlite import queries
from batch_uploader.ledgers.store import taken_back

_SELECT_TALK: Final = " UNION ALL ".join(
    f"SELECT 1 FROM {table} WHERE path = ?1 AND connection_id = ?2 AND talk_id = ?3"
    for table in ("recordings", "superseded")
)
_SELECT_TALKS: Final = " UNION ALL ".join(
    f"SELECT talk_id FROM {table} WHERE talk_id IN (SELECT value FROM json_each(?1))"
    for table in ("recordings", "superseded")
)
"""Those of these talks, a JSON array, that are on record at any path: a scan of both tables."""
_SELECT_STANDING: Final = " UNION ALL ".join(
    f"SELECT 1 FROM {table} WHERE path = ?1 AND connection_id = ?2 AND {queries.among(STANDING)}"
    " AND coalesce(sha256 = ?3, TRUE)"
    for table in ("recordings", "superseded")
)
"""Whether a path has a content, or may have it: some records have no digest."""


def fact_of(connection: sqlite3.Connection, name: str) -> str | None:
    """A fact by its name; a ledger of an older version has none."""
    if connection.execute(queries.SELECT_FACTS_TABLE).fetchone() is None:
        return None
    return current_fact(connection, name)


def current_fact(connection: sqlite3.Connection, name: str) -> str | None:
    """The same, for a ledger that is known to be of this version: one query less."""
    line = connection.execute(queries.SELECT_FACT, (name,)).fetchone()
    return None if line is None else str(line[0])


def unheard_of(connection: sqlite3.Connection, rows: Sequence[Record]) -> list[Record]:
    """Those of these lines that the ledger lacks."""
    news = [row for row in rows if row.status in MAYBE_STORED and not _stands(connection, row)]
    talks = json.dumps([row.talk_id for row in news if row.talk_id is not None])
    if talks == "[]":
        return news
    # A talk that is not at its path may be at another. Rarely needed, so without an index.
    elsewhere = {talk_id for (talk_id,) in connection.execute(_SELECT_TALKS, (talks,))}
    return [
        row
        for row in news
        if row.talk_id not in elsewhere
        and not (row.talk_id and fact_of(connection, taken_back(row.talk_id)))
    ]


def _stands(connection: sqlite3.Connection, row: Record) -> bool:
    talk = row.talk_id is not None
    query = _SELECT_TALK if talk else _SELECT_STANDING
    values = (row.path, row.connection_id, row.talk_id if talk else row.sha256)
    return connection.execute(query, values).fetchone() is not None
