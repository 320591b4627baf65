"""What lies below a directory, without following any link, and what of it is in memory.

Everything here blocks, unless it says otherwise, so call it in a thread, and raises OSError.
"""

import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from batch_uploader.host.files import COMMON as _COMMON
from batch_uploader.host.files import FOLDER as _FOLDER
from batch_uploader.host.files import NO_LINKS as _NO_LINKS

Root: TypeAlias = str | int
"""A directory by its path, or held: by a descriptor, whatever its path leads to by now."""


def identity(file: Path | Root) -> tuple[int, int]:
    """What tells a file or a directory from all others, whatever its path."""
    status = os.stat(file)  # noqa: PTH116 - a descriptor, or a name that is no valid Unicode
    return status.st_dev, status.st_ino


def hold_directory(path: str) -> Root:
    """A directory, to open from what lies below it. The caller closes a descriptor.

    The path itself where a system cannot open relative to a descriptor.
    """
    return path if sys.platform == "win32" else os.open(path, _FOLDER)


def open_beneath(root: Root, parts: Sequence[str]) -> int:
    """Open what lies at ``parts`` below a directory for reading, without following any link.

    Never waits, not even on a FIFO: the caller looks at what kind of file it got, and closes it.
    ``root`` itself may be a link. The parts are plain names. A link among them is an OSError with
    ``ELOOP`` or ``ENOTDIR``.
    """
    if sys.platform == "win32":
        return os.open(_resolve_beneath(root, parts), os.O_RDONLY | _COMMON)
    with _folder_beneath(root, parts[:-1]) as folder:
        return os.open(parts[-1], os.O_RDONLY | _COMMON, dir_fd=folder)


def stat_beneath(root: Root, parts: Sequence[str]) -> os.stat_result:
    """Look at what lies at ``parts`` below a directory, without following any link.

    As ``open_beneath``, but a link at the very end is described instead of refused.
    """
    if sys.platform == "win32":
        return os.lstat(_resolve_beneath(root, parts))
    with _folder_beneath(root, parts[:-1]) as folder:
        return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)


@contextmanager
def scan_beneath(root: Root, parts: Sequence[str]) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Read the folder at ``parts`` below a directory, or that itself, without following any link.

    What it hands out is good within the block alone; the ``path`` of a DirEntry means nothing.
    """
    if sys.platform == "win32":
        with os.scandir(_resolve_beneath(root, parts)) as items:
            yield items
    else:
        with _folder_beneath(root, parts) as folder, os.scandir(folder) as items:
            yield items


def tells_cached(descriptor: int) -> bool:
    """Whether the file system can tell what of this file is in memory.

    Those behind a network or another process cannot, nor any of another system than Linux.
    """
    try:
        os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
    except AttributeError:
        return False
    except OSError as error:
        return error.errno == errno.EAGAIN
    return True


def read_cached_beneath(
    root: Root, parts: Sequence[str], size: int
) -> tuple[bytes, os.stat_result]:
    """The first ``size`` bytes of a file below a directory, and what it was when they were read.

    Does not block: an OSError if a disk or a share had to be waited for, even to find the file, if
    the file has not so many bytes, if a link or a mount lies on the way, and wherever the system
    has no openat2 (Linux 5.12). The directory is one that is held.
    """
    if isinstance(root, str):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), root)
    descriptor = _open_cached(root, "/".join(parts), os.O_RDONLY | _COMMON, _CACHED_BENEATH)
    try:
        content = bytearray(size)
        if os.preadv(descriptor, [content], 0, os.RWF_NOWAIT) != size:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), parts[-1])
        return bytes(content), os.fstat(descriptor)
    finally:
        os.close(descriptor)


_NO_DESCRIPTOR = (AttributeError, OSError, NotImplementedError, TypeError, ValueError)
"""What a handle without one may say when it is asked for it, and a system without the call."""


def read_cached(file: BinaryIO, offset: int, into: memoryview) -> bool:
    """Fill a buffer from a file if nobody has to wait for a disk; whether it is filled.

    Does not block. False as well for what is not there, and always where the system does not tell.
    """
    try:
        return os.preadv(file.fileno(), [into], offset, os.RWF_NOWAIT) == len(into)
    except _NO_DESCRIPTOR:
        return False


def read_ahead(file: BinaryIO, offset: int, length: int) -> None:
    """Have the system read what will soon be asked for; does nothing where it cannot."""
    with suppress(*_NO_DESCRIPTOR):
        os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_WILLNEED)


def is_junction(item: os.DirEntry[str]) -> bool:
    """Whether a directory is one of Windows' own links, which it does not call links."""
    if sys.platform == "win32":
        tag = item.stat(follow_symlinks=False).st_reparse_tag
        return tag == stat.IO_REPARSE_TAG_MOUNT_POINT
    return False


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_OPENAT2 = 437  # on every architecture, and unknown to Python
# Nothing but what is in memory; no other mount, no link, not up and out.
_CACHED_BENEATH = 0x20 | 0x01 | 0x04 | 0x08


@functools.cache
def _syscall() -> Callable[..., int]:
    # Keeps the interpreter's lock: to let it go and get it back takes longer.
    function: Callable[..., int] = ctypes.PyDLL(None, use_errno=True).syscall
    return function


def _open_cached(folder: int, path: str, flags: int, resolve: int) -> int:
    how = _OpenHow(flags, 0, resolve)
    descriptor = _syscall()(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(folder),
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return descriptor


@contextmanager
def _folder_beneath(root: Root, parts: Sequence[str]) -> Iterator[int]:
    # Step by step from descriptor to descriptor, since a path could be bent under our feet. Each
    # is one of its own: two readers of one descriptor would take each other's names away.
    if isinstance(root, str):
        folder = os.open(root, _FOLDER)
    else:
        first, *parts = parts or (os.curdir,)
        folder = os.open(first, _FOLDER | _NO_LINKS, dir_fd=root)
    try:
        for part in parts:
            below = os.open(part, _FOLDER | _NO_LINKS, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _resolve_beneath(root: Root, parts: Sequence[str]) -> str:
    # For systems that cannot open relative to a descriptor, and so hold none.
    plain = os.path.join(os.path.realpath(str(root)), *parts)  # noqa: PTH118 - may be no valid Unicode
    if os.path.normcase(os.path.realpath(plain)) != os.path.normcase(plain):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), plain)
    return plain
