"""What monitoring is told of a job: one table of metrics, for every way of telling them.

``EarlierRuns`` has what is known of these, ``RunMetrics`` listens to the one that goes on. A run
that never begins, since its key is wrong or its share is away, is told as well.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader import __version__
from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Ending
from batch_uploader.core.runs import FINE
from batch_uploader.core.states import Status
from batch_uploader.run.stats import RunStats

WallClock = Callable[[], float]
"""Seconds since the epoch."""

_COUNTED = [status for status in Status if status is not Status.CLAIMED]


class JobLabels(Struct, frozen=True):
    """The labels of all metrics: jobs of one machine have different ones."""

    connection: str
    directory: str


class Unit(Enum):
    """The unit of a metric: OpenTelemetry's sign, and Prometheus's word."""

    NONE = ("", "")
    SECONDS = ("s", "seconds")
    BYTES = ("By", "bytes")


class Metric(Struct, frozen=True):
    """A metric; ``name`` is in OpenTelemetry's form.

    ``label`` is the name of its own label, if it has one. ``grows``: it never falls during a run.
    """

    name: str
    about: str
    unit: Unit = Unit.NONE
    label: str = ""
    grows: bool = False

    @property
    def in_prometheus(self) -> str:
        """The name in Prometheus's form."""
        words = self.name.replace(".", "_")
        return f"{words}_{self.unit.value[1]}" if self.unit.value[1] else words


class Measured(Struct, frozen=True):
    """A metric with its values, by its own label; the key is empty if it has none."""

    metric: Metric
    values: Mapping[str, float]


def _metric(
    name: str, about: str, unit: Unit = Unit.NONE, *, label: str = "", grows: bool = False
) -> Metric:
    return Metric(f"batch_uploader.{name}", about, unit, label, grows)


INFO = _metric("info", "The version of batch-uploader.", label="version")
RUNNING = _metric("running", "1 during a run. It stays 1 after one that was killed.")
UPDATED = _metric(
    "last_update.timestamp", "When these metrics were last updated: each minute.", Unit.SECONDS
)
BEGAN = _metric("last_run.begin.timestamp", "When the last run began.", Unit.SECONDS)
ENDED = _metric("last_run.end.timestamp", "When the last run that has ended did so.", Unit.SECONDS)
SUCCEEDED = _metric(
    "last_success.timestamp",
    "When the last run ended that did all that it could (exit code 0 or 1); 0 if there was none.",
    Unit.SECONDS,
)
EXIT_CODE = _metric("run.exit_code", "The exit code of the last run that has ended.")
ATTENTION = _metric(
    "attention",
    "Recordings that need a human, by the last run that saw all of them, at least.",
)
OF_JOB = (INFO, RUNNING, UPDATED, BEGAN, ENDED, SUCCEEDED, EXIT_CODE, ATTENTION)
"""The metrics that every run has, also one that was refused before it began."""

DURATION = _metric("run.duration", "How long the run takes.", Unit.SECONDS, grows=True)
RECORDINGS = _metric(
    "recordings", "Recordings by status, with those that earlier runs left.", label="status"
)
TO_SEND = _metric("recordings.to_send", "Recordings that the run has to send, as far as known.")
DONE = _metric("recordings.done", "Recordings of these that ended.", grows=True)
THERE = _metric("recordings.already_there", "Recordings that were uploaded before.")
OUTDATED = _metric("recordings.outdated", "Recordings whose talk has older metadata.")
GONE = _metric("recordings.gone", "Recordings that are gone, if these are more than half of all.")
WAITING = _metric("recordings.waiting", "Recordings that wait, by what for.", label="code")
LEFT_OUT = _metric("recordings.left_out", "Recordings left out, by filter.", label="filter")
UNREADABLE = _metric("unreadable", "Files and folders that cannot be read.", grows=True)
AUDIO = _metric("uploaded.audio", "Audio that was uploaded: billed.", Unit.SECONDS, grows=True)
UPLOADED = _metric(Status.UPLOADED, "Sizes of what was uploaded added up.", Unit.BYTES, grows=True)
SENT = _metric("sent", "Bytes of audio sent, failed attempts included.", Unit.BYTES, grows=True)
REQUESTS = _metric("requests", "Upload attempts that ended, by code.", label="code", grows=True)
REQUEST_TIME = _metric("requests.duration", "Their durations added up.", Unit.SECONDS, grows=True)
RETRIES = _metric("retries", "Upload attempts that are followed by another one.", grows=True)
PAUSES = _metric("pauses", "Times that the run paused, as the service asked or failed.", grows=True)
PAUSED = _metric("pauses.duration", "Length of these pauses added up.", Unit.SECONDS, grows=True)
IN_FLIGHT = _metric("in_flight", "Recordings in flight.")
CONCURRENCY = _metric("concurrency", "The most recordings that were in flight at once.", grows=True)
OF_RUN = (
    *(DURATION, RECORDINGS, TO_SEND, DONE, THERE, OUTDATED, GONE, WAITING, LEFT_OUT, UNREADABLE),
    *(AUDIO, UPLOADED, SENT, REQUESTS, REQUEST_TIME, RETRIES, PAUSES, PAUSED),
    *(IN_FLIGHT, CONCURRENCY),
)
"""The metrics of a run that began."""


