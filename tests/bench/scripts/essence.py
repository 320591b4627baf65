"""Prepares one recording many times, as a run does.

essence.py FILE with|without TIMES

Prints the CPU time of one of them in seconds.
"""

import sys
import time
from pathlib import Path

from batch_uploader.app.preparing import preparer_of
from batch_uploader.core.model import Entry
from batch_uploader.prepare.audio import essence
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.rules import Rules, SidecarMode
from batch_uploader.sources.directory import DirectorySource

WHOLE_LIMIT = 16 << 20
WARM_UP = 5


class Nothing:
    def update(self, _block):
        pass

    def digest(self):
        return b""


def main():
    path, how, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if how == "without":
        essence.begin = lambda *_: Nothing()
    status = path.stat()
    pair = bundle_of(Entry(path.name, status.st_size, status.st_mtime_ns), None)
    preparer = preparer_of(
        DirectorySource(path.parent), "conn", Rules(sidecar=SidecarMode.OPTIONAL)
    )
    for number in range(WARM_UP + times):
        if number == WARM_UP:
            began = time.process_time()
        payload = preparer.prepare_cached(pair, WHOLE_LIMIT)
        payload = payload or preparer.prepare(pair, WHOLE_LIMIT, lambda _: bytes(300))
        assert bool(payload.recording.identity.essence) is (how == "with")
        payload.close()
    sys.stdout.write(f"{(time.process_time() - began) / times}\n")


main()
