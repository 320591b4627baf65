"""Which ledger a file is, and where it is at home: one file must not be used by two names.

Each name has a lock and a log of its own, and neither knows what the other one claims. So a ledger
has an ID from its first day, knows its place, and becomes a file of its own when it is written.
What the other names lead to then is a backup, and says so. Everything blocks, under the hold.
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
from batch_uploader.ledgers.sqlite.news import current_fact
from batch_uploader.ledgers.sqlite.owner import is_owned, owner_path
from batch_uploader.ledgers.sqlite.place import real

_ID: Final = "ledger_id"
_HOME: Final = "ledger_home"
_OWNER: Final = "owner"
_LEFT_BEHIND: Final = "left_behind"


def open_held(path: Path, hold: Hold) -> sqlite3.Connection:
    """Open a ledger to write it, made if there is none.

    A file with a second name becomes one of its own first, so that a backup that is made of hard
    links stays as it is. Raises LedgerError, LedgerLocked if it is used by another name.
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
        # A copy of this file alone tells what it is of.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
    except BaseException:
        connection.close()
        raise
    return connection


def owner_of(connection: sqlite3.Connection) -> str | None:
    """The token of who wrote to a ledger last, None if nobody has."""
    return current_fact(connection, _OWNER)


def take_over(connection: sqlite3.Connection, token: str) -> None:
    """Note who writes to a ledger from here on."""
    connection.execute(queries.PUT_FACT, (_OWNER, token))


def _introduce(
    connection: sqlite3.Connection, place: Path, hold: Hold, *, linked: bool = False
) -> str:
    """Note in a ledger which it is, and where, unless it stands there; its ID."""
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
    """Raise LedgerError if the same ledger is used at another place, LedgerLocked if it is so now.

    The same place by another name, such as that of another mount, is no other one.
    """
    if home == place or not _holds(home, identifier, place) or hold.is_at(home):
        return
    # Its lock may be a second name of ours.
    kind = LedgerLocked if is_owned(owner_path(home)) else LedgerError
    raise kind(
        f"the ledger {place} is another name of {home}: with both in use recordings would be sent"
        " twice",
        hint=f"use {home}; if this one is to take its place, move that one away",
    )


def _holds(home: Path, identifier: str, place: Path) -> bool:
    """Whether there is a ledger of this ID, the file at ``place`` or another one."""
    try:
        if not home.is_file():
            return False
        if home.samefile(place):
            return True
        # Without its log, which may be in use: the ID has been in the file from the first day.
        with closing(file.connect_alone(home)) as connection:
            return current_fact(connection, _ID) == identifier
    except PermissionError:
        return False
    except sqlite3.DatabaseError:
        # Damaged, no ledger at all, or just being written.
        return is_owned(owner_path(home))


def _break_link(path: Path, hold: Hold) -> None:
    try:
        with closing(file.connect_writing(path, exclusive=True)) as connection:
            # Also for the other names: they see from here on where this ledger is at home.
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
    # Of Windows: /C:/calls.
    return Path(path[1:] if os.name == "nt" else path)
