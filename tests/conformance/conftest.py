"""Each ledger that a run may have."""

import itertools

import pytest
from support.ledger_cases import CONNECTION

from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import SqliteLedger


@pytest.fixture(params=["memory", "sqlite"])
def opening(request, tmp_path):
    """Makes a ledger over the same memory each time; its clock ticks 1, 2, 3, ..."""
    clock = itertools.count(1).__next__
    if request.param == "sqlite":
        return lambda: SqliteLedger(tmp_path / "ledger.db", CONNECTION, clock=clock)
    memory = MemoryLedger(CONNECTION, clock=clock)
    return lambda: memory


@pytest.fixture
async def ledger(opening):
    async with opening() as ledger:
        yield ledger
