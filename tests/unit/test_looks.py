"""Looks at what may have been touched: last, once each, and no work that is left undone."""

import os
import sqlite3
from contextlib import aclosing, closing

import anyio
import pytest
from msgspec.structs import replace
from support.engine_harness import OPTIONS, CountsOpening, Harness, of_call, recordings, wav

from batch_uploader.core.errors import Rejected
from batch_uploader.core.events import (
    Compared,
    Comparison,
    ComparisonStarted,
    Settled,
    UploadStarted,
)
from batch_uploader.core.model import Ending, Listing
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.run import feed as planner
from batch_uploader.sources.directory import DirectorySource


class Inodes(CountsOpening, DirectorySource):
    """Files have the inodes of ``shift``: another one is another mount, or other files."""

    shift = 0
    of = None
    walks = 0

    async def entries(self):
        self.walks += 1
        async with aclosing(super().entries()) as listings:
            async for listing in listings:
                yield Listing(listing.folder, tuple(map(self.moved, listing.entries)))

    def moved(self, entry):
        concerned = self.of is None or entry.path in self.of
        return entry._replace(inode=entry.inode + self.shift) if concerned else entry


class Disk(Harness):
    """Files on a disk that came to rest long ago; everything may be touched, nothing written."""

    def __init__(self, root, ledger, count=6):
        super().__init__({})
        self.root = root
        self.ledger = ledger
        for path, content in recordings(count).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            os.utime(root / path, ns=(10**18, 10**18))
        self.source = Inodes(root)

    def touch(self, *paths):
        for path in paths or list(self.root.rglob("*.*")):
            (self.root / path).chmod(0o640)

    def fill(self, path, content):
        """Other content of the same size and time."""
        (self.root / path).write_bytes(content)
        os.utime(self.root / path, ns=(10**18, 10**18))

    def fill_call(self, path, n):
        """Another call: other audio and IDs, all of the same size and time."""
        self.fill(path, wav(n))
        about = of_call(n).replace(b'"n": "%d"' % n, b'"n": "%d"' % (n % 10))
        self.fill(path.replace(".wav", ".json"), about)

    @property
    def looked(self):
        return {event.path: event.found for event in self.events(Compared)}


@pytest.fixture(params=["memory", "sqlite"])
def disk(request, tmp_path):
    ledgers = {
        "memory": lambda: MemoryLedger("connection"),
        "sqlite": lambda: SqliteLedger(tmp_path / "ledger.db", "connection"),
    }
    return Disk(tmp_path / "calls", ledgers[request.param]())


@pytest.fixture
def kept(tmp_path):
    return Disk(tmp_path / "calls", SqliteLedger(tmp_path / "ledger.db", "connection"))


FILES = [f"{n % 3}/call-{n}.wav" for n in range(6)]


@pytest.mark.parametrize("kept", [6, 5, 0])
async def test_other_content_goes_up_and_what_was_touched_is_looked_at_once(
    disk, monkeypatch, kept
):
    """Faults 94, 95: what is up stays up, and counts as it did; few are not searched for twice."""
    monkeypatch.setattr(planner, "_LOOKS_KEPT", kept)
    await disk.run()
    disk.touch()
    disk.fill_call("0/call-3.wav", 103)
    disk.source.walks = 0
    summary = await disk.run()
    assert disk.source.walks == (1 if kept == len(FILES) else 2)
    assert disk.looked == dict.fromkeys(FILES, Comparison.SAME) | {
        "0/call-3.wav": Comparison.CHANGED
    }
    assert len(disk.sink.talks) == 7
    assert len({talk.sha256 for talk in disk.sink.talks}) == 7
    assert (summary.to_compare, summary.compared, summary.changed) == (6, 6, 1)
    assert (summary.already_there, dict(summary.counts)) == (5, {Status.UPLOADED: 1})
    summary = await disk.run()
    assert disk.looked == {}
    assert (summary.already_there, summary.to_compare, len(disk.sink.talks)) == (6, 0, 7)


