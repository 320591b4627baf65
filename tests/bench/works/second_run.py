"""A run over a million files with nothing new, against ``find``, which only looks at them."""

from bench.clients import PROGRAM, Job
from bench.lab import ADDRESS
from bench.measuring import Run, measure
from bench.report import Section, Target, figure, ratio
from bench.works.first_run import MANY, remembered

FIND = ["/bin/sh", "-c", "exec find \"$0\" -printf '%p %s %T@\\n' > /dev/null"]


def run(lab, runs):
    count = lab.scaled(MANY)
    folder, scratch = remembered(lab, count)
    # Nothing listens there: a run without anything new needs no service.
    job = Job(folder, ADDRESS, 1, lab, scratch)
    ours, finds = [], []
    for _ in range(runs):
        finds.append(measure([*FIND, folder], lab))
        ours.append(measure(PROGRAM.command(job), lab))
    mine, find = Run.median(ours), Run.median(finds)
    rows = [
        [name, *map(figure, (taken.wall, taken.cpu, taken.peak))]
        for name, taken in (("batch-uploader", mine), ("find -printf '%p %s %T@'", find))
    ]
    remark = f"by CPU time {figure(ratio(find, mine, 'cpu'))} x"
    what = f"second run over {2 * count:,} files"
    targets = [
        Target(f"{what}, against find", ratio(find, mine), 3, at_most=True, remark=remark),
        Target(f"{what}, peak memory", mine.peak, 80, "MiB", at_most=True),
    ]
    about = f"{count:,} recordings that are up, with their sidecars; the manifest is written anew."
    return Section("second-run", about, ["", "seconds", "CPU s", "peak MiB"], rows, targets)
