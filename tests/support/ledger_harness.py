"""A ledger that is led to a state on the way that a run takes, for tests of all ledgers."""

from contextlib import aclosing

from batch_uploader.core.model import Outcome
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Record
from batch_uploader.core.states import Status
from support.ledger_cases import CONNECTION, ended, recording, stat, uploaded
from support.ledger_changes import claim_all, settle

GRANTED = ClaimAnswer(ClaimResult.GRANTED)
KNOWN = ClaimAnswer(ClaimResult.KNOWN)
OUTDATED = ClaimAnswer(ClaimResult.OUTDATED)
HELD = ClaimAnswer(ClaimResult.HELD)
LATER = stat(mtime_ns=1_800_000_000_000_000_000)
OPEN = [Status.CLAIMED, Status.IN_DOUBT, Status.CONFLICT]


def duplicate(copy, other):
    """The answer to the claim of a copy."""
    outcome = Outcome(
        copy.path,
        Status.DUPLICATE,
        copy.stat,
        duplicate_of=other,
        duration=copy.audio.duration,
        container=copy.audio.container,
    )
    return ClaimAnswer(ClaimResult.DUPLICATE, outcome=outcome)


def busy(other):
    return ClaimAnswer(ClaimResult.BUSY, other)


async def claim(ledger, *recordings):
    """The answers; what they say was recorded is what is on record."""
    answers = await claim_all(ledger, recordings)
    for each, answer in zip(recordings, answers, strict=True):
        if answer.outcome is not None:
            assert answer.outcome == (await known(ledger, each.path)).outcome
    return answers[0] if len(recordings) == 1 else answers


async def upload(ledger, path, audio="A", metadata="m", talk_id="talk-1"):
    assert await claim(ledger, recording(path, audio, metadata)) == GRANTED
    await settle(ledger, uploaded(path, talk_id))


async def bring_to(ledger, path, status, audio="A", metadata="m"):
    """Lead a path that was never seen to a status on the way that a run takes."""
    if status is Status.INVALID:
        await settle(ledger, ended(path, status), policy=b"rules")
        return
    if status is Status.DUPLICATE:
        await upload(ledger, f"{path} first", audio, metadata, talk_id=f"talk of {path} first")
        copy = recording(path, audio, metadata)
        assert await claim(ledger, copy) == duplicate(copy, f"{path} first")
        return
    assert await claim(ledger, recording(path, audio, metadata)) == GRANTED
    if status is Status.UPLOADED:
        await settle(ledger, uploaded(path))
    elif status is not Status.CLAIMED:
        await settle(ledger, ended(path, status))


def recorded(outcome, **fields):
    """The record of an outcome that needed no claim."""
    told = {name: getattr(outcome, name) for name in outcome.__struct_fields__}
    return Record(CONNECTION, **told, **fields)


async def lines(ledger, statuses=None):
    async with aclosing(ledger.rows(statuses)) as rows:
        return [row async for row in rows]


async def statuses_of(ledger, path):
    return [row.status for row in await lines(ledger) if row.path == path]


async def known(ledger, path):
    return (await ledger.known(path.rpartition("/")[0])).get(path)
