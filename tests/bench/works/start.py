"""How long ``--help`` takes, against Python alone."""

import sys

from bench.clients import TOOLS
from bench.measuring import Run, measure
from bench.report import Section, Target, figure, ratio

EACH_RUN = 5


def run(lab, runs):
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "batch-uploader --help": [TOOLS / "batch-uploader", "--help"],
        "batch-uploader upload --help": [TOOLS / "batch-uploader", "upload", "--help"],
    }
    taken = {name: [] for name in commands}
    for _ in range(EACH_RUN * runs):
        for name, command in commands.items():
            taken[name].append(measure(command, lab))
    bare, helped, _ = medians = [Run.median(each) for each in taken.values()]
    rows = [
        [name, figure(1000 * each.wall), figure(1000 * each.cpu)]
        for name, each in zip(commands, medians, strict=True)
    ]
    target = Target(
        *("--help against python -c pass", ratio(bare, helped), 8),
        at_most=True,
        remark=f"by CPU time {figure(ratio(bare, helped, 'cpu'))} x",
    )
    return Section("start", f"{EACH_RUN} starts a run.", ["", "ms", "CPU ms"], rows, [target])
