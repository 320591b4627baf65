"""The SQL statements on the ledger's records."""

# ruff: noqa: S608 - only our own constants are put together here; values are parameters

from collections.abc import Collection
from typing import Final

from batch_uploader.core.identity import Cause
from batch_uploader.core.records import Likeness, Record
from batch_uploader.core.states import (
    AT_REST,
    FORGETTABLE,
    LASTING,
    MAYBE_STORED,
    NEEDS_ATTENTION,
    WAITS,
    Status,
)
from batch_uploader.ledgers.sqlite.encoding import COLUMNS, NAMES, encode
from batch_uploader.ledgers.sqlite.schema import (
    AUDIO,
    COMPARED,
    DEFAULT_ID,
    DOUBTED,
    ESSENCE,
    HAS_DEFAULT_ID,
    HAS_ESSENCE,
    HAS_NAMED_ID,
    METADATA,
    NAMED_ID,
    NO_ESSENCE,
    POSSIBLE,
    STORED,
    TALK,
)
from batch_uploader.ledgers.store import RELATIVES


def among(statuses: Collection[Status]) -> str:
    """The SQL condition that a row is in one of these states.

    With sorted literals, so that SQLite can match it with a partial index.
    """
    return f"status IN ({', '.join(sorted(repr(each.value) for each in statuses))})"


def _same(name: str, index: str, has: str) -> str:
    """The SQL condition that a row has the same digest, for the index on a part of it."""
    return f"{name} = :{name} AND {index} = {index.replace(name, f':{name}')} AND {has}"


_CLAIMED: Final = repr(Status.CLAIMED.value)
_LEFT_OUT: Final = among({Status.LEFT_OUT})
RANGES: Final = 3
NO_RANGE: Final = (b"\1", b"\0")
_STILL_LEFT_OUT: Final = f"{_LEFT_OUT} AND ({' OR '.join(['policy BETWEEN ? AND ?'] * RANGES)})"
"""By the ranges of digests under which something is left out, as many as a query has."""
_MINE: Final = "path = ? AND connection_id = ?"
_NAMED: Final = "path = :path AND connection_id = :connection_id"
_KEY: Final = {"path", "connection_id"}
_ALL_COLUMNS: Final = f"folder, {COLUMNS}"
_SAME_AUDIO: Final = _same("sha256", AUDIO, "sha256 IS NOT NULL")
_SAME_ESSENCE: Final = _same("essence", ESSENCE, HAS_ESSENCE)
_SAME_DEFAULT_ID: Final = _same("default_id", DEFAULT_ID, HAS_DEFAULT_ID)
_HOLDS: Final = (
    f"{_SAME_AUDIO} AND {STORED} = 1 AND {NO_ESSENCE} IN (0, 1) AND +connection_id = :connection_id"
)
_SAME_METADATA: Final = (
    f"metadata = :metadata AND {METADATA} = {METADATA.replace('metadata', ':metadata')}",
    f"metadata IS NULL AND {METADATA} IS NULL",
)

