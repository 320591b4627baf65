"""What a ledger is told, as calls: for the tests, each raises the error of the change it makes."""

from batch_uploader.core.changes import (
    Adopt,
    Claim,
    Forget,
    Learn,
    Note,
    Release,
    Remember,
    Settle,
    TakeOver,
)
from batch_uploader.core.ports import apply_all, apply_one


async def claim_all(ledger, recordings, *, stamp_field=None):
    return await apply_all(ledger, [Claim(each, stamp_field) for each in recordings])


async def settle(ledger, outcome, *, policy=None):
    return await apply_one(ledger, Settle(outcome, policy))


async def release(ledger, path):
    await apply_one(ledger, Release(path))


async def forget(ledger, paths):
    await apply_all(ledger, [Forget(each) for each in paths])


async def note(ledger, doubts):
    await apply_all(ledger, [Note(each) for each in doubts])


async def learn(ledger, stats):
    await apply_all(ledger, [Learn(*each) for each in stats])


async def remember(ledger, facts):
    await apply_all(ledger, [Remember(*each) for each in facts.items()])


async def adopt(ledger, rows, *, stamp_field=None):
    await apply_all(ledger, [Adopt(each, stamp_field) for each in rows])


async def take_over(ledger, rows):
    await apply_all(ledger, [TakeOver(each) for each in rows])
