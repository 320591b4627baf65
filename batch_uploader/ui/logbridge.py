"""Events for the standard library's logging, for programs that embed the library."""

import logging

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Ending, Outcome
from batch_uploader.core.states import NEEDS_ATTENTION
from batch_uploader.core.text import plural, printable, sentence
from batch_uploader.ui.fields import NAMES, event_fields


class LogListener:
    """A listener that logs, by default to the logger ``batch_uploader``.

    ``INFO`` is what begins and ends well, ``WARNING`` what is tried again or waits, ``ERROR`` what
    needs a human, ``DEBUG`` all else but the bytes sent. Messages are lines of text, also if a
    name contains line ends; each record has the fields of the event, as docs/events.md names
    them, as ``record.batch_uploader``. It is called on the event loop: put a handler that blocks
    behind a ``QueueHandler``.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("batch_uploader")

    def __call__(self, event: Event) -> None:
        """Log one event."""
        if isinstance(event, events.BytesSent):
            return
        level, text = _described(event)
        if self._logger.isEnabledFor(level):
            fields = {"event": NAMES[type(event)], **event_fields(event)}
            self._logger.log(level, "%s", sentence(text), extra={"batch_uploader": fields})


def _described(event: Event) -> tuple[int, str]:  # noqa: PLR0911 - one for each kind
    match event:
        case events.RunStarted(run_id, source):
            return logging.INFO, f"run {run_id} over {printable(source)}"
        case events.AttemptEnded(code=code) if code != "OK":
            path = printable(event.path)
            return logging.WARNING, f"{path}: attempt {event.attempt}: {code}: {event.message}"
        case (
            events.Settled(outcome)
            | events.Judged(outcome)
            | events.Reconciled(outcome)
            | events.CarriedOver(outcome)
            | events.ProblemFound(outcome)
            | events.Unreadable(outcome)
        ):
            return _of_outcome(outcome)
        case (
            events.Paused(reason=reason)
            | events.RenewalFailed(reason=reason)
            | events.Draining(reason)
        ):
            return logging.WARNING, reason
        case events.MostGone(gone, on_record):
            return logging.ERROR, f"{gone:,} of {plural(on_record, 'recording')} on record are gone"
        case events.RunFinished(summary):
            fine = summary.ending is Ending.COMPLETED and not summary.needs_attention
            counts = ", ".join(
                f"{count:,} {status.label}" for status, count in sorted(summary.counts.items())
            )
            reason = f" ({summary.reason})" if summary.reason else ""
            text = f"{summary.ending}{reason}: {counts or 'nothing new'}"
            return logging.INFO if fine else logging.ERROR, text
    return logging.DEBUG, NAMES[type(event)].replace("_", " ")


def _of_outcome(outcome: Outcome) -> tuple[int, str]:
    level = logging.ERROR if outcome.status in NEEDS_ATTENTION else logging.INFO
    why = outcome.failure.message if outcome.failure else outcome.talk_id or outcome.duplicate_of
    about = f": {why}" if why else ""
    return level, f"{printable(outcome.path)}: {outcome.status.label}{about}"