SELECT_CURRENT: Final = f"SELECT {COLUMNS} FROM recordings WHERE {_MINE}"
COUNT: Final = f"SELECT count(*) FROM recordings WHERE connection_id = ? AND NOT {among(WAITS)}"
SELECT_FOLDER: Final = f"SELECT {COLUMNS} FROM recordings WHERE connection_id = ? AND folder = ?"
_IN_FOLDER: Final = "FROM recordings WHERE connection_id = ? AND folder = ?"
_AUDIO_MARKS: Final = (
    "path",
    # NULL unless it is at rest, so that it equals no file's size.
    f"CASE WHEN {among(AT_REST)} OR {_STILL_LEFT_OUT} THEN size END",
    *("mtime_ns", "ctime_ns", "inode"),
)
_SIDECAR_MARKS: Final = (
    "iif(folder = '', sidecar, folder || '/' || sidecar)",
    *("sidecar_size", "sidecar_mtime_ns", "sidecar_ctime_ns", "sidecar_inode"),
)
SELECT_AUDIO: Final = {by: f"SELECT {', '.join(_AUDIO_MARKS[:by])} {_IN_FOLDER}" for by in Likeness}
SELECT_SIDECARS: Final = {
    by: f"SELECT {', '.join(_SIDECAR_MARKS[:by])} {_IN_FOLDER} AND sidecar IS NOT NULL"
    for by in Likeness
}
COUNT_LEFT_OUT: Final = (
    f"SELECT failure_code, count(*) {_IN_FOLDER} AND {_LEFT_OUT} GROUP BY failure_code"
)
SELECT_CLAIMED: Final = (
    f"SELECT {COLUMNS} FROM recordings WHERE connection_id = ? AND status = {_CLAIMED}"
)
SELECT_DOUBTS: Final = (
    f"SELECT {COLUMNS} FROM recordings WHERE +connection_id = ? AND {DOUBTED}"
    f" AND {among({Status.IN_DOUBT})} ORDER BY path"
)
SELECT_LACKING_IDS: Final = (
    "SELECT 1 FROM recordings WHERE +connection_id = ? AND default_id IS NULL"
    f" AND {among(MAYBE_STORED)} LIMIT 1"
)
SELECT_CANARIES: Final = (
    "SELECT upload_key, talk_id, claimed_seq FROM recordings WHERE connection_id = ?"
    " AND stamp_field = ? AND stamp_field IS NOT NULL AND answered_seq IS NOT NULL"
    " AND claimed_seq > 0 ORDER BY claimed_seq DESC LIMIT ?"
)
SELECT_HOLDER: Final = {
    # One query for known and one for unknown metadata: the same audio may exist thousands of times.
    table: " UNION ALL ".join(
        f"SELECT {COLUMNS}, id FROM {table} WHERE {_HOLDS} AND {metadata}"
        for metadata in _SAME_METADATA
    )
    + " ORDER BY path LIMIT 1"
    for table in ("recordings", "superseded")
}
_EXTENSION: Final = "substr(path, length(:stem) + 2)"
_AT_PLACE: Final = (
    "path >= :stem || '.' AND path < :stem || '/'"
    f" AND NOT instr({_EXTENSION}, '.') AND NOT instr({_EXTENSION}, '/')"
)
_KINDS: Final = {
    # Those with an essence are found by that, unless the new one has none.
    "sha256": f"{_SAME_AUDIO} AND {STORED} IN (0, 1)"
    f" AND {NO_ESSENCE} IN (1, :essence IS NOT NULL) AND {COMPARED}",
    "essence": f"{_SAME_ESSENCE} AND {COMPARED} = 1",
    "default_id": f"{_SAME_DEFAULT_ID} AND {COMPARED} = 1",
    "named_id": f"{_same('named_id', NAMED_ID, HAS_NAMED_ID)} AND {COMPARED} = 1",
    "place": f"{_AT_PLACE} AND ({COMPARED} OR {POSSIBLE})",
    "stem": f"path = :stem AND {COMPARED}",
}
"""What makes two recordings relatives, by the field that must not be empty."""
SELECT_RELATIVES: Final = {
    table: {
        kind: f"SELECT {COLUMNS}, id FROM {table} WHERE {like} AND +connection_id = :connection_id"
        # The index of contents is not sorted by age.
        f"{'' if kind == 'sha256' else ' ORDER BY id DESC'} LIMIT {RELATIVES}"
        for kind, like in _KINDS.items()
    }
    for table in ("recordings", "superseded")
}
SELECT_SUPERSEDED: Final = (
    f"SELECT {COLUMNS} FROM superseded WHERE {_NAMED} AND (sha256 = :sha256 OR essence = :essence)"
    " ORDER BY id DESC LIMIT 1"
)
SELECT_IDS_OF: Final = (
    "SELECT DISTINCT default_id FROM ("
    + " UNION ALL ".join(
        f"SELECT * FROM (SELECT default_id FROM {table} WHERE {_SAME_ESSENCE}"
        f" AND {COMPARED} = {compared} AND +connection_id = :connection_id"
        " ORDER BY id DESC LIMIT 200)"
        for table, compared in (("recordings", 1), ("recordings", 0), ("superseded", 1))
    )
    + f") WHERE {HAS_DEFAULT_ID} LIMIT 3"
)
SELECT_HELD_IDS: Final = (
    f"SELECT default_id FROM recordings WHERE {POSSIBLE} AND +connection_id = ?"
    f" AND cause = '{Cause.SAME_DEFAULT_ID.value}' AND +{HAS_DEFAULT_ID}"
    " GROUP BY default_id ORDER BY count(*) DESC, default_id"
)
SELECT_SAME_AUDIO: Final = (
    f"SELECT path FROM recordings WHERE +connection_id = ? AND {among({Status.DUPLICATE})}"
    f" AND cause = '{Cause.SAME_AUDIO.value}' AND {HAS_DEFAULT_ID}"
    " AND duplicate_of IS NOT NULL ORDER BY path"
)
COUNT_IDS: Final = (
    "SELECT count(DISTINCT default_id) FROM recordings"
    f" WHERE +connection_id = ? AND {HAS_DEFAULT_ID}"
)
SELECT_WITH_DEFAULT_ID: Final = (
    " UNION ALL ".join(
        f"SELECT {COLUMNS} FROM {table} WHERE {_SAME_DEFAULT_ID}"
        " AND +connection_id = :connection_id"
        for table in ("recordings", "superseded")
    )
    + " ORDER BY path LIMIT 1000"
)
SELECT_OF_TALK: Final = (
    # "+" keeps SQLite from using another index.
    " UNION ALL ".join(
        f"SELECT {COLUMNS} FROM {table} WHERE {TALK} = {TALK.replace('talk_id', ':talk_id')}"
        " AND talk_id IS NOT NULL AND +talk_id = :talk_id AND +connection_id = :connection_id"
        for table in ("recordings", "superseded")
    )
    + " LIMIT 1"
)
SELECT_ANYTHING: Final = {
    (past, named): " UNION ALL ".join(
        f"SELECT 1 FROM {table} WHERE {at}"
        for table in (("recordings", "superseded") if past else ("recordings",))
        for kind, at in (("path", _NAMED), *_KINDS.items())
        if named or kind != "named_id"
    )
    for past in (False, True)
    for named in (False, True)
}
"""Whether there is any relative of a recording: for nearly all claims there is none.

By whether there are superseded records, and whether the recording has a named ID.
"""
SELECT_ANY_PARTS: Final = "SELECT 1 FROM parts LIMIT 1"
PUT_PART: Final = (
    "INSERT OR IGNORE INTO parts (place, essence, record, connection_id) VALUES (?, ?, ?, ?)"
)
SELECT_MADE_OF: Final = {
    # The records say what they are made of now; the table only leads to them.
    table: f"SELECT {COLUMNS}, id FROM {table} WHERE path IN ("
    "SELECT record FROM parts WHERE place = :stem AND connection_id = :connection_id UNION "
    "SELECT record FROM parts WHERE essence = :essence AND essence > x''"
    " AND connection_id = :connection_id)"
    f" AND connection_id = :connection_id AND parts IS NOT NULL AND {COMPARED}"
    f" ORDER BY id DESC LIMIT {RELATIVES}"
    for table in ("recordings", "superseded")
}
"""The recordings of which a file at this place, or with this audio, is a part."""
SELECT_PART: Final = {
    table: tuple(
        f"SELECT {COLUMNS}, id FROM {table} WHERE {like} AND +connection_id = :connection_id"
        f" ORDER BY id DESC LIMIT {RELATIVES}"
        for like in (f"{_AT_PLACE} AND {COMPARED}", _KINDS["stem"], _KINDS["essence"])
    )
    for table in ("recordings", "superseded")
}
"""The recordings that are such a file themselves."""
SELECT_PAST: Final = "SELECT 1 FROM superseded LIMIT 1"
SELECT_STORED: Final = (
    " UNION ALL ".join(
        f"SELECT {COLUMNS}, {current} AS current, id FROM {table}"
        f" WHERE {_NAMED} AND {among(MAYBE_STORED)}"
        for table, current in (("recordings", 1), ("superseded", 0))
    )
    + " ORDER BY current DESC, id DESC LIMIT 1"
)
PUT: Final = (
    f"INSERT INTO recordings ({_ALL_COLUMNS}) VALUES (?{', ?' * len(NAMES)})"
    " ON CONFLICT (path, connection_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in NAMES if column not in _KEY)
)
RENEW: Final = (
    "UPDATE recordings SET ctime_ns = ?, inode = ?, sidecar_ctime_ns = ?, sidecar_inode = ?"
    f" WHERE {_MINE} AND status <> {_CLAIMED} AND size = ? AND mtime_ns = ? AND sidecar IS ?"
    " AND sidecar_size = ? AND sidecar_mtime_ns = ? AND about IS ?"
)
DROP: Final = f"DELETE FROM recordings WHERE {_MINE}"
SUPERSEDE: Final = (
    f"INSERT INTO superseded ({_ALL_COLUMNS}) SELECT {_ALL_COLUMNS} FROM recordings WHERE {_MINE}"
)
_LATEST: Final = f"(SELECT max(id) FROM superseded WHERE {_MINE} AND sha256 = ?)"
RESTORE: Final = (
    f"INSERT INTO recordings ({_ALL_COLUMNS}) SELECT {_ALL_COLUMNS} FROM superseded"
    f" WHERE id = {_LATEST}"
)
DROP_RESTORED: Final = f"DELETE FROM superseded WHERE id = {_LATEST}"
DROP_DUPLICATES: Final = (
    "DELETE FROM recordings WHERE duplicate_of = ? AND duplicate_of IS NOT NULL"
    f" AND +connection_id = ? AND {among({Status.DUPLICATE})}"
)

