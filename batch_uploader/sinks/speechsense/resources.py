"""The resources that gRPC needs at its start; without them it aborts the process silently."""

import os
from functools import cache
from typing import Final

from batch_uploader.core.errors import ConfigError
from batch_uploader.host.resources import spare_descriptors, spare_threads, taking

DESCRIPTORS: Final = 24
"""At the start: gRPC's, the ledger's, and files that are open briefly."""
DESCRIPTORS_WITHOUT_GRPC: Final = 16
_DESCRIPTORS_EACH: Final = 4
"""A recording in flight has its file and a connection, and briefly its folder and sidecar."""
_MEMORY: Final = 192
"""MiB, half of it for recordings in flight."""
# gRPC starts one for each processor up to 16; the others are the ledger's and the display's.
_THREADS: Final = 16 + min(os.cpu_count() or 1, 16)
_WORKERS: Final = 40
"""anyio's maximum of worker threads."""


@cache
def require_resources() -> int:
    """Check the resources that gRPC needs. Returns how many worker threads are left.

    Checks only once, since later they are in use. Blocks briefly. Raises ConfigError, with the
    limit to raise.
    """
    require_descriptors(DESCRIPTORS)
    try:
        # Threads need memory, too.
        with taking(_MEMORY * 1024 * 1024):
            threads = spare_threads(_THREADS + _WORKERS)
    except MemoryError:
        raise ConfigError(
            f"not enough memory: {_MEMORY} MiB are needed to start",
            hint="raise the limit: ulimit -v unlimited",
        ) from None
    if threads <= _THREADS:
        raise ConfigError(
            f"not enough threads: {_THREADS + 1} are needed to start, and only {threads} more are"
            " allowed",
            hint="raise the limit: ulimit -u, TasksMax= in a systemd unit, --pids-limit of a"
            " container, or that of memory (ulimit -v)",
        )
    return threads - _THREADS


def require_descriptors(count: int) -> None:
    """Raise ConfigError unless this process may open ``count`` more files."""
    spare = spare_descriptors()
    if spare is not None and spare < count:
        raise ConfigError(
            f"not enough open files: {count} are needed to start, and only {spare} more are"
            " allowed",
            hint="raise the limit: ulimit -n 1024, or LimitNOFILE= in a systemd unit",
        )


def uploads_within(spare: int) -> int:
    """For how many uploads at once ``spare`` descriptors are enough; at least one."""
    return max(1, (spare - DESCRIPTORS) // _DESCRIPTORS_EACH)


def descriptors_for(uploads: int) -> int:
    """How many descriptors are needed for ``uploads`` at once."""
    return DESCRIPTORS + uploads * _DESCRIPTORS_EACH
