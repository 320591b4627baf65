"""A link of 40 ms and 1 Gbit/s, without and with loss."""

from bench.clients import PROGRAM, Client, Job, loop, program
from bench.data import MB, files, recordings, warm
from bench.lab import FAR_ADDRESS, NotPossible
from bench.measuring import Run, upload
from bench.network import HERE, THERE, inside, link
from bench.report import Section, Target, figure

ROUND_TRIP, MBIT, LOSS = 40, 1000, 0.1
STREAMS = Client("batch-uploader --whole-limit 2M", lambda job: program(job, "--whole-limit", "2M"))
SERIAL = Client("bare loop, one connection, serial", loop("raw", 1))
ONE = Client("bare loop, one connection", loop("raw", 16))
MANY = Client("bare loop, 32 connections", loop("raw", 32, 32))
CONCURRENCY = 32
"""The program's own default: here it is connections that count."""
HEADER = ["client", "MB/s without loss", f"MB/s with {LOSS} % loss"]


def run(lab, runs):
    twice, many, few = (
        recordings(lab, "large", [4 * MB] * lab.scaled(count)) for count in (600, 300, 40)
    )
    # Where packets get lost, a lone connection takes minutes for what the others do in seconds.
    clients = {
        0: {PROGRAM: many, STREAMS: many, MANY: many, ONE: many, SERIAL: few},
        LOSS: {PROGRAM: twice, STREAMS: twice, MANY: twice, ONE: few, SERIAL: few},
    }
    try:
        # Without loss a run takes seconds, of which a start that was disturbed is a tenth.
        found = [
            _speeds(lab, folders, runs if loss else 3 * runs, loss)
            for loss, folders in clients.items()
        ]
    except NotPossible as reason:
        found = [dict.fromkeys(folders) for folders in clients.values()]
        about = f"Not possible here: {reason}."
    else:
        about = (
            f"{ROUND_TRIP} ms there and back, {MBIT} Mbit/s, TCP Reno; {CONCURRENCY} at a time. "
            f"{lab.scaled(300)} recordings of 4 MB, twice as many where packets get lost: the "
            "seconds until the program has found how many connections pay shall not count for "
            f"more than a few of them. {lab.scaled(40)} where one connection has to carry them "
            "through losses. Without loss the medians are of three times as many runs."
        )
    clean, lossy = found
    rows = [[client.name, *(_cell(each[client]) for each in found)] for client in clean]
    share = clean[PROGRAM] and clean[PROGRAM] / (MBIT / 8)
    gain = lossy[PROGRAM] and lossy[PROGRAM] / lossy[SERIAL]
    targets = [
        Target(f"{ROUND_TRIP} ms link without loss, share of it", share, 0.85, ""),
        Target(f"{ROUND_TRIP} ms link with {LOSS} % loss, against {SERIAL.name}", gain, 20),
    ]
    return Section("link", about, HEADER, rows, targets)


def _speeds(lab, clients, runs, loss):
    """MB/s of each client, the median."""
    taken = {client: [] for client in clients}
    with (
        link(lab, round_trip=ROUND_TRIP, mbit=MBIT, loss=loss),
        lab.sink("grpc_sink", FAR_ADDRESS, inside(THERE)) as sink,
    ):
        for _ in range(runs):
            for client, folder in clients.items():
                warm(folder)
                with lab.scratch() as scratch:
                    job = Job(folder, sink.host, sink.port, lab, scratch, CONCURRENCY)
                    run = upload(client, job, sink, prefix=inside(HERE))
                nbytes = sum(path.stat().st_size for path in files(folder, ".wav"))
                taken[client].append((run, nbytes))
    return {
        client: runs[0][1] / 1e6 / Run.median([run for run, _ in runs]).wall
        for client, runs in taken.items()
    }


def _cell(speed):
    return figure(speed) if speed else ""
