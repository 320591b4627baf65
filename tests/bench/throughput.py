"""The table of a work that several clients do: each alone, its start-up told apart."""

from bench.clients import PROGRAM
from bench.data import recordings
from bench.measuring import Run, contest
from bench.report import figure

HEADER = ["client", "seconds", "to start", "MB/s", "files/s", "CPU s/GB", "CPU ms/file"]
HEADER += ["peak MiB", "speed"]


def compete(clients, name, sizes, *, lab, runs, few=()):
    """The run of each client by its name, and the rows of the table.

    Those of ``few`` are so slow that they get a fiftieth of the recordings; their runs are what
    all would have cost. What it costs to start is a run with one recording.
    """
    one = recordings(lab, "one", sizes[:1])
    folder = recordings(lab, name, sizes)
    less = sizes[: max(1, len(sizes) // 50)]
    folders = dict.fromkeys(clients, folder)
    folders |= {client: recordings(lab, f"{name}-few", less) for client in few}
    entries = [(client, folder) for client, folder in folders.items()]
    contested = contest([*entries, *((client, one) for client in folders)], lab, runs)
    found, rows = {}, []
    for client, folder in entries:
        run = contested[client, folder]
        label = client.name
        if isinstance(run, Run) and client in few:
            run = run.times(len(sizes) / len(less))
            label += f" (from {len(less)} files)"
        found[client] = run
        rows.append([label, *_cells(run, contested[client, one], len(sizes), sum(sizes))])
    ours = found[PROGRAM]
    for row, run in zip(rows, found.values(), strict=True):
        row.append(f"{figure(ours.wall / run.wall)} x" if isinstance(run, Run) else "")
    return found, rows


def _cells(run, start, count, nbytes):
    if isinstance(run, str):
        return [run, *[""] * (len(HEADER) - 3)]
    values = (
        *(run.wall, start.wall, nbytes / 1e6 / run.wall, count / run.wall),
        *(run.cpu / (nbytes / 1e9), 1000 * run.cpu / count, run.peak),
    )
    return list(map(figure, values))
