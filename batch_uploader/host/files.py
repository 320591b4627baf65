"""Create, open, replace and protect the program's own files.

A ledger may lie in a folder that others can write. A file under one of our names may then be a
link, or a hard link to another user's file. So a name alone is never trusted: what is opened must
be a plain file and no link, which is checked on the descriptor; a file that is written has no
second name; a file whose mode is changed belongs to us. Everything here blocks and raises OSError.
"""

import errno
import os
import re
import shutil
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
OTHERS = 0o077
_WRITABLE = 0o022
_PIECE = 1024 * 1024
_ROOM = 64 * 1024
# Each of these flags is missing on some system; where that matters there is a fallback.
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
COMMON = (
    NO_LINKS
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO without a writer would hold us for ever
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_PREFIX, _SUFFIX = ".batch-uploader-", ".tmp"
_TEMPORARY = re.compile(
    rf"{re.escape(_PREFIX)}[0-9a-f]{{8}}-(?=[0-9a-f]{{16}}{re.escape(_SUFFIX)})"
)
FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


class NotOurs(OSError):  # noqa: N818 - a state, not a mistake
    """A file of another kind or owner is under one of our names; it is left as it is."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def create_private(
    path: Path,
    *,
    append: bool = True,
    shared: bool = False,
    device: bool = False,
    exclusive: bool = False,
) -> int:
    """Open a file for reading and writing; a new one has mode 0600 from the start.

    An existing file keeps its content and its mode; with ``exclusive`` it is a FileExistsError. A
    link at ``path`` is refused, not followed, as is all but a plain file; with ``device`` a
    character device is accepted. A file with a second name is refused unless ``shared``, which is
    for files that are never written. The caller closes the descriptor.
    """
    flags = os.O_RDWR | os.O_CREAT
    flags |= (os.O_APPEND if append else 0) | (os.O_EXCL if exclusive else 0)
    return _open_own(path, flags, shared=shared, device=device)


def read_own(path: Path, most: int) -> bytes | None:
    """The first ``most`` bytes of one of our files, None if it does not exist; follows no link."""
    try:
        descriptor = _open_own(path, os.O_RDONLY, shared=True)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)


def close_to_others(path: Path) -> None:
    """Set the mode of one of our files to 0600; does nothing if it does not exist.

    A file of another user or with a second name keeps its mode. Does nothing on a file system
    without modes.
    """
    with suppress(FileNotFoundError):
        if is_private(path):
            return
        descriptor = _open_own(path, os.O_RDONLY)
        try:
            close_descriptor_to_others(descriptor)
        finally:
            os.close(descriptor)


def close_descriptor_to_others(descriptor: int) -> None:
    """``close_to_others`` for an open file."""
    if sys.platform != "win32":
        status = os.fstat(descriptor)
        if status.st_mode & OTHERS and status.st_nlink == 1 and status.st_uid == os.geteuid():
            with suppress(PermissionError):
                os.fchmod(descriptor, PRIVATE)


def give_to_owner_of(other: Path, descriptor: int) -> None:
    """Give a file that root made to the owner of another file, as SQLite does with its logs.

    Else that owner could no longer use it. Does nothing if the other file does not exist.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        with suppress(OSError):
            status = os.lstat(other)
            if stat.S_ISREG(status.st_mode) and status.st_uid:
                os.fchown(descriptor, status.st_uid, status.st_gid)


def require_own(path: Path, *, shared: bool = False) -> None:
    """Raise NotOurs if anything but a plain file is there, for files that a library opens."""
    with suppress(FileNotFoundError):
        _require(path, os.lstat(path), shared=shared)


def unshare(path: Path) -> None:
    """Replace a file that has a second name by a copy, atomically; for its only user.

    So a backup made of hard links, or any other file behind the second name, is not written to.
    """
    with suppress(FileNotFoundError):
        status = os.lstat(path)
        if status.st_nlink == 1:
            return
        with (
            os.fdopen(_open_own(path, os.O_RDONLY, shared=True), "rb") as shared,
            replace_atomically(path) as file,
        ):
            shutil.copyfileobj(shared, file)


@contextmanager
def replace_atomically(path: Path) -> Iterator[BinaryIO]:
    """Replace a file: at any moment, also after a crash, ``path`` is the whole old or new file.

    Yields a file to write to, which replaces ``path`` durably when the block ends. If the block or
    the writing fails, the old file stays and no other is left. The new file has mode 0600. A link
    at ``path`` is itself replaced.
    """
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | COMMON, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def create_once(path: Path, content: bytes) -> bool:
    """Create a file with this content unless ``path`` exists. Returns whether it was created.

    Durable when it returns. Of several concurrent callers one creates it. Its mode is 0600.
    """
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | COMMON, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:
            # On a file system without hard links, the later of two callers wins.
            if os.path.lexists(path):
                return False
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def why_not_written(folder: Path) -> int | None:
    """The errno that keeps a small new file there from being written; None if nothing does."""
    name = temporary_name(folder / "room")
    try:
        descriptor = create_private(name)
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(_ROOM))
    except OSError as error:
        return error.errno
    finally:
        with suppress(OSError):
            name.unlink()
    return None