class EarlierRuns(Struct, frozen=True):
    """What is known of the runs before; times are seconds since the epoch.

    ``exit_code``, ``attention`` and ``succeeded_at`` are None if unknown; the latter is 0 if no run
    ever succeeded. ``running`` and ``updated_at`` are of the run that told it last.
    """

    ended_at: float = 0.0
    succeeded_at: float | None = None
    exit_code: int | None = None
    attention: int | None = None
    running: bool = False
    updated_at: float = 0.0


class RunMetrics:
    """The Listener of one run. What is ``earlier`` is told until this run knows better.

    It may be read from another thread. ``stats`` are those of the run; without them it keeps its
    own.
    """

    def __init__(self, clock: WallClock = time.time) -> None:
        self.earlier = EarlierRuns()
        self.stats = RunStats()
        self._feeds_stats = True
        self._clock = clock
        self.began_at = clock()
        self.has_begun = False
        self._is_over = False
        self._codes: Counter[str] = Counter()
        self._request_time = self._paused = 0.0
        self._pauses = self._most = 0
        self._in_flight: set[str] = set()

    def count_by(self, stats: RunStats) -> None:
        """Use these counts, which are fed by others."""
        self.stats, self._feeds_stats = stats, False

    def __call__(self, event: Event) -> None:
        """Process one event."""
        if self._feeds_stats:
            self.stats.hear(event)
        match event:
            case events.BytesSent():
                return
            case events.UploadStarted(path=path):
                self._in_flight.add(path)
                self._most = max(self._most, len(self._in_flight))
            case events.AttemptEnded(code=code, elapsed=elapsed):
                self._codes[code] += 1
                self._request_time += elapsed
            case events.Settled(outcome):
                self._in_flight.discard(outcome.path)
            case (
                events.ReturnedUnsent(path=path)
                | events.Waiting(path=path)
                | events.AlreadyThere(path=path)
            ):
                self._in_flight.discard(path)
            case events.Paused(resumes_in=seconds):
                self._pauses += 1
                self._paused += seconds
            case events.RunStarted():
                self.has_begun = True
            case events.RunFinished(summary):
                known = 0 if summary.ending is Ending.COMPLETED else self.earlier.attention or 0
                self.earlier = replace(self.earlier, attention=max(known, summary.needs_attention))
            case _:
                pass

    def end(self, exit_code: int) -> None:
        """The run, or the attempt to begin one, is over."""
        now = self._clock()
        success = now if exit_code in FINE else self.earlier.succeeded_at
        self.earlier = replace(
            self.earlier, ended_at=now, exit_code=exit_code, succeeded_at=success
        )
        self._is_over = True
        self._in_flight.clear()

    def measured(self) -> Iterator[Measured]:
        """All metrics that there are, with their values now."""
        values = self._of_job()
        if self.has_begun:
            values |= self._of_run()
        for metric in (*OF_JOB, *OF_RUN):
            value = values.get(metric)
            if isinstance(value, Mapping):
                yield Measured(metric, value)
            elif value is not None:
                yield Measured(metric, {"": value})

    def _of_job(self) -> dict[Metric, Mapping[str, float] | float | None]:
        earlier = self.earlier
        return {
            INFO: {__version__: 1},
            RUNNING: not self._is_over,
            UPDATED: self._clock(),
            BEGAN: self.began_at,
            ENDED: earlier.ended_at or None,
            SUCCEEDED: earlier.succeeded_at,
            EXIT_CODE: earlier.exit_code,
            ATTENTION: earlier.attention,
        }

    def _of_run(self) -> dict[Metric, Mapping[str, float] | float | None]:
        stats = self.stats
        counts = {status.value: stats.counts[status] for status in _COUNTED}
        counts[Status.WAITING] = stats.waiting
        until = self.earlier.ended_at if self._is_over else self._clock()
        return {
            DURATION: until - self.began_at,
            RECORDINGS: counts,
            TO_SEND: stats.total,
            DONE: stats.done,
            THERE: stats.already_there,
            OUTDATED: stats.outdated,
            GONE: stats.gone,
            WAITING: dict(stats.waiting_for),
            LEFT_OUT: dict(stats.left_out_by),
            UNREADABLE: stats.unreadable,
            AUDIO: stats.uploaded_duration,
            UPLOADED: stats.uploaded_bytes,
            SENT: stats.wire_bytes,
            REQUESTS: dict(self._codes),
            REQUEST_TIME: self._request_time,
            RETRIES: stats.retries,
            PAUSES: self._pauses,
            PAUSED: self._paused,
            IN_FLIGHT: len(self._in_flight),
            CONCURRENCY: self._most,
        }
