"""The ledger's file: how it is created, opened and migrated, and its errors.

Everything here blocks. A ledger that existed is never replaced by an empty one: without its records
a run would send everything again.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.host.files import (
    NotOurs,
    close_to_others,
    create_private,
    remove_leftovers,
    require_own,
    sync_directory,
    temporary_name,
    unshare,
    why_not_written,
)
from batch_uploader.host.locks import locks_ranges
from batch_uploader.ledgers.sqlite import schema
from batch_uploader.ledgers.sqlite.owner import is_owned, owner_path
from batch_uploader.ledgers.sqlite.place import (
    DAMAGED,
    SAVE,
    beside,
    connect,
    logs_of,
    real,
    refuse_empty,
    refuse_foreign,
    require_file,
    require_no_link,
)

_SETTINGS: Final = (
    "PRAGMA synchronous = FULL",  # a commit is durable when it returns
    "PRAGMA fullfsync = ON",  # macOS needs this for a real sync
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA cell_size_check = ON",  # finds damage before it spreads
    # KiB. Digests are random, so all of their index is used, which outgrows this in the end; the
    # system caches the rest.
    "PRAGMA cache_size = -4096",
    # Pages, 16 MB: a page that changed several times is checkpointed once. With SQLite's default of
    # 4 MB a large ledger writes an eighth more.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
)
_WRITABLE: Final = "grant this user write access to it and its folder"
_ONE_AT_A_TIME: Final = "close that program and run again"
_CURES: Final[Mapping[int, tuple[str, str | tuple[str, ...]]]] = {
    sqlite3.SQLITE_FULL: ("its disk is full", "free some space and run again"),
    sqlite3.SQLITE_TOOBIG: (
        "its files reached the size limit",
        "raise the limit: ulimit -f, LimitFSIZE= in a systemd unit",
    ),
    sqlite3.SQLITE_BUSY: ("another program is writing to it", _ONE_AT_A_TIME),
    sqlite3.SQLITE_LOCKED: ("another program is writing to it", _ONE_AT_A_TIME),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", SAVE),
    sqlite3.SQLITE_NOTADB: ("it is damaged, or not a ledger", SAVE),
    sqlite3.SQLITE_READONLY: ("it cannot be written", _WRITABLE),
    sqlite3.SQLITE_PERM: ("it cannot be written", _WRITABLE),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "grant this user read and write access to it and its folder",
    ),
    sqlite3.SQLITE_IOERR: (
        "its disk cannot be read or written",
        "check the disk and its free space, or keep the ledger on a local one with --ledger",
    ),
}
"""The problem, and the hints."""
_MAY_LACK_LOCKS: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR})
_NO_LOCKS: Final = (
    "its file system does not lock parts of files, as SQLite must (some SMB shares do not)",
    "keep the ledger on a disk of this machine: --ledger F",
)
_SYSTEM_CURES: Final = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EFBIG: sqlite3.SQLITE_TOOBIG,
    errno.EACCES: sqlite3.SQLITE_PERM,
    errno.EPERM: sqlite3.SQLITE_PERM,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


class Unwritable(LedgerError):  # noqa: N818 - the state of the disk, not a mistake
    """The disk or another program is at fault: the same write may succeed later."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into LedgerErrors with hints."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the primary code. Errors of the sqlite3 module itself have no code.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR:  # what its processes share cannot grow, perhaps
            code = _SYSTEM_CURES.get(why_not_written(path.parent) or 0, code)
        raise _error(path, code, error) from error
    except NotOurs as error:
        raise LedgerError(
            f"the ledger {path} cannot be used: {error}",
            hint="check what it is, and move it away if it does not belong to the ledger",
        ) from error
    except OSError as error:
        code = _SYSTEM_CURES.get(error.errno or 0, 0)
        raise _error(path, code, error) from error


def _error(path: Path, code: int, error: Exception) -> LedgerError:
    if code not in _CURES:
        return LedgerError(f"the ledger {path} cannot be used: {error}")
    problem, cure = _CURES[code]
    if code in _MAY_LACK_LOCKS and not locks_ranges(path.parent):
        problem, cure = _NO_LOCKS
    return Unwritable(f"the ledger {path} cannot be used: {problem} ({error})", hint=cure)


def not_open(path: Path) -> LedgerError:
    """The error if a ledger is used outside its ``async with``."""
    return LedgerError(f"the ledger {path} is not open", hint="enter it first")


def gone(path: Path, left: str) -> LedgerError:
    """The error if only a file beside the ledger is left."""
    return LedgerError(f"the ledger {path} is gone, and only its {left} is left", hint=SAVE)


def locked(path: Path, who: object = None) -> LedgerLocked:
    """The error if another run holds the ledger."""
    name = f" ({who})" if who is not None else ""
    return LedgerLocked(
        f"another run{name} is using the ledger {path}",
        hint="wait for its end, or stop it; with another ledger everything would be sent twice",
    )


