"""A run for the displays: its RunStats, the transfers in flight, rates, time left.

Independent of screens. Its memory does not grow with the number of files: it has the transfers in
flight and a bounded number of buckets.
"""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Summary
from batch_uploader.run.stats import RunStats

Clock = Callable[[], float]
"""Monotonic seconds."""

RATE_SECONDS = 15
"""The period over which rates are averaged."""

_PACE_SECONDS = 60  # for the time left: longer, so that it does not fluctuate


class Stage(StrEnum):
    """The stage of a run; it only advances."""

    COUNTING = "counting"
    """The scan is running: the totals still grow."""
    SENDING = "sending"
    """The totals are final."""
    DRAINING = "draining"
    """The run starts no new work."""
    FINISHED = "finished"


class Transfer(Struct):
    """A recording in flight. ``sent`` counts only the current attempt.

    Between two attempts ``retry_at`` is when the next one begins, by the tally's clock, and
    ``code`` why the last one failed.
    """

    path: str
    size: int
    attempt: int = 1
    sent: int = 0
    retry_at: float | None = None
    code: str = ""


class Pause(NamedTuple):
    """Nothing is sent for another ``seconds``."""

    seconds: float
    reason: str
    doubts: int = 0
    """The number of recordings in doubt, if the run waits only for these."""


