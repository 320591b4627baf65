"""A circuit breaker: when all attempts fail, sends one probe at a time, until one succeeds."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
"""Seconds between two probes: first and maximum."""

_ROUNDS = 5


class CircuitBreaker:
    """Opens after several rounds of attempts in a row failed.

    Concurrent attempts fail for the same reason, so they count as one round: the next that counts
    began after the last had failed. ``since`` is when the first of them failed. Times are monotonic
    seconds.
    """

    def __init__(self) -> None:
        self.since = 0.0
        self.down = False
        self.probing = False
        """Whether a probe is in flight."""
        self.next_probe = 0.0
        self._failed = 0
        self._last = 0.0
        self._pause = FIRST_PAUSE

    def failed(
        self, now: float, started: float, asked: float, longest: float, weight: int = 1
    ) -> bool:
        """An attempt failed. Returns whether a new or longer pause begins.

        ``asked`` is the pause in seconds that the service asked for at least, ``longest`` the
        maximum between probes. ``weight`` is how many rounds it counts for.
        """
        if self.down:
            if not self.probing or started < self._last:
                return False  # it began before the outage
            self.probing = False
            self._pause = min(2 * self._pause, longest)
        else:
            if self._failed and started < self._last:
                return False
            self.since = self.since if self._failed else now
            self._failed += weight
            self._last = now
            if self._failed < _ROUNDS:
                return False
            self.down = True
        self._last = now
        self.next_probe = now + max(self._pause, asked)
        return True

    def succeeded(self) -> bool:
        """An attempt succeeded. Returns whether that ends an outage."""
        ended = self.down
        self.down = self.probing = False
        self._failed = 0
        self._pause = FIRST_PAUSE
        return ended

    def given_up(self, started: float) -> None:
        """A probe ended without a result: the next one may begin."""
        if started >= self._last:
            self.probing = False
