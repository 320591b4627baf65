"""The two processes of a soak, what one can see of them, and the recordings."""

import hashlib
import json
import random
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

from e2e.conftest import PATIENCE, environment

HERE = Path(__file__).parent
A_FOLDER = 1000


def write_recordings(folder, count, first=0):
    """Small ones with sidecars, no two alike, from a number on; their SHA-256 by path."""
    chance = random.Random(first + count)
    digests = {}
    for number in range(first, first + count):
        path = folder / f"{number // A_FOLDER}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = chance.randbytes(2 * chance.randrange(50, 2000))
        form = (b"fmt ", 16, 1, 1, 8000, 16_000, 2, 16, b"data", len(noise))
        head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(noise), b"WAVE", *form)
        name = path.relative_to(folder).as_posix()
        path.write_bytes(head + noise)
        path.with_suffix(".json").write_text(json.dumps({"name": name}))
        digests[name] = hashlib.sha256(head + noise).hexdigest()
    return digests


def _start(script, *arguments, **how):
    how = {"stdout": subprocess.PIPE, "text": True, "env": _environment(), **how}
    return subprocess.Popen([sys.executable, HERE / script, *map(str, arguments)], **how)


def _environment():
    """Measuring the coverage of these would take its time and its memory."""
    kept = {name: value for name, value in environment().items() if not name.startswith("COV")}
    return {**kept, "GRPC_VERBOSITY": "NONE"}


class Service:
    """The emulator's process."""

    def __init__(self, process, folder):
        self._process = process
        self.store = folder / "talks.db"
        self.address = process.stdout.readline().strip()
        self.ca_file = folder / "tls" / "ca.pem"

    def order(self, **what):
        """Change its faults, or take it ``down`` for so many seconds."""
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def stored(self):
        """How many talks there are."""
        with closing(sqlite3.connect(f"{self.store.as_uri()}?mode=ro", uri=True)) as store:
            (count,) = store.execute("SELECT coalesce(max(seq), 0) FROM talk").fetchone()
        return count


@contextmanager
def service(folder, **faults):
    folder.mkdir()
    with _start("service.py", folder, json.dumps(faults), stdin=subprocess.PIPE) as process:
        try:
            yield Service(process, folder)
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


@contextmanager
def sender(folder, to, **options):
    """The uploader's process, over a folder."""
    where = (folder, to.address, to.ca_file)
    with _start("sender.py", *where, json.dumps(options), stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def attempts(folder):
    """What the log has of the attempts, while it is written, too."""
    with (folder / "log.jsonl").open() as log:
        for line in log:
            if line.endswith("\n") and (record := json.loads(line))["event"] == "attempt_ended":
                yield record


def weigh(process):
    """What a process takes: memory in MiB, descriptors, threads; None if it has just ended."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    descriptors = sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())
    if "VmRSS" not in fields:
        return None
    return int(fields["VmRSS"].split()[0]) / 1024, descriptors, int(fields["Threads"])
