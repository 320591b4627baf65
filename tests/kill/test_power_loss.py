"""Power loss: what was written and not synced is gone, or half of it is (fault 4).

A recorder of C, preloaded, writes down each change of a ledger's files and each sync. From that the
disk is put together as it may be after the power went at any moment, and the ledger opened there.
The short form draws CUTS of these moments; ``make kill-test`` (CUTS=0) takes all.
"""

import os
import random
import shutil
import struct
import subprocess
import sys
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from kill.harness import SEED, number
from support.ledger_cases import CONNECTION

from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import SqliteLedger

CUTS = number("CUTS", 30)
SECTOR = 512
HEARD = "heard"
FOLDER = object()
LEDGER = Path("far", "away", "ledger.db")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc of Linux"),
    pytest.mark.timeout(3600),
]

# What it was told is durable it writes to "heard", as soon as it was told.
RUN = """
import asyncio, os, sys
from contextlib import suppress
from pathlib import Path
from support.ledger_cases import CONNECTION, recording, uploaded
from batch_uploader.core.changes import Claim, Settle
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.ports import apply_one
from batch_uploader.ledgers.sqlite import SqliteLedger

heard = os.open(Path(sys.argv[1], "heard"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def hear(*words):
    os.write(heard, " ".join(words).encode())

async def claim(ledger, path):
    await apply_one(ledger, Claim(recording(path, path)))
    hear("claimed", path)

async def settle(ledger, path, talk):
    await apply_one(ledger, Settle(uploaded(path, talk)))
    hear("up", path, talk)

async def main():
    for run in "abc":
        async with SqliteLedger(Path(sys.argv[1], sys.argv[2]), CONNECTION) as ledger:
            ask = ledger._connection.execute
            ask(f"PRAGMA synchronous = {sys.argv[3]}")
            ask("PRAGMA wal_autocheckpoint = 20")
            await ledger.recover()
            for number in range(6):
                path = f"{run}{number}.wav"
                await claim(ledger, path)
                if number % 3:
                    await settle(ledger, path, f"talk-{path}")
            together = [f"{run}{number}.wav" for number in range(10, 15)]
            await asyncio.gather(*(claim(ledger, path) for path in together))
            (pages,) = ask("PRAGMA page_count").fetchone()
            ask(f"PRAGMA max_page_count = {pages}")
            for path in together[:2]:
                talk = path + "9" * 9000
                try:
                    await settle(ledger, path, talk)
                except LedgerError as error:
                    assert "the next run records it" in error.__notes__[0]
                    hear("up", path, talk)

asyncio.run(main())
"""


@dataclass
class Change:
    """A record: what was done to which file. ``data`` of a rename is the name before."""

    kind: str
    inode: int
    offset: int
    path: PurePosixPath
    data: bytes


