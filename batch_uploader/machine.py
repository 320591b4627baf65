"""The memory of this machine: how it is kept, how much there is. Nothing here blocks."""

import ctypes
import sys
from pathlib import Path

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


_OF_FILES = ("inactive_file ", "active_file ")


def spare_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this machine, and the control groups of this process, have left to give.

    None where the system does not tell: only Linux does. Does not block.
    """
    try:
        told = (root / "proc/meminfo").read_text("ascii").splitlines()
        spare = [int(line.split()[1]) * 1024 for line in told if line.startswith("MemAvailable:")]
        told = (root / "proc/self/cgroup").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    for name in (line.removeprefix("0::/") for line in told if line.startswith("0::/")):
        group = Path(name)
        for each in (group, *group.parents):
            spare += _spare_in(root / "sys/fs/cgroup" / each)
    return min(spare, default=None)


def _spare_in(group: Path) -> list[int]:
    try:
        most = int((group / "memory.max").read_text("ascii"))
        taken = int((group / "memory.current").read_text("ascii"))
        stat = (group / "memory.stat").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return []  # no limit, or none of memory
    # What is cached of files is given back when it is needed.
    cached = sum(int(line.split()[1]) for line in stat if line.startswith(_OF_FILES))
    return [most - taken + cached]
