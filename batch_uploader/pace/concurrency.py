"""How many attempts may run at once: found by trying, given up when it makes them slower."""

import math

from msgspec import Struct
from msgspec.structs import replace

START = 4
"""So many to begin with, also after an outage: nobody knows yet what the service bears."""

_CALM = 10.0  # seconds after a cut from which on the limit grows in proportion to itself
_CALM_GROWTH = 0.25
_SLOWER = 0.8  # what a limit is cut to when the attempts grow slow
_TOLERANCE = 2.5  # so many times the usual time is slow
_WORSE = 1.1  # so many times as slow as before a cut: what makes it slow still grows
_SLACK = 0.05  # seconds that are no sign of anything
_FLOOR_AGE = 300.0  # seconds after which the fastest of its kind is forgotten
_FULL = 0.8  # of a limit that is not used nobody knows whether it could be more


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease, between one and ``ceiling``.

    Doubles with each round of successes until the first cut, then grows by one a round, and by a
    quarter once nothing has gone wrong for a while. Attempts may be slow for reasons of their own,
    such as a way that loses packets: a cut that makes them no faster is taken back. ``now`` is in
    seconds, of a clock that never goes back.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self._limit = float(min(START, ceiling))
        self._cut_at: float | None = None
        self._refused_at: float | None = None
        self._floors: dict[int, _BaselineLatency] = {}
        self._round = _Sample()
        self._before_cuts: _Before | None = None
        self.usual_seconds = 0.0
        """What a success takes lately, on average."""

    @property
    def limit(self) -> int:
        """How many attempts may run at once now."""
        return int(self._limit)

    def succeeded(self, now: float, seconds: float, nbytes: int, running: int) -> None:
        """An attempt at so many bytes took so long, with ``running`` attempts going on."""
        usual = self.usual_seconds
        self.usual_seconds = usual + (seconds - usual) / 8 if usual else seconds
        # Within a class the sizes differ by less than a factor of two.
        floor = self._floors.setdefault(nbytes.bit_length(), _BaselineLatency(now, seconds))
        slowness = seconds / (floor.of(now, seconds) + _SLACK)
        # What began before the latest cut does not tell what came of it.
        if self._cut_at is None or now - seconds >= self._cut_at:
            self._round.add(slowness)
        if self._round.count >= self.limit:
            slowness, self._round = self._round.mean, _Sample()
            if slowness <= _TOLERANCE:
                self._before_cuts = None
            elif self._slow(now, slowness):
                return
        if running >= _FULL * self.limit:
            self._limit = min(self.ceiling, self._limit + self._growth(now))

    def throttled(self, now: float, rate: float) -> None:
        """It was too much; ``rate`` successes a second are what was taken lately.

        Halves the limit, but not below what that rate needs at the usual time of an attempt.
        """
        needed = min(rate * self.usual_seconds, 0.95 * self._limit)
        self._cut(now, max(self._limit / 2, needed))
        self._refused_at = now

    def moved(self) -> None:
        """The way has become another one, and nobody knows what an attempt takes there."""
        if self._before_cuts is not None:
            self._limit, self._before_cuts = self._before_cuts.limit, None
        self._cut_at = self._refused_at
        self._floors.clear()
        self._round = _Sample()

    def restart(self, now: float) -> None:
        """After an outage: begin carefully, as at the start."""
        self._limit = min(self._limit, START, self.ceiling)
        self._cut_at = self._refused_at = now
        self._before_cuts = None
        self._round = _Sample()

    def _slow(self, now: float, slowness: float) -> bool:
        """A round was slow: fewer at once, unless fewer made it no faster; whether there are.

        Where all wait for each other, half as many take half as long; where none does, as long. One
        that goes alone waits for no other.
        """
        before = self._before_cuts
        if before is None:
            before = _Before(slowness, self._limit, self._limit, self._cut_at)
        elif self.limit > 1 and slowness > _WORSE * before.slowness:
            before = replace(before, slowness=slowness, at_limit=self._limit)
        elif self.limit == 1 or slowness > before.slowness * math.sqrt(
            self._limit / before.at_limit
        ):
            self._limit, self._cut_at = before.limit, before.cut_at
            self._before_cuts = None
            self._floors.clear()
            return False
        self._cut(now, self._limit * _SLOWER)
        self._before_cuts = before
        return True

    def _cut(self, now: float, limit: float) -> None:
        self._before_cuts = None
        self._limit = max(1.0, limit)
        self._cut_at = now

    def _growth(self, now: float) -> float:
        if self._before_cuts is not None:
            return 0.0  # or nobody could tell what came of the cut
        if self._cut_at is None:
            return 1.0
        return _CALM_GROWTH if now - self._cut_at > _CALM else 1 / self._limit


class _Before(Struct, frozen=True):
    """How slow it was, at which limit, before it was cut for that; and what to go back to."""

    slowness: float
    at_limit: float
    limit: float
    cut_at: float | None


class _Sample:
    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0

    def add(self, slowness: float) -> None:
        self.count += 1
        self._sum += slowness

    @property
    def mean(self) -> float:
        return self._sum / self.count


class _BaselineLatency:
    """The least of the last minutes: of this age of the clock and of the one before.

    Of a moving average, since one that was lucky is no measure for the others.
    """

    def __init__(self, now: float, seconds: float) -> None:
        self._since = now
        self._before = self._least = self._usual = seconds

    def of(self, now: float, seconds: float) -> float:
        if now - self._since > _FLOOR_AGE:
            self._since, self._before, self._least = now, self._least, self._usual
        self._usual += (seconds - self._usual) / 8
        self._least = min(self._least, self._usual)
        return min(self._before, self._least)
