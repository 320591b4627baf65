"""The installed program with a heartbeat in its event loop.

stalls.py FILE upload ...

Every BEAT the loop should call back; how late it is, in seconds, goes into FILE as JSON: the 99th
percentile and the longest. A stall counts once for each beat that fell into it, as all who wanted
the loop meanwhile felt it.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

BEAT = 0.002

late = []


class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        loop = super().new_event_loop()
        loop.call_soon(beat, loop, time.perf_counter())
        return loop


def beat(loop, due):
    now = time.perf_counter()
    lateness = now - due
    while lateness >= 0:
        late.append(lateness)
        lateness -= BEAT
    loop.call_later(BEAT, beat, loop, now + BEAT)


def main():
    target = Path(sys.argv.pop(1))
    asyncio.set_event_loop_policy(Policy())
    from batch_uploader.cli import main as program

    try:
        program()
    finally:
        late.sort()
        target.write_text(json.dumps({"p99": late[len(late) * 99 // 100], "longest": late[-1]}))


main()
