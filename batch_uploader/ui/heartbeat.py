"""Reports the run's state to systemd, for ``Type=notify``.

The watchdog is fed by events, never by a timer, so that a hanging run is noticed. Known pauses are
announced, so that they do not count as hanging.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.run.stats import RunStats

_STATUS_SECONDS = 1.0


class Tell(Protocol):
    """Sends variables of sd_notify by their names."""

    def __call__(self, **state: str) -> None:
        """Send them; raises nothing."""


class Heartbeat:
    """The Listener of one run. ``watchdog`` is the watchdog's timeout in seconds, None without.

    ``stats`` are those of the run; without them it keeps its own.
    """

    def __init__(
        self,
        tell: Tell,
        watchdog: float | None,
        clock: Callable[[], float] = time.monotonic,
        stats: RunStats | None = None,
    ) -> None:
        self._tell = tell
        self._watchdog = watchdog
        self._clock = clock
        self._stats = RunStats() if stats is None else stats
        self._feeds_stats = stats is None
        self._fed_at = self._told_at = float("-inf")
        self._patience = watchdog
        self._silent_until = float("-inf")
        self._notice = ""
        self._waits = False
        self._status = ""
        self._handlers: Mapping[type[Event], Callable[[Any], bool]] = {
            events.RunStarted: self._run_started,
            events.Paused: self._paused,
            events.DoubtsWaiting: self._doubts_waiting,
            events.AttemptEnded: self._attempt_ended,
            events.Draining: self._draining,
            events.RunFinished: self._run_finished,
        }

    def __call__(self, event: Event) -> None:
        """Process one event, and notify if it is time."""
        if self._feeds_stats:
            self._stats.hear(event)
        handler = self._handlers.get(type(event))
        urgent = handler is not None and handler(event)
        self._feed()
        self._report(urgent=urgent)
        if isinstance(event, events.RunFinished):
            self._tell(STOPPING="1")

    # Each returns whether to notify at once.

    def _run_started(self, _event: events.RunStarted) -> bool:
        self._tell(READY="1", STATUS="looking for recordings")
        return False

    def _paused(self, event: events.Paused) -> bool:
        self._notice, self._waits = f"paused: {event.reason}; ", True
        self._extend(event.resumes_in)
        return True

    def _doubts_waiting(self, event: events.DoubtsWaiting) -> bool:
        self._notice, self._waits = f"searching for {event.recordings:,} in doubt; ", True
        self._extend(event.resumes_in)
        return False

    def _attempt_ended(self, event: events.AttemptEnded) -> bool:
        if event.retry_in is not None:
            self._extend(event.retry_in)
        elif event.code == "OK" and self._waits:
            self._notice, self._waits = "", False
        return False

    def _draining(self, event: events.Draining) -> bool:
        self._notice, self._waits = f"stopping: {event.reason}; ", False
        return True

    def _run_finished(self, _event: events.RunFinished) -> bool:
        self._notice, self._waits = "finished; ", False
        return True

    def _extend(self, seconds: float) -> None:
        """Extend the timeout if a pause takes half of it or more."""
        now = self._clock()
        longer = now + seconds > self._silent_until
        if self._watchdog is not None and seconds > self._watchdog / 2 and longer:
            self._patience = seconds + self._watchdog
            self._silent_until = now + seconds
            self._tell(WATCHDOG_USEC=str(round(self._patience * 1e6)), WATCHDOG="1")
            self._fed_at = now

    def _feed(self) -> None:
        if self._watchdog is None:
            return
        now = self._clock()
        if self._patience != self._watchdog and now >= self._silent_until:
            self._patience = self._watchdog
            self._tell(WATCHDOG_USEC=str(round(self._watchdog * 1e6)), WATCHDOG="1")
            self._fed_at = now
        # Often enough, but not for each of a hundred thousand events.
        elif now - self._fed_at >= self._watchdog / 10:
            self._fed_at = now
            self._tell(WATCHDOG="1")

    def _report(self, *, urgent: bool) -> None:
        now, stats = self._clock(), self._stats
        if not stats.total or (now - self._told_at < _STATUS_SECONDS and not urgent):
            return
        self._told_at = now
        status = f"{self._notice}{stats.done:,} of {stats.total:,} recordings"
        if stats.uploaded:
            status += f", {stats.uploaded:,} uploaded"
        if attention := stats.needs_attention:
            status += f", {attention:,} {'needs' if attention == 1 else 'need'} attention"
        if status != self._status:
            self._status = status
            self._tell(STATUS=status.replace("\n", " "))
