"""The time since the machine was started, which cannot be set."""

import functools
import sys
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_time() -> tuple[str, int] | None:
    """The ID of this boot of the machine and the nanoseconds since, including time suspended.

    This clock cannot be set. None where the system has none: only Linux does. Does not block.
    """
    if sys.platform != "linux":
        return None
    try:
        return _boot_id(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except OSError:
        return None


@functools.cache
def _boot_id() -> str:
    # Cached: it is read for each recording, and no process survives a reboot.
    return _BOOT_ID.read_text("ascii").strip()
