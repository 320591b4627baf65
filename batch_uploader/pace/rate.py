"""How many attempts a second: what the user allows, and what the service takes.

A service that takes N requests a second says no to what comes on top, however few come at once. So
its rate is found as its concurrency is: by going up until it says no. After a refusal the attempts
go on at a little less than what got through lately; they speed up slowly at first, to use what
there is, and ever faster, so that a limit that was lifted is forgotten within half a minute.
"""

import math

_BELOW = 0.95  # of what got through lately is what is tried next
_LEAST_SHARE = 0.5  # the deepest that one cut goes
_HOLD = 3.0  # seconds for which nothing is tried after a cut
_GROWTH = 0.02  # a second, after that; it doubles every so many attempts, within so many seconds
_DOUBLING = 100
_DOUBLING_SECONDS = (5.0, 10.0)
_FORGOTTEN = 9.0  # natural logarithms of growth that leave no trace of a cut
_SLOWEST = 0.5  # a second; when not even that gets through, it is an outage
_JITTER = 0.02  # seconds by which somebody may come late without losing them
_MEMORY = 80  # attempts, about
_TOLERATED = 0.08  # of the attempts; a refusal now and then has other reasons than the rate
_MANY = 20  # a second; of fewer, each refusal weighs more
_RESET = 0.5  # so much of what is tolerated is taken for granted after a cut
_STEP = 1.0  # seconds after which to look again: the rate grows while somebody waits


class Delivered:
    """Successes a second over the last ``seconds``, or since the beginning if that is later.

    What got through in less than a second is taken for a second's worth: services let bursts pass.
    """

    _TICK = 0.1

    def __init__(self, now: float, seconds: float = 5.0) -> None:
        self._began = now
        self._seconds = seconds
        self._ticks: dict[int, int] = {}

    def add(self, now: float) -> None:
        """One more."""
        tick = int(now / self._TICK)
        self._ticks[tick] = self._ticks.get(tick, 0) + 1
        oldest = int((now - self._seconds) / self._TICK)
        while next(iter(self._ticks)) < oldest:
            del self._ticks[next(iter(self._ticks))]

    def rate(self, now: float) -> float:
        """As of now."""
        oldest = int((now - self._seconds) / self._TICK)
        count = sum(number for tick, number in self._ticks.items() if tick >= oldest)
        return count / min(self._seconds, max(1.0, now - self._began))


class Rate:
    """When the next attempt may begin. ``most`` a second are allowed; None is no limit."""

    def __init__(self, now: float, most: float | None = None) -> None:
        self._most = most
        self._base: float | None = None
        self._cut_at = 0.0
        self._taken = self._refused = 0
        self._share = 0.0
        self._slot = -math.inf
        self.delivered = Delivered(now)

    def current(self, now: float) -> float | None:
        """Attempts a second that may begin now; None where nothing limits them."""
        found = self._found(now)
        if found is None or self._most is None:
            return self._most if found is None else found
        return min(found, self._most)

    @property
    def exceeded(self) -> bool:
        """Whether so many attempts are refused lately that they are too many a second."""
        few = 1.0 if self._base is None else min(1.0, self._base / _MANY)
        return self._share > _TOLERATED * few

    def wait(self, now: float) -> float:
        """Seconds until the next attempt may begin, or until it is worth asking again."""
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
        """An attempt got through."""
        self.delivered.add(now)
        self._taken += 1
        self._share -= self._share / _MEMORY

    def refused(self) -> None:
        """An attempt was too much."""
        self._refused += 1
        self._share += (1 - self._share) / _MEMORY

    def cut(self, now: float) -> None:
        """Slow down: what comes is too much."""
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
