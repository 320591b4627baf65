"""Quotas by the second, minute, hour and day."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

GET_QUOTA: Final = ((20, 1.0), (200, 60.0), (2_000, 3_600.0), (20_000, 86_400.0))
"""The service's quotas for a project: talks, and in how many seconds; all apply at once."""

Waits = Callable[[float], None]
"""Called before each pause with its seconds."""


class Quota:
    """Stays within each ``(amount, seconds)`` of ``limits``, in any window of that length.

    Counts only this process; others that use the same project share the quota. ``clock`` gives
    seconds.
    """

    def __init__(
        self,
        limits: tuple[tuple[int, float], ...] = GET_QUOTA,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._spent: deque[tuple[float, int]] = deque()
        self._turn = anyio.Lock()

    @property
    def at_once(self) -> int:
        """The most that can be taken at once."""
        return min(amount for amount, _ in self._limits)

    async def take(self, amount: int, waits: Waits | None = None) -> None:
        """Wait until ``amount``, at most ``at_once``, is available; first come, first served."""
        async with self._turn:
            while (pause := self._pause(amount)) > 0:
                if waits is not None:
                    waits(pause)
                await self._sleep(pause)
            self._spent.append((self._clock(), amount))

    def _pause(self, amount: int) -> float:
        now = self._clock()
        while self._spent and now - self._spent[0][0] >= max(
            seconds for _, seconds in self._limits
        ):
            self._spent.popleft()
        return max(self._pause_within(limit, amount, now) for limit in self._limits)

    def _pause_within(self, limit: tuple[int, float], amount: int, now: float) -> float:
        most, seconds = limit
        used = amount
        for when, spent in reversed(self._spent):
            if now - when >= seconds:
                break
            used += spent
            if used > most:
                return when + seconds - now
        return 0.0