SELECT_MARK_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'mark'"
SELECT_MARK: Final = "SELECT run FROM mark WHERE id = 1"
UPDATE_MARK: Final = "UPDATE mark SET run = ? WHERE id = 1"
SELECT_FACTS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'facts'"
SEQUENCE: Final = "sequence"
"""The fact with the highest sequence number that is reserved."""
SELECT_FACT: Final = "SELECT value FROM facts WHERE name = ?"
PUT_FACT: Final = "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)"
DROP_FACT: Final = "DELETE FROM facts WHERE name = ?"

COUNT_ATTENTION: Final = (
    f"SELECT status, coalesce(iif({POSSIBLE}, cause, failure_code), ''), count(*) FROM recordings"
    f" WHERE connection_id = ? AND {among(NEEDS_ATTENTION)}"
    " GROUP BY 1, 2"
)
"""What needs a human, by status and kind."""
COUNT_NEW_ATTENTION: Final = COUNT_ATTENTION.replace(
    "count(*)",
    f"count(*), sum({among(LASTING)} AND coalesce(doubt_wall_ns, settled_at_ns) >= ?)",
)
"""And how many of each lasting kind arose since then."""

SELECT_CONNECTIONS: Final = (
    "SELECT connection_id FROM recordings UNION SELECT connection_id FROM superseded ORDER BY 1"
)


