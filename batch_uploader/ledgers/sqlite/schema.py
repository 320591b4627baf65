"""The ledger's tables, and how a record becomes a line of them and back: SQL, but no SQLite.

``recordings`` holds the current record of each path, ``superseded`` the talks whose paths hold
something else by now. Text is UTF-8 and compared byte by byte, which is the order of code points.
"""

# ruff: noqa: S608 - what is put together here are our own constants; values are parameters

from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec.structs import astuple

from batch_uploader.core.model import Container, Failure, Stat, Timestamp
from batch_uploader.core.records import Likeness, Record
from batch_uploader.core.states import AT_REST, MAYBE_STORED, Status
from batch_uploader.ledgers.sqlite import runs

APPLICATION_ID: Final = 0x42555064
"""Tells a ledger from any other SQLite file: "BUPd"."""

_HEAD: Final = Record.__struct_fields__.index("first_miss") + 1
"""So many fields of a record come first and are not all written as they are; the others are."""
_NAMES: Final = (
    *("path", "status", "container"),
    *Stat.__struct_fields__,
    *(f"failure_{field}" for field in Failure.__struct_fields__),
    *(f"doubt_{field}" for field in Timestamp.__struct_fields__),
    *(f"missed_{field}" for field in Timestamp.__struct_fields__),
    *("upload_key" if field == "key" else field for field in Record.__struct_fields__[_HEAD:]),
)
COLUMNS: Final = ", ".join(_NAMES)


def _places(first: str, count: int) -> slice:
    return slice(start := _NAMES.index(first), start + count)


_STAT: Final = _places("size", len(Stat.__struct_fields__))
_FAILURE: Final = _places("failure_code", len(Failure.__struct_fields__))
_SINCE: Final = _places("doubt_wall_ns", len(Timestamp.__struct_fields__))
_MISSED: Final = _places("missed_wall_ns", len(Timestamp.__struct_fields__))
_REST: Final = slice(_MISSED.stop, len(_NAMES))
_DEFINITIONS: Final = """
    id INTEGER PRIMARY KEY,
    connection_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    path TEXT NOT NULL,
    status TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sidecar TEXT,
    sidecar_size INTEGER NOT NULL,
    sidecar_mtime_ns INTEGER NOT NULL,
    sha256 BLOB,
    metadata BLOB,
    upload_key TEXT,
    policy BLOB,
    duration REAL,
    container TEXT,
    attempts INTEGER NOT NULL,
    talk_id TEXT,
    duplicate_of TEXT,
    failure_code TEXT,
    failure_message TEXT,
    failure_request_id TEXT,
    claimed_at_ns INTEGER,
    settled_at_ns INTEGER,
    CHECK (status <> 'uploaded' OR (talk_id IS NOT NULL AND sha256 IS NOT NULL))
"""

_DOUBTED: Final = "status IN ('conflict', 'in_doubt')"
_SINCE_2: Final = (
    "stamp_field TEXT",
    "doubt_wall_ns INTEGER",
    "doubt_boot TEXT",
    "doubt_boot_ns INTEGER",
    "missed_wall_ns INTEGER",
    "missed_boot TEXT",
    "missed_boot_ns INTEGER",
)
_SINCE_5: Final = (
    "ctime_ns INTEGER",
    "inode INTEGER",
    "sidecar_ctime_ns INTEGER",
    "sidecar_inode INTEGER",
    "claimed_seq INTEGER",
    "answered_seq INTEGER",
    "doubt_seq INTEGER",
)
_SINCE_6: Final = ("owner INTEGER",)

_AUDIO: Final = "substr(sha256, 1, 5)"
_METADATA: Final = "substr(metadata, 1, 3)"
_TALK: Final = "substr(talk_id, -6)"
_CONTENT: Final = f"{_AUDIO}, {_METADATA}"
"""How a content is found: by so much of both digests that hardly any two share it."""

