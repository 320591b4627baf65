"""Who alone may write a ledger: whoever has its lock and stands in its owner's record.

Everything blocks, and raises LedgerError for what goes wrong.
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
        """What tells this hold from any other one."""
        return self._held.token

    @property
    def _held(self) -> Owner:
        if self._owner is None:
            raise not_open(self._path)
        return self._owner

    def take(self) -> OwnerRecord | None:
        """Take it; what the one before left in the record. Raises LedgerLocked if one lives.

        Waits half a minute at most, and only where it cannot be told from here whether one lives.
        """
        with translated(self._path):
            # By where a link leads now.
            self._place.open()
            lock = FileLock(_lock_path(self._path))
            owner = Owner(owner_path(self._path), self._place.identity)
            for attempt in range(_LOCK_TRIES):
                if lock.acquire():
                    break
                if attempt == _LOCK_TRIES - 1:
                    raise locked(self._path)
                # Whoever asked is_running() held it for a moment.
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
        """Say which ledger it is, now that it is open; its file is watched from here on."""
        with translated(self._path):
            self._held.name_ledger(identifier)
            self._file = self._place.ledger()

    def is_at(self, ledger: Path) -> bool:
        """Whether it is the hold on the ledger of that name as well."""
        with translated(ledger):
            return self._held.is_at(owner_path(ledger))

    def require_ledger(self) -> None:
        """Raise LedgerGone if the ledger's file is not where it was opened, or nothing of ours is.

        What was opened is nobody else's then. Raises LedgerLocked if it is: another run took over.
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
        """Let it go; nothing happens if it is not held."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.release()
        if self._lock is not None:
            self._lock.release()
        self._place.close()


class _Place:
    """Where a ledger lies, as seen from the directory that its folder is in.

    That one is held: it may be moved away under a run with all that it holds, and then its path
    leads elsewhere, but the ledger is where it was.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = path
        self._above: int | None = None

    def open(self) -> None:
        """Hold the directory; by where a link leads now."""
        self.close()
        self._real = real(self._path)
        if sys.platform != "win32":
            # Linux asks for no more than the right to pass through it.
            self._above = os.open(self._real.parent.parent, FOLDER | getattr(os, "O_PATH", 0))

    def ledger(self) -> tuple[int, int]:
        """What tells the file that lies there now from all others."""
        return self.identity(self._real)

    def identity(self, file: Path) -> tuple[int, int]:
        """The same of a file beside it."""
        path = os.fspath(file)
        if self._above is not None:
            path = f"{self._real.parent.name}/{file.name}"
        found = os.stat(path, dir_fd=self._above, follow_symlinks=False)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Let it go."""
        above, self._above = self._above, None
        if above is not None:
            os.close(above)


def taken_over(path: Path, record: OwnerRecord | None = None) -> LedgerLocked:
    """The error of a run that was taken for dead."""
    who = f" ({record})" if record is not None else ""
    return LedgerLocked(
        f"another run{who} took over the ledger {path}, since this one gave no sign of life:"
        " nothing more is sent"
    )


def is_running(path: Path) -> bool:
    """Whether a run holds the ledger now. Blocking; waits as ``Hold.take`` does.

    Where this user may not ask, the answer is no. Raises LedgerError.
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
    """What is left beside a ledger that is gone, and proves that there was one. Blocking."""
    with translated(path):
        proofs = ["-wal"]
        record = last_record(owner_path(path))
        if record is not None and record.ledger:
            proofs += ["-answers", "-owner"]
        elif not owner_path(path).exists():
            # A run that ended before it had made its ledger leaves both.
            proofs += ["-answers"]
        left = (beside(real(path), suffix) for suffix in proofs)
        return next((each for each in left if each.exists()), None)


def _lock_path(path: Path) -> Path:
    return beside(real(path), ".lock")
