"""The recordings that ask for rows, in an SQLite file: which others are there that may share one.

They are added before the first of them gets a row, and kept from run to run: so what changed in a
table leads to its recordings, too.
"""

import os
import sqlite3
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Final, Self

from msgspec import json

from batch_uploader.host.files import create_private, require_own
from batch_uploader.prepare.about.tables.index import MOST_ROWS, Unusable, copy_index, translated
from batch_uploader.prepare.about.tables.spec import RowMatch

_SCHEMA: Final = """
CREATE TABLE state (id TEXT NOT NULL);
CREATE TABLE recordings (path TEXT PRIMARY KEY, file TEXT, key INTEGER, time INTEGER) WITHOUT ROWID;
CREATE INDEX recordings_by_key ON recordings (key, time);
"""
_AT_ONCE: Final = 500
_MOST_PATHS: Final = 100_000
_BUSY_SECONDS: Final = 60.0


def recordings_path(folder: Path, match: RowMatch, more: Sequence[str | None]) -> Path:
    """The file of the recordings that ask like this; ``more`` is what else decides how."""
    digest = blake2b(json.encode([match, *more, _SCHEMA]), digest_size=8).hexdigest()
    return folder / f"recordings-{digest}.db"


class Recordings:
    """An open file of recordings. Threads may use it at the same time. Raises OSError.

    One that is damaged is removed, and made again from a copy of ``origin``, if there is one.
    """

    def __init__(self, path: Path, origin: Path | None = None) -> None:
        self._path = path
        self._lock = Lock()
        if origin is not None:
            copy_index(origin, path)
        try:
            self._connection = self._opened()
        except Unusable:
            self._connection = self._opened()

    def _opened(self) -> sqlite3.Connection:
        path = self._path
        try:
            path.lstat()
            require_own(path)
        except FileNotFoundError:
            os.close(create_private(path, append=False))
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            with self._translated():
                # A kill loses nothing so, and after a power cut all is asked once more.
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("BEGIN IMMEDIATE")
                [[made]] = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
                if not made:
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        connection.execute(statement)
                    connection.execute("INSERT INTO state VALUES (?)", (uuid.uuid4().hex,))
                connection.execute("COMMIT")
                [[self.id]] = connection.execute("SELECT id FROM state").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file; more than once is fine."""
        with self._lock:
            self._connection.close()

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._path)

    def add(self, recordings: Sequence[tuple[str, str, int, int | None]]) -> None:
        """Add recordings: path, file, key and time; of a path, these are always the same."""
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT OR IGNORE INTO recordings VALUES (?, ?, ?, ?)", recordings
                )
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def found(self, key: int, between: tuple[int, int] | None) -> dict[str, str]:
        """The files of recordings with a key, and a time between these, by path.

        ``MOST_ROWS`` of them at most.
        """
        query, values = "SELECT path, file FROM recordings WHERE key = ?", [key]
        if between is not None:
            query, values = f"{query} AND time BETWEEN ? AND ?", [key, *between]
        with self._lock, self._translated():
            return dict(self._connection.execute(f"{query} LIMIT {MOST_ROWS}", values))

    def known(self, paths: Sequence[str]) -> set[str]:
        """Those of these paths that were added."""
        return {path for some in self._among("path", paths) for path, _ in some}

    def with_keys(self, keys: Collection[int]) -> frozenset[str] | None:
        """The recordings with any of these keys, and their files; None if too many to tell."""
        paths = set[str]()
        for some in self._among("key", list(keys)):
            paths.update(chain.from_iterable(some))
            if len(paths) > _MOST_PATHS:
                return None
        return frozenset(paths)

    def _among(self, column: str, values: Sequence[str | int]) -> Iterator[list[tuple[str, str]]]:
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            query = f"SELECT path, file FROM recordings WHERE {column} IN ({marks})"  # noqa: S608 - ours
            with self._lock, self._translated():
                found = self._connection.execute(query, some).fetchall()
            yield found
