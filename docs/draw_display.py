"""Draws docs/display.svg: the live display of a real run on the local SpeechSense.

.venv/bin/python docs/draw_display.py
"""

import io
import json
import random
import re
import tempfile
import time
import wave
from pathlib import Path

import anyio
from rich.console import Console

from batch_uploader import ApiKey, DirectorySource, SpeechSenseSink, SqliteLedger, Uploader
from batch_uploader.core.events import Event
from batch_uploader.emulator import API_KEY, Connection, Emulator, EmulatorOptions, Faults
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.ui.stream import ScreenSize
from batch_uploader.ui.tally import Tally
from batch_uploader.ui.terminal import picture

SIZE = ScreenSize(84, 12)
TARGET = Path(__file__).with_name("display.svg")
FAULTS = Faults(seed=7, unavailable=0.3, bandwidth=12_000_000.0)
CALLS = 30
SHARE = 0.55
"""How much has been sent when the picture is taken."""


def write_calls(folder: Path) -> None:
    """Write calls of some minutes each, one of them without a sidecar."""
    chance = random.Random(11)  # noqa: S311 - the same calls every time
    for number in range(CALLS):
        name = f"2025-04-{21 + number // 10}/call-{4711 + 13 * number}"
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(chance.randbytes(32_000) * chance.randrange(120, 900))
        if number != CALLS // 2:
            (folder / f"{name}.json").write_text(json.dumps({"operator_id": str(number)}))


async def main() -> None:
    """Upload them and take a picture on the way."""
    tally = Tally(time.monotonic)
    console = Console(record=True, width=SIZE.width, file=io.StringIO(), force_terminal=True)
    drawn = False

    def hear(event: Event) -> None:
        nonlocal drawn
        tally.hear(event)
        retrying = any(tally.retry_in(transfer) for transfer in tally.in_flight.values())
        if not drawn and retrying and tally.done_bytes > SHARE * tally.stats.total_bytes:
            drawn = True
            console.print(picture(tally, SIZE))

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        calls = root / "calls"
        write_calls(calls)
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
                sink=SpeechSenseSink(endpoint, ApiKey(API_KEY), whole_limit=0),
                ledger=SqliteLedger(root / "ledger.db", "demo"),
                options=RunOptions(
                    concurrency=6,
                    min_age=0,
                    min_age_open=0,
                    sidecar_wait=0,
                    retry=RetryPolicy(first_pause=4.0),
                ),
                listeners=[hear],
            )
            async with uploader:
                await uploader.run()
    if not drawn:
        raise SystemExit("the moment never came: run it again")
    svg = console.export_svg(title="batch-uploader upload calls/")
    # The reader's own monospaced font will do; nothing is to be fetched to look at a picture.
    TARGET.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    anyio.run(main)
