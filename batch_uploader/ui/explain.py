"""``-v``: why each recording is sent, skipped or tried again, as sentences."""

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Outcome
from batch_uploader.core.states import Status
from batch_uploader.core.text import printable, sentence
from batch_uploader.core.units import format_duration


def explain(event: Event) -> str | None:
    """A printable line for a decision or a failure, None for other events."""
    match event:
        case events.Decided(path, decision, reason):
            return f"{printable(decision)} {printable(path)}: {sentence(reason)}"
        case events.AttemptEnded(code=code) if code != "OK":
            return _attempt(event)
        case events.Reconciled(outcome):
            return _reconciled(outcome)
        case events.ReturnedUnsent(path):
            return f"left for the next run {printable(path)}"
    return None


def explain_nothing(_event: Event) -> str | None:
    """Without ``-v``: no explanation."""
    return None


def _reconciled(outcome: Outcome) -> str:
    path = printable(outcome.path)
    if outcome.status is Status.UPLOADED:
        return f"found {path}: it is uploaded as talk {printable(outcome.talk_id or '')}"
    why = sentence(outcome.failure.message) if outcome.failure else ""
    return f"searched for {path}, {outcome.status.label}: {why}"


def _attempt(event: events.AttemptEnded) -> str:
    after = format_duration(event.elapsed)
    what = f"attempt {event.attempt} at {printable(event.path)} ended after {after}"
    why = f"{printable(event.code)}, {sentence(event.message)}"
    then = "no other" if event.retry_in is None else f"again in {format_duration(event.retry_in)}"
    return f"{what}: {why}; {then}"
