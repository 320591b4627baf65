"""The transactions of the ledger that a run writes, its death, and what it makes of a full disk."""

import asyncio
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, ended, recording, uploaded
from support.ledger_changes import claim_all, forget, release, settle
from support.ledger_file_harness import listed, make, posix
from support.ledger_harness import GRANTED, duplicate

from batch_uploader.core.changes import Claim, Settle
from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.core.records import ClaimResult
from batch_uploader.core.states import Status
from batch_uploader.host.locks import FileLock
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger, is_running
from batch_uploader.ledgers.sqlite.file import translated

TESTS = Path(__file__).parents[2]


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
                    group.start_soon(claim_all, ledger, [recording(f"{number}.wav", str(number))])
                await anyio.wait_all_tasks_blocked()
                go.set()
        assert statements.count("COMMIT") == 1
        assert len(await listed(ledger)) == 100


async def test_a_list_of_changes_is_one_commit(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        await ledger.apply([])
        statements = []
        ledger._connection.set_trace_callback(statements.append)
        files = [recording(f"{number}.wav", str(number)) for number in range(32)]
        claimed = [Claim(each) for each in files]
        settled = [Settle(uploaded(each.path, f"talk of {each.path}")) for each in files]
        answers = await ledger.apply([*claimed, *settled])
        assert answers == [*[GRANTED] * 32, *(each.outcome for each in settled)]
        assert statements.count("COMMIT") == 1


async def test_a_refusal_fails_alone(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        with held_up(ledger) as go:
            results = asyncio.gather(
                claim_all(ledger, [recording("a.wav")]),
                release(ledger, "never claimed.wav"),
                settle(ledger, ended("b.wav", Status.INVALID)),
                return_exceptions=True,
            )
            await anyio.wait_all_tasks_blocked()
            go.set()
            granted, refused, settled = await results
        assert granted[0].claim is ClaimResult.GRANTED
        assert isinstance(refused, LedgerError)
        assert settled == ended("b.wav", Status.INVALID)
        assert await listed(ledger) == [("a.wav", Status.CLAIMED), ("b.wav", Status.INVALID)]


@pytest.mark.parametrize("bug", [None, ["not", "a", "size"], 2**70])
async def test_a_failing_transaction_fails_everybody_in_it_and_leaves_nothing(path, bug):
    bad = replace(ended("bad.wav", Status.INVALID), attempts=bug)
    async with SqliteLedger(path, CONNECTION) as ledger:
        await forget(ledger, [])
        with held_up(ledger) as go:
            results = asyncio.gather(
                claim_all(ledger, [recording("a.wav")]), settle(ledger, bad), return_exceptions=True
            )
            await anyio.wait_all_tasks_blocked()
            go.set()
            first, second = await results
        assert isinstance(first, LedgerError)
        assert isinstance(second, LedgerError)
        assert first is not second
        assert await listed(ledger) == []
        together = await ledger.apply([Claim(recording("a.wav")), Settle(bad)])
        assert [type(each) for each in together] == [LedgerError] * 2
        assert together[0] is not together[1]
        assert await listed(ledger) == []
        with pytest.raises(LedgerError, match="unseen and was not claimed"):
            await settle(ledger, uploaded("a.wav", "talk"))
        assert (await claim_all(ledger, [recording("a.wav")]))[0].claim is ClaimResult.GRANTED


async def test_the_answer_to_a_claim_that_somebody_removed_is_on_record_all_the_same(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("a.wav")])
        with closing(sqlite3.connect(path)) as meddler, meddler:
            meddler.execute("DELETE FROM recordings")
        await settle(ledger, uploaded("a.wav", "talk"))
        assert await listed(ledger) == [("a.wav", Status.UPLOADED)]
        copy = recording("b.wav")
        assert await claim_all(ledger, [copy]) == [duplicate(copy, "a.wav")]


async def test_settling_a_claim_leaves_the_index_of_contents_alone(path):
    await make(path, "first.wav")
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("b.wav", "B")])
        statements = []
        ledger._connection.set_trace_callback(statements.append)
        await claim_all(ledger, [recording("a.wav")])
        await settle(ledger, uploaded("a.wav", "talk"))
        ledger._connection.set_trace_callback(None)
    (settled,) = [each for each in statements if each.startswith("UPDATE")]
    assert "sha256" not in settled
    claiming = ["BEGIN", "whose it is", "ask", "claim", "COMMIT"]
    assert len(statements) == len([*claiming, "BEGIN", "whose it is", "ask", settled, "COMMIT"])


