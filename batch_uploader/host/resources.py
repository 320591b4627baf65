"""Resources of this machine: memory and how it is allocated, threads, descriptors.

Nothing here blocks unless its docstring says so.
"""

import _thread
import ctypes
import errno
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

if sys.platform != "win32":
    import resource

# glibc's mallopt, in this order: M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (32 MiB is the
# maximum that every glibc accepts).
_HEAP = ((-8, 1), (-1, 256 * 1024 * 1024), (-3, 32 * 1024 * 1024))


def keep_one_heap() -> bool:
    """Let all threads share one heap, which keeps freed memory. Returns whether the system can.

    glibc gives each thread a heap, and memory freed in one is not available to the others: a third
    more memory for recordings in flight. It also returns large blocks to the system, which clears
    each page before the next recording gets it: a tenth of the CPU time. Call it before other
    threads start. Does not block.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # musl, which has one heap anyway
    return all(mallopt(what, value) for what, value in _HEAP)


@contextmanager
def taking(size: int) -> Iterator[None]:
    """Allocate ``size`` bytes for the duration of the block. Raises MemoryError."""
    try:
        block = mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError from error
    with block:
        yield


def spare_threads(most: int) -> int:
    """How many more threads can be started, up to ``most``. Tries it, so it blocks briefly."""
    done, ended = threading.Lock(), threading.Semaphore(0)

    def wait() -> None:
        with done:
            pass
        ended.release()

    started = 0
    with done, suppress(RuntimeError, MemoryError):
        while started < most:
            # threading.Thread waits until each has started, which takes ten times as long.
            _thread.start_new_thread(wait, ())
            started += 1
    for _ in range(started):
        ended.acquire()
    return started


def spare_descriptors() -> int | None:
    """How many more files this process may open, None where the system does not tell."""
    if sys.platform == "win32":
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        # The descriptor that lists them is counted, too.
        taken = len(os.listdir("/dev/fd")) - 1  # noqa: PTH208 - a Path would take as many objects
    except OSError as error:
        return 0 if error.errno == errno.EMFILE else None
    return max(0, limit - taken)


class _Groups(NamedTuple):
    """The path of a control group hierarchy, and the names of its memory files."""

    folder: str
    limits: tuple[str, ...]
    taken: str
    cached: tuple[str, ...]
    """The keys of ``memory.stat`` that count page cache, which is freed when needed."""


_VERSION_1 = _Groups(
    "sys/fs/cgroup/memory",
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_inactive_file ", "total_active_file "),
)
_VERSION_2 = _Groups(
    "sys/fs/cgroup",
    ("memory.max", "memory.high"),
    "memory.current",
    ("inactive_file ", "active_file "),
)


def spare_memory(root: Path = Path("/")) -> int:
    """Bytes that are free on this machine, within this process's control groups and its limit.

    0 where the system does not tell: only Linux does. Does not block.
    """
    told = _lines(root / "proc/meminfo")
    spare = [int(line.split()[1]) * 1024 for line in told if line.startswith("MemAvailable:")]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        groups = _VERSION_1 if controllers else _VERSION_2
        group = Path(name.lstrip("/"))
        for each in (group, *group.parents):
            spare += _left_in(root / groups.folder / each, groups)
    return min([*spare, *_left_of_limit(root)], default=0)


def _left_of_limit(root: Path) -> Iterator[int]:
    if sys.platform != "win32":
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        for line in _lines(root / "proc/self/statm"):
            if limit != resource.RLIM_INFINITY:
                yield limit - int(line.split()[0]) * resource.getpagesize()


def _left_in(group: Path, files: _Groups) -> Iterator[int]:
    try:
        taken = int("".join(_lines(group / files.taken)))
    except ValueError:
        return  # no such control group, or it has no memory controller
    stat = _lines(group / "memory.stat")
    taken -= sum(int(line.split()[1]) for line in stat if line.startswith(files.cached))
    for limit in files.limits:
        with suppress(ValueError):  # no limit
            yield int("".join(_lines(group / limit))) - taken


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
