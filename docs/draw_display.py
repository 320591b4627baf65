"""Draws docs/display.svg: the live display of a real run on the local SpeechSense.

.venv/bin/python docs/draw_display.py
"""

import io
import re
import tempfile
import time
from pathlib import Path

import anyio
from rich.console import Console

from batch_uploader import ApiKey, DirectorySource, SpeechSenseSink, SqliteLedger, Uploader
from batch_uploader.cli.samples import write_samples
from batch_uploader.display import Room, Tally
from batch_uploader.display.terminal import picture
from batch_uploader.emulator import API_KEY, Connection, Emulator, EmulatorOptions, Faults
from batch_uploader.engine import RunOptions
from batch_uploader.events import Event, Settled
from batch_uploader.retry import RetryPolicy
from batch_uploader.sinks.speechsense.channel import Endpoint

ROOM = Room(84, 12)
TARGET = Path(__file__).with_name("display.svg")
FAULTS = Faults(seed=7, unavailable=0.3, latency=0.2, bandwidth=1_500_000.0)
SETTLED = 14
"""The picture is taken when so many of the sample calls are settled."""


async def main() -> None:
    """Upload the sample calls and take a picture on the way."""
    tally = Tally(time.monotonic)
    console = Console(record=True, width=ROOM.width, file=io.StringIO(), force_terminal=True)
    settled = 0

    def hear(event: Event) -> None:
        nonlocal settled
        tally.hear(event)
        settled += isinstance(event, Settled)
        if settled == SETTLED and isinstance(event, Settled):
            console.print(picture(tally, ROOM))

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        calls = root / "calls"
        write_samples(calls)
        options = EmulatorOptions(
            store=root / "talks.db",
            connections=(Connection("demo"),),
            tls_dir=root / "tls",
            faults=FAULTS,
        )
        async with Emulator(options) as emulator:
            endpoint = Endpoint.parse(emulator.address, ca_file=emulator.ca_file)
            uploader = Uploader(
                source=DirectorySource(calls),
                sink=SpeechSenseSink(endpoint, ApiKey(API_KEY), whole_limit=128 * 1024),
                ledger=SqliteLedger(root / "ledger.db", "demo"),
                options=RunOptions(concurrency=6, retry=RetryPolicy(first_pause=2.0)),
                listeners=[hear],
            )
            async with uploader:
                await uploader.run()
    drawn = console.export_svg(title="batch-uploader upload calls/")
    # The reader's own monospaced font will do; nothing is to be fetched to look at a picture.
    TARGET.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    anyio.run(main)