@pytest.mark.parametrize("native", [True, False])
async def test_a_caller_cancelled_before_its_transaction_wrote_nothing(path, native):
    async with SqliteLedger(path, CONNECTION) as ledger:
        with held_up(ledger) as go:
            await cancelled(claim_all(ledger, [recording("a.wav")]), native=native)
            go.set()
        await forget(ledger, [])
        assert await listed(ledger) == []


@pytest.mark.parametrize("native", [True, False])
async def test_a_caller_cancelled_during_its_transaction_has_written(path, native):
    """Fault 3, as far as the ledger goes: no await of it can be cancelled into half a write."""
    go, begun = threading.Event(), threading.Event()

    def hold_up(_statement):
        begun.set()
        assert go.wait(10)

    async with SqliteLedger(path, CONNECTION) as ledger:
        ledger._connection.set_trace_callback(hold_up)
        try:
            await cancelled(claim_all(ledger, [recording("a.wav")]), native=native, after=begun)
        finally:
            go.set()
        await settle(ledger, ended("b.wav", Status.INVALID))
        assert await listed(ledger) == [("a.wav", Status.CLAIMED), ("b.wav", Status.INVALID)]


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
        claiming = asyncio.create_task(claim_all(ledger, [recording("a.wav")]))
        leaving = asyncio.create_task(ledger.__aexit__())
        await anyio.wait_all_tasks_blocked()
        go.set()
    await leaving
    assert (await claiming)[0].claim is ClaimResult.GRANTED
    async with LedgerReader(path) as reader:
        assert await listed(reader) == [("a.wav", Status.CLAIMED)]


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
from support.ledger_cases import CONNECTION, recording, uploaded
from support.ledger_changes import claim_all, settle
from batch_uploader.ledgers.sqlite import SqliteLedger

async def main():
    async with SqliteLedger(Path(sys.argv[1]), CONNECTION) as ledger:
        await claim_all(ledger, [recording("sent.wav", "A"), recording("a.wav", "B")])
        await settle(ledger, uploaded("sent.wav", "talk-1"))
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
        assert await listed(ledger) == [("a.wav", Status.IN_DOUBT), ("sent.wav", Status.UPLOADED)]
        known = (await ledger.known(""))["a.wav"]
        assert known.sha256 == recording("a.wav", "B").fingerprint.sha256
        assert known.failure.code == "RUN_ENDED"


async def test_asking_whether_a_run_goes_on_does_not_keep_it_from_beginning(path):
    await make(path)
    lock = FileLock(path.with_name("ledger.db.lock"))
    assert lock.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(make, path, "a.wav")
        await anyio.sleep(0.1)
        lock.release()
    async with LedgerReader(path) as reader:
        assert await listed(reader) == [("a.wav", Status.UPLOADED)]


async def test_nothing_is_running_where_nothing_ever_ran(path):
    assert not is_running(path)
    assert not path.parent.exists()
    async with SqliteLedger(path, CONNECTION):
        assert is_running(path)
    assert not is_running(path)


async def test_a_claim_on_a_full_disk_fails_before_anything_is_sent(path):
    """Fault 5."""
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording("a.wav", "A")])
        (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match=r"its disk is full \(.*\); free some space"):
            await claim_all(ledger, [recording(f"{n:0500}.wav", str(n)) for n in range(50)])
        assert await listed(ledger) == [("a.wav", Status.CLAIMED)]


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
                await claim_all(ledger, [recording(f"{n:0500}.wav", str(n)) for n in range(500)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await claim_all(ledger, [recording("after.wav", "after")])
    async with LedgerReader(path) as reader:
        assert await listed(reader) == [
            ("after.wav", Status.CLAIMED),
            ("before.wav", Status.UPLOADED),
        ]


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "it cannot be written .*; grant this user write access"),
        (errno.EROFS, "it cannot be written .*; grant this user write access"),
        (errno.EIO, "check the disk"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_what_the_system_says_is_translated(number, cure):
    with pytest.raises(LedgerError, match=cure), translated(Path("ledger.db")):
        raise OSError(number, os.strerror(number))


@posix
def test_an_error_of_reading_or_writing_is_what_keeps_files_from_growing(tmp_path):
    resource = pytest.importorskip("resource")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    path = tmp_path / "ledger.db"
    with pytest.raises(LedgerError, match="check the disk"), translated(path):
        raise error
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(LedgerError, match="raise the limit"), translated(path):
            raise error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