NO_MARK: Final = "0" * 40
"""The mark has a page of its own, and always this length: to write it changes one sector."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        f"CREATE TABLE recordings ({_DEFINITIONS}, UNIQUE (path, connection_id))",
        f"CREATE TABLE superseded ({_DEFINITIONS})",
        "CREATE INDEX recordings_folder ON recordings (connection_id, folder)",
        "CREATE INDEX recordings_content ON recordings (sha256, metadata) WHERE sha256 IS NOT NULL",
        "CREATE INDEX recordings_claimed ON recordings (connection_id) WHERE status = 'claimed'",
        f"CREATE INDEX recordings_doubted ON recordings (path) WHERE {_DOUBTED}",
        "CREATE INDEX superseded_path ON superseded (path, connection_id)",
        "CREATE INDEX superseded_content ON superseded (sha256, metadata)",
    ),
    # 2: what is in doubt can be searched for, and since when it is so is known.
    (
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_2),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_2),
        (
            "CREATE INDEX recordings_doubts ON recordings (connection_id, path)"
            " WHERE status = 'in_doubt'"
        ),
        (
            "CREATE INDEX recordings_stamped ON recordings (connection_id, stamp_field, "
            "settled_at_ns) WHERE status = 'uploaded' AND stamp_field IS NOT NULL"
        ),
    ),
    # 3: one index for both questions about doubts; for the order of the rows SQLite takes none but
    # a unique one. Not every ledger of version 1 had one.
    (
        "DROP INDEX recordings_doubts",
        "DROP INDEX IF EXISTS recordings_doubted",
        (
            "CREATE UNIQUE INDEX recordings_doubted ON recordings (path, connection_id)"
            f" WHERE {_DOUBTED}"
        ),
    ),
    # 4: a quarter of the pages. Digests come in no order, so each claim writes another one, and
    # those of whole digests soon were more than any cache holds.
    (
        "DROP INDEX recordings_content",
        "DROP INDEX superseded_content",
        f"CREATE INDEX recordings_content ON recordings ({_CONTENT}) WHERE sha256 IS NOT NULL",
        f"CREATE INDEX superseded_content ON superseded ({_CONTENT})",
    ),
    # 5: what the ledger knows of itself; what else tells a file from another one; and the order in
    # which claims, answers and doubts came, by a count that no clock sets.
    (
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE mark (id INTEGER PRIMARY KEY, run TEXT NOT NULL)",
        f"INSERT INTO mark VALUES (1, '{NO_MARK}')",
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_5),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_5),
        "DROP INDEX recordings_stamped",
        (
            "CREATE INDEX recordings_witnesses ON recordings (connection_id, stamp_field, "
            "claimed_seq) WHERE answered_seq IS NOT NULL AND stamp_field IS NOT NULL"
        ),
        # The end of a talk's ID alone, which few share: a third of the pages. IDs in no order cost
        # 8 KB more written for each recording, of 29, and 16 µs.
        f"CREATE INDEX recordings_talk ON recordings ({_TALK}) WHERE talk_id IS NOT NULL",
        f"CREATE INDEX superseded_talk ON superseded ({_TALK}) WHERE talk_id IS NOT NULL",
    ),
    # 6: whose a claim is, which a superseded talk never is; and the runs.
    (
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_6),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_6),
        runs.CREATE,
    ),
)
"""What leads from each version of the schema (its place in here) to the next."""


def view_of_older(version: int) -> Sequence[str]:
    """What has a reader see a table of an older version as one of today: what it lacks is NULL."""
    since = {2: _SINCE_2, 5: _SINCE_5, 6: _SINCE_6}
    lacking = [each for then, columns in since.items() if then > version for each in columns]
    names = ", ".join(f"NULL AS {column.split()[0]}" for column in lacking)
    return [
        f"CREATE TEMP VIEW {table} AS SELECT *, {names} FROM main.{table}"
        for table in ("recordings", "superseded")
        if names
    ]


def among(statuses: Collection[Status]) -> str:
    """The condition that a line is in one of these states.

    Spelled out and sorted, so that SQLite sees when an index holds just these.
    """
    return f"status IN ({', '.join(sorted(repr(each.value) for each in statuses))})"


_CLAIMED: Final = repr(Status.CLAIMED.value)
_MINE: Final = "path = ? AND connection_id = ?"
_NAMED: Final = "path = :path AND connection_id = :connection_id"
_ALL_COLUMNS: Final = f"connection_id, folder, {COLUMNS}"
_SAME_AUDIO: Final = f"sha256 = :sha256 AND {_AUDIO} = {_AUDIO.replace('sha256', ':sha256')}"
_HOLDS: Final = f"{_SAME_AUDIO} AND connection_id = :connection_id AND {among(MAYBE_STORED)}"
_SAME_METADATA: Final = (
    f"metadata = :metadata AND {_METADATA} = {_METADATA.replace('metadata', ':metadata')}",
    f"metadata IS NULL AND {_METADATA} IS NULL",
)

SELECT_CURRENT: Final = f"SELECT {COLUMNS} FROM recordings WHERE {_MINE}"
SELECT_FOLDER: Final = f"SELECT {COLUMNS} FROM recordings WHERE connection_id = ? AND folder = ?"
_IN_FOLDER: Final = "FROM recordings WHERE connection_id = ? AND folder = ?"
_AUDIO_MARKS: Final = (
    "path",
    # What is not at rest has no size, and so is like no file.
    f"CASE WHEN {among(AT_REST)} THEN size END",
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
SELECT_CLAIMED: Final = (
    f"SELECT {COLUMNS} FROM recordings WHERE connection_id = ? AND status = {_CLAIMED}"
)
SELECT_DOUBTS: Final = (
    f"SELECT {COLUMNS} FROM recordings WHERE +connection_id = ? AND {_DOUBTED}"
    f" AND {among({Status.IN_DOUBT})} ORDER BY path"
)
SELECT_CANARIES: Final = (
    "SELECT upload_key, talk_id, claimed_seq FROM recordings WHERE connection_id = ?"
    " AND stamp_field = ? AND stamp_field IS NOT NULL AND answered_seq IS NOT NULL"
    " AND claimed_seq > 0 ORDER BY claimed_seq DESC LIMIT ?"
)
SELECT_HOLDER: Final = (
    # One question for each kind of metadata: the same audio may be there thousands of times.
    " UNION ALL ".join(
        f"SELECT {COLUMNS} FROM {table} WHERE {_HOLDS} AND {metadata}"
        for table in ("recordings", "superseded")
        for metadata in _SAME_METADATA
    )
    + " ORDER BY path LIMIT 1"
)
SELECT_SUPERSEDED: Final = (
    f"SELECT {COLUMNS} FROM superseded WHERE {_NAMED} AND sha256 = :sha256 ORDER BY id DESC LIMIT 1"
)
SELECT_OF_TALK: Final = (
    # "+": no index but that one, and the end is not taken for known because the whole is.
    " UNION ALL ".join(
        f"SELECT {COLUMNS} FROM {table} WHERE {_TALK} = {_TALK.replace('talk_id', ':talk_id')}"
        " AND talk_id IS NOT NULL AND +talk_id = :talk_id AND +connection_id = :connection_id"
        for table in ("recordings", "superseded")
    )
    + " LIMIT 1"
)
SELECT_ANYTHING: Final = " UNION ALL ".join(
    f"SELECT 1 FROM {table} WHERE {at}"
    for table in ("recordings", "superseded")
    for at in (_NAMED, _SAME_AUDIO)
)
"""Whether anything stands at a path or for an audio: of nearly all that is claimed nothing does."""
PUT: Final = (
    f"INSERT INTO recordings ({_ALL_COLUMNS}) VALUES (?, ?{', ?' * len(_NAMES)})"
    " ON CONFLICT (path, connection_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _NAMES[1:])
)
RENEW: Final = (
    "UPDATE recordings SET ctime_ns = ?, inode = ?, sidecar_ctime_ns = ?, sidecar_inode = ?"
    f" WHERE {_MINE} AND status <> {_CLAIMED} AND size = ? AND mtime_ns = ? AND sidecar IS ?"
    " AND sidecar_size = ? AND sidecar_mtime_ns = ?"
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
    f"DELETE FROM recordings WHERE {_SAME_AUDIO} AND coalesce(metadata = :metadata, TRUE)"
    f" AND connection_id = :connection_id AND {among({Status.DUPLICATE})} AND duplicate_of = :path"
)

SELECT_MARK_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'mark'"
SELECT_MARK: Final = "SELECT run FROM mark WHERE id = 1"
UPDATE_MARK: Final = "UPDATE mark SET run = ? WHERE id = 1"
SELECT_FACTS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'facts'"
SEQUENCE: Final = "sequence"
"""The fact that says up to where places in the ledger's order are taken."""
SELECT_FACT: Final = "SELECT value FROM facts WHERE name = ?"
PUT_FACT: Final = "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)"
DROP_FACT: Final = "DELETE FROM facts WHERE name = ?"

