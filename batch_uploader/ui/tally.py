"""All of a run in numbers, fed by its events: what the three displays have in common.

Nothing here knows of a screen. The memory does not grow with the number of files: it is that of
the transfers in flight plus a bounded number of groups and buckets.
"""

import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from batch_uploader.core import events
from batch_uploader.core.book import Book
from batch_uploader.core.events import Event
from batch_uploader.core.model import Outcome, Summary
from batch_uploader.core.states import NEEDS_ATTENTION, Status

Clock = Callable[[], float]
"""Seconds from some moment on, never going back."""

RATE_SECONDS = 15
"""Over how long a rate is taken."""

_PACE_SECONDS = 60  # for the time left: longer, since it should not jump about
_MOST_GROUPS = 64


class Stage(StrEnum):
    """How far a run is; only ever forward."""

    COUNTING = "counting"
    """The scan is running: the totals still grow."""
    SENDING = "sending"
    """The totals are final."""
    DRAINING = "draining"
    """Nothing new is begun."""
    FINISHED = "finished"


class Transfer(Struct):
    """A recording in flight. ``sent`` counts the current attempt alone.

    Between two attempts ``retry_at`` is when, on the tally's clock, the next one begins, and
    ``code`` why the last one failed.
    """

    path: str
    size: int
    attempt: int = 1
    sent: int = 0
    retry_at: float | None = None
    code: str = ""


class Pause(NamedTuple):
    """Nobody sends for another ``seconds``."""

    seconds: float
    reason: str
    doubts: int = 0
    """So many recordings in doubt are all that is waited for."""


class Group(Struct):
    """Recordings that need a human for one and the same reason; ``first`` is the first of them."""

    first: Outcome
    count: int = 1


def group_of(outcome: Outcome) -> tuple[Status, str]:
    """What makes two recordings alike in the eyes of who has to mend them."""
    return outcome.status, outcome.failure.code if outcome.failure else ""


