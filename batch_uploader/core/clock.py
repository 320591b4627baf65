"""The clocks of a run, passed in once, so that tests can replace them."""

import time
from collections.abc import Awaitable, Callable

import anyio
from msgspec import Struct

from batch_uploader.core.model import Timestamp
from batch_uploader.host.clock import boot_time


def current_timestamp() -> Timestamp:
    """The current time by the system's clocks."""
    return Timestamp(time.time_ns(), *(boot_time() or ()))


class Clock(Struct, frozen=True):
    """The current time, monotonic seconds, and how to sleep."""

    now: Callable[[], Timestamp] = current_timestamp
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
