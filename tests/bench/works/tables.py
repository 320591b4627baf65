"""Metadata of many recordings from a table of ten times as many rows, and the night after."""

import random
import shutil
import time
from typing import NamedTuple

from bench.clients import Client, Job, program
from bench.data import audio_file
from bench.lab import ADDRESS
from bench.measuring import measure, upload
from bench.report import Section, Target, figure
from bench.works.second_run import FIND

ROWS, RECORDINGS, APPENDED = 5_000_000, 500_000, 5_000
SECONDS, MIB, SIZE = 600, 300, 356
SETTINGS = """
sidecar = "required"
call-id = ["uniqueid"]
[[metadata.table]]
file = "cdr.csv"
match = { column = "recordingfile", with = "path" }
choose = ["disposition == 'ANSWERED'", "longest billsec"]
[metadata]
timezone = "Europe/Moscow"
[metadata.map]
date = "calldate | time"
client_id = "src | phone"
client_name = "cnam"
operator_id = "dstchannel | extension"
operator_name = "dst_cnam"
direction_outgoing = "'false'"
language = "'ru-RU'"
"""
HEADER = (
    *("calldate", "clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata"),
    *("duration", "billsec", "disposition", "amaflags", "accountcode", "uniqueid", "userfield"),
    *("did", "cnum", "cnam", "outbound_cnum", "outbound_cnam", "dst_cnam", "recordingfile"),
    *("linkedid", "peeraccount", "sequence"),
)
_BEGAN, _APART = 1_700_000_000, 13
_OTHERS = 2
"""Of the calls that have no recording here, every so many has none at all."""


class Call(NamedTuple):
    """A call, and the recording that it has on the disk, if it is one of the first."""

    stamp: str
    client: str
    uid: str
    path: str


def call(number):
    """The call of a number; a queue's, as FreePBX writes them."""
    began = _BEGAN + _APART * number
    moment = time.gmtime(began)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", moment)
    client = f"79{number * 7919 % 1_000_000_000:09}"
    uid = f"{began}.{number}"
    folder, day = time.strftime("%Y/%m/%d %Y%m%d-%H%M%S", moment).split()
    return Call(stamp, client, uid, f"{folder}/q-501-{client}-{day}-{uid}.wav")


def row(number, attempt, billsec):
    """One attempt of a queue to reach an operator."""
    stamp, client, uid, path = call(number)
    name = path.rpartition("/")[2]
    if number >= RECORDINGS and number % _OTHERS:
        name = ""
    operator = 200 + (number + attempt) % 50
    state = "ANSWERED" if attempt else "NO ANSWER"
    return (
        f'{stamp},"""Call {number % 97}"" <{client}>",{client},501,from-queue,'
        f"PJSIP/trunk-{number:08x},PJSIP/{operator}-{number:08x},Queue,"
        f'"501,t,,,300",{billsec + 9},{billsec},{state},3,,{uid},,74950000001,{client},'
        f"Call {number % 97},,,Operator {operator},{name},{uid},,{attempt}\r\n"
    )


def run(lab, runs):
    del runs  # once: a quarter of an hour
    rows, count = lab.scaled(ROWS, 40), lab.scaled(RECORDINGS, 4)
    table, folder = _table(lab, rows, count), _folder(lab, count)
    with lab.scratch() as scratch:
        grown = scratch / "cdr.csv"
        shutil.copyfile(table, grown)
        (scratch / "settings.toml").write_text(SETTINGS)
        client = Client("with a table", lambda job: _with_table(job, scratch))
        reads = measure(["/bin/sh", "-c", 'exec cat "$0" > /dev/null', grown], lab)
        # Runs over no recordings, with a ledger of their own: they only keep an index up to date.
        (scratch / "apart" / "empty").mkdir(parents=True)
        apart = Job(scratch / "apart" / "empty", ADDRESS, 1, lab, scratch / "apart")
        only_index = [*client.command(apart), "--allow-empty"]
        read = measure(only_index, lab)
        with lab.sink("grpc_sink") as sink:
            first = upload(client, Job(folder, sink.host, sink.port, lab, scratch), sink)
        kept = sum(path.stat().st_size for path in scratch.glob("*-tables/*"))
        size = grown.stat().st_size
        started = measure(only_index, lab)
        _append(grown, rows, count)
        appended = measure(only_index, lab).without(started)
        finds = measure([*FIND, folder], lab)
        # Nothing listens there: no recording is new.
        second = measure(client.command(Job(folder, ADDRESS, 1, lab, scratch)), lab)
    named = {
        "cat, of the table": reads,
        "its index, without recordings": read,
        "first night": first,
        "its appended rows": appended,
        "find, of the recordings": finds,
        "second night": second,
    }
    lines = [[name, *map(figure, (each.wall, each.cpu, each.peak))] for name, each in named.items()]
    rest = second.without(appended)
    what = f"{rows:,} rows for {count:,} recordings"
    peak = max(read.peak, first.peak)
    targets = [
        Target(f"{what}, the index", read.wall, SECONDS, "s", at_most=True),
        Target(f"{what}, peak memory", peak, MIB, "MiB", at_most=True),
        Target(
            f"{what}, {APPENDED:,} appended, but for reading these, against find",
            rest.wall / finds.wall,
            4,
            at_most=True,
            remark=f"by CPU time {figure(rest.cpu / finds.cpu)} x,"
            f" with reading {figure(second.cpu / finds.cpu)} x",
        ),
    ]
    about = (
        f"A CDR of FreePBX as CSV, {figure(size / 1e6)} MB; two rows for each recording, of which a"
        f" rule chooses. The index takes {figure(kept / 1e6)} MB. In the second night"
        f" {APPENDED:,} rows are new, half of them second tries of calls that are uploaded."
    )
    return Section("tables", about, ["", "seconds", "CPU s", "peak MiB"], lines, targets)


def _with_table(job, scratch):
    more = ("--config", scratch / "settings.toml", "--metadata", scratch / "cdr.csv")
    return [*program(job), *more]


def _folder(lab, count):
    """The recordings of the first calls, without sidecars, made once and kept."""
    folder = lab.folder / "data" / f"cdr-{count}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for number in range(count):
            path = unfinished / call(number).path
            path.parent.mkdir(parents=True, exist_ok=True)
            audio_file(path, random.Random(number).randbytes(SIZE))
        unfinished.rename(folder)
    return folder


def _table(lab, rows, count):
    """The table, made once and kept."""
    path = lab.folder / "data" / f"cdr-{rows}-{count}.csv"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w", newline="") as file:
            file.write(",".join(HEADER) + "\r\n")
            for number in range(count):
                for attempt in range(2):
                    file.write(row(number, attempt, 100 * attempt + number % 100))
            for number in range(count, rows - count):
                file.write(row(number, 0, 0))
        unfinished.rename(path)
    return path


def _append(path, rows, count):
    """Another attempt for each of some recordings, and as many rows of new calls."""
    with path.open("a", newline="") as file:
        for number in range(min(APPENDED // 2, count)):
            file.write(row(number, 2, number % 100))
        for number in range(rows, rows + APPENDED // 2):
            file.write(row(number, 0, 0))
