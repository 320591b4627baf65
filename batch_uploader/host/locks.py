"""A file lock that is free again when its process ends."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

from batch_uploader.host.files import create_private, temporary_name

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    _lock_range = _lock

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _lock_range(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)


def locks_ranges(folder: Path) -> bool:
    """Whether a part of a file can be locked there, as SQLite does; some network shares refuse it.

    Tried with a file of its own, which nobody else can have locked. True if none can be made.
    """
    name = temporary_name(folder / "range")
    try:
        descriptor = create_private(name)
    except OSError:
        return True
    try:
        _lock_range(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
        with suppress(OSError):
            name.unlink()
    return True


def locks_exclude(folder: Path) -> bool:
    """Whether a lock of a whole file keeps others out there; some network shares grant all.

    Tried with a file of its own. True if none can be made. Raises OSError if locks are not
    supported.
    """
    name = temporary_name(folder / "whole")
    one, other = FileLock(name), FileLock(name)
    try:
        return not (one.acquire() and other.acquire())
    except PermissionError:
        return True
    finally:
        one.release()
        other.release()
        with suppress(OSError):
            name.unlink()


class FileLock:
    """An exclusive lock on a file of its own; it ends with its process, also with a killed one.

    Advisory; it excludes a second lock in the same process, too. The file has mode 0600 and stays
    after the release: removing it could let two processes hold the lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free, without waiting. Returns whether it is held now.

        Raises OSError if the file cannot be made or its file system does not support locks.
        """
        if self._descriptor is not None:
            return True
        descriptor = create_private(self._path, shared=True)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            # POSIX says the first, Windows the second or the third.
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
                return False
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
