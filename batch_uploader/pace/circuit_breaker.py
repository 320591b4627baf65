"""When nothing gets through at all: one probe at a time, ever rarer, until one does."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
"""Seconds between two probes: at first, and at most."""

_ROUNDS = 5


class CircuitBreaker:
    """Nothing has got through for so many rounds of attempts that it is no accident.

    Attempts that run at the same time fail for the same reason, so they count as one: the next one
    that counts began after the last one had failed. ``since`` is when the first of them did. Times
    are seconds of a clock that never goes back.
    """

    def __init__(self) -> None:
        self.since = 0.0
        self.down = False
        self.probing = False
        """A probe is under way."""
        self.next_probe = 0.0
        self._failed = 0
        self._last = 0.0
        self._pause = FIRST_PAUSE

    def failed(
        self, now: float, started: float, asked: float, longest: float, weight: int = 1
    ) -> bool:
        """An attempt did not get through; whether there is a (longer) pause from now on.

        ``asked`` is the pause in seconds that the service wants at least, ``longest`` the one that
        probes grow to. ``weight`` is for how many rounds it counts.
        """
        if self.down:
            if not self.probing or started < self._last:
                return False  # it was under way before
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
        """Something got through; whether that ends an outage."""
        ended = self.down
        self.down = self.probing = False
        self._failed = 0
        self._pause = FIRST_PAUSE
        return ended

    def given_up(self, started: float) -> None:
        """A probe ended without news: the next one may begin."""
        if started >= self._last:
            self.probing = False
