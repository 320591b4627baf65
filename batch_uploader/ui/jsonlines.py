"""``--progress json``: one JSON object a line on stdout, for programs.

Each has ``event`` and ``time`` (UTC); the others and their fields are in docs/events.md, which a
test holds to this code. The text is ASCII, an object never spans lines, and no field is ever left
out: what is not known is ``null``.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Outcome, Status, Summary
from batch_uploader.ui.outlet import Outlet
from batch_uploader.ui.tally import Stage, Tally

Now = Callable[[], datetime]
"""The wall clock, with its zone."""

NAMES: Mapping[type[Event], str] = {
    events.RunStarted: "run_started",
    events.FolderPlanned: "folder_planned",
    events.Decided: "decided",
    events.ScanFinished: "scan_finished",
    events.UploadStarted: "upload_started",
    events.AttemptEnded: "attempt_ended",
    events.Settled: "settled",
    events.Found: "found",
    events.AlreadyThere: "already_there",
    events.LooksBegun: "looks_begun",
    events.Looked: "looked",
    events.NotReady: "not_ready",
    events.Released: "released",
    events.Held: "held",
    events.Reconciled: "reconciled",
    events.DoubtsWaiting: "doubts_waiting",
    events.Paused: "paused",
    events.Draining: "draining",
    events.RunFinished: "run_finished",
}
"""What each event is called; ``BytesSent`` is told by ``progress``."""

_PROGRESS_SECONDS = 1.0
_RENAMED = {"skipped": "already_there"}  # one word for it in all events
_FIELDS = {
    kind: [(name, _RENAMED.get(name, name)) for name in kind.__struct_fields__] for kind in NAMES
}
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_COUNTED = [status for status in Status if status is not Status.CLAIMED]


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class JsonView:
    """Every event as it comes, and once a second the Tally as ``progress``."""

    def __init__(
        self, outlet: Outlet, *, unwanted: frozenset[type[Event]] = frozenset(), now: Now = utc_now
    ) -> None:
        self.outlet = outlet
        self._unwanted = unwanted | {events.BytesSent}
        self._now = now
        self._told_at = 0.0
        self._progress = ""

    def describe(self, event: Event) -> str | None:
        """The event as JSON, if it is one of those that are told."""
        if type(event) in self._unwanted:
            return None
        return _line(NAMES[type(event)], self._now(), event_fields(event))

    def prepare(self, tally: Tally) -> None:
        """Take the numbers down once a second while the run goes on."""
        self._progress = ""
        if not tally.run_id or tally.stage is Stage.FINISHED:
            return
        if tally.elapsed - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = tally.elapsed
            self._progress = _line("progress", self._now(), progress_fields(tally)) + "\n"

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Write all that came up since the last time."""
        text = "".join(f"{line}\n" for line in lines)
        if left_out:
            text += _line("left_out", self._now(), {"count": left_out}) + "\n"
        text += self._progress
        if text:
            self.outlet.write(text)

    def finish(self) -> None:
        """``run_finished`` was the last one."""


def event_fields(event: Event) -> dict[str, Any]:
    """The fields of an event as JSON knows them, ``event`` and ``time`` excluded."""
    match event:
        case (
            events.Settled(outcome)
            | events.Found(outcome)
            | events.Held(outcome)
            | events.Reconciled(outcome)
        ):
            return outcome_fields(outcome)
        case events.RunFinished(summary):
            return _summary_fields(summary)
    return {told: _finite(getattr(event, name)) for name, told in _FIELDS[type(event)]}


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An outcome under the names that the manifest uses."""
    failure = outcome.failure
    return {
        "path": outcome.path,
        "status": outcome.status,
        "size": outcome.stat.size,
        "attempts": outcome.attempts,
        "talk_id": outcome.talk_id,
        "duplicate_of": outcome.duplicate_of,
        "duration": _finite(outcome.duration),
        "format": outcome.container,
        "error": asdict(failure) if failure else None,
    }


def progress_fields(tally: Tally) -> dict[str, Any]:
    """The Tally's numbers: bytes, seconds, bytes or files a second."""
    pause = tally.pause
    return {
        "stage": tally.stage,
        "done_files": tally.done_files,
        "total_files": tally.total_files,
        "sent_bytes": tally.sent_bytes,
        "total_bytes": tally.total_bytes,
        "wire_bytes": tally.wire_bytes,
        "rate": _finite(tally.rate),
        "average_rate": _finite(tally.average_rate),
        "file_rate": _finite(tally.file_rate),
        "eta": _finite(tally.eta),
        "elapsed": _finite(tally.elapsed),
        "in_flight": len(tally.in_flight),
        "retries": tally.retries,
        "paused": _finite(pause.seconds) if pause else None,
        "counts": _counts(tally.counts),
        "already_there": tally.already_there,
        "waiting": tally.waiting,
        "outdated": tally.outdated,
        "held": tally.held,
        "needs_attention": tally.needs_attention,
        "uploaded_bytes": tally.uploaded_bytes,
        "uploaded_seconds": _finite(tally.uploaded_seconds),
    }


def _summary_fields(summary: Summary) -> dict[str, Any]:
    return {
        "ending": summary.ending,
        "reason": summary.reason,
        "counts": _counts(summary.counts),
        "already_there": summary.skipped,
        "waiting": summary.waiting,
        "outdated": summary.outdated,
        "needs_attention": summary.needs_attention,
        "uploaded_bytes": summary.uploaded_bytes,
        "uploaded_seconds": _finite(summary.uploaded_seconds),
        "elapsed": _finite(summary.elapsed),
        "to_look": summary.to_look,
        "looked": summary.looked,
        "changed": summary.changed,
    }


def _counts(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.value: counts.get(status, 0) for status in _COUNTED}


def _finite(value: Any) -> Any:
    """Milliseconds are enough, and JSON has no word for infinity."""
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value


def _line(name: str, now: datetime, fields: Mapping[str, Any]) -> str:
    time = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _ENCODER.encode({"event": name, "time": time, **fields})
