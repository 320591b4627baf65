"""Whether the structure of a ledger is sound."""

import os
import sqlite3
from contextlib import closing

import pytest

from batch_uploader.core.errors import LedgerError
from batch_uploader.ledgers.sqlite import SqliteLedger, require_sound


@pytest.fixture
async def ledger(tmp_path):
    """One that takes a while to read."""
    path = tmp_path / "ledger.db"
    async with SqliteLedger(path, "calls"):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        facts = ((f"fact-{number}", "x" * 500) for number in range(20_000))
        connection.executemany("INSERT INTO facts VALUES (?, ?)", facts)
    return path


async def test_all_of_it_is_read_in_time(ledger):
    assert require_sound(ledger, seconds=30) is True


async def test_what_takes_longer_is_not_read_to_its_end(ledger):
    assert require_sound(ledger, seconds=0) is False


async def test_damage_in_a_page_is_found(ledger):
    with ledger.open("r+b") as file:
        file.seek(4096 * 100)
        file.write(os.urandom(4096))
    with pytest.raises(LedgerError, match="damaged") as caught:
        require_sound(ledger, seconds=30)
    assert caught.value.hints


async def test_a_file_that_is_no_ledger_is_told(tmp_path):
    (tmp_path / "other.db").write_bytes(b"nothing of SQLite's")
    with pytest.raises(LedgerError):
        require_sound(tmp_path / "other.db", seconds=1)
