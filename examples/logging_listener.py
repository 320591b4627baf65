"""A listener that logs: what happens goes to the standard library's logging.

    python examples/logging_listener.py calls/

Uploads to a sink in memory, so it can be tried without an account.
"""

import asyncio
import logging
import sys
from pathlib import Path

from batch_uploader import DirectorySource, MemorySink, SqliteLedger, Status, Uploader
from batch_uploader.core import events
from batch_uploader.core.model import Outcome

_FINE = frozenset({Status.UPLOADED, Status.DUPLICATE})


class LogListener:
    """Logs what ends, what fails and what stops; a display has the rest."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, event: events.Event) -> None:
        """Called on the event loop: a handler that blocks belongs behind a QueueHandler."""
        log = self._logger
        match event:
            case events.RunStarted(run_id=run_id, source=source):
                log.info("run %s over %s", run_id, source)
            case events.AttemptEnded(path=path, attempt=attempt, code=code) if code != "OK":
                log.warning("%s: attempt %d: %s: %s", path, attempt, code, event.message)
            case (
                events.Settled(outcome=outcome)
                | events.ProblemFound(outcome=outcome)
                | events.Unreadable(outcome=outcome)
            ):
                self._log_outcome(outcome)
            case events.Reconciled(outcome=outcome) | events.CarriedOver(outcome=outcome):
                self._log_outcome(outcome)
            case events.Paused(reason=reason) | events.Draining(reason=reason):
                log.warning("%s", reason)
            case events.RunFinished(summary=summary):
                log.info("%s: %s", summary.ending, dict(summary.counts))
            case _:
                pass

    def _log_outcome(self, outcome: Outcome) -> None:
        level = logging.INFO if outcome.status in _FINE else logging.ERROR
        why = outcome.failure.message if outcome.failure else outcome.talk_id
        self._logger.log(level, "%s: %s: %s", outcome.path, outcome.status, why)


async def main(directory: Path) -> None:
    """Upload a directory with the listener attached."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    uploader = Uploader(
        source=DirectorySource(directory),
        sink=MemorySink(),
        ledger=SqliteLedger(directory / ".batch-uploader" / "ledger.db", "example"),
        listeners=[LogListener(logging.getLogger("uploads"))],
    )
    async with uploader:
        await uploader.run()


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program, the directory
        sys.exit(__doc__)
    asyncio.run(main(Path(sys.argv[1])))
