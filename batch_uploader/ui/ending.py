"""How a run ended, for programs that are told afterwards; also one that never began."""

from collections.abc import Mapping
from typing import Any

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.model import Ending, Summary
from batch_uploader.core.runs import BY_ERROR
from batch_uploader.core.states import Status
from batch_uploader.core.text import plural, printable
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.fields import SCHEMA, Now, event_fields, moment, outcome_fields, utc_now

_PREFIX = "BATCH_UPLOADER_"


class HowItEnded:
    """A Listener that keeps what is told at the end.

    ``source`` and ``connection_id`` are those of the settings; ``stats`` are the run's.
    """

    def __init__(self, now: Now = utc_now) -> None:
        self.source = self.connection_id = ""
        self.stats = RunStats()
        self.summary: Summary | None = None
        self._run_id: str | None = None
        self._now = now
        self._began = now()

    def __call__(self, event: Event) -> None:
        """Process one event."""
        match event:
            case events.RunStarted(run_id=run_id):
                self._run_id = run_id
            case events.RunFinished(summary):
                self.summary = summary
            case _:
                pass

    def fields(self, exit_code: int, error: BaseException | None) -> dict[str, Any]:
        """All that is told, as JSON values; ``error`` is what ended it, if one did."""
        summary = self.summary or self.stats.summary(Ending.INTERRUPTED, None, self._elapsed())
        fields = event_fields(events.RunFinished(summary))
        if error is not None:
            interrupted = isinstance(error, KeyboardInterrupt)
            fields["ending"] = Ending.INTERRUPTED.value if interrupted else BY_ERROR
            fields["reason"] = printable(str(error)) or None
        return {
            "schema": SCHEMA,
            "run_id": self._run_id,
            "source": self.source,
            "connection_id": self.connection_id or None,
            "began_at": moment(self._began),
            "ended_at": moment(self._now()),
            "exit_code": exit_code,
            **fields,
            "attention": [outcome_fields(each) for each in summary.attention],
        }

    def _elapsed(self) -> float:
        return (self._now() - self._began).total_seconds()


def variables(fields: Mapping[str, Any]) -> dict[str, str]:
    """The most important of these fields as variables of the environment."""
    counts = fields["counts"]
    told = {
        "EXIT_CODE": fields["exit_code"],
        "RUN_ID": fields["run_id"],
        "SOURCE": fields["source"],
        "CONNECTION_ID": fields["connection_id"],
        "ENDING": fields["ending"],
        "REASON": fields["reason"],
        "UPLOADED": counts[Status.UPLOADED],
        "ALREADY_THERE": fields["already_there"],
        "WAITING": counts[Status.WAITING],
        "IN_DOUBT": counts[Status.IN_DOUBT],
        "NEEDS_ATTENTION": fields["needs_attention"],
        "SUMMARY": in_a_line(fields),
    }
    return {
        f"{_PREFIX}{name}": "" if value is None else printable(str(value))
        for name, value in told.items()
    }


def in_a_line(fields: Mapping[str, Any]) -> str:
    """The result for a human, as in ``12 recordings uploaded, 1 needs attention``."""
    counts, wrong = fields["counts"], fields["needs_attention"]
    parts = [f"{plural(counts[Status.UPLOADED], 'recording')} uploaded"]
    if wrong:
        parts.append(f"{wrong:,} {'needs' if wrong == 1 else 'need'} attention")
    if fields["reason"]:
        parts = [*(parts if fields["run_id"] else ()), fields["reason"]]
    return ", ".join(parts)