async def test_what_comes_back_is_the_talk_that_it_was(disk):
    """Fault 94: a copy that is put back in the same way is no third call."""
    await disk.run()
    disk.fill_call("0/call-3.wav", 103)
    await disk.run()
    disk.fill_call("0/call-3.wav", 3)
    await disk.run()
    assert disk.looked == {"0/call-3.wav": Comparison.CHANGED}
    assert len(disk.sink.talks) == 7


async def test_new_recordings_come_first(disk):
    """Fault 95."""
    await disk.run()
    disk.touch()
    disk.fill("9.wav", wav(9))
    disk.fill("9.json", b'{"n": "9"}')
    await disk.run()
    kinds = [type(event) for event in disk.heard]
    settled = kinds.index(Settled)
    assert (
        kinds.index(UploadStarted)
        < settled
        < kinds.index(ComparisonStarted)
        < kinds.index(Compared)
    )


@pytest.mark.parametrize("ending", [Ending.LIMIT, Ending.INTERRUPTED])
async def test_looks_that_are_left_are_no_work_left_undone(disk, ending):
    """Fault 95: a limit of the run ends them, the next run goes on, and each is looked at once."""
    await disk.run()
    disk.touch()

    def stop(event):
        disk.heard.append(event)
        if isinstance(event, Compared):
            disk.running.drain("it is over", ending)

    seen = []
    options = replace(OPTIONS, concurrency=1)
    while True:
        disk.heard.clear()
        with anyio.fail_after(20):
            async with disk.uploader(options=options) as disk.running:
                disk.running._listeners = [stop]
                summary = await disk.running.run()
        stopped = disk.looked and ending is Ending.INTERRUPTED
        assert summary.ending is (ending if stopped else Ending.COMPLETED)
        if not summary.to_compare:
            break
        assert 0 < summary.compared == len(disk.looked) <= summary.to_compare
        seen += disk.looked
    assert sorted(seen) == sorted(FILES)
    assert summary.already_there == len(FILES)
    assert len(disk.sink.talks) == 6


class Frozen(Inodes):
    """A file system that does not tell when something changed."""

    def moved(self, entry):
        return super().moved(entry)._replace(ctime_ns=1)


async def test_an_inode_counts_where_two_runs_saw_that_files_keep_them(disk):
    """Fault 94: a file was renamed, and the file system notes no change by that."""
    disk.source = Frozen(disk.root)
    await disk.run()
    disk.source.shift, disk.source.of = 1, {"0/call-3.wav"}
    disk.fill_call("0/call-3.wav", 103)
    await disk.run()
    assert disk.looked == {}  # so it may be new each time
    disk.source.of = {"0/call-3.wav", "1/call-1.json", "2/call-2.wav"}
    disk.fill_call("2/call-2.wav", 102)
    await disk.run()
    assert disk.looked == {
        "0/call-3.wav": Comparison.CHANGED,
        "1/call-1.wav": Comparison.SAME,
        "2/call-2.wav": Comparison.CHANGED,
    }
    assert len(disk.sink.talks) == 8
    await disk.run()
    assert disk.looked == {}


@pytest.mark.parametrize("runs", [1, 2])
async def test_inodes_that_are_made_up_each_time_are_no_reason_to_look(disk, monkeypatch, runs):
    """Fault 95: as FUSE, SMB and mergerfs do, some of them with each mount."""
    monkeypatch.setattr(planner, "_FEW_LOOKS", 2)
    disk.source = Frozen(disk.root)
    for _ in range(runs):
        await disk.run()
    for shift in (1, 2, 3):
        disk.source.shift = shift
        summary = await disk.run()
        assert (summary.already_there, summary.to_compare, disk.looked) == (6, 0, {})
    disk.source.of = {"0/call-3.wav"}
    assert (await disk.run()).to_compare == 0


