"""Ledgers of other versions."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.ledger_cases import CONNECTION, recording, uploaded
from support.ledger_changes import claim_all, settle
from support.ledger_file_harness import listed, make
from support.older_ledgers import VERSIONS

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Entry, Failure, Version
from batch_uploader.core.records import Likeness
from batch_uploader.core.states import Action, Status
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger, schema
from batch_uploader.ledgers.sqlite.file import connect_writing
from batch_uploader.plan.decide import plan

VERSION_1 = Path(__file__).parents[2] / "ledgers" / "version_1_first.sql"


async def test_a_newer_ledger_is_refused(path):
    """Fault 11."""
    await make(path, "a.wav")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    for opening in (SqliteLedger(path, CONNECTION), LedgerReader(path)):
        with pytest.raises(LedgerError, match="newer batch-uploader; upgrade this one"):
            await opening.__aenter__()


async def test_an_older_ledger_is_migrated(path, monkeypatch):
    """Fault 11."""
    await make(path, "a.wav")
    step = ("ALTER TABLE recordings ADD COLUMN note TEXT",)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await listed(ledger) == [("a.wav", Status.UPLOADED)]
        (version,) = ledger._connection.execute("PRAGMA user_version").fetchone()
        assert version == len(schema.MIGRATIONS)
        ledger._connection.execute("SELECT note FROM recordings")


async def test_a_ledger_of_version_1_keeps_all_it_knew(path):
    """Fault 11: what was in doubt before stamps were noted can't be searched for.

    Fault 82: what it had up is no canary, and what goes up now came after all of its doubts.
    """
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text("utf-8"))
    path.chmod(0o600)
    async with SqliteLedger(path, CONNECTION) as ledger:
        assert await listed(ledger) == [
            ("a.wav", Status.UPLOADED),
            ("a.wav", Status.UPLOADED),
            ("d/b.wav", Status.IN_DOUBT),
            ("d/c.wav", Status.CLAIMED),
        ]
        (doubt,) = await ledger.doubts()
        assert (doubt.path, doubt.key, doubt.attempts) == ("d/b.wav", "key-b", 2)
        assert doubt.failure == Failure("INTERNAL", "look for it", "r-2")
        assert (doubt.stamp_field, doubt.since, doubt.first_miss) == (None, None, None)
        assert await ledger.canaries("upload_key", 9) == []
        assert await ledger.recover() == 1
        await claim_all(ledger, [recording("new.wav", "new")], stamp_field="upload_key")
        await settle(ledger, uploaded("new.wav", "talk-new"))
        (canary,) = await ledger.canaries("upload_key", 9)
        doubts = await ledger.doubts()
        assert [each.path for each in doubts] == ["d/b.wav", "d/c.wav"]
        assert all((each.doubt_seq or 0) < canary.seq for each in doubts)
        assert (await ledger.known("d"))["d/b.wav"].settled_at_ns == 8


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_older_ledger_can_be_read_if_it_is_empty(path, monkeypatch, version):
    """Fault 11: nobody has to upload first to see how things stand."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        path.parent.mkdir()
        connect_writing(path).close()
    before = path.read_bytes()
    async with LedgerReader(path, CONNECTION) as reader:
        assert await reader.known("d") == {}
        assert await reader.unchanged("d", []) == 0
        assert await reader.doubts() == []
        assert await reader.canaries("upload_key", 1) == []
        assert await listed(reader) == []
        assert await reader.counts() == {}
    assert path.read_bytes() == before


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
        assert await listed(ledger) == [("a.wav", Status.UPLOADED)]


async def test_of_files_in_an_older_ledger_no_more_is_known_than_it_held(path, monkeypatch):
    """Faults 11, 94: it can be read as it is, and what it lacks is like anything."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:4])
        path.parent.mkdir()
        with closing(connect_writing(path)) as connection:
            connection.execute(
                "INSERT INTO recordings (connection_id, folder, path, status, size, mtime_ns,"
                " sidecar_size, sidecar_mtime_ns, attempts, talk_id, sha256)"
                " VALUES (?, 'd', 'd/a.wav', 'uploaded', 5, 7, 0, 0, 1, 't', zeroblob(32))",
                (CONNECTION,),
            )
    for opening in (LedgerReader(path, CONNECTION), SqliteLedger(path, CONNECTION)):
        async with opening as ledger:
            known = (await ledger.known("d"))["d/a.wav"]
            assert known.outcome.stat == Version(5, 7)
            assert plan(Version(5, 7, ctime_ns=8, inode=9), known, b"").action is Action.SKIP
            assert await ledger.unchanged("d", [Entry("d/a.wav", 5, 7)]) == 1
            assert await ledger.unchanged("d", [Entry("d/a.wav", 5, 7, 8, 9)]) == 0
            assert await ledger.unchanged("d", [Entry("d/a.wav", 5, 7, 8, 9)], Likeness.MTIME) == 1
            assert [row.path async for row in ledger.rows()] == ["d/a.wav"]
