"""What happens goes to the standard library's logging.

    python examples/logging_listener.py calls/

Uploads to a sink in memory, so it can be tried without an account.
"""

import asyncio
import logging
import sys
from pathlib import Path

from batch_uploader import DirectorySource, LogListener, MemorySink, SqliteLedger, Uploader


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
