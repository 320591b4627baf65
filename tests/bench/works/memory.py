"""How much memory a run holds at its peak."""

from bench.clients import PROGRAM
from bench.data import MB, recordings
from bench.measuring import contest
from bench.report import Section, Target, figure


def run(lab, runs):
    sets = {
        (lab.scaled(300), 4): 150,
        (lab.scaled(4), 500): 110,
    }
    folders = {
        (count, size): recordings(lab, "large" if size == 4 else "huge", [size * MB] * count)
        for count, size in sets
    }
    found = contest([(PROGRAM, folder) for folder in folders.values()], lab, runs)
    rows, targets = [], []
    for (count, size), folder in folders.items():
        taken = found[PROGRAM, folder]
        what = f"{count} x {size} MB"
        rows.append([what, figure(taken.wall), figure(taken.peak)])
        limit = sets[count, size]
        targets.append(Target(f"{what}, peak memory", taken.peak, limit, "MiB", at_most=True))
    about = "16 at a time; the peak of the resident memory."
    return Section("memory", about, ["recordings", "seconds", "peak MiB"], rows, targets)
