"""Checks of a ledger's path, before any file is created beside it.

Everything here blocks.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.text import quote
from batch_uploader.host.files import Trust, trust
from batch_uploader.ledgers.places import LEDGER_FOLDER, LEDGER_NAME, REBUILD
from batch_uploader.ledgers.sqlite import schema
from batch_uploader.ledgers.sqlite.journal import has_journal

DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""SQLite's codes for a file that is damaged, or not an SQLite file."""
SAVE: Final = ("restore it from a backup", REBUILD)
_BUSY_SECONDS: Final = 10.0


def real(path: Path) -> Path:
    """The path with links resolved: a link to a ledger is another name of it."""
    return Path(os.path.realpath(path))


def beside(path: Path, suffix: str) -> Path:
    """The path of the file itself with a suffix."""
    return path.with_name(path.name + suffix)


def logs_of(path: Path) -> Iterator[Path]:
    """The files that SQLite keeps beside it, and opens by name."""
    return (beside(path, suffix) for suffix in ("-wal", "-shm", "-journal"))


def connect(path: Path, how: str) -> sqlite3.Connection:
    """Open a file; ``how`` is the query of SQLite's URI. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def require_place(path: Path) -> None:
    """Raise LedgerError if a ledger must not be created here: behind a link, or among others."""
    require_no_link(path)
    _require_own_folder(path.parent)
    if path.is_symlink() and not path.exists():
        raise LedgerError(
            f"{path} is a link to {real(path)}, which does not exist",
            hint="remove the link, or specify the ledger itself with --ledger",
        )


def require_ledger_or_none(path: Path) -> None:
    """Raise LedgerError for anything but a ledger, before the first file is created beside it.

    A damaged one passes if its path, or a file beside it, shows that it was a ledger.
    """
    require_place(path)
    if path.exists():
        require_file(path)
        if not was_ours(real(path)):
            raise none_there(path)
        refuse_empty(path)
        return
    left = [each for each in logs_of(real(path)) if os.path.lexists(each)]
    if left and not was_ours(real(path)):
        raise none_there(left[0])


def require_no_link(path: Path) -> None:
    """Raise LedgerError for links where only we create files: another user may have put them there.

    A link given by ``--ledger`` is the user's own choice.
    """
    if path.parent.name != LEDGER_FOLDER:
        return
    for link in (path.parent, path):
        if link.is_symlink():
            ledger = real(path)
            raise LedgerError(
                f"{link} is a link to {real(link)}, and another user may have put it there",
                hint=[
                    f"if it is yours, specify the ledger itself: --ledger {quote(str(ledger))}",
                    "else remove the link",
                ],
            )


def require_file(path: Path) -> None:
    """Raise LedgerError if something other than a plain file is there."""
    if not path.is_file():
        raise LedgerError(f"{path} is not a file", hint="specify another one with --ledger")


def refuse_empty(path: Path) -> None:
    """Raise LedgerError for an empty file, which SQLite would take for a new one."""
    if path.stat().st_size == 0:
        raise LedgerError(f"the ledger {path} is empty, so it was damaged", hint=SAVE)


def refuse_foreign(path: Path) -> None:
    """Raise LedgerError for the SQLite file of another program."""
    if application_of(path) not in (None, schema.APPLICATION_ID):
        raise none_there(path)


def was_ours(path: Path) -> bool:
    """Whether a file is a ledger, or was one before it was damaged.

    A damaged one is recognised by its path, or by the journal beside it.
    """
    found = application_of(path) if path.is_file() else None
    if found is not None:
        return found == schema.APPLICATION_ID
    return (path.parent.name, path.name) == (LEDGER_FOLDER, LEDGER_NAME) or has_journal(path)


def application_of(path: Path) -> int | None:
    """The application ID of an SQLite file, None if it is not one; creates no files beside it.

    Read by SQLite, since closing a descriptor of our own would drop the locks of this process.
    """
    try:
        with closing(connect(path, "mode=ro&immutable=1")) as connection:
            (found,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in DAMAGED:
            return None
        raise
    return int(found) if path.stat().st_size else None


def none_there(path: Path) -> LedgerError:
    """The error if a file is not a ledger."""
    return LedgerError(
        f"{path} is not a ledger",
        hint=[
            "specify another file with --ledger",
            "if it is a damaged ledger, move it away",
            REBUILD,
        ],
    )


def _require_own_folder(folder: Path) -> None:
    if folder.name != LEDGER_FOLDER or trust(folder) is not Trust.OTHERS:
        return
    raise LedgerError(
        f"other users can write to {folder}, so its files may be theirs",
        hint=f"check what is in it, then: chmod go-w {quote(str(folder))} (or chown); or keep the"
        " ledger in a folder of your own and specify it with --ledger",
    )
