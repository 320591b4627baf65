"""A new ledger in the place of a lost one: whole or not at all, and nothing is thrown away."""

import sqlite3
from contextlib import closing

import pytest
from support.ledger_cases import CONNECTION, recording
from support.ledger_changes import claim_all

from batch_uploader.core.errors import ConfigError, LedgerError, LedgerLocked
from batch_uploader.core.model import Timestamp
from batch_uploader.host.files import temporary_name
from batch_uploader.ledgers.sqlite import Replacement, SqliteLedger, kept_answers, schema
from batch_uploader.ledgers.sqlite.journal import Journal, SpilledWrite, journal_path

BESIDE = ["ledger.db-answers", "ledger.db-owner", "ledger.db-run", "ledger.db.lock"]


async def make(path, *names):
    async with SqliteLedger(path, CONNECTION) as ledger:
        await claim_all(ledger, [recording(name, name) for name in names])


async def known(path):
    async with SqliteLedger(path, CONNECTION) as ledger:
        return sorted(await ledger.known(""))


def files(path):
    return sorted(each.name for each in path.parent.iterdir())


async def test_where_nothing_is_left(path):
    async with Replacement(path) as replacement:
        await make(replacement.new, "new")
    assert replacement.aside is None
    assert await known(path) == ["new"]
    assert files(path) == ["ledger.db", *BESIDE]


async def test_the_damaged_one_is_kept_with_its_log(path):
    """Fault 7."""
    await make(path, "old")
    kept = set()
    for _ in range(2):
        path.write_bytes(b"garbage" * 1000)
        path.with_name("ledger.db-wal").write_bytes(b"log")
        async with Replacement(path) as replacement:
            await make(replacement.new, "new")
        assert await known(path) == ["new"]
        aside = replacement.aside
        assert aside.read_bytes() == b"garbage" * 1000
        assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"log"
        kept.add(aside)
    assert len(kept) == 2


async def test_a_log_that_is_left_alone_is_kept_too(path):
    """Fault 7."""
    await make(path, "old")
    path.unlink()
    path.with_name("ledger.db-wal").write_bytes(b"log")
    async with Replacement(path) as replacement:
        await make(replacement.new, "new")
    assert await known(path) == ["new"]
    aside = replacement.aside
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"log"


async def test_answers_that_the_lost_one_never_took_are_kept(path):
    """Faults 6, 8: the talk IDs in them are somebody's last trace."""
    await make(path, "old")
    path.unlink()
    journal = Journal(journal_path(path))
    journal.open()
    journal.keep(SpilledWrite(CONNECTION, "old", Timestamp(1), None))
    journal.close()
    async with Replacement(path) as replacement:
        await make(replacement.new, "new")
    assert await known(path) == ["new"]
    aside = replacement.aside
    assert kept_answers(aside) == 1
    assert kept_answers(path) == 0


async def test_a_making_that_fails_or_was_cut_off_changes_nothing(path):
    """Fault 7."""
    await make(path, "old")
    path.write_bytes(b"garbage" * 1000)
    for suffix in ("", "-wal", ".lock"):
        temporary = temporary_name(temporary_name(path))
        temporary.with_name(f"{temporary.name}{suffix}").write_bytes(b"half of one")
    replacement = Replacement(path)
    await replacement.__aenter__()
    await make(replacement.new, "new")
    await replacement.__aexit__(LedgerError)
    assert path.read_bytes() == b"garbage" * 1000
    assert files(path) == ["ledger.db", *BESIDE]


async def test_one_that_is_whole_is_said_to_be(path):
    await make(path, "old")
    replacement = Replacement(path)
    await replacement.__aenter__()
    assert replacement.whole
    await replacement.__aexit__(ConfigError)
    assert await known(path) == ["old"]


async def test_one_in_use_is_not_replaced(path):
    await make(path, "old")
    async with SqliteLedger(path, CONNECTION):
        with pytest.raises(LedgerLocked):
            await Replacement(path).__aenter__()
    assert await known(path) == ["old"], "the lock is free again"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("user_version", len(schema.MIGRATIONS) + 1, "newer batch-uploader; upgrade this one"),
        ("application_id", 7, "is not a ledger"),
    ],
)
async def test_one_that_only_others_understand_is_not_replaced(path, name, value, said):
    """Fault 11."""
    await make(path, "old")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {name} = {value}")
    with pytest.raises(LedgerError, match=said):
        await Replacement(path).__aenter__()
    assert not [name for name in files(path) if ".damaged-" in name or ".tmp" in name]


async def test_a_page_that_was_overwritten_is_found(path):
    """Fault 7: the file opens, and most of it can be read."""
    await make(path, *(f"{number}.wav" for number in range(200)))
    content = path.read_bytes()
    path.write_bytes(content[: 4096 * 8] + b"\xff" * 4096 + content[4096 * 9 :])
    async with Replacement(path) as replacement:
        await make(replacement.new, "new")
    assert replacement.aside is not None
