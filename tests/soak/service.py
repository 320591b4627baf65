"""The emulator as a process of its own, with faults that change while it runs.

Reads a line of JSON at a time from stdin: ``{"down": 5}`` refuses connections for five seconds,
anything else are new faults. Beside them, answers are lost in all the ways there are.
"""

import asyncio
import itertools
import json
import sys
from pathlib import Path

from msgspec.structs import replace

from batch_uploader.emulator import Emulator, EmulatorOptions, Faults, LostAnswer

WAYS = (*5 * [LostAnswer.SILENCE], LostAnswer.PROXY, LostAnswer.INTERNAL)
"""How answers are lost, one way after the other: five in seven end by the client's deadline."""


async def lose_in_all_ways(emulator):
    for way in itertools.cycle(WAYS):
        emulator.control.faults = replace(emulator.control.faults, lost_answer=way)
        await asyncio.sleep(0.1)


async def main(folder, **faults):
    options = EmulatorOptions(folder / "talks.db", tls_dir=folder / "tls", faults=Faults(**faults))
    async with Emulator(options) as emulator:
        losing = asyncio.create_task(lose_in_all_ways(emulator))
        sys.stdout.write(f"{emulator.address}\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if "down" in order:
                await emulator.stop_listening()
                await asyncio.sleep(order["down"])
                await emulator.listen()
            else:
                emulator.control.faults = replace(emulator.control.faults, **order)
        losing.cancel()


asyncio.run(main(Path(sys.argv[1]), **json.loads(sys.argv[2])))
