"""The rows of one table in an SQLite file, found by their keys.

Rows are kept as compressed blocks in the order of the table. An index is believed only if it was
finished by this version for these settings; anything else is made once more from the table.
"""

import errno
import os
import sqlite3
import sys
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

from msgspec import MsgspecError, Struct, convert, json, msgpack
from msgspec.structs import replace

from batch_uploader.host.files import create_private, require_own

VERSION: Final = 5
ROWS_A_BLOCK: Final = 32
FAULTS_KEPT: Final = 100
MOST_ROWS: Final = 1000
"""With this many rows of one recording, none is chosen."""
_BLOCKS_CACHED: Final = 512
_LEVEL: Final = 1
_BUSY_SECONDS: Final = 60.0
_CACHE_KIB: Final = 32 * 1024
_GENERATIONS: Final = 60
"""How many of them are kept to tell what has changed."""
_MOST_CHANGES: Final = 500_000
"""More changed keys than that are told as a change of everything."""

_SCHEMA: Final = """
CREATE TABLE state (json BLOB NOT NULL);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE places (key INTEGER NOT NULL, time INTEGER, row INTEGER NOT NULL, digest INTEGER);
CREATE TABLE changes (generation INTEGER NOT NULL, key INTEGER NOT NULL);
CREATE TABLE pieces (begin INTEGER NOT NULL, end INTEGER NOT NULL, digest BLOB NOT NULL);
CREATE TABLE faults (line INTEGER, kind TEXT, message TEXT, cure TEXT, field TEXT);
"""
_BY_KEY: Final = "CREATE INDEX IF NOT EXISTS places_by_key ON places (key, time)"


class FileLook(Struct, frozen=True):
    """What a table's file looked like when it was read, and how its beginning and end are."""

    size: int = 0
    mtime_ns: int = 0
    inode: int | None = None
    head: bytes = b""
    tail: bytes = b""


class IndexState(Struct, frozen=True):
    """How far an index is.

    ``made_of`` is a digest of the settings, ``id`` tells this index from any other, ``oldest`` is
    the generation since which changes are known. ``offset`` and ``line`` are where reading goes on;
    rows of blocks from ``loose`` on are of a line that had no end yet. ``rows`` were read, ``kept``
    have a key.
    """

    made_of: str
    id: str
    version: int
    generation: int = 1
    oldest: int = 1
    finished: bool = False
    columns: tuple[str, ...] | None = None
    form: Mapping[str, object] = {}
    source: FileLook = FileLook()
    offset: int = 0
    line: int = 1
    loose: int | None = None
    rows: int = 0
    kept: int = 0
    faults: int = 0


class Piece(NamedTuple):
    """A part of the table's file that was read, and the digest of its bytes."""

    begin: int
    end: int
    digest: bytes


class FoundRow(NamedTuple):
    """A row as it was found: its line, and its values by column."""

    line: int
    fields: Mapping[str, object]


class Kept(NamedTuple):
    """A row to keep: what it is found by, and its line and values, encoded."""

    keys: Sequence[tuple[int, int | None]]
    line: int
    body: bytes
    digest: int


class Unusable(OSError):  # noqa: N818 - a state, not a mistake
    """An index that is damaged, or of another version."""


