"""The ID and the home of a ledger: one file must not be used under two names.

Each name has a lock and a log of its own, and neither sees the claims of the other. So a ledger has
an ID from its creation, records its path, and is split from its other hard links when it is
written: these are backups then, and say so. Everything blocks, under the hold.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.host.files import unshare
from batch_uploader.ledgers.sqlite import file, queries
from batch_uploader.ledgers.sqlite.hold import Hold
from batch_uploader.ledgers.sqlite.news import current_fact, fact_of
from batch_uploader.ledgers.sqlite.owner import is_owned, owner_path
from batch_uploader.ledgers.sqlite.place import real

_ID: Final = "ledger_id"
_HOME: Final = "ledger_home"
_OWNER: Final = "owner"
_LEFT_BEHIND: Final = "left_behind"


def open_held(path: Path, hold: Hold) -> sqlite3.Connection:
    """Open a ledger for writing, created if it is missing.

    A file with a second name is copied first, so that a backup made of hard links stays as it is.
    Raises LedgerError, LedgerLocked if it is used under another name.
    """
    place = real(path)
    if place.exists() and place.stat().st_nlink > 1:
        _break_link(place, hold)
    connection = file.connect_writing(path)
    try:
        with file.committing(connection):
            identifier = _introduce(connection, place, hold)
            connection.execute(queries.DROP_FACT, (_LEFT_BEHIND,))
        hold.name_ledger(identifier)
        # So that a copy of this file alone has the ID.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
    except BaseException:
        connection.close()
        raise
    return connection


def is_copy(path: Path) -> bool:
    """Whether a ledger also exists at the path where it was written last. Raises LedgerError."""
    with file.translated(path), closing(file.connect_reading(path)) as connection:
        identifier, home = fact_of(connection, _ID), fact_of(connection, _HOME)
        if identifier is None or home is None:
            return False
        place, at_home = real(path), _path_of(home)
        return at_home != place and _holds(at_home, identifier, place)


def owner_of(connection: sqlite3.Connection) -> str | None:
    """The token of the last owner that wrote to a ledger, None if there was none."""
    return current_fact(connection, _OWNER)


def take_over(connection: sqlite3.Connection, token: str) -> None:
    """Record the owner that writes to a ledger from here on."""
    connection.execute(queries.PUT_FACT, (_OWNER, token))


def _introduce(
    connection: sqlite3.Connection, place: Path, hold: Hold, *, linked: bool = False
) -> str:
    """Record a ledger's ID and path in it, unless they are. Returns the ID."""
    identifier, home = current_fact(connection, _ID), current_fact(connection, _HOME)
    linked = linked or current_fact(connection, _LEFT_BEHIND) is not None
    if linked and identifier is not None and home is not None:
        _require_alone(place, _path_of(home), identifier, hold)
    if identifier is None:
        identifier = os.urandom(16).hex()
        connection.execute(queries.PUT_FACT, (_ID, identifier))
    if home != place.as_uri():
        connection.execute(queries.PUT_FACT, (_HOME, place.as_uri()))
    return identifier


def _require_alone(place: Path, home: Path, identifier: str, hold: Hold) -> None:
    """Raise LedgerError if the same ledger exists at another place, LedgerLocked if it is in use.

    The same place under another name, such as through another mount, is allowed.
    """
    if home == place or not _holds(home, identifier, place) or hold.is_at(home):
        return
    # Its lock may be the same file as ours.
    kind = LedgerLocked if is_owned(owner_path(home)) else LedgerError
    raise kind(
        f"the ledger {place} is another name of {home}: with both in use recordings would be sent"
        " twice",
        hint=f"use {home}; if this one is to take its place, move that one away",
    )


def _holds(home: Path, identifier: str, place: Path) -> bool:
    """Whether a ledger of this ID is at ``home``, be it the file at ``place`` or another."""
    try:
        if not home.is_file():
            return False
        if home.samefile(place):
            return True
        # Without its log, which may be in use: the ID is in the file itself since its creation.
        with closing(file.connect_alone(home)) as connection:
            return current_fact(connection, _ID) == identifier
    except PermissionError:
        return False
    except sqlite3.DatabaseError:
        # It is damaged, not a ledger, or just being written.
        return is_owned(owner_path(home))


def _break_link(path: Path, hold: Hold) -> None:
    try:
        with closing(file.connect_writing(path, exclusive=True)) as connection:
            # Seen under the other names, too: from here on they show where this ledger's home is.
            with file.committing(connection):
                _introduce(connection, path, hold, linked=True)
                connection.execute(queries.PUT_FACT, (_LEFT_BEHIND, "1"))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise file.locked(path) from error
        raise
    unshare(path)


def _path_of(uri: str) -> Path:
    path = os.fsdecode(unquote_to_bytes(urlsplit(uri).path))
    # On Windows: /C:/calls.
    return Path(path[1:] if os.name == "nt" else path)
