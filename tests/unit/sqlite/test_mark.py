"""The mark of a run in its ledger, and the note beside it that explains it."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from support.ledger_cases import CONNECTION, recording
from support.ledger_changes import claim_all
from support.ledger_file_harness import make

from batch_uploader.core.errors import LedgerError
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger
from batch_uploader.ledgers.sqlite.mark import NO_RUN, Mark, MarkNote, RunMark, is_stray, strays

GOING_ON = RunMark(7, "x", open=True)
OVER = RunMark(7, "x")


@pytest.mark.parametrize(
    ("note", "run", "log", "stray"),
    [
        (None, NO_RUN, False, False),
        (None, NO_RUN, True, False),
        (None, OVER, False, False),
        (None, GOING_ON, False, True),
        (None, GOING_ON, True, True),
        # Killed, at whatever moment.
        (MarkNote((NO_RUN, GOING_ON)), NO_RUN, True, False),
        (MarkNote((RunMark(6, "w"), GOING_ON)), RunMark(6, "w"), True, False),
        (MarkNote((RunMark(6, "w", open=True), GOING_ON)), RunMark(6, "w", open=True), True, False),
        (MarkNote((RunMark(6, "w"), GOING_ON)), GOING_ON, True, False),
        (MarkNote((GOING_ON,)), GOING_ON, True, False),
        (MarkNote((GOING_ON,)), GOING_ON, False, False),
        (MarkNote((GOING_ON,)), OVER, True, False),
        (MarkNote((GOING_ON,)), OVER, False, False),
        (MarkNote((GOING_ON,), ended=True), OVER, False, False),
        # Put back.
        (MarkNote((GOING_ON,), ended=True), GOING_ON, False, True),
        (MarkNote((GOING_ON,), ended=True), OVER, True, True),
        (MarkNote((GOING_ON,)), RunMark(6, "w"), False, True),
        (MarkNote((GOING_ON,)), RunMark(6, "w", open=True), True, True),
        (MarkNote((GOING_ON,)), NO_RUN, False, True),
        (MarkNote((GOING_ON,), ended=True), RunMark(7, "y"), False, True),
        # Worked on elsewhere meanwhile.
        (MarkNote((GOING_ON,), ended=True), RunMark(8, "y"), False, False),
        (MarkNote((GOING_ON,), ended=True), RunMark(8, "y", open=True), False, True),
    ],
)
def test_which_ledger_is_the_one_that_its_last_run_left(note, run, log, stray):
    """Fault 90."""
    assert is_stray(note, run, log=log) is stray


async def test_the_mark_is_in_the_file_itself_before_anything_is_claimed(path, tmp_path):
    """Fault 90: whatever the log says."""
    copy = tmp_path / "copy.db"
    async with SqliteLedger(path, CONNECTION):
        shutil.copy(path, copy)
    assert strays(copy)
    assert not strays(path)
    shutil.copy(path, copy)
    assert not strays(copy)


async def test_who_reads_meanwhile_holds_up_nothing(path):
    """Fault 90: the mark may be in the log alone then, and a killed run is none the less told."""
    await make(path, "a.wav")
    async with LedgerReader(path) as reader:
        reader._connection.execute("BEGIN")
        reader._connection.execute("SELECT * FROM recordings").fetchall()
        for number in range(2):
            async with SqliteLedger(path, CONNECTION) as ledger:
                await claim_all(ledger, [recording(f"{number}.wav", str(number))])
            assert not strays(path)
    await make(path, "b.wav")
    assert not strays(path)


async def test_a_mark_that_a_power_loss_tore_tells_nothing(path):
    """Faults 4 and 90."""
    await make(path, "a.wav")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE mark SET run = substr(run, 2)")
    assert not strays(path)
    await make(path, "b.wav")
    assert not strays(path)


async def test_a_ledger_that_could_not_be_opened_has_no_run_that_ended_well(path):
    """Fault 90."""
    await make(path, "a.wav")
    copy = path.read_bytes()
    mark = Mark(path)
    mark.begin()
    mark.end()
    path.write_bytes(copy)
    assert not strays(path)
    path.unlink()
    with pytest.raises(LedgerError, match=r"is gone, and only its ledger\.db-run is left"):
        mark.begin()
