"""Ledgers in files, with talks in them."""

from contextlib import aclosing

from ledger_cases import CONNECTION, recording, uploaded

from batch_uploader.ledgers.sqlite import SqliteLedger


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
