"""The times that a run goes by, passed in once: who tests one makes them up."""

import time
from collections.abc import Awaitable, Callable

import anyio
from msgspec import Struct

from batch_uploader.core.model import Timestamp
from batch_uploader.host.clock import boot_time


def current_timestamp() -> Timestamp:
    """This moment, by the system's clocks."""
    return Timestamp(time.time_ns(), *(boot_time() or ()))


class Clock(Struct, frozen=True):
    """What time it is, seconds that only ever grow, and how to let seconds pass."""

    now: Callable[[], Timestamp] = current_timestamp
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
