"""What a ledger makes of the manifest of one that was lost, tested on each."""

import itertools
from contextlib import aclosing

import pytest
from support import ledger_harness
from support.ledger_cases import AUDIO, CONNECTION, ended, recording, uploaded
from support.ledger_changes import adopt, settle

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import UNKNOWN_MTIME, Failure, Version
from batch_uploader.core.records import ClaimResult, Record
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import SqliteLedger

STAMP = "upload_key"
UNLISTED = [Status.FAILED, Status.REJECTED, Status.INVALID, Status.CLAIMED, Status.DUPLICATE]


def line(path, status=Status.UPLOADED, audio="A", **more):
    """A line of a manifest; ``audio`` stands for the content."""
    up = status is Status.UPLOADED
    return Record(
        connection_id=CONNECTION,
        path=path,
        status=status,
        stat=Version(1000, UNKNOWN_MTIME),
        attempts=1,
        sha256=None if audio is None else recording(path, audio).fingerprint.sha256,
        talk_id=more.pop("talk_id", f"talk of {path}") if up else None,
        duration=AUDIO.duration,
        container=AUDIO.container,
        settled_at_ns=1 if up else None,
        **more,
    )


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request, tmp_path):
    clock = itertools.count(10).__next__
    made = (
        SqliteLedger(tmp_path / "ledger.db", CONNECTION, clock=clock)
        if request.param == "sqlite"
        else MemoryLedger(CONNECTION, clock=clock)
    )
    async with made as ledger:
        yield ledger


async def claim(ledger, *arguments):
    """The answer."""
    answer = await ledger_harness.claim(ledger, recording(*arguments), stamp_field=STAMP)
    recorded = {ClaimResult.DUPLICATE, ClaimResult.DOUBTED}
    assert (answer.outcome is not None) == (answer.claim in recorded)
    return answer.claim


async def statuses(ledger):
    async with aclosing(ledger.rows()) as rows:
        return [(row.path, row.status) async for row in rows]


async def known(ledger, path):
    return (await ledger.known("")).get(path)


async def test_a_talk_is_held_whatever_its_sidecar_says_and_then_as_ever(ledger):
    """Fault 8."""
    await adopt(ledger, [line("a")])
    assert (await known(ledger, "a")).unproved
    assert await claim(ledger, "a", "A", "any") is ClaimResult.KNOWN
    assert not (await known(ledger, "a")).unproved
    assert await claim(ledger, "a", "A", "other") is ClaimResult.OUTDATED
    assert await claim(ledger, "b", "A", "any") is ClaimResult.DUPLICATE
    assert await claim(ledger, "c", "A", "another call") is ClaimResult.GRANTED


async def test_a_talk_stands_for_its_audio_until_its_metadata_are_known(ledger):
    """Fault 43: a moved file is not sent, though nobody knows the metadata of what it was."""
    await adopt(ledger, [line("gone")])
    assert await claim(ledger, "here", "A", "m") is ClaimResult.DUPLICATE


async def test_other_audio_where_a_talk_was_may_be_up_as_well(ledger):
    """Fault 8: only the lost ledger knew whether it was sent since."""
    await adopt(ledger, [line("a")], stamp_field=STAMP)
    assert await claim(ledger, "a", "B") is ClaimResult.DOUBTED
    assert await statuses(ledger) == [("a", Status.UPLOADED), ("a", Status.IN_DOUBT)]
    (doubt,) = await ledger.doubts()
    assert (doubt.key, doubt.stamp_field) == (recording("a", "B").key, STAMP)


@pytest.mark.parametrize("status", UNLISTED)
async def test_what_was_not_up_may_have_gone_up_since(ledger, status):
    """Fault 8."""
    await adopt(ledger, [line("a", status)])
    assert await statuses(ledger) == [("a", Status.IN_DOUBT)]
    assert await claim(ledger, "a", "B") is ClaimResult.DOUBTED
    assert await claim(ledger, "a", "B") is ClaimResult.HELD
    (doubt,) = await ledger.doubts()
    assert (doubt.key, doubt.stamp_field) == (recording("a", "B").key, STAMP)
    assert doubt.failure.code == "LEDGER_LOST"


async def test_a_doubt_that_nobody_looked_into_is_none_of_a_talk(ledger):
    await adopt(ledger, [line("a", Status.FAILED, None)])
    with pytest.raises(LedgerError, match="a has not been read since the ledger was lost"):
        await settle(ledger, uploaded("a"))
    await settle(ledger, ended("a", Status.FAILED, code="RESEND"))
    assert await claim(ledger, "a") is ClaimResult.GRANTED, "somebody decided"


