"""A lock on a directory that excludes another one on any directory above or below it.

It writes nothing: the directory itself is locked exclusively (flock), all above it are shared. It
ends with its process. Everything here blocks, for half a second at most.
"""

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from batch_uploader.host.files import FOLDER
from batch_uploader.host.processes import directory_locked_by, holder_of_lock, is_locked_for_us

if sys.platform != "win32":
    import fcntl

_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.05
_HELD: Final[set[int]] = set()
"""The locked descriptors of this process."""


class Holder(Struct, frozen=True):
    """Who has a directory locked: ``root`` is the directory that its run is of, if known."""

    root: Path | None
    pid: int | None


class TreeLock:
    """The lock on a directory, from ``acquire`` to ``release``.

    Where locks of directories are not supported (Windows, most network file systems), and for
    directories that this user may not list, nothing is excluded.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptors: list[int] = []

    def acquire(self) -> Holder | None:
        """Take the lock, without waiting for its holder. Returns that one if there is one."""
        if sys.platform == "win32":
            return None
        for each in (self._directory, *self._directory.parents):
            exclusive = each == self._directory
            try:
                descriptor = os.open(each, FOLDER)
            except OSError:
                continue
            self._descriptors.append(descriptor)
            _HELD.add(descriptor)
            if not _lock(descriptor, exclusive=exclusive):
                pid = holder_of_lock(os.fstat(descriptor).st_ino)
                is_below = exclusive and _lock(descriptor, exclusive=False)
                self.release()
                if not is_below:
                    return Holder(each, pid)
                return Holder(None if pid is None else directory_locked_by(pid, below=each), pid)
        return None

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in _HELD.intersection(descriptors):  # of a parent's there are none
            _HELD.remove(descriptor)
            os.close(descriptor)


def _lock(descriptor: int, *, exclusive: bool) -> bool:
    """Lock an open directory. Returns whether nobody else excludes that."""
    how = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    for attempt in range(_TRIES):
        if attempt:
            # Other programs lock directories for a moment, such as those that clean up.
            time.sleep(_PAUSE_SECONDS)
        try:
            fcntl.flock(descriptor, how)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                return True  # locks are not supported here
            if is_locked_for_us(os.fstat(descriptor).st_ino):
                return True
        else:
            return True
    return False


def _forget_in_child() -> None:
    # A lock ends when all copies of its descriptor are closed.
    for descriptor in _HELD:
        with suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
