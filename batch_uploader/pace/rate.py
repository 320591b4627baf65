"""Limits attempts a second, by the user's limit and by what the service accepts.

A service with a limit of N requests a second refuses more, however low the concurrency. So its rate
is found like its concurrency: by raising it until there are refusals. After a refusal the rate is a
little less than that of recent successes; it grows slowly at first, to use what is available, and
then ever faster, so that a limit that was lifted is forgotten within half a minute.
"""

import math

_BELOW = 0.95  # the new rate as a share of the recent successes
_LEAST_SHARE = 0.5  # the lowest factor of one cut
_HOLD = 3.0  # seconds without growth after a cut
_GROWTH = 0.02  # a second, after that; it doubles after some attempts, within limits of time
_DOUBLING = 100
_DOUBLING_SECONDS = (5.0, 10.0)
_FORGOTTEN = 9.0  # the natural logarithm of growth after which a cut is forgotten
_SLOWEST = 0.5  # a second; if not even that succeeds, it is an outage
_JITTER = 0.02  # seconds by which an attempt may be late without losing rate
_MEMORY = 80  # about this many attempts
_TOLERATED = 0.08  # of the attempts; rare refusals have other reasons than the rate
_MANY = 20  # a second; at fewer, each refusal weighs more
_RESET = 0.5  # the share of the tolerance that is assumed used after a cut
_STEP = 1.0  # seconds after which to ask again: the rate grows while attempts wait


class Delivered:
    """Successes a second over the last ``seconds``, or since the beginning if that is later.

    Periods under a second count as one second, since services let bursts pass.
    """

    _TICK = 0.1

    def __init__(self, now: float, seconds: float = 5.0) -> None:
        self._began = now
        self._seconds = seconds
        self._ticks: dict[int, int] = {}

    def add(self, now: float) -> None:
        """Count a success."""
        tick = int(now / self._TICK)
        self._ticks[tick] = self._ticks.get(tick, 0) + 1
        oldest = int((now - self._seconds) / self._TICK)
        while next(iter(self._ticks)) < oldest:
            del self._ticks[next(iter(self._ticks))]

    def rate(self, now: float) -> float:
        """The current rate."""
        oldest = int((now - self._seconds) / self._TICK)
        count = sum(number for tick, number in self._ticks.items() if tick >= oldest)
        return count / min(self._seconds, max(1.0, now - self._began))


class Rate:
    """Decides when the next attempt may begin. ``most`` a second are allowed; None is unlimited."""

    def __init__(self, now: float, most: float | None = None) -> None:
        self._most = most
        self._base: float | None = None
        self._cut_at = 0.0
        self._taken = self._refused = 0
        self._share = 0.0
        self._slot = -math.inf
        self.delivered = Delivered(now)

    def current(self, now: float) -> float | None:
        """The current limit in attempts a second; None is unlimited."""
        found = self._found(now)
        if found is None or self._most is None:
            return self._most if found is None else found
        return min(found, self._most)

    @property
    def exceeded(self) -> bool:
        """Whether the share of refused attempts shows that the rate is too high."""
        few = 1.0 if self._base is None else min(1.0, self._base / _MANY)
        return self._share > _TOLERATED * few

    def wait(self, now: float) -> float:
        """Seconds until the next attempt may begin, or until to ask again."""
        rate = self.current(now)
        return 0.0 if rate is None else min(self._slot + 1 / rate - now, _STEP)

    def begun(self, now: float) -> None:
        """An attempt begins."""
        rate = self.current(now)
        self._slot = now if rate is None else max(self._slot + 1 / rate, now - _JITTER)

    def given_back(self, now: float) -> None:
        """An attempt that was to begin did not."""
        if (rate := self.current(now)) is not None:
            self._slot -= 1 / rate

    def succeeded(self, now: float) -> None:
        """An attempt succeeded."""
        self.delivered.add(now)
        self._taken += 1
        self._share -= self._share / _MEMORY

    def refused(self) -> None:
        """An attempt was refused."""
        self._refused += 1
        self._share += (1 - self._share) / _MEMORY

    def cut(self, now: float) -> None:
        """Cut the rate."""
        base = _BELOW * self.delivered.rate(now)
        if (found := self._found(now)) is not None:
            share = self._taken / (self._taken + self._refused) if self._taken else 0.0
            base = min(base, found * min(_BELOW, max(_LEAST_SHARE, share)))
        self._base = max(base, _SLOWEST)
        self._cut_at = now
        self._taken = self._refused = 0
        self._share = _TOLERATED * _RESET

    def _found(self, now: float) -> float | None:
        if self._base is None:
            return None
        growing = now - self._cut_at - _HOLD
        if growing <= 0:
            return self._base
        least, most = _DOUBLING_SECONDS
        doubling = min(most, max(least, _DOUBLING / self._base))
        grown = _GROWTH * doubling / math.log(2) * (2 ** min(growing / doubling, 30) - 1)
        if grown > _FORGOTTEN:
            self._base = None
            return None
        return self._base * math.exp(grown)