async def test_a_ledger_that_knew_less_learns_it_without_a_look(kept, tmp_path):
    """Faults 11, 94, 95."""
    await kept.run()

    def execute(statement):
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            return connection.execute(statement).fetchall()

    select = "SELECT ctime_ns, inode, sidecar_ctime_ns, sidecar_inode FROM recordings ORDER BY path"
    known = execute(select)
    assert None not in [value for row in known for value in row]
    execute(
        "UPDATE recordings SET ctime_ns = NULL, inode = NULL, sidecar_ctime_ns = NULL,"
        " sidecar_inode = NULL"
    )
    summary = await kept.run()
    assert (summary.already_there, summary.to_compare) == (6, 0)
    assert execute(select) == known
    kept.fill_call("0/call-3.wav", 103)
    assert (await kept.run()).changed == 1


async def test_what_was_rejected_is_not_sent_again_since_its_rights_changed(disk):
    """Fault 95."""
    disk.sink.fail_next(Rejected("no", code="INVALID_ARGUMENT"))
    await disk.run(options=replace(OPTIONS, concurrency=1))
    (path,) = (path for path, status in (await disk.statuses()).items() if status == "rejected")
    for _ in range(2):
        disk.touch(path)
        summary = await disk.run()
        assert dict(summary.counts) == {Status.REJECTED: 1}
        assert disk.sink.attempts == 6
    assert dict((await disk.run()).counts) == {Status.REJECTED: 1}
    disk.fill_call(path, 100)
    assert dict((await disk.run()).counts) == {Status.UPLOADED: 1}


async def test_a_duplicate_and_what_was_given_up_are_compared_as_well(disk):
    """Fault 94."""
    disk.fill("z.wav", wav(0))
    disk.fill("z.json", (disk.root / "0/call-0.json").read_bytes())
    await disk.run()
    (duplicate,) = (p for p, status in (await disk.statuses()).items() if status == "duplicate")
    disk.touch(duplicate)
    await disk.run()
    assert disk.looked == {duplicate: Comparison.SAME}
    disk.fill_call(duplicate, 100)
    await disk.run()
    assert (disk.looked, len(disk.sink.talks)) == ({duplicate: Comparison.CHANGED}, 7)


async def test_what_a_sidecar_says_anew_needs_no_look_at_the_audio_each_time(disk):
    """Fault 95."""
    await disk.run()
    sidecar = disk.root / "0/call-3.json"
    disk.touch("0/call-3.wav")
    disk.fill("0/call-3.json", sidecar.read_bytes().replace(b"3", b"8"))
    for opened in ({"0/call-3.wav": 1, "0/call-3.json": 1}, {"0/call-3.json": 1}):
        summary = await disk.run()
        assert disk.looked == {"0/call-3.wav": Comparison.OUTDATED}
        assert (summary.outdated, disk.source.opened) == (1, opened)
    assert len(disk.sink.talks) == 6


@pytest.mark.parametrize("says", [b"3", b"8"])
async def test_a_sidecar_that_was_written_anew_hides_no_other_audio(disk, says):
    """Fault 94: nor does it have the audio looked at again and again."""
    await disk.run()
    sidecar, audio = disk.root / "0/call-3.json", "0/call-3.wav"
    found = Comparison.SAME if says == b"3" else Comparison.OUTDATED
    sidecar.write_bytes(sidecar.read_bytes().replace(b"3", says))
    os.utime(sidecar, ns=(2 * 10**18, 2 * 10**18 - 10**15))
    disk.touch(audio)
    await disk.run()
    assert disk.looked == {audio: found}
    summary = await disk.run()
    assert (disk.looked, disk.source.opened[audio], summary.already_there) == ({}, 0, 6)
    disk.fill_call(audio, 103)
    os.utime(sidecar, ns=(2 * 10**18, 2 * 10**18 - 10**15 + 1))
    assert (await disk.run()).changed == 1
    assert (disk.looked, len(disk.sink.talks)) == ({audio: Comparison.CHANGED}, 7)