def make_folder(path: Path) -> None:
    """Create a folder with mode 0700; an existing one is left as it is."""
    made = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in made:
        sync_directory(each.parent)


def connect_writing(path: Path, *, exclusive: bool = False) -> sqlite3.Connection:
    """Open the ledger, created if it is missing and migrated if it is old, under the hold.

    With ``exclusive`` it must not be open elsewhere, under any name.
    """
    if not path.exists():
        _make(path)
    _refuse_at_sight(path)
    refuse_foreign(path)
    for log in logs_of(path):
        unshare(log)
        close_to_others(log)
    if not exclusive:
        close_to_others(path)
    with ExitStack() as on_failure:
        connection = connect(path, "mode=rw")
        on_failure.callback(connection.close)
        if exclusive:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE").close()
        version = _version(connection, path)
        for setting in _SETTINGS:
            connection.execute(setting).close()
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LedgerError(
                f"the ledger {path} is on a disk without shared memory",
                hint="keep it on a local disk with --ledger",
            )
        _migrate(connection, version)
        # A log that a kill or a full disk left is checkpointed, so that it does not grow further;
        # on a disk that is still full that fails, and happens later.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        on_failure.pop_all()
    return connection


def connect_reading(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """Open the ledger read-only, if possible also in a read-only folder.

    With ``alone``, without the log beside it.
    """
    if not path.exists():
        raise LedgerError(
            f"the ledger {path} does not exist",
            hint="check the directory and --ledger, or begin with an upload",
        )
    require_no_link(path)
    path = real(path)
    _refuse_at_sight(path)
    refuse_foreign(path)
    for log in logs_of(path):
        # A running run has checked its own log, and a backup may make hard links at any time.
        if log.exists() and log.stat().st_nlink > 1 and not is_owned(owner_path(path)):
            raise LedgerError(
                f"{log} has a second name (a hard link)",
                hint="the next upload makes a copy of its own",
            )
    if alone:
        return _connect_current(path, "immutable=1")
    try:
        return _connect_current(path, "mode=ro")
    except sqlite3.OperationalError as error:
        # Reading a write-ahead log needs a file beside it, which cannot be made in a folder that is
        # not ours, or on a full disk. Without a log it is not needed; "immutable" tells SQLite so.
        log = beside(path, "-wal")
        if error.sqlite_errorcode & 0xFF not in {
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
        } or (log.exists() and log.stat().st_size > 0):
            raise
        return _connect_current(path, "immutable=1")


def connect_alone(path: Path) -> sqlite3.Connection:
    """Open the file read-only without the log beside it, which may be another ledger's."""
    return connect(path, "mode=ro&immutable=1")


def is_damaged(path: Path, *, alone: bool = False) -> bool:
    """Whether a ledger is damaged: all of it is read, with ``alone`` without its log.

    Raises LedgerError if it is of a newer version, or not a ledger.
    """
    if path.is_file() and path.stat().st_size == 0:
        return True
    _refuse_at_sight(path)
    try:
        connection = connect_alone(path) if alone else connect(path, "mode=ro")
        with closing(connection):
            (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            _version(connection, path)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in DAMAGED:
            return True
        raise
    return bool(finding != "ok")


def _refuse_at_sight(path: Path) -> None:
    require_file(path)
    refuse_empty(path)
    for log in logs_of(path):
        # SQLite opens them by name, whatever they are.
        require_own(log, shared=True)


def _connect_current(path: Path, how: str) -> sqlite3.Connection:
    with ExitStack() as on_failure:
        connection = connect(path, how)
        on_failure.callback(connection.close)
        version = _version(connection, path)
        connection.execute("PRAGMA temp_store = MEMORY")
        for view in schema.view_of_older(version):
            connection.execute(view)
        on_failure.pop_all()
    return connection


@contextmanager
def committing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction: durable when the block has ended, rolled back if it raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some failures SQLite has already rolled back.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _make(path: Path) -> None:
    # Under another name until it is complete, so that an empty ledger must be a damaged one.
    if beside(path, "-wal").exists():
        raise gone(path, f"{path.name}-wal")
    remove_leftovers(path)
    new = temporary_name(path)
    os.close(create_private(new))
    with closing(connect(new, "mode=rw")) as connection:
        # The leftovers of a crash are removed above, so nothing is ever rolled back, and no journal
        # needs to be synced: what is committed is durable.
        connection.execute("PRAGMA journal_mode = MEMORY")
        _migrate(connection, 0)
        connection.execute("PRAGMA journal_mode = WAL")
    new.replace(path)
    sync_directory(path.parent)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    if version == len(schema.MIGRATIONS):
        return
    with committing(connection):
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        for statement in chain.from_iterable(schema.MIGRATIONS[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID or version < 1:
        raise LedgerError(f"{path} is not a ledger", hint="specify another file with --ledger")
    if version > len(schema.MIGRATIONS):
        raise LedgerError(
            f"the ledger {path} was written by a newer batch-uploader", hint="upgrade this one"
        )
    return int(version)