def temporary_name(path: Path) -> Path:
    """A random name beside a file, for the temporary file that replaces it."""
    prefix, suffix = _around_temporary(path)
    return path.with_name(f"{prefix}{os.urandom(8).hex()}{suffix}")


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that a killed run left for a file, and files made beside those.

    For the only writer of this file. A temporary file has no temporary files of its own.
    """
    if _TEMPORARY.match(path.name):
        return
    prefix, suffix = _around_temporary(path)
    for leftover in path.parent.glob(f"{prefix}*{suffix}*"):
        with suppress(FileNotFoundError):
            if stat.S_ISREG(os.lstat(leftover).st_mode):
                leftover.unlink()


def _around_temporary(path: Path) -> tuple[str, str]:
    # Short, however long the file's name, and different from those of other files in the folder. A
    # temporary file of a temporary file counts as one of the original.
    if again := _TEMPORARY.match(path.name):
        return again[0], _SUFFIX
    return f"{_PREFIX}{zlib.crc32(os.fsencode(path.name)):08x}-", _SUFFIX


def sync_directory(path: Path) -> None:
    """Make created, replaced and removed names in a directory durable.

    Does nothing on Windows, and on file systems that cannot sync a directory.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, FOLDER)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def is_private(path: Path) -> bool:
    """Whether only the owner may use the file; always True on Windows, which has no modes."""
    if sys.platform == "win32":
        return True
    return not path.stat().st_mode & OTHERS


class Trust(Enum):
    """Whether other users may put files under our names into a folder."""

    OURS = auto()
    """They may not, as far as owner and mode tell."""
    LINK = auto()
    """It is a link, so others than the folder's owner may decide where it leads."""
    OTHERS = auto()
    """They may: the folder belongs to another user, or its mode allows it."""
    UNTOLD = auto()
    """The mode allows it, but the file system does not keep modes."""


def trust(folder: Path) -> Trust:
    """Who may write a folder; OURS if it does not exist yet."""
    try:
        status = os.lstat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return Trust.OURS
    if stat.S_ISLNK(status.st_mode):
        return Trust.LINK
    if sys.platform == "win32" or not stat.S_ISDIR(status.st_mode):
        return Trust.OURS
    safe = not status.st_mode & _WRITABLE
    if safe and status.st_uid in (os.geteuid(), 0):
        return Trust.OURS
    try:
        keeps_modes, owner = _ask_by_file(folder)
    except OSError:
        # No file can be made there; the error says so when one has to be.
        return Trust.OURS
    # A server or a mount may show our own files as another user's.
    known = Trust.OURS if safe and owner == status.st_uid else Trust.OTHERS
    return known if keeps_modes else Trust.UNTOLD


def _ask_by_file(folder: Path) -> tuple[bool, int]:
    """Whether modes are kept there, and the owner that a new file of ours has."""
    name = temporary_name(folder / "trust")
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | COMMON, PRIVATE)
    try:
        keeps_modes = True
        for mode in (PRIVATE | 0o060, PRIVATE):
            with suppress(PermissionError):
                os.fchmod(descriptor, mode)
            keeps_modes &= stat.S_IMODE(os.fstat(descriptor).st_mode) == mode
        return keeps_modes, os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        name.unlink()


_SECOND_NAME = "it has a second name, so it may be another's file (a hard link)"


def _open_own(path: Path, flags: int, *, shared: bool = False, device: bool = False) -> int:
    with suppress(FileNotFoundError):
        # Opening some special files has side effects.
        _require(path, os.lstat(path), shared=shared, device=device)
    descriptor = os.open(path, flags | COMMON, PRIVATE)
    try:
        _require(path, os.fstat(descriptor), shared=shared, device=device)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require(
    path: Path, status: os.stat_result, *, shared: bool = False, device: bool = False
) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise NotOurs(errno.ELOOP, "it is a link", str(path))
    if stat.S_ISDIR(status.st_mode):
        raise NotOurs(errno.EISDIR, "it is a directory", str(path))
    if device and stat.S_ISCHR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise _not_ours(path, "it is a pipe, a socket or a device")
    # A file that was unlinked meanwhile has no name at all.
    if status.st_nlink > 1 and not shared:
        raise _not_ours(path, _SECOND_NAME)


def _not_ours(path: Path, why: str) -> NotOurs:
    return NotOurs(errno.EEXIST, why, str(path))
