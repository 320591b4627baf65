"""Finds how many attempts may run at once: raises the limit, cuts it when attempts get slow."""

import math

from msgspec import Struct
from msgspec.structs import replace

START = 4
"""The limit at the start and after an outage, when the service's capacity is unknown."""

_CALM = 10.0  # seconds after a cut from which on the limit grows exponentially
_CALM_GROWTH = 0.25
_SLOWER = 0.8  # the factor of a cut when attempts get slow
_TOLERANCE = 2.5  # times the baseline latency counts as slow
_WORSE = 1.1  # times as slow as before the cut: the cause is still growing
_SLACK = 0.05  # seconds of latency that are ignored
_FLOOR_AGE = 300.0  # seconds after which a baseline is dropped
_FULL = 0.8  # the share of the limit that must be used before it is raised


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease, between one and ``ceiling``.

    Doubles with each round of successes until the first cut, then grows by one a round, and by a
    quarter after a while without trouble. Attempts may be slow for other reasons, such as lost
    packets: a cut that does not make them faster is undone. ``now`` is monotonic seconds.
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
        """The recent average duration of a success."""

    @property
    def limit(self) -> int:
        """How many attempts may run at once now."""
        return int(self._limit)

    def succeeded(self, now: float, seconds: float, nbytes: int, running: int) -> None:
        """An attempt at ``nbytes`` took ``seconds``, with ``running`` attempts in flight."""
        usual = self.usual_seconds
        self.usual_seconds = usual + (seconds - usual) / 8 if usual else seconds
        # Within a size class sizes differ by less than a factor of two.
        floor = self._floors.setdefault(nbytes.bit_length(), _BaselineLatency(now, seconds))
        slowness = seconds / (floor.of(now, seconds) + _SLACK)
        # What began before the latest cut does not show its effect.
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
        """The service throttled; ``rate`` is the recent number of successes a second.

        Halves the limit, but not below what that rate needs at the average duration of an attempt.
        """
        needed = min(rate * self.usual_seconds, 0.95 * self._limit)
        self._cut(now, max(self._limit / 2, needed))
        self._refused_at = now

    def moved(self) -> None:
        """The number of connections changed, so the baselines are no longer valid."""
        if self._before_cuts is not None:
            self._limit, self._before_cuts = self._before_cuts.limit, None
        self._cut_at = self._refused_at
        self._floors.clear()
        self._round = _Sample()

    def restart(self, now: float) -> None:
        """After an outage: begin as at the start."""
        self._limit = min(self._limit, START, self.ceiling)
        self._cut_at = self._refused_at = now
        self._before_cuts = None
        self._round = _Sample()

    def _slow(self, now: float, slowness: float) -> bool:
        """A round was slow: cut the limit unless the last cut did not help. Returns whether it cut.

        If attempts queue for each other, half as many take half as long; if not, as long. A single
        attempt does not queue.
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
            return 0.0  # otherwise the effect of the cut could not be measured
        if self._cut_at is None:
            return 1.0
        return _CALM_GROWTH if now - self._cut_at > _CALM else 1 / self._limit


class _Before(Struct, frozen=True):
    """The slowness and the limit before a cut, and the limit to return to."""

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
    """The minimum of a moving average over the last minutes, in two periods.

    Of an average, since a single lucky attempt is not representative.
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
