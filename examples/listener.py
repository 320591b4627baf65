"""A listener of one's own: write each talk ID into a table as soon as the ledger has it.

    python examples/listener.py calls/ talks.csv

Uploads to a sink in memory, so it can be tried without an account; put a SpeechSenseSink in its
place. A listener is any callable that takes an event (batch_uploader/core/events.py has them all).
"""

import asyncio
import csv
import sys
from pathlib import Path

from batch_uploader import (
    DirectorySource,
    MemorySink,
    SqliteLedger,
    Status,
    Uploader,
)
from batch_uploader.core.events import Event, Settled


class TalkTable:
    """Appends a line for each recording that was uploaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: Event) -> None:
        """Hear of everything, care for what is settled as uploaded."""
        if isinstance(event, Settled) and event.outcome.status is Status.UPLOADED:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([event.outcome.path, event.outcome.talk_id])


async def main(directory: Path, table: Path) -> None:
    """Upload a directory with the listener attached."""
    uploader = Uploader(
        source=DirectorySource(directory),
        sink=MemorySink(),
        ledger=SqliteLedger(directory / ".batch-uploader" / "ledger.db", "example"),
        listeners=[TalkTable(table)],
    )
    async with uploader:
        summary = await uploader.run()
    print(
        f"{summary.counts.get(Status.UPLOADED, 0)} uploaded, {summary.already_there} already there"
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program, the directory, the table
        sys.exit(__doc__)
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
