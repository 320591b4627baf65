"""The memory of this machine: how it is kept, how much there is. Nothing here blocks."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Of glibc's malloc.h, in the order in which they are set: how many heaps, how much free memory at
# the end of one before the system gets it back, and how large a block is that has pages of its own
# (32 MiB is the most that every glibc takes).
_HEAP = ((-8, 1), (-1, 256 * 1024 * 1024), (-3, 32 * 1024 * 1024))


def keep_one_heap() -> bool:
    """Let all threads of this process share one heap, which keeps what is given back to it.

    Whether the system can do that. glibc gives each thread a heap, and what one has given back the
    others cannot use: a third more memory for recordings on their way. It gives large blocks back
    to the system, too, which clears each page before the next recording gets it: a tenth of the CPU
    time. Before other threads start. Does not block.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # musl, which has one heap anyway
    return all(mallopt(what, value) for what, value in _HEAP)


class _Groups(NamedTuple):
    """Where control groups are, and the files that tell of their memory."""

    folder: str
    limits: tuple[str, ...]
    taken: str
    cached: tuple[str, ...]
    """What in ``memory.stat`` is given back when it is needed: it is cached of files."""


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
    """Bytes that this machine, and the control groups of this process, have left to give.

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
    return min(spare, default=0)


def _left_in(group: Path, files: _Groups) -> Iterator[int]:
    try:
        taken = int("".join(_lines(group / files.taken)))
    except ValueError:
        return  # no such group, or none of memory
    stat = _lines(group / "memory.stat")
    taken -= sum(int(line.split()[1]) for line in stat if line.startswith(files.cached))
    for limit in files.limits:
        with suppress(ValueError):  # there is none
            yield int("".join(_lines(group / limit))) - taken


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