SELECT_CONNECTIONS: Final = (
    "SELECT connection_id FROM recordings UNION SELECT connection_id FROM superseded ORDER BY 1"
)


def select_rows(
    connection_id: str | None, statuses: frozenset[Status] | None
) -> tuple[str, tuple[str, ...]]:
    """All lines sorted by path, those of one path by age, with the parameters.

    The first column is the connection. None stands for no choice.
    """
    where, values = _filter(connection_id, statuses)
    query = (
        f"SELECT connection_id, {COLUMNS}, 0 AS current, id FROM superseded{where}"
        f" UNION ALL SELECT connection_id, {COLUMNS}, 1, id FROM recordings{where}"
        " ORDER BY path, connection_id, current, id"
    )
    return query, values * 2


def select_counts(connection_id: str | None) -> tuple[str, tuple[str, ...]]:
    """Status, lines, bytes and seconds, with the parameters."""
    where, values = _filter(connection_id, None)
    query = (
        "SELECT status, count(*), sum(size), total(duration) FROM"
        f" (SELECT status, size, duration FROM recordings{where}"
        f" UNION ALL SELECT status, size, duration FROM superseded{where}) GROUP BY status"
    )
    return query, values * 2


def _filter(
    connection_id: str | None, statuses: frozenset[Status] | None
) -> tuple[str, tuple[str, ...]]:
    terms, values = [], []
    if connection_id is not None:
        terms.append("+connection_id = ?")  # "+": no index but the one that sorts by path
        values.append(connection_id)
    if statuses is not None:
        terms.append(among(statuses))
    return f" WHERE {' AND '.join(terms)}" if terms else "", tuple(values)


