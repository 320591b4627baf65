"""All decisions about the pace, without waiting for any of them.

All methods are passed the time, in monotonic seconds.
"""

import math
from collections.abc import Callable

from msgspec import Struct

from batch_uploader.core.errors import InDoubt, NotSent, SinkError, Throttled
from batch_uploader.pace.circuit_breaker import LONGEST_PAUSE, CircuitBreaker
from batch_uploader.pace.concurrency import ConcurrencyLimit
from batch_uploader.pace.rate import Rate
from batch_uploader.pace.stop_policy import Stop, StopPolicy
from batch_uploader.pace.token_bucket import Timetable

THROTTLE_PAUSE = 0.25
"""Seconds that all wait when the service throttles without asking for a pause; doubled until an
attempt succeeds."""

_LONGEST_THROTTLE_PAUSE = 15.0


class Caps(Struct, frozen=True):
    """The user's limits: concurrency, attempts a second, bytes a second."""

    concurrency: int
    rate: float | None = None
    bandwidth: Timetable | None = None


class Consequence(Struct, frozen=True):
    """What a failed attempt means for all workers.

    ``pause`` in seconds begins now for all, 0 is none. ``counts`` is False during an outage: then
    the attempt says nothing about its recording. ``stop`` is set if the run should end.
    """

    pause: float
    counts: bool
    stop: Stop | None = None


def _nothing() -> None:
    pass


class Governor:
    """Decides how many attempts may run, how often, and when none may."""

    def __init__(self, caps: Caps, now: float) -> None:
        self.window = ConcurrencyLimit(caps.concurrency)
        self.rate = Rate(now, caps.rate)
        self.outage = CircuitBreaker()
        self._stop_policy = StopPolicy(caps.concurrency)
        self.running = 0
        self._paused_until = now
        self._cut_at = now
        self._cuts = 0
        self._expanded = False
        self._on_reached: Callable[[], None] = _nothing

    def never_reached(self, on_reached: Callable[[], None]) -> None:
        """The service was never reached; ``on_reached`` is called once it is."""
        self._stop_policy.reached = False
        self._on_reached = on_reached

    def wait(self, now: float) -> float:
        """Seconds until another attempt may begin, infinite if that depends on an event."""
        if self.outage.down:
            if self.outage.probing:
                return math.inf
            return max(self.outage.next_probe, self._paused_until) - now
        if self.running >= self.window.limit:
            return math.inf
        return max(self._paused_until - now, self.rate.wait(now))

    def begin(self, now: float) -> None:
        """An attempt begins."""
        self.running += 1
        self.rate.begun(now)
        if self.outage.down:
            self.outage.probing = True

    def ended(self, started: float) -> None:
        """An attempt ended, whatever its result."""
        self.running -= 1
        self.outage.given_up(started)

    def succeeded(self, now: float, started: float, nbytes: int, *, expanded: bool = False) -> None:
        """An attempt with ``nbytes`` bytes succeeded; call it before ``ended``.

        ``expanded`` is ``Sink.expanded``.
        """
        self._reached()
        self._stop_policy.succeeded()
        if expanded is not self._expanded:
            self._expanded = expanded
            self.window.moved()
        if not self._taken(now):
            self.window.succeeded(now, now - started, nbytes, self.running)

    def named(self, *, again: bool) -> Stop | None:
        """A success was named a talk; ``again``: it is another recording's."""
        return self._stop_policy.named(again=again)

    def failed(self, now: float, started: float, error: SinkError) -> Consequence:
        """An attempt failed; call it before ``ended``."""
        if not isinstance(error, NotSent):
            self._reached()
        asked = max(0.0, error.retry_after or 0.0)
        pause = self._throttled(now, started, error) if isinstance(error, Throttled) else 0.0
        if not isinstance(error, NotSent | Throttled | InDoubt):
            # The service answered; the error concerns only this recording.
            self._taken(now)
            return Consequence(pause, counts=True, stop=self._stop_policy.spoken(error))
        stop = self._stop_policy.doubted(error) if isinstance(error, InDoubt) else None
        longest = _LONGEST_THROTTLE_PAUSE if isinstance(error, Throttled) else LONGEST_PAUSE
        weight = 2 if isinstance(error, InDoubt) else 1
        if self.outage.failed(now, started, asked, longest, weight):
            pause = self.outage.next_probe - now
            stop = stop or self._stop_policy.probed(error)
        return Consequence(pause, counts=not self.outage.down, stop=stop)

    def _reached(self) -> None:
        if not self._stop_policy.reached:
            self._stop_policy.reached = True
            self._on_reached()

    def _taken(self, now: float) -> bool:
        """The service took a request, whatever its answer. Returns whether that ends an outage."""
        self._cuts = 0
        self.rate.succeeded(now)
        over = self.outage.succeeded()
        if over:
            self.window.restart(now)
        return over

    def _throttled(self, now: float, started: float, error: SinkError) -> float:
        """Slow down, once for a burst of refusals. Returns the pause in seconds that begins now."""
        self.rate.refused()
        if started < self._cut_at:
            return self._pause(now, error.retry_after)
        self._cut_at = now
        self._cuts += 1
        self.window.throttled(now, self.rate.delivered.rate(now))
        pause = error.retry_after
        if self.rate.exceeded:
            self.rate.cut(now)
            if pause is None:
                # Ten doublings exceed the maximum.
                longer = THROTTLE_PAUSE * 2 ** min(self._cuts - 1, 10)
                pause = min(longer, _LONGEST_THROTTLE_PAUSE)
        return self._pause(now, pause)

    def _pause(self, now: float, seconds: float | None) -> float:
        """Let all wait. Returns the pause if it is longer than the current one."""
        until = now + max(0.0, seconds or 0.0)
        extended = until > max(self._paused_until, now)
        self._paused_until = max(self._paused_until, until)
        return until - now if extended else 0.0
