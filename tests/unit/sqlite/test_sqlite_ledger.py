"""The ledger's file: what may be wrong with it, and its readers."""

import os
import shutil
import sqlite3
import stat as modes
import sys
import tempfile
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import pytest
from support.ledger_cases import CONNECTION, ended, recording, uploaded
from support.ledger_changes import claim_all, settle
from support.ledger_file_harness import listed, make, names_in, posix

from batch_uploader.core.changes import BeginRun
from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.core.model import Failure, Outcome
from batch_uploader.core.ports import apply_one
from batch_uploader.core.runs import RunBegin
from batch_uploader.core.states import Status
from batch_uploader.host.files import temporary_name
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger, Totals, is_running

# The file


@posix
async def test_nobody_else_may_read_it(path):
    """Fault 67."""
    before = os.umask(0)
    try:
        async with SqliteLedger(path, CONNECTION) as ledger:
            await claim_all(ledger, [recording("a.wav")])
            files = {
                each.name: modes.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()
            }
    finally:
        os.umask(before)
    assert files == dict.fromkeys(
        [
            *("ledger.db", "ledger.db-wal", "ledger.db-shm"),
            *("ledger.db-answers", "ledger.db-owner", "ledger.db-run", "ledger.db.lock"),
        ],
        0o600,
    )
    assert modes.S_IMODE(path.parent.stat().st_mode) == 0o700


@posix
async def test_a_ledger_that_others_may_read_is_closed_to_them_but_not_its_folder(path):
    await make(path)
    files = path, path.with_name("ledger.db-answers")
    for each in files:
        each.chmod(0o644)
    path.parent.chmod(0o755)
    await make(path)
    assert {modes.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert modes.S_IMODE(path.parent.stat().st_mode) == 0o755


async def test_a_making_that_was_cut_off_is_begun_anew(path):
    path.parent.mkdir()
    for suffix in ("", "-journal"):
        leftover = temporary_name(path)
        leftover.with_name(f"{leftover.name}{suffix}").write_bytes(b"half a ledger")
    await make(path, "a.wav")
    assert names_in(path.parent) == [
        "ledger.db",
        "ledger.db-answers",
        "ledger.db-owner",
        "ledger.db-run",
        "ledger.db.lock",
    ]


def _garbage(path):
    path.write_bytes(b"this was a ledger " * 1000)


def _empty(path):
    path.write_bytes(b"")


def _cut(path):
    path.write_bytes(path.read_bytes()[:-4096])


def _overwritten(path):
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * 4096 * 3 + content[4096 * 4 :])


def _someone_elses(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recordings (id)")


def _folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "cure"),
    [
        (_garbage, "; restore it from a backup; .* --rebuild$"),
        (_empty, "; restore it from a backup; .* --rebuild$"),
        (_cut, "; restore it from a backup; .* --rebuild$"),
        (_overwritten, "; restore it from a backup; .* --rebuild$"),
        (_someone_elses, "is not a ledger; specify another file with --ledger"),
        (_folder, "is not a file; specify another one with --ledger"),
    ],
)
async def test_a_damaged_ledger_is_refused_and_left_as_it_is(path, damage, cure):
    """Fault 7."""
    await make(path, *(f"{number}.wav" for number in range(50)))
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(LedgerError, match=cure) as caught:
        await make(path, "new.wav")
    assert str(path) in str(caught.value)
    with pytest.raises(LedgerError, match=cure):
        async with LedgerReader(path) as reader:
            await listed(reader)
    after = path.read_bytes() if path.is_file() else None
    if damage is _overwritten:  # who opened it stands in it
        before, after = (content[4096 : 4096 * 4] for content in (before, after))
    assert after == before


