"""A clock that nobody sets."""

import functools
import sys
import time
from pathlib import Path

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
