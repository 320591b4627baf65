"""How fast: the number of recordings in flight, the pause for all, and the memory they may take."""

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

THROTTLE_PAUSE = 1.0
"""Seconds that everybody waits when the service throttles without naming a time."""


class Pacer:
    """Lets at most ``limit`` attempts run at once and nobody during a pause.

    The limit starts at the ceiling, halves when the service throttles, and grows back by about one
    for each round of successes. ``sleep`` waits out a pause and may raise to end it all.
    """

    def __init__(
        self,
        ceiling: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ceiling = ceiling
        self._limit = float(ceiling)
        self._running = 0
        self._waiting: deque[anyio.Event] = deque()
        self._paused_until = 0.0
        self._last_cut = 0.0
        self._sleep = sleep
        self._clock = clock

    @property
    def limit(self) -> int:
        """How many attempts may run at once now."""
        return int(self._limit)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the pause to end and for a place, and hold the place."""
        while True:
            if (pause := self._paused_until - self._clock()) > 0:
                await self._sleep(pause)
            elif self._running < self.limit:
                break
            else:
                event = anyio.Event()
                self._waiting.append(event)
                await event.wait()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._wake()

    def succeeded(self) -> None:
        """An attempt went through: a little more may run."""
        self._limit = min(self._ceiling, self._limit + 1 / self._limit)
        self._wake()

    def throttled(self, started: float, retry_after: float | None) -> float:
        """The service said that it is too much; returns the pause in seconds that this begins.

        ``started`` is the clock's time at which the attempt began: those that began before the
        last cut say nothing new, so a burst of refusals cuts once.
        """
        now = self._clock()
        if started >= self._last_cut:
            self._limit = max(1.0, self._limit / 2)
            self._last_cut = now
        pause = THROTTLE_PAUSE if retry_after is None else max(0.0, retry_after)
        extension = now + pause - max(self._paused_until, now)
        self._paused_until = max(self._paused_until, now + pause)
        return pause if extension > 0 else 0.0

    def _wake(self) -> None:
        for _ in range(self.limit - self._running):
            if not self._waiting:
                break
            self._waiting.popleft().set()


class ByteBudget:
    """At most ``total`` bytes held at once; who asks for more than all of it gets all of it.

    First come, first served, so that a large recording is not overtaken for ever.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._queue = anyio.Lock()
        self._returned = anyio.Event()

    @asynccontextmanager
    async def hold(self, octets: int) -> AsyncIterator[None]:
        """Wait until so many bytes are free, and hold them."""
        share = min(octets, self._total)
        async with self._queue:
            while self._free < share:
                self._returned = anyio.Event()
                await self._returned.wait()
            self._free -= share
        try:
            yield
        finally:
            self._free += share
            self._returned.set()
