"""Files below a directory, opened without following any link, and which of them are in memory.

Unless its docstring says otherwise, a function here blocks (call it in a thread) and raises
OSError.
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
"""A directory by its path, or held by a descriptor, which stays valid when the path changes."""


def identity(file: Path | Root) -> tuple[int, int]:
    """The device and inode, which identify a file or a directory whatever its path."""
    status = os.stat(file)  # noqa: PTH116 - a descriptor, or a name that is not valid Unicode
    return status.st_dev, status.st_ino


def hold_directory(path: str) -> Root:
    """Open a directory, to open files relative to it. The caller closes the descriptor.

    Returns the path where a system cannot open relative to a descriptor.
    """
    return path if sys.platform == "win32" else os.open(path, _FOLDER)


def open_beneath(root: Root, parts: Sequence[str]) -> int:
    """Open the file at ``parts`` below a directory for reading, without following any link.

    Never waits, not even on a FIFO: the caller checks the file's type, and closes it. ``root``
    itself may be a link. The parts are plain names. A link among them is an OSError with ``ELOOP``
    or ``ENOTDIR``.
    """
    if sys.platform == "win32":
        return os.open(_resolve_beneath(root, parts), os.O_RDONLY | _COMMON)
    with _folder_beneath(root, parts[:-1]) as folder:
        return os.open(parts[-1], os.O_RDONLY | _COMMON, dir_fd=folder)


def stat_beneath(root: Root, parts: Sequence[str]) -> os.stat_result:
    """The stat of the file at ``parts`` below a directory, without following any link.

    As ``open_beneath``, but for a link as the last part it returns the stat of the link.
    """
    if sys.platform == "win32":
        return os.lstat(_resolve_beneath(root, parts))
    with _folder_beneath(root, parts[:-1]) as folder:
        return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)


@contextmanager
def scan_beneath(root: Root, parts: Sequence[str]) -> Iterator[Iterator[os.DirEntry[str]]]:
    """List the folder at ``parts`` below a directory, or the directory itself, following no link.

    The entries are valid only within the block; the ``path`` of a DirEntry means nothing.
    """
    if sys.platform == "win32":
        with os.scandir(_resolve_beneath(root, parts)) as items:
            yield items
    else:
        with _folder_beneath(root, parts) as folder, os.scandir(folder) as items:
            yield items


def tells_cached(descriptor: int) -> bool:
    """Whether the file system can tell which parts of this file are in memory.

    Network and FUSE file systems cannot, nor can any system but Linux.
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
    """The first ``size`` bytes of a file below a held directory, and its stat when they were read.

    Does not block. Raises OSError if reading or even finding the file would wait for a disk or a
    share, if the file is shorter, if a link or a mount is on the way, and where the system lacks
    openat2 (Linux 5.12).
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
"""What a handle without a descriptor may raise when asked for it, and a system without the call."""


def read_cached(file: BinaryIO, offset: int, into: memoryview) -> bool:
    """Fill a buffer from a file without waiting for a disk. Returns whether it is filled.

    Does not block. False if the bytes are missing, and always where the system cannot tell.
    """
    try:
        return os.preadv(file.fileno(), [into], offset, os.RWF_NOWAIT) == len(into)
    except _NO_DESCRIPTOR:
        return False


def read_ahead(file: BinaryIO, offset: int, length: int) -> None:
    """Have the system read bytes ahead of their use; does nothing where it cannot."""
    with suppress(*_NO_DESCRIPTOR):
        os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_WILLNEED)


def is_junction(item: os.DirEntry[str]) -> bool:
    """Whether a directory is a Windows junction, which Python does not report as a link."""
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
# RESOLVE_CACHED, NO_XDEV, NO_SYMLINKS and BENEATH: only from memory, no mount, link or "..".
_CACHED_BENEATH = 0x20 | 0x01 | 0x04 | 0x08


@functools.cache
def _syscall() -> Callable[..., int]:
    # PyDLL keeps the GIL: releasing it and taking it again takes longer than the call.
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
    # Part by part, each opened relative to the one before, since a link may be put into a path at
    # any time. Each listing has its own descriptor: two that share one share its position.
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
    # For systems that cannot open relative to a descriptor.
    plain = os.path.join(os.path.realpath(str(root)), *parts)  # noqa: PTH118 - may not be valid Unicode
    if os.path.normcase(os.path.realpath(plain)) != os.path.normcase(plain):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), plain)
    return plain
