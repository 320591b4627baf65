"""What every ledger must do with a list of changes: in order, at once, each with its own answer."""

import msgspec
import pytest
from msgspec.structs import replace
from support.ledger_cases import ended, recording, stat, uploaded
from support.ledger_harness import GRANTED, LATER, bring_to, duplicate, known, statuses_of

from batch_uploader.core import changes
from batch_uploader.core.changes import (
    Adopt,
    Change,
    Claim,
    Forget,
    Learn,
    Note,
    Release,
    Remember,
    Settle,
)
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import UNKNOWN_MTIME, Version
from batch_uploader.core.ports import apply_all, apply_one
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status


async def test_each_change_sees_what_those_before_it_did(ledger):
    first, copy = recording("a.wav"), recording("b.wav")
    answers = await ledger.apply(
        [Claim(first), Settle(uploaded("a.wav")), Claim(copy), Claim(recording("c.wav", "C"))]
    )
    assert answers == [GRANTED, uploaded("a.wav"), duplicate(copy, "a.wav"), GRANTED]
    assert await statuses_of(ledger, "c.wav") == [Status.CLAIMED]


async def test_no_changes_have_no_answers(ledger):
    assert await ledger.apply([]) == []


async def test_a_change_that_is_refused_fails_alone_and_the_others_are_made(ledger):
    claim, refused, settled = await ledger.apply(
        [Claim(recording("a.wav")), Settle(uploaded("b.wav")), Settle(uploaded("a.wav"))]
    )
    assert (claim, settled) == (GRANTED, uploaded("a.wav"))
    assert isinstance(refused, LedgerError)
    assert "unseen and was not claimed" in str(refused)
    assert await statuses_of(ledger, "b.wav") == []
    assert await statuses_of(ledger, "a.wav") == [Status.UPLOADED]


async def test_the_error_of_one_change_is_raised_where_one_is_made(ledger):
    with pytest.raises(LedgerError, match=r"a\.wav was lost .*: on record it is unseen"):
        await apply_one(ledger, Release("a.wav"))
    with pytest.raises(LedgerError, match=r"a\.wav was lost .*: on record it is unseen"):
        await apply_all(ledger, [Release("a.wav"), Claim(recording("b.wav"))])
    assert await statuses_of(ledger, "b.wav") == [Status.CLAIMED]


async def test_a_change_that_crossed_to_another_process_does_the_same(ledger):
    """They are values: nothing of this process is in them."""

    async def crossing(change):
        crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(change), type=Change)
        assert crossed == change
        return await apply_one(ledger, crossed)

    row = Record(
        "c",
        "old.wav",
        Status.UPLOADED,
        Version(9, UNKNOWN_MTIME),
        sha256=b"1" * 32,
        attempts=1,
        talk_id="talk of old.wav",
    )
    assert await crossing(Adopt(row, "key")) is None
    assert await crossing(Claim(recording("a.wav"), "key")) == GRANTED
    assert await crossing(Release("a.wav")) is None
    assert await crossing(Claim(recording("a.wav"), "key")) == GRANTED
    assert await crossing(Settle(ended("a.wav", Status.IN_DOUBT))) is not None
    (doubt,) = await ledger.doubts()
    assert await crossing(Note(replace(doubt, first_miss=doubt.since))) is None
    assert (await ledger.doubts())[0].first_miss == doubt.since
    seen = replace(stat(), ctime_ns=7)
    assert await crossing(Learn("a.wav", seen)) is None
    assert (await known(ledger, "a.wav")).outcome.stat == seen
    assert await crossing(Settle(ended("b.wav", Status.INVALID), b"rules")) is not None
    assert await crossing(Forget("b.wav")) is None
    assert await statuses_of(ledger, "b.wav") == []
    assert await crossing(Remember("colour", "red")) is None
    assert await ledger.fact("colour") == "red"
    assert {kind.__name__ for kind in Change.__args__} == {
        name for name, each in vars(changes).items() if each in Change.__args__
    }


async def test_what_is_settled_together_was_settled_at_one_moment(ledger):
    await bring_to(ledger, "a.wav", Status.CLAIMED)
    await ledger.apply(
        [Settle(uploaded("a.wav", seen=LATER)), Settle(ended("b.wav", Status.INVALID))]
    )
    moments = {(await known(ledger, each)).settled_at_ns for each in ("a.wav", "b.wav")}
    assert len(moments) == 1
