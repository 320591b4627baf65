"""A first run over ever more recordings: what one costs must not grow with their number."""

import shutil

from bench.clients import PROGRAM, Job
from bench.data import forget, recordings
from bench.measuring import Run, upload
from bench.report import Section, Target, figure

SIZE = 400
MANY, FEW = 500_000, 10_000
HEADER = ["recordings", "seconds", "ms each", "CPU ms each", "peak MiB"]


def run(lab, runs):
    few, many = lab.scaled(FEW), lab.scaled(MANY)
    with lab.sink("grpc_sink") as sink:
        start = Run.median([_first(lab, sink, 1)[0] for _ in range(runs)])
        small = [_first(lab, sink, few)[0] for _ in range(runs)]
        large, _ = _first(lab, sink, many)
        # Before and after: a disk that others use as well is not always as fast.
        small = Run.median([*small, *(_first(lab, sink, few)[0] for _ in range(runs))])
    rows = []
    for count, taken in ((1, start), (few, small), (many, large)):
        each = (taken.wall, 1000 * taken.wall / count, 1000 * taken.cpu / count, taken.peak)
        rows.append([f"{count:,}", *map(figure, each)])
    growth, by_cpu = (
        ((getattr(large, of) - getattr(start, of)) / (many - 1))
        / ((getattr(small, of) - getattr(start, of)) / (few - 1))
        for of in ("wall", "cpu")
    )
    remark = f"by CPU time {figure(by_cpu)} x"
    what = f"first run, {many:,} against {few:,} recordings"
    targets = [
        Target(f"{what}, cost of each", growth, 1.15, at_most=True, remark=remark),
        Target(f"{what}, peak memory", large.peak / small.peak, 1.15, at_most=True),
    ]
    about = (
        f"Recordings of {SIZE} bytes, a thousand in a folder, from the disk; {many:,} once, and"
        f" {few:,} before and after."
    )
    return Section("first-run", about, HEADER, rows, targets)


def remembered(lab, count):
    """A directory, and the folder with its ledger, after a run that sent all of it."""
    scratch = lab.folder / "remembered" / str(count)
    if not (scratch / "finished").exists():
        with lab.sink("grpc_sink") as sink:
            _first(lab, sink, count)
    return _folder(lab, count), scratch


def _first(lab, sink, count):
    scratch = lab.folder / "remembered" / str(count)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    folder = _folder(lab, count)
    # Or the few would come from memory, and the many from the disk.
    forget(folder)
    taken = upload(PROGRAM, Job(folder, sink.host, sink.port, lab, scratch), sink)
    (scratch / "finished").touch()
    return taken, scratch


def _folder(lab, count):
    return recordings(lab, "tiny", [SIZE] * count)
