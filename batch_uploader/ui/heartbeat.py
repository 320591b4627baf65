"""Tells a service manager how the run is doing: the listener behind systemd's ``Type=notify``.

The watchdog is fed by what happens, never by a clock: a run that hangs falls silent. A pause that
the run knows of is announced, so that its silence is no hang.
"""

import time
from collections.abc import Callable
from typing import Protocol

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.states import NEEDS_ATTENTION

_STATUS_SECONDS = 1.0


class Tell(Protocol):
    """How the manager is told: variables of sd_notify by their names."""

    def __call__(self, **state: str) -> None:
        """Say it; raises nothing."""


class Heartbeat:
    """The Listener of one run. ``watchdog`` is the manager's patience in seconds, None without."""

    def __init__(
        self, tell: Tell, watchdog: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._watchdog = watchdog
        self._clock = clock
        self._fed_at = self._told_at = float("-inf")
        self._patience = watchdog
        self._silent_until = float("-inf")
        self._planned = self._ended = self._attention = 0
        self._notice = ""
        self._status = ""

    def __call__(self, event: Event) -> None:
        """Take one event into account, and tell of it if it is time."""
        urgent = False
        match event:
            case events.RunStarted():
                self._tell(READY="1", STATUS="looking for recordings")
            case events.Paused(seconds, reason):
                self._notice, urgent = f"paused: {reason}; ", True
                self._extend(seconds)
            case events.DoubtsWaiting(seconds, recordings):
                self._notice = f"searching for {recordings:,} in doubt; "
                self._extend(seconds)
            case events.AttemptEnded(retry_in=float(seconds)):
                self._extend(seconds)
                self._count(event)
            case events.Draining(reason):
                self._notice, urgent = f"stopping: {reason}; ", True
            case events.RunFinished():
                self._notice, urgent = "finished; ", True
            case _:
                self._count(event)
        self._feed()
        self._report(urgent=urgent)
        if isinstance(event, events.RunFinished):
            self._tell(STOPPING="1")

    def _count(self, event: Event) -> None:
        match event:
            case events.FolderPlanned(to_send=files) | events.LooksBegun(to_look=files):
                self._planned += files
            case events.Settled(outcome):
                self._ended += 1
                self._attention += outcome.status in NEEDS_ATTENTION
            case events.ProblemFound(outcome) | events.CarriedOver(outcome):
                self._attention += outcome.status in NEEDS_ATTENTION
            case events.AlreadyThere() | events.Waiting() | events.ReturnedUnsent():
                self._ended += 1
            case events.Looked(found=found):
                self._ended += found is not events.Sight.CHANGED
            case events.AttemptEnded(code="OK") if self._notice.startswith(("paused", "searching")):
                self._notice = ""
            case _:
                pass

    def _extend(self, seconds: float) -> None:
        """Ask for more patience where a pause takes up half of it, and more."""
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
        # Often enough, and not for each of a hundred thousand events.
        elif now - self._fed_at >= self._watchdog / 10:
            self._fed_at = now
            self._tell(WATCHDOG="1")

    def _report(self, *, urgent: bool) -> None:
        now = self._clock()
        if not self._planned or (now - self._told_at < _STATUS_SECONDS and not urgent):
            return
        status = f"{self._notice}{self._ended:,} of {self._planned:,} recordings"
        if self._attention:
            status += f", {self._attention:,} need attention"
        if status != self._status:
            self._status, self._told_at = status, now
            self._tell(STATUS=status.replace("\n", " "))
