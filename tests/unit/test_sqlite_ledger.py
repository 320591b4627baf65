"""The ledger's file: its lock, its life and death, what may be wrong with it, and its readers."""

import asyncio
import errno
import os
import shutil
import signal
import sqlite3
import stat as modes
import subprocess
import sys
import tempfile
import threading
from contextlib import aclosing, closing, contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from ledger_cases import CONNECTION, ended, recording, uploaded
from msgspec.structs import replace

from batch_uploader.errors import LedgerError, LedgerLocked
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger, Totals, is_running, schema
from batch_uploader.ledgers.sqlite.file import translated
from batch_uploader.model import Failure, Outcome, Status
from batch_uploader.ports import Claim, ClaimAnswer
from batch_uploader.system import FileLock

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no SIGKILL")
TESTS = Path(__file__).parents[1]
VERSION_1 = TESTS / "ledger_version_1.sql"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "ledger.db"


async def lines(ledger):
    async with aclosing(ledger.rows()) as rows:
        return [(row.path, row.status) async for row in rows]


def names_in(folder):
    return sorted(each.name for each in folder.iterdir())


async def make(path, *paths, connection_id=CONNECTION):
    """A ledger with a talk for each path."""
    async with SqliteLedger(path, connection_id) as ledger:
        for each in paths:
            await ledger.claim([recording(each, each, connection_id=connection_id)])
            await ledger.settle(uploaded(each, f"talk of {each}"))


@contextmanager
def held_up(ledger):
    """Keep the writer busy, so that what is asked meanwhile goes into one transaction."""
    go = threading.Event()
    ledger._worker.submit(go.wait)
    try:
        yield go
    finally:
        go.set()


# Group commit


