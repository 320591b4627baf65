"""The memory that the recordings in flight may take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from batch_uploader.pace.bell import Bell


class ByteBudget:
    """At most ``total`` bytes held at once; who asks for more than all of it gets all of it.

    First come, first served, so that a large recording is not overtaken for ever.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._queue = anyio.Lock(fast_acquire=True)
        self._returned = Bell()

    @asynccontextmanager
    async def hold(self, octets: int) -> AsyncIterator[None]:
        """Wait until so many bytes are free, and hold them."""
        share = min(octets, self._total)
        if self._free < share or self._queue.locked():
            async with self._queue:
                while self._free < share:
                    await self._returned.wait()
        # Nobody comes in between: to leave the queue takes no turn of the event loop.
        self._free -= share
        try:
            yield
        finally:
            self._free += share
            self._returned.ring()
