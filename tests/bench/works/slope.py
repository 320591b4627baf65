"""What one more recording of 100 KB costs: the CPU time of 10,000 less that of 2,000.

Nothing that a start costs is in it.
"""

from bench import clients
from bench.data import KB, recordings
from bench.measuring import Run, contest
from bench.report import Section, Target, figure

FEW, MANY = 2_000, 10_000
CONTESTANTS = (clients.PROGRAM, clients.KEPT, clients.RCLONE, clients.S5CMD)
HEADER = ["client", "CPU ms, one more", "ms, one more", "of ours"]
LIMITS = ((clients.KEPT, 1.8, True), (clients.RCLONE, 1.4, False), (clients.S5CMD, 1.4, False))


def run(lab, runs):
    few, many = (recordings(lab, "slope", [100 * KB] * lab.scaled(count)) for count in (FEW, MANY))
    more = lab.scaled(MANY) - lab.scaled(FEW)
    entries = [(client, folder) for client in CONTESTANTS for folder in (few, many)]
    found = contest(entries, lab, runs)
    slopes = {
        client: _slope(found[client, few], found[client, many], more) for client in CONTESTANTS
    }
    ours = slopes[clients.PROGRAM]
    rows = [_row(client.name, slope, ours) for client, slope in slopes.items()]
    targets = [
        _target(rival, ours, slopes[rival], limit, of_theirs=of_theirs)
        for rival, limit, of_theirs in LIMITS
    ]
    about = f"{MANY:,} recordings of 100 KB against {FEW:,}: what each of the {MANY - FEW:,} costs."
    return Section("slope", about, HEADER, rows, targets)


def _slope(few, many, more):
    """CPU time and wall clock of one more, in milliseconds; why not, where they are not known."""
    for taken in (few, many):
        if not isinstance(taken, Run):
            return taken
    if many.cpu <= few.cpu:
        return "too few to tell"
    return tuple(1000 * (getattr(many, of) - getattr(few, of)) / more for of in ("cpu", "wall"))


def _row(name, slope, ours):
    if isinstance(slope, str):
        return [name, slope, "", ""]
    share = "" if isinstance(ours, str) else f"{figure(slope[0] / ours[0])} x"
    return [name, *map(figure, slope), share]


def _target(rival, ours, theirs, limit, *, of_theirs):
    """By CPU time: ours at most so many times theirs, or theirs at least so many times ours."""
    what = f"one more of 100 KB, CPU time {'against' if of_theirs else 'of'} {rival.name}"
    for slope in (ours, theirs):
        if isinstance(slope, str):
            return Target(what, None, limit, at_most=of_theirs, remark=slope)
    value = ours[0] / theirs[0] if of_theirs else theirs[0] / ours[0]
    return Target(what, value, limit, at_most=of_theirs)
