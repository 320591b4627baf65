"""How long the event loop keeps others waiting, with 64 in flight."""

import json
import statistics
import sys

from bench.clients import SCRIPTS, Job, program
from bench.data import MB, joined, recordings, warm
from bench.measuring import measure
from bench.report import Section, Target, figure

IN_FLIGHT = 64


def run(lab, runs):
    sizes = ("large", [4 * MB] * lab.scaled(300)), ("huge", [500 * MB] * lab.scaled(4))
    folder = joined(lab, "mixed", *(recordings(lab, name, each) for name, each in sizes))
    found = lab.folder / "stalls.json"
    taken = []
    with lab.sink("grpc_sink") as sink:
        for _ in range(runs):
            warm(folder)
            with lab.scratch() as scratch:
                job = Job(folder, sink.host, sink.port, lab, scratch, concurrency=IN_FLIGHT)
                measure(watched(job, found), lab)
            taken.append(json.loads(found.read_bytes()))
    p99, longest = (1000 * statistics.median(run[of] for run in taken) for of in ("p99", "longest"))
    target = Target("event loop's stalls at 64 in flight, p99", p99, 50, "ms", at_most=True)
    about = "Recordings of 4 and 500 MB; how late a callback due every 2 ms comes."
    rows = [[figure(p99), figure(longest)]]
    return Section("stalls", about, ["p99 ms", "longest ms"], rows, [target])


def watched(job, found):
    """The program with a heartbeat in its loop, which writes what it felt into ``found``."""
    return [sys.executable, SCRIPTS / "stalls.py", found, *program(job)[1:]]
