"""300 recordings of 4 MB: how fast the audio goes."""

from bench import clients
from bench.data import MB
from bench.report import Section, Target, faster, ratio
from bench.throughput import HEADER, compete

RIVALS = (
    *(clients.SENDER, clients.RAW, clients.KEPT),
    *(clients.PROTOBUF, clients.RCLONE, clients.S5CMD),
)


def run(lab, runs):
    count = lab.scaled(300)
    contestants = (clients.PROGRAM, *RIVALS)
    sizes = [4 * MB] * count
    found, rows = compete(contestants, "large", sizes, lab=lab, runs=runs, few=(clients.VENDOR,))
    ours = found[clients.PROGRAM]
    against = [
        faster(f"{count} x 4 MB, against {rival.name}", ours, found[rival], limit)
        for rival, limit in ((clients.SENDER, 0.6), (clients.RCLONE, 2), (clients.S5CMD, 2))
    ]
    cpu = ratio(found[clients.RCLONE], ours, "cpu")
    cost = Target(f"{count} x 4 MB, CPU s/GB against rclone", cpu, 0.5, at_most=True)
    about = f"{count} recordings of 4 MB. `speed` is that of the client in times of ours."
    return Section("large-files", about, HEADER, rows, [*against, cost])
