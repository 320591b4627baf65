"""Credentials that expire: obtained from elsewhere, renewed ahead of time, once for all callers."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import anyio

from batch_uploader.core.errors import NotSent, SinkError, Unauthorized

_AHEAD: Final = 3600.0
_LONGEST_LIFE: Final = 12 * 3600.0
_SHORTEST_LIFE: Final = 1.0
_ASSUMED_LIFE: Final = 60.0
"""If a token has expired by our clock when it is issued: then the clocks differ."""
_UNKNOWN_LIFE: Final = 3600.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0


class IssuedToken:
    """A token, and for how many seconds it is valid (None: not told). Its repr does not show it."""

    def __init__(self, token: str, life: float | None) -> None:
        self.token = token
        self.life = life


class Renewable(ABC):
    """The header of requests, from a source that issues it for a time.

    It is renewed an hour before it expires (halfway, if it is valid for less than two hours; every
    half an hour, if its life is not told), by one request for all callers. If that fails, the old
    one is used until it expires, and further attempts are made after 1, 2, 4, ... 60 seconds.
    """

    scheme = "Bearer"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flight = anyio.Lock()
        self._flights = 0
        self._failures = 0
        self._header = ""
        self._renew_at = self._ends_at = clock()
        self.trouble: SinkError | None = None
        """Why the last attempt to renew it failed, None if it did not."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is and where it comes from, for messages."""

    @abstractmethod
    async def _obtain(self) -> IssuedToken:
        """Raises Unauthorized if it is refused for good, else NotSent."""

    @property
    def life(self) -> float | None:
        """For how many more seconds the header is valid; None: not known."""
        return None if math.isinf(self._ends_at) else max(0.0, self._ends_at - self._clock())

    async def header(self) -> str:
        """A valid header.

        Raises Unauthorized if the source refuses one for good, NotSent if it fails.
        """
        while self._clock() >= self._renew_at:
            valid = self._clock() < self._ends_at
            if valid and self._flight.locked():
                break
            flights = self._flights
            async with self._flight:
                if self._flights != flights and self.trouble and self._clock() >= self._ends_at:
                    # The request that this caller waited for is its own, too.
                    raise self.trouble
                if self._clock() >= self._renew_at:
                    await self._renew()
        return self._header

    def refused(self, header: str) -> None:
        """The service refused this header: if it is still in use, it has expired."""
        if header == self._header:
            self._renew_at = self._ends_at = self._clock()

    async def _renew(self) -> None:
        try:
            issued = await self._obtain()
        except (NotSent, Unauthorized) as error:
            self._flights += 1
            self.trouble = error
            now = self._clock()
            if now >= self._ends_at:
                raise
            pause = min(_FIRST_PAUSE * 2.0**self._failures, _LONGEST_PAUSE)
            self._failures += 1
            self._renew_at = min(now + pause, self._ends_at)
            return
        self._flights += 1
        self.trouble = None
        self._failures = 0
        self._header = f"{self.scheme} {issued.token}"
        now = self._clock()
        if issued.life is None:
            self._renew_at, self._ends_at = now + _UNKNOWN_LIFE / 2, math.inf
            return
        life = max(_SHORTEST_LIFE, min(issued.life, _LONGEST_LIFE))
        if issued.life <= 0:
            life = _ASSUMED_LIFE
        self._ends_at = now + life
        self._renew_at = self._ends_at - min(_AHEAD, life / 2)