async def test_what_is_asked_at_once_is_committed_at_once(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        statements = []
        ledger._connection.set_trace_callback(statements.append)
        with held_up(ledger) as go:
            async with anyio.create_task_group() as group:
                for number in range(100):
                    group.start_soon(ledger.claim, [recording(f"{number}.wav", str(number))])
                await anyio.wait_all_tasks_blocked()
                go.set()
        assert statements.count("COMMIT") == 1
        assert len(await lines(ledger)) == 100


async def test_a_refusal_fails_alone(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        with held_up(ledger) as go:
            results = asyncio.gather(
                ledger.claim([recording("a.wav")]),
                ledger.release("never claimed.wav"),
                ledger.settle(ended("b.wav", Status.INVALID)),
                return_exceptions=True,
            )
            await anyio.wait_all_tasks_blocked()
            go.set()
            granted, refused, settled = await results
        assert granted[0].claim is Claim.GRANTED
        assert isinstance(refused, LedgerError)
        assert settled is None
        assert await lines(ledger) == [("a.wav", Status.CLAIMED), ("b.wav", Status.INVALID)]


@pytest.mark.parametrize("bug", [None, ["not", "a", "size"], 2**70])
async def test_a_failing_transaction_fails_everybody_in_it_and_leaves_nothing(path, bug):
    bad = replace(ended("bad.wav", Status.INVALID), attempts=bug)
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.forget([])
        with held_up(ledger) as go:
            results = asyncio.gather(
                ledger.claim([recording("a.wav")]), ledger.settle(bad), return_exceptions=True
            )
            await anyio.wait_all_tasks_blocked()
            go.set()
            first, second = await results
        assert isinstance(first, LedgerError)
        assert isinstance(second, LedgerError)
        assert first is not second
        assert await lines(ledger) == []
        with pytest.raises(LedgerError, match="unseen and was not claimed"):
            await ledger.settle(uploaded("a.wav", "talk"))
        assert (await ledger.claim([recording("a.wav")]))[0].claim is Claim.GRANTED


async def test_the_answer_to_a_claim_that_somebody_removed_is_on_record_all_the_same(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.claim([recording("a.wav")])
        with closing(sqlite3.connect(path)) as meddler, meddler:
            meddler.execute("DELETE FROM recordings")
        await ledger.settle(uploaded("a.wav", "talk"))
        assert await lines(ledger) == [("a.wav", Status.UPLOADED)]
        held = await ledger.claim([recording("b.wav")])
        assert held == [ClaimAnswer(Claim.DUPLICATE, "a.wav")]


async def test_settling_a_claim_leaves_the_index_of_contents_alone(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        statements = []
        ledger._connection.set_trace_callback(statements.append)
        await ledger.claim([recording("a.wav")])
        await ledger.settle(uploaded("a.wav", "talk"))
    (settled,) = [each for each in statements if each.startswith("UPDATE")]
    assert "sha256" not in settled
    assert len(statements) == len(["BEGIN", "ask", "claim", "COMMIT", "BEGIN", settled, "COMMIT"])


@pytest.mark.parametrize("native", [True, False])
async def test_a_caller_cancelled_before_its_transaction_wrote_nothing(path, native):
    async with SqliteLedger(path, CONNECTION) as ledger:
        with held_up(ledger) as go:
            await cancelled(ledger.claim([recording("a.wav")]), native=native)
            go.set()
        await ledger.forget([])
        assert await lines(ledger) == []


@pytest.mark.parametrize("native", [True, False])
async def test_a_caller_cancelled_during_its_transaction_has_written(path, native):
    """Fault 3, as far as the ledger goes: no await of it can be cancelled into half a write."""
    go, begun = threading.Event(), threading.Event()

    def clock():
        begun.set()
        assert go.wait(10)
        return 1

    async with SqliteLedger(path, CONNECTION, clock=clock) as ledger:
        try:
            await cancelled(ledger.claim([recording("a.wav")]), native=native, after=begun)
        finally:
            go.set()
        await ledger.settle(ended("b.wav", Status.INVALID))
        assert await lines(ledger) == [("a.wav", Status.CLAIMED), ("b.wav", Status.INVALID)]


async def cancelled(work, *, native, after=None):
    async def run():
        with suppress(asyncio.CancelledError) if native else anyio.CancelScope() as scope:
            scopes.append(scope)
            await work

    scopes = []
    task = asyncio.create_task(run())
    await anyio.wait_all_tasks_blocked()
    if after is not None:
        assert await asyncio.to_thread(after.wait, 10)
    if native:
        task.cancel()
    else:
        scopes[0].cancel()
    await asyncio.wait_for(task, 5)


async def test_what_was_asked_before_leaving_is_committed(path):
    ledger = await SqliteLedger(path, CONNECTION).__aenter__()
    with held_up(ledger) as go:
        claiming = asyncio.create_task(ledger.claim([recording("a.wav")]))
        leaving = asyncio.create_task(ledger.__aexit__())
        await anyio.wait_all_tasks_blocked()
        go.set()
    await leaving
    assert (await claiming)[0].claim is Claim.GRANTED
    async with LedgerReader(path) as reader:
        assert await lines(reader) == [("a.wav", Status.CLAIMED)]


async def test_leaving_is_complete_even_if_cancelled(path):
    ledger = await SqliteLedger(path, CONNECTION).__aenter__()
    await cancelled(ledger.__aexit__(), native=False)
    await make(path)


# Durability and death


async def test_commits_are_synced(path):
    """Fault 4: what the settings promise is SQLite's to keep."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        ask = ledger._connection.execute
        assert ask("PRAGMA synchronous").fetchone() == (2,)
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)


RUN = """
import asyncio, sys
from pathlib import Path
from ledger_cases import CONNECTION, recording, uploaded
from batch_uploader.ledgers.sqlite import SqliteLedger

async def main():
    async with SqliteLedger(Path(sys.argv[1]), CONNECTION) as ledger:
        await ledger.claim([recording("sent.wav", "A"), recording("a.wav", "B")])
        await ledger.settle(uploaded("sent.wav", "talk-1"))
        print("claimed", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def another_run(path):
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.stdout.readline().strip() == b"claimed"
            yield process
        finally:
            process.kill()


@posix
async def test_a_killed_run_leaves_its_claims_and_not_its_lock(path):
    """Faults 1, 9 and 10."""
    with another_run(path) as process:
        assert is_running(path)
        with pytest.raises(LedgerLocked, match="another run is using the ledger"):
            await SqliteLedger(path, CONNECTION).__aenter__()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_running(path)
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await ledger.recover() == 1
        assert await lines(ledger) == [("a.wav", Status.IN_DOUBT), ("sent.wav", Status.UPLOADED)]
        known = (await ledger.known(""))["a.wav"]
        assert known.sha256 == recording("a.wav", "B").fingerprint.sha256
        assert known.outcome.failure.code == "RUN_ENDED"


async def test_asking_whether_a_run_goes_on_does_not_keep_it_from_beginning(path):
    await make(path)
    lock = FileLock(path.with_name("ledger.db.lock"))
    assert lock.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(make, path, "a.wav")
        await anyio.sleep(0.1)
        lock.release()
    async with LedgerReader(path) as reader:
        assert await lines(reader) == [("a.wav", Status.UPLOADED)]


async def test_nothing_is_running_where_nothing_ever_ran(path):
    assert not is_running(path)
    assert not path.parent.exists()
    async with SqliteLedger(path, CONNECTION):
        assert is_running(path)
    assert not is_running(path)


async def test_a_claim_on_a_full_disk_fails_before_anything_is_sent(path):
    """Fault 5."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.claim([recording("a.wav", "A")])
        (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match="its disk is full: free some space"):
            await ledger.claim([recording(f"{n:0500}.wav", str(n)) for n in range(50)])
        assert await lines(ledger) == [("a.wav", Status.CLAIMED)]


@posix
async def test_a_disk_that_takes_no_more_bytes_is_an_error_that_says_so(path):
    """Fault 5, by a limit of the operating system that the write-ahead log runs into."""
    resource = pytest.importorskip("resource")
    await make(path, "before.wav")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with SqliteLedger(path, CONNECTION) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
        try:
            with pytest.raises(LedgerError, match="check the disk and its free space"):
                await ledger.claim([recording(f"{n:0500}.wav", str(n)) for n in range(500)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await ledger.claim([recording("after.wav", "after")])
    async with LedgerReader(path) as reader:
        assert await lines(reader) == [
            ("after.wav", Status.CLAIMED),
            ("before.wav", Status.UPLOADED),
        ]


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "let this user write it"),
        (errno.EROFS, "let this user write it"),
        (errno.EIO, "check the disk"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_what_the_system_says_is_translated(number, cure):
    with pytest.raises(LedgerError, match=cure), translated(Path("ledger.db")):
        raise OSError(number, os.strerror(number))


# The file


@posix
async def test_nobody_else_may_read_it(path):
    """Fault 67."""
    before = os.umask(0)
    try:
        async with SqliteLedger(path, CONNECTION) as ledger:
            await ledger.claim([recording("a.wav")])
            files = {
                each.name: modes.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()
            }
    finally:
        os.umask(before)
    assert files == dict.fromkeys(
        ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-answers", "ledger.db.lock"],
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
    for leftover in ("ledger.db.new", "ledger.db.new-journal"):
        path.with_name(leftover).write_bytes(b"half a ledger")
    await make(path, "a.wav")
    assert names_in(path.parent) == ["ledger.db", "ledger.db-answers", "ledger.db.lock"]


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
        (_garbage, "restore it from a backup, or have .* --rebuild"),
        (_empty, "restore it from a backup, or have .* --rebuild"),
        (_cut, "restore it from a backup, or have .* --rebuild"),
        (_overwritten, "restore it from a backup, or have .* --rebuild"),
        (_someone_elses, "is no ledger: name another file with --ledger"),
        (_folder, "is no file: name another one with --ledger"),
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
            await lines(reader)
    assert (path.read_bytes() if path.is_file() else None) == before


async def test_a_ledger_whose_log_alone_is_left_is_not_started_afresh(path):
    """Fault 7."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.claim([recording("a.wav")])
        log = path.with_name("ledger.db-wal")
        copy = log.read_bytes()
    path.unlink()
    log.write_bytes(copy)
    with pytest.raises(LedgerError, match=r"is gone, but its ledger\.db-wal is there"):
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


async def test_a_newer_ledger_is_refused(path):
    """Fault 11."""
    await make(path, "a.wav")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    for opening in (SqliteLedger(path, CONNECTION), LedgerReader(path)):
        with pytest.raises(LedgerError, match="newer batch-uploader: upgrade this one"):
            await opening.__aenter__()


async def test_an_older_ledger_is_migrated(path, monkeypatch):
    """Fault 11."""
    await make(path, "a.wav")
    step = ("ALTER TABLE recordings ADD COLUMN note TEXT",)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    with pytest.raises(LedgerError, match="the next upload brings it up to date"):
        await LedgerReader(path).__aenter__()
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await lines(ledger) == [("a.wav", Status.UPLOADED)]
        (version,) = ledger._connection.execute("PRAGMA user_version").fetchone()
        assert version == len(schema.MIGRATIONS)
        ledger._connection.execute("SELECT note FROM recordings")


async def test_a_ledger_of_version_1_keeps_all_it_knew(path):
    """Fault 11: what was in doubt before stamps were noted can't be searched for."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text("utf-8"))
    path.chmod(0o600)
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await lines(ledger) == [
            ("a.wav", Status.UPLOADED),
            ("a.wav", Status.UPLOADED),
            ("d/b.wav", Status.IN_DOUBT),
            ("d/c.wav", Status.CLAIMED),
        ]
        (doubt,) = await ledger.doubts()
        assert (doubt.path, doubt.key, doubt.outcome.attempts) == ("d/b.wav", "key-b", 2)
        assert doubt.outcome.failure == Failure("INTERNAL", "look for it", "r-2")
        assert (doubt.stamp_field, doubt.arose, doubt.missed) == (None, None, None)
        assert await ledger.stamped("upload_key", 9) == []
        assert await ledger.recover() == 1
        assert [each.path for each in await ledger.doubts()] == ["d/b.wav", "d/c.wav"]
        assert (await ledger.known("d"))["d/b.wav"].settled_at_ns == 8


async def test_the_indexes_serve_the_questions_about_doubts(path):
    """A million recordings that are up must not be read to find one that is in doubt."""
    await make(path, "a.wav")
    doubtful = frozenset({Status.IN_DOUBT, Status.CONFLICT})
    with closing(sqlite3.connect(path)) as connection:
        for query, values, index in (
            (schema.SELECT_DOUBTS, (CONNECTION,), "recordings_doubted"),
            (*schema.select_rows(None, doubtful), "recordings_doubted"),
            (schema.SELECT_STAMPED, (CONNECTION, "upload_key", 3), "recordings_stamped"),
        ):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
            steps = [line[3].partition(" recordings USING INDEX ")[2] for line in plan]
            assert [step.split(" ")[0] for step in steps if step] == [index]


async def test_the_index_serves_the_questions_about_content(path):
    """Of thousands with the same audio none is read but the one with the same metadata."""
    await make(path, "a.wav")
    names = {"sha256": b"A" * 32, "metadata": b"m" * 32, "connection_id": CONNECTION, "path": "a"}
    with closing(sqlite3.connect(path)) as connection:

        def searches(query):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", names).fetchall()
            return sorted(line[3] for line in plan if line[3].startswith(("SEARCH", "SCAN")))

        both = "USING INDEX {}_content (<expr>=? AND <expr>=?)"
        assert searches(schema.SELECT_HOLDER) == [
            f"SEARCH {table} {both.format(table)}"
            for table in ("recordings", "recordings", "superseded", "superseded")
        ]
        assert all("_content (<expr>=?)" in step for step in searches(schema.DROP_DUPLICATES))
        assert not [step for step in searches(schema.SELECT_ANYTHING) if "=?" not in step]


async def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    """Fault 11."""
    await make(path, "a.wav")
    step = ("ALTER TABLE recordings ADD COLUMN note TEXT", "UPDATE no_such_table SET a = 1")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        with pytest.raises(LedgerError, match="no such table"):
            await SqliteLedger(path, CONNECTION).__aenter__()
    async with SqliteLedger(path, CONNECTION) as ledger:
        columns = ledger._connection.execute("PRAGMA table_info(recordings)").fetchall()
        assert "note" not in {column[1] for column in columns}
        assert await lines(ledger) == [("a.wav", Status.UPLOADED)]


@pytest.mark.parametrize("name", ["a b?mode=memory#c%41.db", "журнал.db", "'quoted\".db"])
async def test_any_file_name_will_do(tmp_path, name):
    if sys.platform == "win32":
        pytest.skip("Windows forbids such names")
    await make(tmp_path / name, "a.wav")
    assert (tmp_path / name).is_file()
    async with LedgerReader(tmp_path / name) as reader:
        assert await lines(reader) == [("a.wav", Status.UPLOADED)]


async def test_a_file_may_hold_several_connections(path):
    await make(path, "a.wav", connection_id="one")
    await make(path, "a.wav", "b.wav", connection_id="two")
    async with SqliteLedger(path, "one") as one:
        assert [(row.path, row.connection_id) async for row in one.rows()] == [
            ("a.wav", "one"),
            ("a.wav", "two"),
            ("b.wav", "two"),
        ], "a manifest tells all there is"
        assert list(await one.known("")) == ["a.wav"]
    async with LedgerReader(path) as reader:
        assert await reader.connections() == ["one", "two"]
        assert [(row.path, row.connection_id) async for row in reader.rows()] == [
            ("a.wav", "one"),
            ("a.wav", "two"),
            ("b.wav", "two"),
        ]
        assert (await reader.counts())[Status.UPLOADED].count == 3
    async with LedgerReader(path, "two") as reader:
        assert list(await reader.known("")) == ["a.wav", "b.wav"]
        assert (await reader.counts())[Status.UPLOADED].count == 2


async def test_foreign_words_that_are_not_unicode_are_escaped(path):
    """Fault 39: an error text may quote a file name as the system gave it."""
    words = Failure("EIO", "cannot read \udcff.wav", "request \udc80")
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.settle(Outcome("a.wav", Status.FAILED, recording("a.wav").stat, failure=words))
        known = (await ledger.known(""))["a.wav"]
    assert known.outcome.failure == Failure("EIO", r"cannot read \udcff.wav", r"request \udc80")


# Readers


async def test_a_reader_sees_what_the_run_has_committed(path):
    async with SqliteLedger(path, CONNECTION) as ledger, LedgerReader(path, CONNECTION) as reader:
        assert await lines(reader) == []
        await ledger.claim([recording("a.wav")])
        assert await lines(reader) == [("a.wav", Status.CLAIMED)]
        assert list(await reader.known("")) == ["a.wav"]
        await ledger.settle(uploaded("a.wav"))
        assert await reader.counts() == {Status.UPLOADED: Totals(1, 1000, 12.34)}


async def test_sums_count_superseded_talks_too(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        for talk in ("A", "B"):
            await ledger.claim([recording("a.wav", talk)])
            await ledger.settle(uploaded("a.wav", talk))
        await ledger.settle(ended("b.wav", Status.INVALID))
    async with LedgerReader(path) as reader:
        assert await reader.counts() == {
            Status.UPLOADED: Totals(2, 2000, 24.68),
            Status.INVALID: Totals(1, 1000, 0.0),
        }


async def test_reading_what_is_not_there_says_what_to_do_and_makes_nothing(path):
    with pytest.raises(LedgerError, match=r"there is no ledger .* begin with an upload"):
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
            assert await lines(reader) == [("a.wav", Status.UPLOADED)]
            assert (await reader.counts())[Status.UPLOADED].count == 1
        assert not is_running(path)
    assert names_in(open_folder) == ["ledger.db", "ledger.db-answers", "ledger.db.lock"]


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
        await ledger.claim([recording(str(number), str(number)) for number in range(2000)])
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