class Tally:
    """Receives the same events as a RunStats, and reads it; without one it keeps its own.

    Not thread-safe: reading it from another thread than the event loop's needs a lock.
    """

    def __init__(self, clock: Clock = time.monotonic, stats: RunStats | None = None) -> None:
        self.stats = RunStats() if stats is None else stats
        self._feeds_stats = stats is None
        self._clock = clock
        self._started = clock()
        self._ended: float | None = None
        self._partial = 0
        self._wire = _Window(RATE_SECONDS)
        self._recordings = _Window(RATE_SECONDS)
        self._pace = _Window(_PACE_SECONDS)
        self._paused_until = self._started
        self._pause_reason = ""
        self._pause_doubts = 0
        self.run_id = ""
        self.source = ""
        self.stage = Stage.COUNTING
        self.stop_reason = ""
        self.in_flight: dict[str, Transfer] = {}
        self.summary: Summary | None = None
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            events.RunStarted: self._run_started,
            events.ScanFinished: self._scan_finished,
            events.UploadStarted: self._upload_started,
            events.BytesSent: self._sent,
            events.AttemptEnded: self._attempt_ended,
            events.Settled: self._settled,
            events.AlreadyThere: self._sized,
            events.Waiting: self._sized,
            events.SetAside: self._sized,
            events.Compared: self._compared,
            events.ReturnedUnsent: self._returned,
            events.DoubtsWaiting: self._doubts_waiting,
            events.Paused: self._paused,
            events.Draining: self._draining,
            events.RunFinished: self._run_finished,
        }

    def hear(self, event: Event) -> None:
        """Process one event."""
        if self._feeds_stats:
            self.stats.hear(event)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, up to its end."""
        return (self._clock() if self._ended is None else self._ended) - self._started

    @property
    def done_bytes(self) -> int:
        """The bytes that are done, including parts of what is in flight."""
        return self.stats.done_bytes + self._partial

    @property
    def pause(self) -> Pause | None:
        """The current pause."""
        seconds = self._paused_until - self._clock()
        if seconds <= 0 or self._ended is not None:
            return None
        return Pause(seconds, self._pause_reason, self._pause_doubts)

    @property
    def searching(self) -> int:
        """The number of recordings in doubt, if the run only searches for these."""
        return 0 if self.in_flight or self._ended is not None else self._pause_doubts

    @property
    def rate(self) -> float:
        """Bytes a second sent to the service, over the last ``RATE_SECONDS``."""
        return self._wire.rate(self._clock(), self._started)

    @property
    def recording_rate(self) -> float:
        """Recordings a second that ended, over the last ``RATE_SECONDS``."""
        return self._recordings.rate(self._clock(), self._started)

    @property
    def average_rate(self) -> float:
        """Bytes a second sent to the service, over the whole run."""
        elapsed = self.elapsed
        return self.stats.wire_bytes / elapsed if elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds to the end of the run, None while unknown."""
        stats = self.stats
        if self.stage is not Stage.SENDING or self.pause or stats.done >= stats.total:
            return None
        pace = self._pace.rate(self._clock(), self._started)
        return max(0, stats.total_bytes - self.done_bytes) / pace if pace > 0 else None

    def retry_in(self, transfer: Transfer) -> float | None:
        """Seconds until its next attempt, None during an attempt."""
        if transfer.retry_at is None:
            return None
        return max(0.0, transfer.retry_at - self._clock())

    # The run

    def _run_started(self, event: events.RunStarted) -> None:
        self.run_id, self.source = event.run_id, event.source
        self._started = self._clock()

    def _scan_finished(self, _event: events.ScanFinished) -> None:
        self._advance(Stage.SENDING)

    def _doubts_waiting(self, event: events.DoubtsWaiting) -> None:
        self._paused_until = self._clock() + event.resumes_in
        self._pause_reason, self._pause_doubts = "", event.recordings

    def _paused(self, event: events.Paused) -> None:
        until = self._clock() + event.resumes_in
        if until >= self._paused_until:
            self._paused_until, self._pause_reason, self._pause_doubts = until, event.reason, 0

    def _draining(self, event: events.Draining) -> None:
        self.stop_reason = self.stop_reason or event.reason
        self._advance(Stage.DRAINING)

    def _run_finished(self, event: events.RunFinished) -> None:
        self.summary = event.summary
        self._ended = self._clock()
        self._advance(Stage.FINISHED)

    def _advance(self, stage: Stage) -> None:
        stages = list(Stage)
        self.stage = max(self.stage, stage, key=stages.index)

    # What is in flight

    def _upload_started(self, event: events.UploadStarted) -> None:
        self.in_flight[event.path] = Transfer(event.path, event.size)
        self._pause_doubts = 0

    def _sent(self, event: events.BytesSent) -> None:
        now = self._clock()
        self._wire.add(now, event.nbytes)
        if (transfer := self.in_flight.get(event.path)) is not None:
            # Bytes sent show that the next attempt has begun.
            transfer.retry_at = None
            # What is converted may be larger than its file, by which totals are counted.
            nbytes = min(event.nbytes, transfer.size - transfer.sent)
            transfer.sent += nbytes
            self._partial += nbytes
            self._pace.add(now, nbytes)

    def _attempt_ended(self, event: events.AttemptEnded) -> None:
        transfer = self.in_flight.get(event.path)
        if transfer is None or event.code == "OK":
            return
        # The next attempt starts again at the first byte.
        now = self._clock()
        self._partial -= transfer.sent
        self._pace.add(now, -transfer.sent)
        transfer.sent = 0
        transfer.code = event.code
        if event.retry_in is not None:
            transfer.attempt = event.attempt + 1
            transfer.retry_at = now + event.retry_in

    def _settled(self, event: events.Settled) -> None:
        self._done(event.outcome.path, event.outcome.stat.size)

    def _sized(self, event: events.AlreadyThere | events.Waiting) -> None:
        self._done(event.path, event.size)

    def _compared(self, event: events.Compared) -> None:
        if event.found is not events.Comparison.CHANGED:
            self._done(event.path, event.size)

    def _returned(self, event: events.ReturnedUnsent) -> None:
        self._land(event.path)

    def _done(self, path: str, size: int) -> None:
        now = self._clock()
        self._recordings.add(now, 1)
        self._pace.add(now, size)
        self._land(path)

    def _land(self, path: str) -> None:
        transfer = self.in_flight.pop(path, None)
        if transfer is not None and transfer.sent:
            self._partial -= transfer.sent
            self._pace.add(self._clock(), -transfer.sent)


class _Window:
    """A sum over the last seconds, in buckets of one second: adding is one step, memory fixed."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._sums = [0] * seconds
        self._stamps = [-1] * seconds

    def add(self, now: float, amount: int) -> None:
        second = int(now)
        place = second % self._seconds
        if self._stamps[place] != second:
            self._stamps[place], self._sums[place] = second, 0
        self._sums[place] += amount

    def rate(self, now: float, start: float) -> float:
        """The average per second, since ``start`` if that is shorter; never negative."""
        oldest = int(now) - self._seconds + 1
        pairs = zip(self._stamps, self._sums, strict=True)
        total = sum(amount for stamp, amount in pairs if stamp >= oldest)
        # The bucket of this second is not full yet; a new run's rate must not be exaggerated.
        span = max(1.0, min(now - oldest, now - start))
        return max(0.0, total / span)
