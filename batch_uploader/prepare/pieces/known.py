"""The cuts that were found, in an SQLite file: a long recording is decoded for them only once.

Without the file they are found once more, the same ones. So nothing in it must survive anything,
and an error of it is none.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Cut, Entry
from batch_uploader.host.files import create_private

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS cuts (path TEXT NOT NULL, form TEXT NOT NULL, version TEXT NOT"
    " NULL, cuts BLOB NOT NULL, PRIMARY KEY (path, form)) WITHOUT ROWID"
)
_BUSY_SECONDS: Final = 5.0


class KnownCuts:
    """What was found under rules of one ``form``; with ``keep`` the file is written."""

    def __init__(self, file: Path | None, form: str, *, keep: bool) -> None:
        self._file, self._form, self._keep = file, form, keep
        self._memory: dict[str, tuple[str, tuple[Cut, ...]]] = {}

    def get(self, entry: Entry) -> tuple[Cut, ...] | None:
        """The cuts of a file that is as it was; None if that is not known. Blocking."""
        version, found = self._memory.get(entry.path, ("", ()))
        if version == _version(entry):
            return found
        asked = (entry.path, self._form, _version(entry))
        with suppress(sqlite3.Error, msgspec.MsgspecError, OSError), self._open() as database:
            line = database.execute(_SELECT, asked).fetchone()
            return None if line is None else msgspec.json.decode(line[0], type=tuple[Cut, ...])
        return None

    def put(self, entry: Entry, cuts: tuple[Cut, ...]) -> None:
        """Keep them. Blocking."""
        if cuts or self._file is None or not self._keep:
            self._memory[entry.path] = _version(entry), cuts
        if self._file is None or not self._keep:
            return
        found = (entry.path, self._form, _version(entry), msgspec.json.encode(cuts))
        with suppress(sqlite3.Error, OSError, ConfigError):
            os.close(create_private(self._file))
            with self._open() as database, database:
                database.execute(_SCHEMA)
                database.execute(_INSERT, found)

    def _open(self) -> closing[sqlite3.Connection]:
        if self._file is None:
            return closing(sqlite3.connect(":memory:"))
        address = f"{self._file.absolute().as_uri()}?mode={'rw' if self._keep else 'ro'}"
        return closing(sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True))


_SELECT: Final = "SELECT cuts FROM cuts WHERE path = ? AND form = ? AND version = ?"
_INSERT: Final = "INSERT OR REPLACE INTO cuts (path, form, version, cuts) VALUES (?, ?, ?, ?)"


def _version(entry: Entry) -> str:
    return f"{entry.size} {entry.mtime_ns} {entry.ctime_ns} {entry.inode}"
