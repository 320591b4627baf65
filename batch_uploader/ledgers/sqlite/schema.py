"""The ledger's tables and their migrations, as SQL; without sqlite3.

``recordings`` holds the current record of each path, ``superseded`` the talks whose paths hold
other audio by now. Text is UTF-8 and compared byte by byte, which is the order of code points.
"""

# ruff: noqa: S608 - only our own constants are put together here

from collections.abc import Sequence
from typing import Final

from batch_uploader.ledgers.sqlite import runs

APPLICATION_ID: Final = 0x42555064
"""Identifies a ledger among SQLite files: "BUPd"."""

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

DOUBTED: Final = "status IN ('conflict', 'in_doubt')"
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
_SINCE_7: Final = ("cause TEXT", "essence BLOB", "default_id BLOB", "named_id BLOB")
_SINCE_8: Final = ("about BLOB", "sent TEXT")
_SINCE_9: Final = ("parts TEXT",)

AUDIO: Final = "substr(sha256, 1, 5)"
METADATA: Final = "substr(metadata, 1, 3)"
TALK: Final = "substr(talk_id, -6)"
ESSENCE: Final = "substr(essence, 2, 5)"
DEFAULT_ID: Final = "substr(default_id, 1, 5)"
NAMED_ID: Final = "substr(named_id, 9, 5)"
HAS_ESSENCE: Final = "essence IS NOT NULL"
HAS_DEFAULT_ID: Final = "default_id > x''"
HAS_NAMED_ID: Final = "named_id > x''"
POSSIBLE: Final = "status IN ('possible_duplicate')"
ATTENTION: Final = (
    "status IN ('conflict', 'failed', 'in_doubt', 'invalid', 'possible_duplicate', 'rejected',"
    " 'stuck')"
)
STORED: Final = "(status IN ('claimed', 'conflict', 'given_up', 'in_doubt', 'uploaded'))"
COMPARED: Final = (
    "(status IN ('claimed', 'conflict', 'duplicate', 'given_up', 'in_doubt', 'uploaded'))"
)
"""In the indexes, so that of a million that are held for one ID none is read to find its call."""
NO_ESSENCE: Final = "(essence IS NULL)"
_CONTENT: Final = f"{AUDIO}, {METADATA}"
"""The index of a content: enough bytes of both digests that collisions are rare."""

