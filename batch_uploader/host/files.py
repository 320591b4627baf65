"""How files of our own are made, opened, replaced and closed to others.

A ledger lies among files that strangers may have put there: under a name of ours a link may lead
anywhere, and a file may be another name of somebody else's. So nothing is done by way of a name
alone. What is opened is no link and a plain file, which is asked of the descriptor; what is written
has no second name; what is closed to others belongs to us. Blocks, and raises OSError.
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
# None of these flags exists on every system; a missing one is made up for where it matters.
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


class NotOurs(OSError):  # noqa: N818 - what lies there, not a mistake
    """Under a name of our own lies something that we did not put there; it is left as it is."""

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
    """Open a file for reading and writing; if it is new, nobody but its owner may ever read it.

    An existing file keeps its content and its mode; with ``exclusive`` it is a FileExistsError. A
    link at ``path`` is refused, not followed, and so is all but a plain file; with ``device`` one
    that keeps nothing will do. A file with a second name is refused unless it is ``shared``, as one
    that nobody writes may be. The caller closes the descriptor.
    """
    flags = os.O_RDWR | os.O_CREAT
    flags |= (os.O_APPEND if append else 0) | (os.O_EXCL if exclusive else 0)
    return _open_own(path, flags, shared=shared, device=device)


def read_own(path: Path, most: int) -> bytes | None:
    """The first ``most`` bytes of a file of our own, None where there is none; follows no link."""
    try:
        descriptor = _open_own(path, os.O_RDONLY, shared=True)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)


def close_to_others(path: Path) -> None:
    """Let nobody but its owner use a file of our own; nothing happens where there is none.

    What belongs to another user keeps its mode, and so does a file with a second name. A file
    system that keeps no modes is left alone.
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
    """``close_to_others`` of what is open."""
    if sys.platform != "win32":
        status = os.fstat(descriptor)
        if status.st_mode & OTHERS and status.st_nlink == 1 and status.st_uid == os.geteuid():
            with suppress(PermissionError):
                os.fchmod(descriptor, PRIVATE)


def give_to_owner_of(other: Path, descriptor: int) -> None:
    """Let what root made belong to whoever owns another file, as SQLite does with its logs.

    Or its owner could not use what lies beside it any more. Nothing happens where there is none.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        with suppress(OSError):
            status = os.lstat(other)
            if stat.S_ISREG(status.st_mode) and status.st_uid:
                os.fchown(descriptor, status.st_uid, status.st_gid)


def require_own(path: Path, *, shared: bool = False) -> None:
    """Raise NotOurs unless a plain file lies there, or nothing: what others open by its name."""
    with suppress(FileNotFoundError):
        _require(path, os.lstat(path), shared=shared)


def unshare(path: Path) -> None:
    """Give a file that has a second name a copy of its own, whole or not at all; for its only user.

    So a backup that is made of hard links is not written to, nor whatever else it is.
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
    """Write a file anew: at each moment, also after a crash, ``path`` is the old or the new whole.

    Hands out a file to write to, which takes the place of ``path`` when the block ends and is
    durable then. If the block or the writing fails, the old file stands and nothing is left over.
    Nobody but the owner may read the new file. A link at ``path`` is itself replaced.
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
    """Make a file whole, unless there is something; whether it was made. Durable when it returns.

    Of several that try at once, one makes it. Nobody but the owner may read it.
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
            # Not every file system has links; then the later one of two wins.
            if os.path.lexists(path):
                return False
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def temporary_name(path: Path) -> Path:
    """A name beside a file for what may take its place, of no file that anybody ever made."""
    prefix, suffix = _around_temporary(path)
    return path.with_name(f"{prefix}{os.urandom(8).hex()}{suffix}")


def remove_leftovers(path: Path) -> None:
    """Remove what a killed run left under a temporary name, and what it made beside that.

    For whoever alone replaces this file. What is temporary itself has none of its own.
    """
    if _TEMPORARY.match(path.name):
        return
    prefix, suffix = _around_temporary(path)
    for leftover in path.parent.glob(f"{prefix}*{suffix}*"):
        with suppress(FileNotFoundError):
            if stat.S_ISREG(os.lstat(leftover).st_mode):
                leftover.unlink()


def _around_temporary(path: Path) -> tuple[str, str]:
    # Short, whatever the file's name, and no other file's of the same folder. What is made for a
    # temporary file is a leftover of the same.
    if again := _TEMPORARY.match(path.name):
        return again[0], _SUFFIX
    return f"{_PREFIX}{zlib.crc32(os.fsencode(path.name)):08x}-", _SUFFIX


def sync_directory(path: Path) -> None:
    """Make names that were created, replaced or removed in a directory durable.

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
    """Whether nobody but the owner may use the file; always so on Windows, which has no modes."""
    if sys.platform == "win32":
        return True
    return not path.stat().st_mode & OTHERS


class Trust(Enum):
    """Whether others may put files under our names into a folder."""

    OURS = auto()
    """They may not, or nothing tells that they may."""
    LINK = auto()
    """It is a link: what it leads to is not for the folder's owner alone to say."""
    OTHERS = auto()
    """They may: it is somebody else's, or its mode lets them."""
    UNTOLD = auto()
    """Its mode lets them, but its file system keeps no modes."""


def trust(folder: Path) -> Trust:
    """Who may write a folder; OURS where there is none yet."""
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
        # Nothing of ours can be made in there, as is told when it has to be.
        return Trust.OURS
    # A server, or a mount, may show whatever is ours as somebody else's.
    known = Trust.OURS if safe and owner == status.st_uid else Trust.OTHERS
    return known if keeps_modes else Trust.UNTOLD


def _ask_by_file(folder: Path) -> tuple[bool, int]:
    """Whether modes are kept there, and as whose a file of ours is shown."""
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
        # To open some things does something to them.
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
    # On a file that was unlinked meanwhile there is no name at all.
    if status.st_nlink > 1 and not shared:
        raise _not_ours(path, _SECOND_NAME)


def _not_ours(path: Path, why: str) -> NotOurs:
    return NotOurs(errno.EEXIST, why, str(path))
