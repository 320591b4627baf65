"""A ledger that is led to a state on the way that a run takes, for tests of all ledgers."""

from contextlib import aclosing

from msgspec.structs import replace

from batch_uploader.core.calls import possible
from batch_uploader.core.changes import Claim, Rejudge
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Outcome
from batch_uploader.core.ports import apply_one
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Record, Sight
from batch_uploader.core.states import Status
from support.ledger_cases import CONNECTION, ended, identity, recording, stat, uploaded
from support.ledger_changes import claim_all, settle

GRANTED = ClaimAnswer(ClaimResult.GRANTED)
KNOWN = ClaimAnswer(ClaimResult.KNOWN)
OUTDATED = ClaimAnswer(ClaimResult.OUTDATED)
HELD = ClaimAnswer(ClaimResult.HELD)
LATER = stat(mtime_ns=1_800_000_000_000_000_000)
OPEN = [Status.CLAIMED, Status.IN_DOUBT, Status.CONFLICT]


def duplicate(copy, other, cause=Cause.SAME_CONTENT):
    """The answer to the claim of what is the same call."""
    outcome = Outcome(
        copy.path,
        Status.DUPLICATE,
        copy.stat,
        duplicate_of=other,
        duration=copy.audio.duration,
        container=copy.audio.container,
        cause=cause,
    )
    return ClaimAnswer(ClaimResult.DUPLICATE, outcome=outcome)


def may_be(held, other, cause):
    """The answer to the claim of what may be the same call."""
    told = duplicate(held, other, cause).outcome
    failure = possible(cause, other)
    outcome = replace(told, status=Status.POSSIBLE_DUPLICATE, failure=failure)
    return ClaimAnswer(ClaimResult.POSSIBLE, outcome=outcome)


def busy(other):
    return ClaimAnswer(ClaimResult.BUSY, other)


async def claim(ledger, *recordings, sights=None, stamp_field=None):
    """The answers; what they say was recorded is what is on record.

    Files of other records are there, unless ``sights`` says otherwise.
    """
    answers, first = [], await claim_all(ledger, recordings, stamp_field=stamp_field)
    for each, answer in zip(recordings, first, strict=True):
        answers.append(await _look(ledger, Claim(each, stamp_field), answer, sights))
        if answers[-1].outcome is not None:
            assert answers[-1].outcome == (await known(ledger, each.path)).outcome
    return answers[0] if len(recordings) == 1 else answers


async def rejudge(ledger, path, sights=None):
    """The answer for a possible duplicate, as of a claim."""
    asked = Rejudge(path)
    return await _look(ledger, asked, await apply_one(ledger, asked), sights)


async def _look(ledger, asked, answer, sights):
    if answer.claim is not ClaimResult.LOOK:
        return answer
    seen = {each.path: Sight(gone=False) for each in answer.look} | (sights or {})
    answer = await apply_one(ledger, replace(asked, sights=seen))
    assert answer.claim is not ClaimResult.LOOK, "all was seen"
    return answer


async def upload(ledger, path, audio="A", metadata="m", talk_id="talk-1", *, sights=None, **also):
    new = recording(path, audio, metadata, **also)
    assert await claim(ledger, new, sights=sights) == GRANTED
    await settle(ledger, uploaded(path, talk_id))


async def bring_to(ledger, path, status, audio="A", metadata="m"):
    """Lead a path that was never seen to a status on the way that a run takes."""
    if status is Status.INVALID:
        await settle(ledger, ended(path, status), policy=b"rules")
        return
    other = f"first {path}"
    if status is Status.DUPLICATE:
        await upload(ledger, other, audio, metadata, talk_id=f"talk of {other}")
        copy = recording(path, audio, metadata)
        assert await claim(ledger, copy) == duplicate(copy, other)
        return
    if status is Status.POSSIBLE_DUPLICATE:
        ids = replace(identity(audio, metadata), essence=identity("first", "").essence)
        await upload(ledger, other, f"first {audio}", talk_id=f"talk of {other}", ids=ids)
        held = recording(path, audio, metadata)
        assert await claim(ledger, held) == may_be(held, other, Cause.SAME_DEFAULT_ID)
        return
    assert await claim(ledger, recording(path, audio, metadata)) == GRANTED
    if status is Status.ACKNOWLEDGED:
        await settle(ledger, ended(path, Status.REJECTED))
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