NO_MARK: Final = "0" * 40
"""The mark has a page of its own and a fixed length, so that writing it changes one sector."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        f"CREATE TABLE recordings ({_DEFINITIONS}, UNIQUE (path, connection_id))",
        f"CREATE TABLE superseded ({_DEFINITIONS})",
        "CREATE INDEX recordings_folder ON recordings (connection_id, folder)",
        "CREATE INDEX recordings_content ON recordings (sha256, metadata) WHERE sha256 IS NOT NULL",
        "CREATE INDEX recordings_claimed ON recordings (connection_id) WHERE status = 'claimed'",
        f"CREATE INDEX recordings_doubted ON recordings (path) WHERE {DOUBTED}",
        "CREATE INDEX superseded_path ON superseded (path, connection_id)",
        "CREATE INDEX superseded_content ON superseded (sha256, metadata)",
    ),
    # 2: doubts can be searched for, and have the time when they arose.
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
    # 3: one index for both queries about doubts; to sort the rows SQLite uses only a unique one.
    # Not every ledger of version 1 had one.
    (
        "DROP INDEX recordings_doubts",
        "DROP INDEX IF EXISTS recordings_doubted",
        (
            "CREATE UNIQUE INDEX recordings_doubted ON recordings (path, connection_id)"
            f" WHERE {DOUBTED}"
        ),
    ),
    # 4: smaller indexes. Digests are random, so each claim writes another page, and an index of
    # whole digests soon exceeds any cache.
    (
        "DROP INDEX recordings_content",
        "DROP INDEX superseded_content",
        f"CREATE INDEX recordings_content ON recordings ({_CONTENT}) WHERE sha256 IS NOT NULL",
        f"CREATE INDEX superseded_content ON superseded ({_CONTENT})",
    ),
    # 5: facts about the ledger itself; change times and inodes; and sequence numbers of claims,
    # answers and doubts, which do not depend on clocks.
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
        # Only the end of a talk's ID, which few share: a third of the pages. Random IDs cost 8 KB
        # more written for each recording, of 29, and 16 µs.
        f"CREATE INDEX recordings_talk ON recordings ({TALK}) WHERE talk_id IS NOT NULL",
        f"CREATE INDEX superseded_talk ON superseded ({TALK}) WHERE talk_id IS NOT NULL",
    ),
    # 6: the owner of a claim (superseded talks have none); and the runs.
    (
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_6),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_6),
        runs.CREATE,
    ),
    # 7: what tells whether two recordings are one call.
    (
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_7),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_7),
        *(
            f"CREATE INDEX {table}_{name} ON {table} ({key}, {COMPARED}) WHERE {has}"
            for table in ("recordings", "superseded")
            for name, key, has in (
                ("essence", ESSENCE, HAS_ESSENCE),
                ("default_id", DEFAULT_ID, HAS_DEFAULT_ID),
                ("named_id", NAMED_ID, HAS_NAMED_ID),
            )
        ),
        "DROP INDEX recordings_content",
        "DROP INDEX superseded_content",
        *(
            f"CREATE INDEX {table}_content ON {table}"
            f" ({AUDIO}, {STORED}, {NO_ESSENCE}, {METADATA}) WHERE sha256 IS NOT NULL"
            for table in ("recordings", "superseded")
        ),
        (
            "CREATE UNIQUE INDEX recordings_possible ON recordings (path, connection_id)"
            f" WHERE {POSSIBLE}"
        ),
        (
            "CREATE INDEX recordings_duplicates ON recordings (duplicate_of)"
            " WHERE duplicate_of IS NOT NULL"
        ),
    ),
    # 8: what describes a recording besides its sidecar, as a digest, and what was sent instead.
    (
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_8),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_8),
    ),
    # 9: what a run left to the next one, and what needed a human when it ended; and the files of a
    # recording that is made of several, by which those with a part in common are found. Rows of
    # parts stay, since the records say what they are made of.
    (
        *(f"ALTER TABLE runs ADD COLUMN {column}" for column in runs.SINCE_9),
        f"CREATE INDEX recordings_attention ON recordings (connection_id) WHERE {ATTENTION}",
        *(f"ALTER TABLE recordings ADD COLUMN {column}" for column in _SINCE_9),
        *(f"ALTER TABLE superseded ADD COLUMN {column}" for column in _SINCE_9),
        (
            "CREATE TABLE parts (place TEXT NOT NULL, essence BLOB NOT NULL, record TEXT NOT NULL,"
            " connection_id TEXT NOT NULL, PRIMARY KEY (place, essence, record, connection_id))"
            " WITHOUT ROWID"
        ),
        "CREATE INDEX parts_essence ON parts (essence) WHERE essence > x''",
    ),
)
"""The statements that lead from each version of the schema (the index) to the next."""


def view_of_older(version: int) -> Sequence[str]:
    """Views that show an older version's tables as current ones: missing columns are NULL."""
    since = {2: _SINCE_2, 5: _SINCE_5, 6: _SINCE_6, 7: _SINCE_7, 8: _SINCE_8, 9: _SINCE_9}
    lacking = [each for then, columns in since.items() if then > version for each in columns]
    views = [(table, lacking) for table in ("recordings", "superseded")]
    if 6 <= version < 9:  # noqa: PLR2004 - the versions with a table of runs without these columns
        views.append(("runs", [*runs.SINCE_9]))
    return [
        f"CREATE TEMP VIEW {table} AS SELECT *, {_as_null(columns)} FROM main.{table}"
        for table, columns in views
        if columns
    ]


def _as_null(columns: Sequence[str]) -> str:
    return ", ".join(f"NULL AS {column.split()[0]}" for column in columns)
