"""2,000 recordings of 100 KB: what each recording costs beside its bytes."""

from bench import clients
from bench.data import KB
from bench.report import Section, faster
from bench.throughput import HEADER, compete

LIMITS = ((clients.RAW, 0.6), (clients.RCLONE, 2), (clients.VENDOR, 250))
RIVALS = (
    *(clients.RAW, clients.KEPT, clients.PROTOBUF),
    *(clients.SENDER, clients.RCLONE, clients.S5CMD),
)


def run(lab, runs):
    count = lab.scaled(2000)
    contestants = (clients.PROGRAM, *RIVALS)
    sizes = [100 * KB] * count
    found, rows = compete(contestants, "small", sizes, lab=lab, runs=runs, few=(clients.VENDOR,))
    ours = found[clients.PROGRAM]
    targets = [
        faster(f"{count} x 100 KB, against {rival.name}", ours, found[rival], limit)
        for rival, limit in LIMITS
    ]
    about = f"{count} recordings of 100 KB. `speed` is that of the client in times of ours."
    return Section("small-files", about, HEADER, rows, targets)
