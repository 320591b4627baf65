"""``-v``: why each recording is sent, skipped or tried again, as sentences."""

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Outcome
from batch_uploader.core.states import Status
from batch_uploader.core.text import printable, sentence
from batch_uploader.core.units import format_duration
from batch_uploader.ui.text import format_left


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
    return announce(event)


def announce(event: Event) -> str | None:
    """Without ``-v``: what changes how the whole run goes, None for other events."""
    match event:
        case events.DefaultIdsOff():
            return f"{ids_off(event)}; to name what identifies a call: --call-id FIELD[,FIELD]"
        case events.RenewalFailed(expires_in, reason):
            end = (
                "until the service refuses them"
                if expires_in is None
                else f"for {format_left(expires_in)} more"
            )
            return f"the credentials could not be renewed, and are used {end}: {sentence(reason)}"
        case events.LearningStarted():
            return (
                "an older version recorded no call IDs: they are read from the sidecars, and"
                " nothing is sent meanwhile"
            )
    return None


def ids_off(event: events.DefaultIdsOff) -> str:
    """Why the same date, operator and client no longer hold a recording."""
    values = printable(", ".join(event.values)) or "one of them"
    files = " and ".join(map(printable, event.examples[:2]))
    return (
        "date, operator_id and client_id together do not identify a call in this directory, so they"
        f" are no longer compared ({values}: {files})"
    )


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
