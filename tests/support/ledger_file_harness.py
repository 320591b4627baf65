"""Ledgers in files, with talks in them."""

import sys

import pytest

from batch_uploader.ledgers.sqlite import SqliteLedger
from support.ledger_cases import CONNECTION, recording, uploaded
from support.ledger_changes import claim_all, settle
from support.ledger_harness import lines

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no SIGKILL")


async def listed(ledger):
    """Path and status of each line."""
    return [(row.path, row.status) for row in await lines(ledger)]


def names_in(folder):
    return sorted(each.name for each in folder.iterdir())


async def make(path, *paths, connection_id=CONNECTION):
    """A ledger with a talk for each path."""
    async with SqliteLedger(path, connection_id) as ledger:
        for each in paths:
            await claim_all(ledger, [recording(each, each, connection_id=connection_id)])
            await settle(ledger, uploaded(each, f"talk of {each}"))
