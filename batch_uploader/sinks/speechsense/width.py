"""How many channels lead to the service: more for as long as more of them carry more."""

from typing import Final

START: Final = 4
MOST: Final = 32

_WINDOW: Final = 2.0  # seconds that are measured at least
_GAIN: Final = 1.15  # so many times as much must twice as many channels carry to be worth it
_REST: Final = 300.0  # seconds until the next trial after one that brought nothing


class Width:
    """Doubles the channels on trial when all are crowded, and takes it back if nothing is gained.

    Where the way is long and loses packets, each channel carries so much and no more; elsewhere
    others only cost. ``now`` is in seconds, of a clock that never goes back.
    """

    def __init__(self) -> None:
        self.channels = START
        """How many there may be now."""
        self._to_beat: float | None = None
        self._rests_until = 0.0
        self._window: _Window | None = None

    def crowded(self) -> None:
        """A call came and all channels there may be had enough to carry."""
        if self._window is not None:
            self._window.crowded = True

    def began(self, now: float) -> None:
        """A call begins; told before ``crowded``."""
        if self._window is None:
            self._window = _Window(now)

    def delivered(self, now: float, began: float, octets: int, running: int) -> None:
        """A call that began then got so many bytes through, one of so many that were running."""
        window = self._window
        # What began on fewer or more channels says nothing about these.
        if window is None or began < window.since:
            return
        window.add(now - began, octets, running)
        if now - window.since < _WINDOW or window.calls < self.channels:
            return
        self._window = _Window(now)
        if self._to_beat is not None and window.goodput < _GAIN * self._to_beat:
            self.failed(now)
        elif window.crowded and self.channels < MOST and now >= self._rests_until:
            self._to_beat = window.goodput
            self.channels = min(2 * self.channels, MOST)
        else:
            self._to_beat = None

    def failed(self, now: float) -> None:
        """The latest channels are of no use: half as many, and no trial for minutes."""
        if self._to_beat is not None:
            self.channels = max(START, self.channels // 2)
        self._to_beat = None
        self._rests_until = now + _REST


class _Window:
    """What the calls carried that both began and ended since some moment."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.crowded = False
        self.calls = 0
        self._octets = 0
        self._seconds = 0.0
        self._running = 0

    def add(self, seconds: float, octets: int, running: int) -> None:
        self.calls += 1
        self._octets += octets
        self._seconds += seconds
        self._running += running

    @property
    def goodput(self) -> float:
        # In bytes a second: of one call on average, times as many as there were at once. What
        # ended in the window over its length would go up and down with calls that end together.
        return self._octets / max(self._seconds, 1e-6) * self._running / self.calls