class Tally:
    """One aggregate of a run; ``hear`` is its Listener.

    Not safe for threads: who reads it from another one than the event loop's takes a lock.
    ``counts`` are the recordings settled, found or held, by status, as the Summary has them.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._ended: float | None = None
        self._partial = 0
        self._wire = _Window(RATE_SECONDS)
        self._files = _Window(RATE_SECONDS)
        self._pace = _Window(_PACE_SECONDS)
        self._paused_until = self._started
        self._pause_reason = ""
        self._pause_doubts = 0
        self.run_id = ""
        self.where = ""
        self.stage = Stage.COUNTING
        self.stop_reason = ""
        self.total_files = 0
        self.total_bytes = 0
        self._seen = (0, 0)
        self._counted = (0, 0)
        self.done_files = 0
        self.done_bytes = 0
        self.wire_bytes = 0
        """All that left for the service, failed attempts included."""
        self.uploaded_bytes = 0
        self.uploaded_duration = 0.0
        self.already_there = 0
        self.waiting = 0
        self.outdated = 0
        self.held = 0
        self.released = 0
        self.retries = 0
        self.counts: Counter[Status] = Counter()
        self._book = Book(self._enter, self._strike)
        self.in_flight: dict[str, Transfer] = {}
        self.groups: dict[tuple[Status, str], Group] = {}
        """What needs attention, by its reason, in the order of appearance."""
        self.summary: Summary | None = None

    def hear(self, event: Event) -> None:
        """Count one event in, in constant time."""
        match event:
            case events.BytesSent(path, nbytes):
                self._sent(path, nbytes)
            case events.UploadStarted(path, size):
                self.in_flight[path] = Transfer(path, size)
                self._pause_doubts = 0
                self._book.begin(path)
            case events.AttemptEnded():
                self._attempt_ended(event)
            case events.Settled(outcome):
                self._settled(outcome)
            case events.AlreadyThere(path, size, outdated):
                self.already_there += 1
                self.outdated += outdated
                self._done(path, size)
            case events.FolderPlanned():
                self._planned(event)
            case events.Decided():
                pass
            case events.Reconciled() | events.DoubtsWaiting():
                self._hear_doubt(event)
            case events.LooksBegun() | events.Looked():
                self._hear_look(event)
            case _:
                self._hear_rare(event)

    def _hear_rare(
        self,
        event: (
            events.RunStarted
            | events.ScanFinished
            | events.ProblemFound
            | events.Waiting
            | events.ReturnedUnsent
            | events.CarriedOver
            | events.Paused
            | events.Draining
            | events.RunFinished
        ),
    ) -> None:
        match event:
            case events.RunStarted(run_id, where):
                self.run_id, self.where = run_id, where
                self._started = self._clock()
            case events.ScanFinished(to_send, to_send_bytes):
                self._advance(Stage.SENDING)
                self._counted = (to_send, to_send_bytes)
                self._total()
            case events.ProblemFound(outcome):
                self._book.end(outcome)
            case events.CarriedOver(outcome):
                self.held += 1
                self._enter(outcome)
            case events.Waiting(path, size):
                self.waiting += 1
                self._done(path, size)
            case events.ReturnedUnsent(path):
                self.released += 1
                self._land(path)
            case events.Paused(seconds, reason):
                self._paused(seconds, reason)
            case events.Draining(reason):
                self.stop_reason = self.stop_reason or reason
                self._advance(Stage.DRAINING)
            case events.RunFinished(summary):
                self.summary = summary
                self._ended = self._clock()
                self._advance(Stage.FINISHED)

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, up to its end."""
        return (self._clock() if self._ended is None else self._ended) - self._started

    @property
    def sent_bytes(self) -> int:
        """How much of ``total_bytes`` is dealt with, the parts of what is in flight included."""
        return self.done_bytes + self._partial

    @property
    def needs_attention(self) -> int:
        """How many recordings a human must look at."""
        return sum(self.counts[status] for status in NEEDS_ATTENTION)

    @property
    def pause(self) -> Pause | None:
        """The pause that is on now."""
        seconds = self._paused_until - self._clock()
        if seconds <= 0 or self._ended is not None:
            return None
        return Pause(seconds, self._pause_reason, self._pause_doubts)

    @property
    def searching(self) -> int:
        """So many recordings in doubt are all that the run is about."""
        return 0 if self.in_flight or self._ended is not None else self._pause_doubts

    @property
    def rate(self) -> float:
        """Bytes a second that leave for the service, over the last ``RATE_SECONDS``."""
        return self._wire.rate(self._clock(), self._started)

    @property
    def file_rate(self) -> float:
        """Recordings a second that reach their end, over the last ``RATE_SECONDS``."""
        return self._files.rate(self._clock(), self._started)

    @property
    def average_rate(self) -> float:
        """Bytes a second that left for the service, over the whole run."""
        elapsed = self.elapsed
        return self.wire_bytes / elapsed if elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds to the end of the run, None while nobody can know."""
        if self.stage is not Stage.SENDING or self.pause or self.done_files >= self.total_files:
            return None
        pace = self._pace.rate(self._clock(), self._started)
        return max(0, self.total_bytes - self.sent_bytes) / pace if pace > 0 else None

    def retry_in(self, transfer: Transfer) -> float | None:
        """Seconds until the next attempt at it, None while one is going on."""
        if transfer.retry_at is None:
            return None
        return max(0.0, transfer.retry_at - self._clock())

    def _advance(self, stage: Stage) -> None:
        stages = list(Stage)
        self.stage = max(self.stage, stage, key=stages.index)

    def _planned(self, event: events.FolderPlanned) -> None:
        files, nbytes = self._seen
        self._seen = (files + event.to_send, nbytes + event.to_send_bytes)
        self._total()
        self.already_there += event.already_there
        self.waiting += event.waiting

    def _total(self) -> None:
        # A count that ran ahead may miss what came since.
        self.total_files = max(self._seen[0], self._counted[0])
        self.total_bytes = max(self._seen[1], self._counted[1])

    def _sent(self, path: str, nbytes: int) -> None:
        now = self._clock()
        self.wire_bytes += nbytes
        self._wire.add(now, nbytes)
        if (transfer := self.in_flight.get(path)) is not None:
            # What leaves shows that the next attempt has begun.
            transfer.retry_at = None
            transfer.sent += nbytes
            self._partial += nbytes
            self._pace.add(now, nbytes)

    def _attempt_ended(self, event: events.AttemptEnded) -> None:
        self.retries += event.retry_in is not None
        transfer = self.in_flight.get(event.path)
        if transfer is None or event.code == "OK":
            return
        # The next attempt starts at the first byte again.
        now = self._clock()
        self._partial -= transfer.sent
        self._pace.add(now, -transfer.sent)
        transfer.sent = 0
        transfer.code = event.code
        if event.retry_in is not None:
            transfer.attempt = event.attempt + 1
            transfer.retry_at = now + event.retry_in

    def _settled(self, outcome: Outcome) -> None:
        self._book.end(outcome)
        self._done(outcome.path, outcome.stat.size)

    def _done(self, path: str, size: int) -> None:
        now = self._clock()
        self.done_files += 1
        self.done_bytes += size
        self._files.add(now, 1)
        self._pace.add(now, size)
        self._land(path)

    def _land(self, path: str) -> None:
        transfer = self.in_flight.pop(path, None)
        if transfer is not None and transfer.sent:
            self._partial -= transfer.sent
            self._pace.add(self._clock(), -transfer.sent)

    def _enter(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        if outcome.status is Status.UPLOADED:
            self.uploaded_bytes += outcome.stat.size
            self.uploaded_duration += outcome.duration or 0.0
        if outcome.status not in NEEDS_ATTENTION:
            return
        key = group_of(outcome)
        if key not in self.groups and len(self.groups) >= _MOST_GROUPS:
            return  # they are in the counts, and the ledger has them
        if key in self.groups:
            self.groups[key].count += 1
        else:
            self.groups[key] = Group(outcome)

    def _hear_doubt(self, event: events.Reconciled | events.DoubtsWaiting) -> None:
        match event:
            case events.DoubtsWaiting(seconds, recordings):
                self._paused_until = self._clock() + seconds
                self._pause_reason, self._pause_doubts = "", recordings
            case events.Reconciled(outcome, before):
                self._book.reconcile(outcome, before)

    def _hear_look(self, event: events.LooksBegun | events.Looked) -> None:
        match event:
            case events.LooksBegun(to_look, to_look_bytes):
                self._seen = (self._seen[0] + to_look, self._seen[1] + to_look_bytes)
                self._counted = (self._counted[0] + to_look, self._counted[1] + to_look_bytes)
                self._total()
            case events.Looked(path, size, found):
                self.outdated += found is events.Sight.OUTDATED
                self.already_there -= found is events.Sight.CHANGED
                if found is not events.Sight.CHANGED:
                    self._done(path, size)

    def _strike(self, outcome: Outcome) -> None:
        self.counts[outcome.status] -= 1
        if (group := self.groups.get(group_of(outcome))) is not None:
            group.count -= 1
            if not group.count:
                del self.groups[group_of(outcome)]

    def _paused(self, seconds: float, reason: str) -> None:
        until = self._clock() + seconds
        if until >= self._paused_until:
            self._paused_until, self._pause_reason, self._pause_doubts = until, reason, 0


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
        """A second's share, of the time since ``start`` where that is shorter; never negative."""
        oldest = int(now) - self._seconds + 1
        pairs = zip(self._stamps, self._sums, strict=True)
        total = sum(amount for stamp, amount in pairs if stamp >= oldest)
        # The bucket of this second is not full yet; a young run's rate is not blown up.
        span = max(1.0, min(now - oldest, now - start))
        return max(0.0, total / span)