def update(before: Record, after: Record, connection_id: str) -> tuple[str, tuple[object, ...]]:
    """What puts a record in the place of another one of its path, with the parameters.

    Only what differs is written, so that the indexes on all else stay as they are.
    """
    pairs = zip(_NAMES, encode(before), encode(after), strict=True)
    changed = {name: new for name, old, new in pairs if old != new} or {"path": after.path}
    query = f"UPDATE recordings SET {' = ?, '.join(changed)} = ? WHERE {_MINE}"
    return query, (*changed.values(), after.path, connection_id)


def folder_of(path: str) -> str:
    """The folder that a path lies in, ``""`` for the root."""
    return path.rpartition("/")[0]


_STATUSES: Final = {status.value: status for status in Status}
_CONTAINERS: Final[dict[str | None, Container | None]] = {
    None: None,
    **{container.value: container for container in Container},
}


_NO_FAILURE: Final = (None,) * len(Failure.__struct_fields__)
_NO_TIME: Final = (None,) * len(Timestamp.__struct_fields__)


def encode(record: Record) -> tuple[object, ...]:
    """The values of ``COLUMNS``."""
    path, status, stat, container, failure, since, first_miss = (fields := astuple(record))[:_HEAD]
    return (
        path,
        status.value,
        None if container is None else container.value,
        *astuple(stat),
        *(_NO_FAILURE if failure is None else map(_text, astuple(failure))),
        *(_NO_TIME if since is None else astuple(since)),
        *(_NO_TIME if first_miss is None else astuple(first_miss)),
        *fields[_HEAD:],
    )


def decode(values: Sequence[Any]) -> Record:
    """A record from the values of ``COLUMNS``; whatever follows them is ignored.

    By place, since each run asks it of every file that there is.
    """
    return Record(
        values[0],
        _STATUSES[values[1]],
        Stat(*values[_STAT]),
        _CONTAINERS[values[2]],
        None if values[_FAILURE.start] is None else Failure(*values[_FAILURE]),
        None if values[_SINCE.start] is None else Timestamp(*values[_SINCE]),
        None if values[_MISSED.start] is None else Timestamp(*values[_MISSED]),
        *values[_REST],
    )


def _text(words: str | None) -> str | None:
    # What foreign code told us may carry the lone surrogates of an undecodable file name.
    return words and words.encode("utf-8", "backslashreplace").decode("utf-8")
