"""Limits retries to a small share of all requests, so that they do not make overload worse."""

_SHARE = 0.1
_SPARE = 3.0  # retries at the start
_MOST = 10.0  # the most retries that accumulate
_TRICKLE = 10.0  # seconds that earn one retry
_QUIET = 0.25  # seconds without a first attempt after which only retries are left


class RetryBudget:
    """Each fresh request earns a tenth of a retry; without any left, retries wait.

    When only retries are left, they go one at a time, since no fresh requests would earn any.
    ``now`` is monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._left = _SPARE
        self._earned_at = now
        self._fresh = 0
        self._quiet_since = now
        self._unpaid = 0

    def fresh_asked(self) -> None:
        """A recording's first request is waiting."""
        self._fresh += 1

    def fresh_began(self) -> None:
        """A first request is sent."""
        self._left = min(_MOST, self._left + _SHARE)

    def fresh_ended(self, now: float) -> None:
        """A first request ended, or was never sent."""
        self._fresh -= 1
        self._quiet_since = now

    def wait(self, now: float) -> float:
        """Seconds until a retry may begin, or until to ask again; 0 is now."""
        self._trickle(now)
        if self._left >= 1:
            return 0.0
        trickled = self._earned_at + _TRICKLE - now
        if self._fresh or self._unpaid:
            return trickled
        return max(0.0, min(trickled, self._quiet_since + _QUIET - now))

    def take(self) -> bool:
        """Begin a retry. Returns whether the budget pays; if not, call ``give_back`` later."""
        if self._left >= 1:
            self._left -= 1
            return True
        self._unpaid += 1
        return False

    def give_back(self) -> None:
        """A retry that was not paid for ended."""
        self._unpaid -= 1

    def _trickle(self, now: float) -> None:
        if self._left >= 1:
            self._earned_at = now
        elif now - self._earned_at >= _TRICKLE:
            self._earned_at = now
            self._left = 1.0
