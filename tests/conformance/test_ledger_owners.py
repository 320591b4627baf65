"""Whose a claim is: one opening of a ledger, and nobody else ends it."""

import pytest
from support.ledger_cases import ended, recording, uploaded
from support.ledger_changes import settle
from support.ledger_harness import GRANTED, HELD, LATER, claim, known, lines, upload

from batch_uploader.core.changes import Claim, Release, Settle
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.ports import apply_all
from batch_uploader.core.records import Lost
from batch_uploader.core.states import Status

ENDINGS = [
    uploaded("a.wav"),
    *(ended("a.wav", each) for each in ("failed", "in_doubt", "rejected")),
]


@pytest.fixture
def ends():
    """The ways to end a claim, as the run says it that made the claim, and as others may."""
    return [Settle(each, claimed=claimed) for each in ENDINGS for claimed in (True, False)]


async def test_the_claims_of_an_owner_that_lives_are_not_in_doubt(ledger):
    await claim(ledger, recording("a.wav"))
    assert await ledger.recover() == 0
    assert (await known(ledger, "a.wav")).status is Status.CLAIMED
    assert await ledger.recover(ours=True) == 1
    assert (await known(ledger, "a.wav")).failure.code == "RUN_ENDED"


async def test_of_several_openings_the_last_one_is_alive(opening):
    for path in ("a.wav", "b.wav"):
        async with opening() as gone:
            assert await claim(gone, recording(path, path)) == GRANTED
    async with opening() as ledger:
        await claim(ledger, recording("c.wav", "c.wav"))
        assert await ledger.recover() == 2
        doubts = [doubt.path for doubt in await ledger.doubts()]
        assert doubts == ["a.wav", "b.wav"]


async def test_nobody_ends_the_claim_of_another_owner(opening, ends):
    async with opening() as gone:
        await claim(gone, recording("a.wav"))
    async with opening() as ledger:
        before = await lines(ledger), await ledger.known("")
        changes = [*ends, Release("a.wav")]
        answers = await ledger.apply(changes)
        assert answers == [Lost("a.wav", Status.CLAIMED)] * len(changes)
        assert (await lines(ledger), await ledger.known("")) == before
        assert await claim(ledger, recording("a.wav")) == HELD


async def test_an_owner_that_lost_its_claim_is_told_so_and_changes_nothing(ledger):
    """What became of it since was decided by others."""
    await claim(ledger, recording("a.wav"))
    await ledger.recover(ours=True)
    before = await lines(ledger)
    late = [*(Settle(each, claimed=True) for each in ENDINGS), Release("a.wav")]
    assert await ledger.apply(late) == [Lost("a.wav", Status.IN_DOUBT)] * len(late)
    assert await lines(ledger) == before
    await settle(ledger, ended("a.wav", Status.FAILED))
    assert await ledger.apply(late) == [Lost("a.wav", Status.FAILED)] * len(late)
    await upload(ledger, "a.wav", talk_id="talk-2")
    assert await ledger.apply(late) == [Lost("a.wav", Status.UPLOADED)] * len(late)
    assert [row.talk_id for row in await lines(ledger)] == ["talk-2"]


async def test_the_claim_that_follows_on_one_that_was_lost_is_not_ended_by_it(opening, ends):
    async with opening() as gone:
        await claim(gone, recording("a.wav"))
    async with opening() as second:
        await second.recover()
        await settle(second, ended("a.wav", Status.FAILED))
        assert await claim(second, recording("a.wav")) == GRANTED
    async with opening() as late:
        assert set(await late.apply(ends)) == {Lost("a.wav", Status.CLAIMED)}


async def test_who_ends_its_own_claim_needs_not_say_so(ledger):
    for each in (True, False):
        path = f"{each}.wav"
        (_, answer) = await ledger.apply(
            [Claim(recording(path, path)), Settle(uploaded(path, path), claimed=each)]
        )
        assert answer == uploaded(path, path)


async def test_a_talk_that_cannot_be_recorded_is_named(ledger):
    lost = Settle(uploaded("a.wav", "talk-1", seen=LATER), claimed=True)
    with pytest.raises(LedgerError, match=r"it is unseen\na\.wav is stored as talk talk-1$"):
        await apply_all(ledger, [lost])