def copy_index(origin: Path, path: Path) -> None:
    """Copy an index, also while it is written; without a usable one there is none."""
    if not origin.is_file():
        return
    try:
        with (
            closing(sqlite3.connect(f"{origin.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(path)) as copy,
        ):
            old.backup(copy)
    except sqlite3.Error:
        path.unlink(missing_ok=True)


def remove_index(path: Path) -> None:
    """Remove an index, if there is one."""
    # Never a file without its journal: that could be half of a change.
    for each in (path, path.with_name(f"{path.name}-journal")):
        with suppress(FileNotFoundError):
            each.unlink()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turns errors of SQLite into OSError; a file that is damaged is removed: Unusable."""
    try:
        yield
    except (sqlite3.DatabaseError, zlib.error, MsgspecError, ValueError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        # A table that is missing is an OperationalError as well.
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
            # The disk, or somebody's lock.
            raise OSError(errno.EIO, str(error), str(path)) from error
        # It is read no more: the next run makes it again from the table.
        with suppress(OSError):
            remove_index(path)
        said = "it was damaged, and is removed: run it again"
        raise Unusable(errno.EIO, said, str(path)) from error


class Index:
    """An open index. Threads may look rows up at the same time. Raises Unusable, OSError."""

    def __init__(self, path: Path, *, create: IndexState | None = None) -> None:
        self.path = path
        self._lock = Lock()
        self._cache: OrderedDict[int, tuple[list[int], list[bytes]]] = OrderedDict()
        if create is None:
            path.lstat()
            require_own(path)
        else:
            os.close(create_private(path, append=False, exclusive=True))
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            with self._translated():
                self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                if create is not None:
                    self._connection.executescript(_SCHEMA)
                    self._connection.execute("INSERT INTO state VALUES (?)", (json.encode(create),))
                [[raw]] = self._connection.execute("SELECT json FROM state").fetchall()
                self.state = json.decode(raw, type=IndexState)
        except BaseException:
            self._connection.close()
            raise
        if self.state.version != VERSION:
            self._connection.close()
            raise Unusable(errno.EIO, f"it is of version {self.state.version}", str(path))

    def close(self) -> None:
        """Close the file; more than once is fine."""
        with self._lock:
            self._connection.close()

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self.path)

    # Writing

    def commit(
        self,
        state: IndexState,
        rows: Sequence[Kept] = (),
        faults: Iterable[tuple[object, ...]] = (),
        piece: Piece | None = None,
        *,
        changed: bool = False,
    ) -> None:
        """Add rows and faults, the piece with them, and what is on record then, in one step.

        ``changed`` also records that the keys of these rows have changed.
        """
        with self._lock, self._translated(), self._transaction() as connection:
            [[last]] = connection.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchall()
            for start in range(0, len(rows), ROWS_A_BLOCK):
                last += 1
                block = rows[start : start + ROWS_A_BLOCK]
                data = msgpack.encode(([row.line for row in block], [row.body for row in block]))
                connection.execute(
                    "INSERT INTO blocks VALUES (?, ?)", (last, zlib.compress(data, _LEVEL))
                )
                connection.executemany(
                    "INSERT INTO places VALUES (?, ?, ?, ?)",
                    [
                        (key, time, last * ROWS_A_BLOCK + at, row.digest)
                        for at, row in enumerate(block)
                        for key, time in row.keys
                    ],
                )
                if changed:
                    connection.executemany(
                        "INSERT INTO changes VALUES (?, ?)",
                        [(state.generation, key) for row in block for key, _ in row.keys],
                    )
            connection.executemany("INSERT INTO faults VALUES (?, ?, ?, ?, ?)", faults)
            if piece is not None:
                connection.execute("INSERT INTO pieces VALUES (?, ?, ?)", piece)
            self._record(state)

    def drop_loose(self) -> None:
        """Remove what was of a line that had no end, and begin another generation."""
        block = self.state.loose or sys.maxsize // ROWS_A_BLOCK
        generation = self.state.generation + 1
        with self._lock, self._translated(), self._transaction() as connection:
            row = block * ROWS_A_BLOCK
            connection.execute(
                "INSERT INTO changes SELECT ?, key FROM places WHERE row >= ?", (generation, row)
            )
            connection.execute("DELETE FROM places WHERE row >= ?", (row,))
            connection.execute("DELETE FROM blocks WHERE id >= ?", (block,))
            gone = connection.execute("DELETE FROM faults WHERE line >= ?", (self.state.line,))
            faults = self.state.faults - gone.rowcount
            self._record(replace(self.state, generation=generation, loose=None, faults=faults))
            self._cache.clear()

    def next_block(self) -> int:
        """The number that the next block will have."""
        with self._lock, self._translated():
            query = "SELECT coalesce(max(id), 0) + 1 FROM blocks"
            [[found]] = self._connection.execute(query).fetchall()
            return int(found)

    def arrange(self) -> None:
        """Make rows findable by key, when all of them are there."""
        with self._lock, self._translated():
            self._connection.execute(_BY_KEY)

    def note_changes_from(self, older: "Index", generation: int) -> None:
        """Record which keys have other rows than in an older index, and what that had recorded."""
        with self._lock, self._translated():
            attached = f"{older.path.absolute().as_uri()}?mode=ro"
            self._connection.execute("ATTACH ? AS older", (attached,))
            with self._transaction() as connection:
                connection.execute("INSERT INTO changes SELECT * FROM older.changes")
                for one, other in (("main", "older"), ("older", "main")):
                    connection.execute(
                        "INSERT INTO changes SELECT DISTINCT ?, key FROM"  # noqa: S608 - ours
                        f" (SELECT key, digest FROM {one}.places"
                        f" EXCEPT SELECT key, digest FROM {other}.places) LIMIT ?",
                        (generation, _MOST_CHANGES + 1),
                    )
            self._connection.execute("DETACH older")

    def forget_changes(self, state: IndexState) -> IndexState:
        """Forget changes that nobody will ask for; the state says since when they are known."""
        oldest = max(state.oldest, state.generation - _GENERATIONS)
        with self._lock, self._translated(), self._transaction() as connection:
            connection.execute("DELETE FROM changes WHERE generation <= ?", (oldest,))
            [[left]] = connection.execute("SELECT count(*) FROM changes").fetchall()
            if left > _MOST_CHANGES:
                connection.execute("DELETE FROM changes")
                oldest = state.generation
        return replace(state, oldest=oldest)

    def _record(self, state: IndexState) -> None:
        self._connection.execute("UPDATE state SET json = ?", (json.encode(state),))
        self.state = state

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    # Reading

    def rows(
        self, key: int, columns: Sequence[str] | None, between: tuple[int, int] | None = None
    ) -> list[FoundRow]:
        """The first rows that may have a key, and a time between these, as they are in the table.

        ``MOST_ROWS`` of them at most.
        """
        query = "SELECT row FROM places WHERE key = ?"
        values: tuple[int, ...] = (key,)
        if between is not None:
            query += " AND time BETWEEN ? AND ?"
            values += between
        with self._lock, self._translated():
            found = self._connection.execute(
                f"{query} ORDER BY row LIMIT {MOST_ROWS}", values
            ).fetchall()
            return [self._row(row, columns) for (row,) in found]

    def _row(self, row: int, columns: Sequence[str] | None) -> FoundRow:
        block, at = divmod(row, ROWS_A_BLOCK)
        lines, bodies = self._block(block)
        values = msgpack.decode(bodies[at])
        if columns is not None:
            values = dict(zip(columns, values, strict=True))
        return FoundRow(lines[at], values)

    def _block(self, number: int) -> tuple[list[int], list[bytes]]:
        cached = self._cache.get(number)
        if cached is None:
            query = "SELECT data FROM blocks WHERE id = ?"
            [[data]] = self._connection.execute(query, (number,)).fetchall()
            decoded = msgpack.decode(zlib.decompress(data))
            cached = convert(decoded, tuple[list[int], list[bytes]])
            self._cache[number] = cached
            if len(self._cache) > _BLOCKS_CACHED:
                self._cache.popitem(last=False)
        return cached

    def pieces(self) -> list[Piece]:
        """The parts of the table's file that were read."""
        with self._lock, self._translated():
            found = self._connection.execute("SELECT * FROM pieces ORDER BY begin").fetchall()
        return [Piece(*row) for row in found]

    def faults(self) -> list[tuple[int, str, str, str, str | None]]:
        """The first faults of the table."""
        with self._lock, self._translated():
            return self._connection.execute(
                "SELECT line, kind, message, cure, field FROM faults ORDER BY line LIMIT ?",
                (FAULTS_KEPT,),
            ).fetchall()

    def changed_since(self, generation: int) -> frozenset[int] | None:
        """The keys whose rows have changed since; None if it may be all of them."""
        if generation < self.state.oldest:
            return None
        with self._lock, self._translated():
            query = "SELECT DISTINCT key FROM changes WHERE generation > ?"
            found = self._connection.execute(query, (generation,)).fetchall()
        return frozenset(key for (key,) in found)

    def keys(self) -> frozenset[int] | None:
        """The keys of all rows; None if there are too many to tell."""
        with self._lock, self._translated():
            query = "SELECT DISTINCT key FROM places LIMIT ?"
            found = self._connection.execute(query, (_MOST_CHANGES + 1,)).fetchall()
        return None if len(found) > _MOST_CHANGES else frozenset(key for (key,) in found)
