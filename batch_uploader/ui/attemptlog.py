"""``--log-file``: what the vendor's support asks for, as JSON lines.

A line for each attempt with the ids of both sides, for each outcome that has a failure, for each
pause, and for the start and the end of the run. Paths are in it, metadata and secrets are not.
"""

import json
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from batch_uploader.core import events
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.events import Event
from batch_uploader.core.model import Failure, Outcome, Summary
from batch_uploader.host.files import create_private

Warn = Callable[[str], None]
"""Takes a line of text for the user, and never raises."""

_SAMPLE = 64 * 1024
_LINE = re.compile(rb'^\{"time": "[^"]*", "event": "', re.MULTILINE)
"""How a line of ours begins; a log that was cut, or shares its file, has one near an end."""

Now = Callable[[], datetime]
"""The wall clock, with its zone."""


def warn_on_stderr(text: str) -> None:
    """Tell the user, if there still is one."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr)  # noqa: T201 - this is where the user is told


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class AttemptLog:
    """A Listener that appends to a file, line by line; entered before the run, left after it.

    A new file can be read by its owner alone. Raises ConfigError on entering if the file cannot be
    opened, or holds something else than such a log. A disk that fails later ends the log, not the
    run: ``warn`` is told once.
    """

    def __init__(self, path: Path, *, warn: Warn = warn_on_stderr, now: Now = utc_now) -> None:
        self._path = path
        self._warn = warn
        self._now = now
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = create_private(self._path, device=True)
        except OSError as error:
            raise ConfigError(
                f"the log file {os.fspath(self._path)!r} cannot be opened ({error.strerror});"
                " name a file, not a link, in a directory that you may write to"
            ) from error
        if not _may_go_on(descriptor):
            os.close(descriptor)
            raise ConfigError(
                f"the log file {os.fspath(self._path)!r} is not a log of ours, and nothing is added"
                " to another file; name a new one, or move that one away"
            )
        # Not buffered beyond a line: the log of a killed run is whole.
        self._file = os.fdopen(descriptor, "a", encoding="ascii", buffering=1, newline="\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            # What could not be written was told when it happened.
            with suppress(OSError):
                file.close()

    def __call__(self, event: Event) -> None:
        """Write the event down if it is one for support."""
        if self._file is None:
            return
        record = _record(event)
        if record is None:
            return
        time = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time.replace("+00:00", "Z"), **record})
        try:
            self._file.write(line + "\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
        self._warn(
            f"warning: the log file {os.fspath(self._path)!r} cannot be written"
            f" ({error.strerror}); the run goes on without it"
        )


def _may_go_on(descriptor: int) -> bool:
    """Whether what is open is a log, or what holds nothing, or where stderr goes as well."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return True
    with suppress(OSError):
        if os.path.sameopenfile(descriptor, 2):
            return True
    for start in (0, max(0, status.st_size - _SAMPLE)):
        os.lseek(descriptor, start, os.SEEK_SET)
        if _LINE.search(os.read(descriptor, _SAMPLE)):
            return True
    return False


def _record(event: Event) -> dict[str, Any] | None:
    record: dict[str, Any] | None = None
    match event:
        case events.AttemptEnded():
            record = _attempt(event)
        case events.Settled(outcome) | events.Found(outcome) if outcome.failure is not None:
            record = _outcome(outcome, outcome.failure)
        case events.RunStarted(run_id, where):
            record = {"event": "run_started", "run_id": run_id, "where": where}
        case events.Paused(seconds, reason):
            record = {"event": "paused", "seconds": _finite(seconds), "reason": reason}
        case events.Draining(reason):
            record = {"event": "draining", "reason": reason}
        case events.RunFinished(summary):
            record = _finished(summary)
    return record


def _attempt(event: events.AttemptEnded) -> dict[str, Any]:
    return {
        "event": "attempt",
        "path": event.path,
        "attempt": event.attempt,
        "client_request_id": event.client_request_id,
        "request_id": event.request_id,
        "talk_id": event.talk_id,
        "code": event.code,
        "message": event.message,
        "bytes": event.octets,
        "seconds": _finite(event.seconds),
        "retry_in": _finite(event.retry_in),
    }


def _outcome(outcome: Outcome, failure: Failure) -> dict[str, Any]:
    return {
        "event": "outcome",
        "path": outcome.path,
        "status": outcome.status,
        "attempts": outcome.attempts,
        "code": failure.code,
        "message": failure.message,
        "request_id": failure.request_id,
    }


def _finished(summary: Summary) -> dict[str, Any]:
    counts: Mapping[str, int] = {status.value: n for status, n in summary.counts.items()}
    return {
        "event": "run_finished",
        "ending": summary.ending,
        "reason": summary.reason,
        "counts": counts,
        "already_there": summary.skipped,
        "waiting": summary.waiting,
        "seconds": _finite(summary.elapsed),
    }


def _finite(number: float | None) -> float | None:
    """Milliseconds are enough, and JSON has no word for infinity."""
    return round(number, 3) if number is not None and math.isfinite(number) else None
