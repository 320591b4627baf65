"""The exclusive right to write a ledger: its lock, and the owner's record.

Everything blocks, and raises LedgerError.
"""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Final

from batch_uploader.core.errors import LedgerError, LedgerGone, LedgerLocked
from batch_uploader.host.files import FOLDER
from batch_uploader.host.locks import FileLock
from batch_uploader.ledgers.sqlite.file import locked, not_open, translated
from batch_uploader.ledgers.sqlite.owner import (
    Owned,
    Owner,
    OwnerRecord,
    is_owned,
    last_record,
    owner_path,
)
from batch_uploader.ledgers.sqlite.place import beside, real

_LOCK_TRIES: Final = 10
_LOCK_PAUSE_SECONDS: Final = 0.05
_NOT_OURS_TO_ASK: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Hold:
    """The hold on a ledger, from ``take`` to ``release``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: FileLock | None = None
        self._owner: Owner | None = None
        self._place = _Place(path)
        self._file: tuple[int, int] | None = None

    @property
    def token(self) -> str:
        """The unique token of this hold."""
        return self._held.token

    @property
    def _held(self) -> Owner:
        if self._owner is None:
            raise not_open(self._path)
        return self._owner

    def take(self) -> OwnerRecord | None:
        """Take the hold. Returns the record of the owner before. Raises LedgerLocked if one lives.

        Waits half a minute at most, and only if it cannot be told from here whether one lives.
        """
        with translated(self._path):
            # A link is resolved now.
            self._place.open()
            lock = FileLock(_lock_path(self._path))
            owner = Owner(owner_path(self._path), self._place.identity)
            for attempt in range(_LOCK_TRIES):
                if lock.acquire():
                    break
                if attempt == _LOCK_TRIES - 1:
                    raise locked(self._path)
                # A caller of is_running() may hold it for a moment.
                time.sleep(_LOCK_PAUSE_SECONDS)
            try:
                before = owner.take()
            except Owned as error:
                lock.release()
                raise locked(self._path, error.record) from None
            except BaseException:
                lock.release()
                raise
            self._lock, self._owner = lock, owner
            return before

    def name_ledger(self, identifier: str) -> None:
        """Set the ledger's ID, now that it is open; its file is watched from here on."""
        with translated(self._path):
            self._held.name_ledger(identifier)
            self._file = self._place.ledger()

    def is_at(self, ledger: Path) -> bool:
        """Whether ``ledger`` is the ledger of this hold, perhaps under another name."""
        with translated(ledger):
            return self._held.is_at(owner_path(ledger))

    def require_ledger(self) -> None:
        """Raise LedgerGone if the ledger's file or the owner's record is not where it was opened.

        Raises LedgerLocked if another run took the ledger over.
        """
        with translated(self._path):
            try:
                if self._place.ledger() == self._file and self._held.stands():
                    return
            except (FileNotFoundError, NotADirectoryError):
                pass
            except Owned as error:
                raise taken_over(self._path, error.record) from None
        raise LedgerGone(
            f"the ledger {self._path} was removed, moved or replaced during this run: nothing more"
            " is sent"
        )

    def release(self) -> None:
        """Release the hold; does nothing if it is not held."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.release()
        if self._lock is not None:
            self._lock.release()
        self._place.close()


class _Place:
    """The place of a ledger, relative to the parent of its folder.

    The parent is held by a descriptor: if it is moved with all its content during a run, its path
    leads elsewhere, but the ledger is still found.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = path
        self._above: int | None = None

    def open(self) -> None:
        """Hold the directory; links are resolved now."""
        self.close()
        self._real = real(self._path)
        if sys.platform != "win32":
            # With O_PATH, Linux requires only the right to search it.
            self._above = os.open(self._real.parent.parent, FOLDER | getattr(os, "O_PATH", 0))

    def ledger(self) -> tuple[int, int]:
        """Device and inode of the ledger's file that is there now."""
        return self.identity(self._real)

    def identity(self, file: Path) -> tuple[int, int]:
        """Device and inode of a file beside it."""
        path = os.fspath(file)
        if self._above is not None:
            path = f"{self._real.parent.name}/{file.name}"
        found = os.stat(path, dir_fd=self._above, follow_symlinks=False)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Release the directory."""
        above, self._above = self._above, None
        if above is not None:
            os.close(above)


def taken_over(path: Path, record: OwnerRecord | None = None) -> LedgerLocked:
    """The error of a run whose ledger was taken over by another one."""
    who = f" ({record})" if record is not None else ""
    return LedgerLocked(
        f"another run{who} took over the ledger {path}, since this one gave no sign of life:"
        " nothing more is sent"
    )


def is_running(path: Path) -> bool:
    """Whether a run holds the ledger now. Blocking; waits as ``Hold.take`` does.

    False if this user may not read the lock. Raises LedgerError.
    """
    try:
        with translated(path):
            if _lock_path(path).exists():
                lock = FileLock(_lock_path(path))
                if not lock.acquire():
                    return True
                lock.release()
            return is_owned(owner_path(path))
    except LedgerError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _NOT_OURS_TO_ASK:
            return False
        raise


def remains(path: Path) -> Path | None:
    """A file beside a missing ledger that proves that it existed, else None. Blocking."""
    with translated(path):
        proofs = ["-wal"]
        record = last_record(owner_path(path))
        if record is not None and record.ledger:
            proofs += ["-answers", "-owner"]
        elif not owner_path(path).exists():
            # A run that ended before it had created its ledger leaves both.
            proofs += ["-answers"]
        left = (beside(real(path), suffix) for suffix in proofs)
        return next((each for each in left if each.exists()), None)


def _lock_path(path: Path) -> Path:
    return beside(real(path), ".lock")
