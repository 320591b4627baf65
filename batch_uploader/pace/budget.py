"""Retries are a small share of all requests, so that they never make a bad day worse."""

_SHARE = 0.1
_SPARE = 3.0  # to begin with
_MOST = 10.0  # what a long quiet time saves up
_TRICKLE = 10.0  # seconds that earn one more
_QUIET = 0.25  # seconds without anything fresh after which retries are all there is


class RetryBudget:
    """Each fresh request earns a tenth of a retry; without any left, retries wait.

    They go one at a time when nothing else is left to do, since nobody would earn them any more.
    ``now`` is in seconds, of a clock that never goes back.
    """

    def __init__(self, now: float) -> None:
        self._left = _SPARE
        self._earned_at = now
        self._fresh = 0
        self._quiet_since = now
        self._unpaid = 0

    def fresh_asked(self) -> None:
        """A recording's first request lines up."""
        self._fresh += 1

    def fresh_began(self) -> None:
        """It is sent."""
        self._left = min(_MOST, self._left + _SHARE)

    def fresh_ended(self, now: float) -> None:
        """It is over, or was never sent."""
        self._fresh -= 1
        self._quiet_since = now

    def wait(self, now: float) -> float:
        """Seconds until a retry may begin, or until it is worth asking again; 0 is now."""
        self._trickle(now)
        if self._left >= 1:
            return 0.0
        trickled = self._earned_at + _TRICKLE - now
        if self._fresh or self._unpaid:
            return trickled
        return max(0.0, min(trickled, self._quiet_since + _QUIET - now))

    def take(self) -> bool:
        """A retry begins; whether it is paid for. One that is not has to be given back."""
        if self._left >= 1:
            self._left -= 1
            return True
        self._unpaid += 1
        return False

    def give_back(self) -> None:
        """A retry that was not paid for is over."""
        self._unpaid -= 1

    def _trickle(self, now: float) -> None:
        if self._left >= 1:
            self._earned_at = now
        elif now - self._earned_at >= _TRICKLE:
            self._earned_at = now
            self._left = 1.0
