"""All that differs between operating systems, each with what stands in for it elsewhere.

Everything here blocks, unless it says otherwise, so call it in a thread, and raises OSError.
"""

import ctypes
import errno
import functools
import os
import socket
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

_PRIVATE = 0o600
_OTHERS = 0o077
# None of these flags exists on every system; a missing one is made up for where it matters.
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_COMMON = (
    _NO_LINKS
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO without a writer would hold us for ever
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_time() -> tuple[str, int] | None:
    """Which start of this machine it is, and the nanoseconds since, suspended ones included.

    Nothing sets this clock. None where the system does not tell: only Linux does. Does not block.
    """
    if sys.platform != "linux":
        return None
    try:
        return _boot_id(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except OSError:
        return None


@functools.cache
def _boot_id() -> str:
    # Once: it is asked of each recording, and no process outlives the start of its machine.
    return _BOOT_ID.read_text("ascii").strip()


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
        descriptor = create_private(self._path)
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


class ServiceManager:
    """Where systemd hears of us (sd_notify), as a context manager; nobody listens elsewhere.

    ``watchdog`` is after how many seconds without a word it takes us for dead, None if it never
    does. Raises nothing: whoever cannot be told is not told.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.watchdog: float | None = None
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID") in {None, str(os.getpid())}
        if self._address and meant and microseconds.isdecimal() and int(microseconds):
            self.watchdog = int(microseconds) / 1e6

    def __enter__(self) -> Self:
        """Reach it, if it is there."""
        # An address that begins with @ is no file: Linux writes it with a zero byte.
        if self._address[:1] in {"/", "@"} and sys.platform != "win32":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(0)
            try:
                abstract = self._address.startswith("@")
                self._socket.connect("\0" + self._address[1:] if abstract else self._address)
            except OSError:
                self.__exit__(None, None, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def listens(self) -> bool:
        """Whether anybody is there."""
        return self._socket is not None

    def tell(self, **state: str) -> None:
        """Say something: ``READY="1"``, ``STATUS="..."``."""
        if self._socket is not None:
            text = "\n".join(f"{name}={value}" for name, value in state.items())
            with suppress(OSError):
                self._socket.send(text.encode())


def create_private(path: Path) -> int:
    """Open a file for reading and appending; if it is new, nobody but its owner may ever read it.

    An existing file keeps its content and its mode. A link at ``path`` is refused, not followed.
    The caller closes the descriptor.
    """
    _refuse_link(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _COMMON, _PRIVATE)


@contextmanager
def replace_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file anew: at each moment, also after a crash, ``path`` is the old or the new whole.

    Hands out a file to write to, which takes the place of ``path`` when the block ends and is
    durable then. If the block or the writing fails, the old file stands and nothing is left over.
    Nobody but the owner may read the new file. A link at ``path`` is itself replaced.
    """
    prefix, suffix = _around_temporary(path)
    temporary = path.with_name(f"{prefix}{os.urandom(8).hex()}{suffix}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON, _PRIVATE)
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


def remove_leftovers(path: Path) -> None:
    """Remove what a killed ``replace_atomically`` left; for whoever alone replaces this file."""
    prefix, suffix = _around_temporary(path)
    for leftover in path.parent.glob(f"{prefix}*{suffix}"):
        leftover.unlink(missing_ok=True)


def _around_temporary(path: Path) -> tuple[str, str]:
    # Short, whatever the file's name, and no other file's of the same folder.
    return f".batch-uploader-{zlib.crc32(os.fsencode(path.name)):08x}-", ".tmp"


def sync_directory(path: Path) -> None:
    """Make names that were created, replaced or removed in a directory durable.

    Does nothing on Windows, and on file systems that cannot sync a directory.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, _FOLDER)
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
    return not path.stat().st_mode & _OTHERS


def open_beneath(root: str, parts: Sequence[str]) -> int:
    """Open what lies at ``parts`` below a directory for reading, without following any link.

    Never waits, not even on a FIFO: the caller looks at what kind of file it got, and closes it.
    ``root`` itself may be a link. The parts are plain names. A link among them is an OSError with
    ``ELOOP`` or ``ENOTDIR``.
    """
    if sys.platform == "win32":
        return os.open(_resolve_beneath(root, parts), os.O_RDONLY | _COMMON)
    with _folder_beneath(root, parts[:-1]) as folder:
        return os.open(parts[-1], os.O_RDONLY | _COMMON, dir_fd=folder)


def stat_beneath(root: str, parts: Sequence[str]) -> os.stat_result:
    """Look at what lies at ``parts`` below a directory, without following any link.

    As ``open_beneath``, but a link at the very end is described instead of refused.
    """
    if sys.platform == "win32":
        return os.lstat(_resolve_beneath(root, parts))
    with _folder_beneath(root, parts[:-1]) as folder:
        return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)


@contextmanager
def scan_beneath(root: str, parts: Sequence[str]) -> Iterator[Iterator[os.DirEntry[str]]]:
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
    root: str, parts: Sequence[str], size: int, device: int
) -> tuple[bytes, os.stat_result]:
    """The first ``size`` bytes of a file below a directory, and what it was when they were read.

    Does not block: an OSError if a disk or a share had to be waited for, even to find the file, if
    the file has not so many bytes, if a link or a mount lies on the way, if the directory is not
    of this ``device``, and wherever the system has no openat2 (Linux 5.12).
    """
    folder = _open_cached(_HERE, root, _FOLDER | os.O_PATH, _CACHED)
    try:
        if os.fstat(folder).st_dev != device:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), root)
        descriptor = _open_cached(folder, "/".join(parts), os.O_RDONLY | _COMMON, _CACHED_BENEATH)
    finally:
        os.close(folder)
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
_HERE = -100
_CACHED = 0x20  # nothing but what is in memory
_CACHED_BENEATH = _CACHED | 0x01 | 0x04 | 0x08  # no other mount, no link, not up and out


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
def _folder_beneath(root: str, parts: Sequence[str]) -> Iterator[int]:
    # Step by step from descriptor to descriptor, since a path could be bent under our feet.
    folder = os.open(root, _FOLDER)
    try:
        for part in parts:
            below = os.open(part, _FOLDER | _NO_LINKS, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _resolve_beneath(root: str, parts: Sequence[str]) -> str:
    # For systems that cannot open relative to a descriptor.
    plain = os.path.join(os.path.realpath(root), *parts)  # noqa: PTH118 - may be no valid Unicode
    if os.path.normcase(os.path.realpath(plain)) != os.path.normcase(plain):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), plain)
    return plain


def _refuse_link(path: Path) -> None:
    if not _NO_LINKS and path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