async def test_a_ledger_whose_log_alone_is_left_is_not_started_afresh(path):
    """Fault 7."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("a.wav")])
        log = path.with_name("ledger.db-wal")
        copy = log.read_bytes()
    path.unlink()
    log.write_bytes(copy)
    with pytest.raises(LedgerError, match=r"is gone, and only its ledger\.db-wal is left"):
        await SqliteLedger(path, CONNECTION).__aenter__()
    assert log.read_bytes() == copy


@posix
async def test_a_refused_ledger_gives_its_lock_back(path):
    path.parent.mkdir()
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(LedgerError):
        await SqliteLedger(path, CONNECTION).__aenter__()
    path.unlink()
    await make(path)


async def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LedgerError, match=r"file.state.ledger\.db cannot be used"):
        await make(tmp_path / "file" / "state" / "ledger.db")


@pytest.mark.parametrize("name", ["a b?mode=memory#c%41.db", "журнал.db", "'quoted\".db"])
async def test_any_file_name_will_do(tmp_path, name):
    if sys.platform == "win32":
        pytest.skip("Windows forbids such names")
    await make(tmp_path / name, "a.wav")
    assert (tmp_path / name).is_file()
    async with LedgerReader(tmp_path / name) as reader:
        assert await listed(reader) == [("a.wav", Status.UPLOADED)]


async def test_a_file_may_hold_several_connections(path):
    await make(path, "a.wav", connection_id="one")
    await make(path, "a.wav", "b.wav", connection_id="two")
    async with SqliteLedger(path, "one") as one:
        assert [(row.path, row.connection_id) async for row in one.rows()] == [("a.wav", "one")]
        assert [(row.path, row.connection_id) async for row in one.everything()] == [
            ("a.wav", "one"),
            ("a.wav", "two"),
            ("b.wav", "two"),
        ], "a manifest tells all there is"
        assert list(await one.get(["a.wav", "b.wav"])) == ["a.wav"]
        assert list(await one.known("")) == ["a.wav"]
    async with LedgerReader(path) as reader:
        assert await reader.connections() == ["one", "two"]
        assert [(row.path, row.connection_id) async for row in reader.rows()] == [
            ("a.wav", "one"),
            ("a.wav", "two"),
            ("b.wav", "two"),
        ]
        assert (await reader.counts())[Status.UPLOADED].recordings == 3
    async with LedgerReader(path, "two") as reader:
        assert list(await reader.known("")) == ["a.wav", "b.wav"]
        assert (await reader.counts())[Status.UPLOADED].recordings == 2


async def test_foreign_words_that_are_not_unicode_are_escaped(path):
    """Fault 39: an error text may quote a file name as the system gave it."""
    words = Failure("EIO", "cannot read \udcff.wav", "request \udc80")
    async with SqliteLedger(path, CONNECTION) as ledger:
        await settle(
            ledger, Outcome("a.wav", Status.FAILED, recording("a.wav").stat, failure=words)
        )
        known = (await ledger.known(""))["a.wav"]
    assert known.failure == Failure("EIO", r"cannot read \udcff.wav", r"request \udc80")


# Readers


async def test_a_reader_sees_what_the_run_has_committed(path):
    async with SqliteLedger(path, CONNECTION) as ledger, LedgerReader(path, CONNECTION) as reader:
        assert await listed(reader) == []
        await claim_all(ledger, [recording("a.wav")])
        assert await listed(reader) == [("a.wav", Status.CLAIMED)]
        assert list(await reader.known("")) == ["a.wav"]
        await settle(ledger, uploaded("a.wav"))
        assert await reader.counts() == {Status.UPLOADED: Totals(1, 1000, 12.34)}


async def test_sums_count_superseded_talks_too(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        for talk in ("A", "B"):
            await claim_all(ledger, [recording("a.wav", talk)])
            await settle(ledger, uploaded("a.wav", talk))
        await settle(ledger, ended("b.wav", Status.INVALID))
    async with LedgerReader(path) as reader:
        assert await reader.counts() == {
            Status.UPLOADED: Totals(2, 2000, 24.68),
            Status.INVALID: Totals(1, 1000, 0.0),
        }


async def test_reading_what_is_not_there_says_what_to_do_and_makes_nothing(path):
    with pytest.raises(LedgerError, match=r"does not exist; .* begin with an upload"):
        await LedgerReader(path).__aenter__()
    assert not path.parent.exists()


async def test_a_reader_that_is_not_entered_refuses(path):
    await make(path)
    reader = LedgerReader(path)
    with pytest.raises(LedgerError, match="not open"):
        await reader.counts()


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


@posix
async def test_a_reader_needs_no_right_to_write(open_folder):
    path = open_folder / "ledger.db"
    await make(path, "a.wav")
    path.chmod(0o444)
    open_folder.chmod(0o555)
    with as_a_stranger():
        async with LedgerReader(path) as reader:
            assert await listed(reader) == [("a.wav", Status.UPLOADED)]
            assert (await reader.counts())[Status.UPLOADED].recordings == 1
        assert not is_running(path)
    assert names_in(open_folder) == [
        "ledger.db",
        "ledger.db-answers",
        "ledger.db-owner",
        "ledger.db-run",
        "ledger.db.lock",
    ]


@contextmanager
def as_a_stranger():
    """Modes do not hold for root, so root becomes nobody for a while."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux for open files")
async def test_nothing_is_left_open(path):
    async with SqliteLedger(path, CONNECTION) as ledger, LedgerReader(path) as reader:
        await claim_all(ledger, [recording(str(number), str(number)) for number in range(2000)])
        async with aclosing(reader.rows()) as rows:
            await anext(rows)
    with pytest.raises(LedgerLocked):
        async with SqliteLedger(path, CONNECTION):
            await SqliteLedger(path, CONNECTION).__aenter__()
    assert open_files(path.name) == []


def open_files(name):
    # The folder's own descriptor is gone by the time its link is asked for.
    links = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [link for link in links if link.name.startswith(name)]


async def test_runs_are_of_a_connection_and_a_reader_may_have_those_of_all(path, monkeypatch):
    for connection in ("one", "two"):
        async with SqliteLedger(path, connection) as ledger:
            for number in range(3):
                begin = RunBegin(f"{connection} {number}", "1", "host", 7, "{}")
                await apply_one(ledger, BeginRun(begin))
            names = [run.begin.run_id for run in await ledger.runs(9)]
            assert names == [f"{connection} {number}" for number in (2, 1, 0)]
    async with LedgerReader(path) as reader:
        assert [run.connection_id for run in await reader.runs(9)] == ["two"] * 3 + ["one"] * 3
    monkeypatch.setattr("batch_uploader.ledgers.sqlite.runs._KEPT", 2)
    async with SqliteLedger(path, "two") as ledger:
        await apply_one(ledger, BeginRun(RunBegin("two 3", "1", "host", 7, "{}")))
        assert [run.begin.run_id for run in await ledger.runs(9)] == ["two 3", "two 2"]
