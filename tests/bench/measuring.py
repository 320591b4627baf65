"""What a run costs: the clock, the CPU time and the memory of the client process alone."""

import os
import pty
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass

from bench.clients import Job
from bench.data import files, warm
from bench.lab import NotPossible

_REMEMBERED = 2000


@dataclass(frozen=True)
class Run:
    """What one run of a client cost: wall clock and CPU in seconds, the peak in MiB."""

    wall: float
    cpu: float
    peak: float

    @classmethod
    def median(cls, runs):
        """Of each figure for itself."""
        return cls(*(statistics.median(getattr(run, each) for run in runs) for each in cls.EACH))

    def times(self, factor):
        """What as much work as so many times this would cost."""
        return Run(self.wall * factor, self.cpu * factor, self.peak)

    def without(self, part):
        """What it would cost without a part of its work."""
        return Run(self.wall - part.wall, self.cpu - part.cpu, self.peak)


Run.EACH = ("wall", "cpu", "peak")


def measure(command, lab, *, prefix=(), exit_code=0):
    """Run a command on the client's core, with a terminal for stderr.

    CPU time is of the process and the children that it waited for, memory of the largest of them.
    Raises RuntimeError with what it said if it ends with another code.
    """
    master, slave = pty.openpty()
    with (lab.folder / "stdout").open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, prefix), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=slave,
            env=_environment(lab),
            cwd=lab.folder,
            preexec_fn=lambda: os.sched_setaffinity(0, {lab.client_core}),
        )
        os.close(slave)
        said = []
        reader = threading.Thread(target=_read, args=(master, said))
        reader.start()
        # Not Popen.wait: the usage comes with the status.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    os.close(master)
    if process.returncode != exit_code:
        words = b"".join(said).decode(errors="replace")
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {words}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def upload(client, job, sink, *, prefix=()):
    """One run of a client that puts a directory into a sink, which has to have all of it."""
    before = sink.counts()
    run = measure(client.command(job), job.lab, prefix=prefix)
    came, nbytes = (now - then for now, then in zip(sink.counts(), before, strict=True))
    there = sum(1 for _ in files(job.folder, ".wav"))
    size = sum(path.stat().st_size for path in files(job.folder, ".wav"))
    if nbytes < size or came != (there if client.separate else 1):
        raise RuntimeError(f"{client.name}: {came} of {there} recordings came")
    return run


def contest(entries, lab, runs):
    """The median run for each client and folder of ``entries``, taken in turns.

    What is not possible here has the reason in place of its run.
    """
    taken = {entry: [] for entry in entries}
    missing = {}
    with lab.sink("grpc_sink") as grpc_sink, lab.sink("s3_sink") as s3_sink:
        sinks = {"grpc_sink": grpc_sink, "s3_sink": s3_sink}
        for _ in range(runs):
            for client, folder in entries:
                # The page cache forgets.
                warm(folder)
                sink = sinks[client.sink]
                try:
                    with lab.scratch() as scratch:
                        job = Job(folder, sink.host, sink.port, lab, scratch)
                        taken[client, folder].append(upload(client, job, sink))
                except NotPossible as reason:
                    missing[client, folder] = str(reason)
    return {entry: missing.get(entry) or Run.median(taken[entry]) for entry in entries}


def _read(master, said):
    # The other end of a terminal that is gone reads as an error.
    while True:
        try:
            said.append(os.read(master, _REMEMBERED))
        except OSError:
            return
        del said[:-2]


def _environment(lab):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # The S3 clients are written in Go; it takes the roots to trust from here.
    s3 = {"SSL_CERT_FILE": str(lab.certificate), "AWS_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    return {**kept, **s3, **keys, "TERM": "xterm-256color", "COLUMNS": "100"}
