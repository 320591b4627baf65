"""A lock that no process outlives."""

import errno
import os
import sys
from pathlib import Path

from batch_uploader.host.files import create_private

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock, on a file of its own, that no process outlives: a killed one frees it.

    Advisory: it keeps out whoever asks, also a second lock in this very process. The file, made
    for its owner alone, stays after the release: to remove it would let two in at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free, without waiting; whether it is held now.

        Raises OSError if the file cannot be made or its file system knows no locks.
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
        """Let the lock go; nothing happens if it is not held."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
