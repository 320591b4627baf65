"""Metadata of many recordings from a table of ten times as many rows, and the night after."""

import os
import shutil
import sys
import time
from typing import NamedTuple

from bench.clients import SCRIPTS
from bench.measuring import Run, measure
from bench.report import Section, Target, figure, ratio

ROWS, RECORDINGS, APPENDED = 5_000_000, 500_000, 5_000
SECONDS, MIB = 600, 300
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
    del runs  # once: minutes
    rows, count = lab.scaled(ROWS, 40), lab.scaled(RECORDINGS, 4)
    table = _table(lab, rows, count)
    with lab.scratch() as scratch:
        indexes = scratch / "indexes"
        grown = scratch / "cdr.csv"
        shutil.copyfile(table, grown)
        reads = measure(_reading(grown), lab)
        first = measure(_script(grown, indexes, count, "find"), lab)
        kept = sum(path.stat().st_size for path in indexes.iterdir())
        size = grown.stat().st_size
        _append(grown, rows, count)
        second = measure(_script(grown, indexes, count, "touch"), lab)
    named = (("reading its bytes (cat)", reads), ("first night", first), ("second night", second))
    lines = [[name, *map(figure, (each.wall, each.cpu, each.peak))] for name, each in named]
    what = f"a table of {rows:,} rows for {count:,} recordings"
    factor = f"{figure(ratio(reads, first))} x reading" if isinstance(reads, Run) else ""
    targets = [
        Target(what, first.wall, SECONDS, "s", at_most=True, remark=factor),
        Target(f"{what}, peak memory", first.peak, MIB, "MiB", at_most=True),
        Target(f"{what}, {APPENDED:,} appended", second.wall, 5, "s", at_most=True),
    ]
    about = (
        f"A CDR of FreePBX as CSV of {figure(size / 1e6)} MB, two rows a recording; the index"
        f" takes {figure(kept / 1e6)} MB. First night: indexed, and each recording asked for its"
        " row. Second night: what was appended is indexed, and each is asked whether its row may"
        " have changed."
    )
    return Section("tables", about, ["", "seconds", "CPU s", "peak MiB"], lines, targets)


def _reading(path):
    return ["/bin/sh", "-c", 'exec cat "$0" > /dev/null', path]


def _script(table, indexes, count, how):
    path = os.pathsep.join((str(SCRIPTS.parents[1]), str(SCRIPTS.parents[2])))
    command = ["/usr/bin/env", f"PYTHONPATH={path}", sys.executable, SCRIPTS / "tables.py"]
    return [*command, table, indexes, count, how]


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
