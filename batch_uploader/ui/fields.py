"""The names and fields of machine output: one word for one thing in all formats.

Events (``--progress json``), the log of attempts, ``check --json``, ``status --json`` and the
manifest only use the keys in docs/events.md, which a test checks.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from msgspec.structs import asdict

from batch_uploader.app.attention import AttentionKind
from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Failure, Outcome, PassedOver, Summary
from batch_uploader.core.price import Price
from batch_uploader.core.runs import Run
from batch_uploader.core.states import Status
from batch_uploader.prepare.legs.lookalikes import LooksLikeLegs
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.tally import Tally

_COUNTED = [status for status in Status if status is not Status.CLAIMED]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


NAMES: Mapping[type[Event], str] = {
    kind: _snake_case(kind.__name__) for kind in get_args(Event) if kind is not events.BytesSent
}
"""The name of each event; ``BytesSent`` is part of ``progress``."""

SCHEMA = 1
"""In ``run_started``: raised when a name or a field is renamed, removed, or changes its meaning."""


Now = Callable[[], datetime]
"""The wall clock, with its time zone."""


def utc_now() -> datetime:
    """The current time."""
    return datetime.now(UTC)


def moment(now: datetime) -> str:
    """The format of every ``time``: UTC, with milliseconds."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_fields(event: Event) -> dict[str, Any]:
    """The fields of an event as JSON values, without ``event`` and ``time``."""
    match event:
        case (
            events.Settled(outcome)
            | events.ProblemFound(outcome)
            | events.Unreadable(outcome)
            | events.CarriedOver(outcome)
            | events.Reconciled(outcome)
            | events.Judged(outcome)
        ):
            return outcome_fields(outcome)
        case events.RunFinished(summary):
            return _summary_fields(summary)
        case events.FilesPassedOver(kinds):
            return {"passed_over": [passed_over_fields(each) for each in kinds]}
    fields = {name: finite(value) for name, value in asdict(event).items()}
    return {"schema": SCHEMA, **fields} if isinstance(event, events.RunStarted) else fields


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An outcome under the names that the manifest uses."""
    return {
        "path": outcome.path,
        "status": outcome.status,
        "size": outcome.stat.size,
        "attempts": outcome.attempts,
        "talk_id": outcome.talk_id,
        "duplicate_of": outcome.duplicate_of,
        "cause": outcome.cause,
        "duration": finite(outcome.duration),
        "format": outcome.container,
        "error": error_fields(outcome.failure),
    }


def error_fields(failure: Failure | None) -> dict[str, Any] | None:
    """A failure as ``code``, ``message``, ``request_id``."""
    return asdict(failure) if failure else None


def run_fields(run: Run) -> dict[str, Any]:
    """A run on record. What is not known of it is null."""
    end = run.end
    return {
        "run_id": run.begin.run_id or None,
        "connection_id": run.connection_id or None,
        "version": run.begin.version,
        "host": run.begin.host,
        "pid": run.begin.pid,
        "began_at": _from_ns(run.began_at_ns),
        "ended_at": None if run.ended_at_ns is None else _from_ns(run.ended_at_ns),
        "ending": end and end.ending,
        "reason": end and end.reason,
        "exit_code": end and end.exit_code,
        "ended_badly": end and end.is_bad,
        "counts": end and {status.value: end.counts.get(status, 0) for status in _COUNTED},
        "uploaded_bytes": end and end.uploaded_bytes,
        "uploaded_duration": end and finite(end.uploaded_duration),
        "left_over": end and end.left_over,
    }


def cost_fields(price: Price | None, cost: Decimal | None) -> dict[str, Any]:
    """What audio costs, null if no price is given."""
    return {
        "cost": None if cost is None else round(float(cost), 2),
        "currency": None if price is None else price.currency,
    }


def kind_fields(kind: AttentionKind) -> dict[str, Any]:
    """What needs a human for the same reason."""
    return {
        "status": kind.status,
        "code": kind.code or None,
        "recordings": kind.recordings,
        "new": kind.new,
    }


def _from_ns(moment_ns: int) -> str:
    return moment(datetime.fromtimestamp(moment_ns / 1e9, UTC))


def progress_fields(tally: Tally) -> dict[str, Any]:
    """The Tally's numbers, in bytes, seconds, bytes or files a second."""
    pause = tally.pause
    return {
        "stage": tally.stage,
        "done": tally.stats.done,
        "total": tally.stats.total,
        "done_bytes": tally.done_bytes,
        "total_bytes": tally.stats.total_bytes,
        "wire_bytes": tally.stats.wire_bytes,
        "rate": finite(tally.rate),
        "average_rate": finite(tally.average_rate),
        "recording_rate": finite(tally.recording_rate),
        "eta": finite(tally.eta),
        "elapsed": finite(tally.elapsed),
        "in_flight": len(tally.in_flight),
        "retries": tally.stats.retries,
        "resumes_in": finite(pause.seconds) if pause else None,
        "counts": _counts(tally.stats),
        "already_there": tally.stats.already_there,
        Status.WAITING.value: tally.stats.waiting,
        "outdated": tally.stats.outdated,
        "converted": tally.stats.converted,
        "carried_over": tally.stats.carried_over,
        "needs_attention": tally.stats.needs_attention,
        "uploaded_bytes": tally.stats.uploaded_bytes,
        "uploaded_duration": finite(tally.stats.uploaded_duration),
    }


def _summary_fields(summary: Summary) -> dict[str, Any]:
    return {
        "ending": summary.ending,
        "reason": "; ".join((summary.reason, *summary.hints)) if summary.reason else None,
        "counts": _counts(summary),
        "already_there": summary.already_there,
        Status.WAITING.value: summary.waiting,
        "outdated": summary.outdated,
        "needs_attention": summary.needs_attention,
        "uploaded_bytes": summary.uploaded_bytes,
        "uploaded_duration": finite(summary.uploaded_duration),
        "elapsed": finite(summary.elapsed),
        "to_compare": summary.to_compare,
        "compared": summary.compared,
        "changed": summary.changed,
        "converted": summary.converted,
        "gone": summary.gone,
        "left_out_by": dict(summary.left_out_by),
        "passed_over": [passed_over_fields(each) for each in summary.passed_over],
        "waiting_for": dict(summary.waiting_for),
    }


def legs_fields(each: LooksLikeLegs | None) -> Mapping[str, object] | None:
    """Files that look like legs, and the pattern that joins them."""
    if each is None:
        return None
    return {"pairs": each.pairs, "pattern": each.pattern, "first": each.first}


def passed_over_fields(each: PassedOver) -> dict[str, Any]:
    """Files of one kind that look like audio and are not taken, without how to convert them."""
    return {
        "kind": each.kind,
        "files": each.files,
        "beside": each.beside,
        "form": each.form,
        "first": each.first,
        "include": each.include,
        "new": each.new,
    }


def _counts(of: RunStats | Summary) -> dict[str, int]:
    counts = {status.value: of.counts.get(status, 0) for status in _COUNTED}
    return counts | {Status.WAITING.value: of.waiting}


def finite(value: Any) -> Any:
    """Rounded to milliseconds, and None for infinity, which JSON does not have."""
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value