async def test_given_up_before_anybody_looked_into_it(ledger):
    await adopt(ledger, [line("a", Status.FAILED, None)])
    await settle(ledger, ended("a", Status.GIVEN_UP))
    assert await claim(ledger, "a") is ClaimResult.KNOWN
    assert await claim(ledger, "a", "B") is ClaimResult.GRANTED, "another file"


@pytest.mark.parametrize("status", [Status.IN_DOUBT, Status.CONFLICT])
async def test_what_was_in_question_is_so_with_its_key(ledger, status):
    await adopt(ledger, [line("a", status, failure=Failure("HELD", "why"))], stamp_field=STAMP)
    before = await known(ledger, "a")
    assert (before.outcome.status, before.key) == (status, recording("a").key)
    assert await claim(ledger, "a") is ClaimResult.HELD
    assert await claim(ledger, "b") is ClaimResult.DUPLICATE
    # Absent after all: a copy may be all that is left of it.
    await settle(ledger, ended("a", Status.FAILED))
    assert await statuses(ledger) == [("a", Status.FAILED)]
    assert await claim(ledger, "a", "B") is ClaimResult.DOUBTED, "this was never asked for"
    assert await claim(ledger, "b") is ClaimResult.GRANTED


async def test_a_doubt_of_a_lost_ledger_is_looked_into_again_by_the_next(ledger):
    lost = Failure("LEDGER_LOST", "why")
    await adopt(ledger, [line("a", Status.IN_DOUBT, failure=lost)])
    assert await claim(ledger, "a") is ClaimResult.DOUBTED


async def test_the_duplicate_of_a_talk_stays_one(ledger):
    """Fault 43."""
    await adopt(ledger, [line("a")])
    await adopt(ledger, [line("b", Status.DUPLICATE, duplicate_of="a")])
    assert await claim(ledger, "b", "A", "m") is ClaimResult.KNOWN
    assert await statuses(ledger) == [("a", Status.UPLOADED), ("b", Status.DUPLICATE)]


async def test_a_path_that_held_one_talk_after_another(ledger):
    await adopt(ledger, [line("a", talk_id="talk-1"), line("a", audio="B", talk_id="talk-2")])
    # The earlier file is back.
    assert await claim(ledger, "a", "A", "m") is ClaimResult.KNOWN
    async with aclosing(ledger.rows()) as rows:
        assert [row.talk_id async for row in rows] == ["talk-2", "talk-1"]


async def test_given_up_and_changed(ledger):
    await adopt(ledger, [line("a", Status.GIVEN_UP)])
    assert await claim(ledger, "a") is ClaimResult.KNOWN
    await adopt(ledger, [line("b", Status.GIVEN_UP, audio="C")])
    assert await claim(ledger, "b", "D") is ClaimResult.DOUBTED


async def test_talks_of_a_manifest_are_not_canaries(ledger):
    """Fault 82: in which order they went up, and by whose word, it does not tell."""
    await adopt(ledger, [line("a")], stamp_field=STAMP)
    assert await ledger.canaries(STAMP, 3) == []


async def test_what_a_manifest_leaves_open_arose_when_it_was_taken_over(ledger):
    """Fault 82."""
    assert await claim(ledger, "before", "B") is ClaimResult.GRANTED
    await settle(ledger, uploaded("before", "talk-1"))
    await adopt(ledger, [line("a"), line("b", Status.IN_DOUBT), line("c", Status.FAILED)])
    assert await claim(ledger, "a", "other") is ClaimResult.DOUBTED
    (canary,) = await ledger.canaries(STAMP, 3)
    doubts = await ledger.doubts()
    assert [doubt.path for doubt in doubts] == ["a", "b", "c"]
    assert all(doubt.doubt_seq > canary.seq for doubt in doubts)


async def test_what_the_manifest_knows_is_not_unlisted(ledger):
    await adopt(ledger, [line("a"), line("a", Status.IN_DOUBT, None)])
    assert await statuses(ledger) == [("a", Status.UPLOADED)]


async def test_a_line_that_is_on_record_already_changes_nothing(ledger):
    """Fault 84: no talk is there twice, and none overwrites itself."""
    for _ in range(2):
        await adopt(ledger, [line("a", talk_id="talk-1"), line("a", audio="B", talk_id="talk-2")])
    assert await statuses(ledger) == [("a", Status.UPLOADED)] * 2


async def test_a_talk_that_two_lines_have_is_that_of_the_first(ledger):
    """Fault 84."""
    await adopt(ledger, [line("a", talk_id="talk-1"), line("b", audio="B", talk_id="talk-1")])
    assert await statuses(ledger) == [("a", Status.UPLOADED), ("b", Status.CONFLICT)]
    message = (await known(ledger, "b")).failure.message
    assert "talk talk-1 was named for b, but it is a; " in message