def select_rows(
    connection_id: str | None, statuses: frozenset[Status] | None
) -> tuple[str, tuple[str, ...]]:
    """All rows sorted by path, those of one path by age, with the parameters.

    None does not filter.
    """
    where, values = _filter(connection_id, statuses)
    query = (
        f"SELECT {COLUMNS}, 0 AS current, id FROM superseded{where}"
        f" UNION ALL SELECT {COLUMNS}, 1, id FROM recordings{where}"
        " ORDER BY path, connection_id, current, id"
    )
    return query, values * 2


def select_any(connection_id: str | None, folder: str = "") -> tuple[str, tuple[str, ...]]:
    """Whether there is any recording that is more than a failure, in a folder or below it if given.

    What is proved not to be stored may be sent from anywhere.
    """
    terms, values = [f"NOT {among(FORGETTABLE)}"], []
    if connection_id is not None:
        terms.append("connection_id = ?")
        values.append(connection_id)
    if folder:
        # "0" is the character after "/".
        terms.append("(folder = ? OR folder > ? AND folder < ?)")
        values += [folder, f"{folder}/", f"{folder}0"]
    query = " UNION ALL ".join(
        f"SELECT * FROM (SELECT 1 FROM {table} WHERE {' AND '.join(terms)} LIMIT 1)"
        for table in ("recordings", "superseded")
    )
    return query, (*values, *values)


def select_counts(connection_id: str | None) -> tuple[str, tuple[str, ...]]:
    """Status, number of rows, bytes and seconds, with the parameters."""
    where, values = _filter(connection_id, None)
    query = (
        "SELECT status, count(*), sum(size), total(duration) FROM"
        f" (SELECT status, size, duration FROM recordings{where}"
        f" UNION ALL SELECT status, size, duration FROM superseded{where}) GROUP BY status"
    )
    return query, values * 2


def select_left_out(connection_id: str | None) -> tuple[str, tuple[str, ...]]:
    """Filter and number of what is left out, with the parameters."""
    where, values = _filter(connection_id, frozenset({Status.LEFT_OUT}))
    query = f"SELECT failure_code, count(*) FROM recordings{where} GROUP BY failure_code"
    return query, values


def _filter(
    connection_id: str | None, statuses: frozenset[Status] | None
) -> tuple[str, tuple[str, ...]]:
    terms, values = [], []
    if connection_id is not None:
        terms.append("+connection_id = ?")  # "+": use only the index that sorts by path
        values.append(connection_id)
    if statuses is not None:
        terms.append(among(statuses))
    return f" WHERE {' AND '.join(terms)}" if terms else "", tuple(values)


def update(before: Record, after: Record) -> tuple[str, tuple[object, ...]]:
    """The statement that replaces a record by another one of its path, with the parameters.

    Writes only the columns that differ, so that other indexes are not touched.
    """
    pairs = zip(NAMES, encode(before), encode(after), strict=True)
    changed = {name: new for name, old, new in pairs if old != new} or {"path": after.path}
    query = f"UPDATE recordings SET {' = ?, '.join(changed)} = ? WHERE {_MINE}"
    return query, (*changed.values(), after.path, after.connection_id)