@dataclass
class File:
    """What is on the disk for certain, and what was done since."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[Change] = field(default_factory=list)

    def sync(self):
        for change in self.since:
            _apply(change, self.synced)
        self.since = []


def read_records(log, root):
    """All records, with paths below ``root``."""
    content, position = log.read_bytes(), 0
    head = struct.Struct("=BQQII")
    while position < len(content):
        kind, inode, offset, named, length = head.unpack_from(content, position)
        position += head.size
        path = content[position : position + named].decode()
        position += named
        data = content[position : position + length]
        position += length
        if not path.endswith((" (deleted)", "-shm")):
            yield Change(chr(kind), inode, offset, PurePosixPath(path).relative_to(root), data)


class Disk:
    """What files and folders are, each change of them seen or synced.

    A name is durable when its folder was synced, a content when its file was. Nothing else is.
    """

    def __init__(self, root):
        self._root = root
        self._files = {}  # by inode, which another file has when this one is gone
        self._names = {}
        self._synced_names = {}
        self._since = []

    def take(self, change):
        if change.kind in "wt":
            file = self._files.setdefault(change.inode, File())
            if self._names.get(change.path) is not file:
                self._rename(change.path, file)
            file.since.append(change)
        elif change.kind == "s" and change.inode in self._files:
            self._files[change.inode].sync()
        elif change.kind == "s":
            self._sync_names(change.path)
        elif change.kind == "r":
            before = PurePosixPath(change.data.decode()).relative_to(self._root)
            self._forget(self._names.get(change.path))
            self._rename(change.path, self._names[before])
            self._rename(before, None)
        elif change.kind == "u":
            self._forget(self._names[change.path])
            self._rename(change.path, None)
        elif change.kind == "m":
            self._rename(change.path, FOLDER)

    def _forget(self, gone):
        # Its inode may be that of the next file.
        self._files = {inode: file for inode, file in self._files.items() if file is not gone}

    def _sync_names(self, folder):
        for path, file in self._since:
            if path.parent == folder:
                _name(path, file, self._synced_names)
        self._since = [each for each in self._since if each[0].parent != folder]

    def _rename(self, path, file):
        _name(path, file, self._names)
        self._since.append((path, file))

    def write(self, folder, chance):
        """Put it into a folder as it is after the power went; a chance of each change survives."""
        draw = random.Random(SEED)
        names = dict(self._synced_names)
        # Names change in order, or not any more.
        survivors = {0: 0, 1: len(self._since)}.get(chance, draw.randint(0, len(self._since)))
        for path, file in self._since[:survivors]:
            _name(path, file, names)
        for path in sorted(names):
            file = names[path]
            if not all(parent in names for parent in list(path.parents)[:-1]):
                continue
            if file is FOLDER:
                (folder / path).mkdir()
                continue
            content = bytearray(file.synced)
            for change in file.since:
                for part in _sectors(change):
                    if draw.random() < chance:
                        _apply(part, content)
            (folder / path).write_bytes(content)


def _name(path, file, names):
    names[path] = file
    if file is None:
        del names[path]


def _apply(change, content):
    end = change.offset + len(change.data)
    if change.kind == "t":
        del content[change.offset :]
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data


def _sectors(change):
    if change.kind == "t":
        return [change]
    return [
        Change("w", change.inode, change.offset + at, change.path, change.data[at : at + SECTOR])
        for at in range(0, len(change.data), SECTOR)
    ]


@pytest.fixture(scope="session")
def recorder(compiled):
    return compiled("recorder")


@pytest.fixture
def records(tmp_path, recorder):
    """What three runs over a new ledger did, with syncs as SQLite is told to make them."""

    def record(synchronous):
        root, log = tmp_path / synchronous, tmp_path / f"{synchronous}.log"
        root.mkdir()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "LD_PRELOAD": str(recorder),
            "RECORD_UNDER": f"{root}",
            "RECORD_LOG": str(log),
        }
        command = [sys.executable, "-c", RUN, root, LEDGER, synchronous]
        subprocess.run(command, check=True, env=environment)
        return list(read_records(log, root)), root

    return record


async def lost(records, root, cut, chance, folder):
    """What is not on record after the power went, of what the program had been told is durable."""
    disk = Disk(root)
    told = {}
    for change in records[:cut]:
        if change.path.name == HEARD:
            what, path, *talk = change.data.decode().split(" ")
            told[path] = talk[0] if what == "up" else told.get(path)
        else:
            disk.take(change)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    disk.write(folder, chance)
    if not (folder / LEDGER).exists():
        return set(told)
    async with SqliteLedger(folder / LEDGER, CONNECTION) as ledger:
        assert ledger._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        await ledger.recover()
        async with aclosing(ledger.rows()) as rows:
            found = {row.path: row async for row in rows}
    states = {path: (row.status, row.talk_id) for path, row in found.items()}
    assert {status for status, _ in states.values()} <= {Status.UPLOADED, Status.IN_DOUBT}
    return {
        path
        for path, talk in told.items()
        if path not in states or (talk and states[path] != (Status.UPLOADED, talk))
    }


@pytest.fixture
def impatient(monkeypatch):
    """Nobody lives who wrote a record that the power tore, so there is no need to watch it long."""
    monkeypatch.setattr("batch_uploader.ledgers.sqlite.owner._PULSE", 0.01)


async def test_after_a_power_loss_no_claim_and_no_answer_is_lost(records, impatient, tmp_path):
    """Fault 4: whatever of the un-synced writes survives, sector by sector."""
    changes, root = records("FULL")
    files = {change.path.name for change in changes}
    assert {"ledger.db", "ledger.db-wal", "ledger.db-answers"} <= files
    assert any(name.endswith(".tmp") for name in files), "it is made under another name"
    # Right after a promise it is the hardest to keep.
    heard = [at for at, change in enumerate(changes, 1) if change.path.name == HEARD]
    assert len(heard) == 3 * (6 + 4 + 5 + 2)
    cuts = range(len(changes) + 1)
    if CUTS:
        draw = random.Random(SEED)
        cuts = sorted({*draw.sample(heard, CUTS // 2), *draw.sample(cuts, CUTS // 2)})
    for cut in cuts:
        for chance in (0, 0.5, 1):
            missing = await lost(changes, root, cut, chance, tmp_path / "after")
            assert not missing, f"after change {cut} of {len(changes)}, {chance} of it survived"
    print(f"{len(cuts)} moments of {len(changes)}")  # noqa: T201 - for the long form


async def test_the_control_that_does_not_sync_loses_claims(records, tmp_path):
    """Fault 4: what the harness would see if commits were not synced."""
    changes, root = records("OFF")
    heard = [at for at, change in enumerate(changes, 1) if change.path.name == HEARD]
    assert await lost(changes, root, heard[4], 0, tmp_path / "after")
