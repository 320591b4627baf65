"""What a ledger makes of the records of another one, tested on each."""

import itertools

import pytest
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, ended, recording, uploaded
from support.ledger_changes import claim_all, settle, take_over
from support.ledger_harness import (
    GRANTED,
    HELD,
    KNOWN,
    bring_to,
    claim,
    duplicate,
    known,
    lines,
    statuses_of,
    upload,
)

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.ledgers.memory import MemoryLedger

pytestmark = pytest.mark.anyio

STAMP = "upload_key"
NOT_CLAIMED = [each for each in Status if each not in {Status.CLAIMED, Status.POSSIBLE_DUPLICATE}]


@pytest.fixture
async def other():
    """The ledger whose records are taken over."""
    clock = itertools.count(1_000).__next__
    async with MemoryLedger(CONNECTION, clock=clock) as other:
        yield other


async def rows(ledger, prefix="sub/"):
    """Its records, with the paths that they have in a directory above."""
    return [
        replace(
            row,
            path=prefix + row.path,
            duplicate_of=row.duplicate_of and prefix + row.duplicate_of,
        )
        for row in await lines(ledger)
    ]


@pytest.mark.parametrize("status", NOT_CLAIMED)
async def test_all_of_a_record_is_taken_over_again_and_again(ledger, other, status):
    """Fault 103: with its key, as it was sent; but its numbers are of the other ledger."""
    await bring_to(other, "a", status)
    taken = await rows(other)
    for _ in range(3):
        await take_over(ledger, taken)
        assert len(await lines(ledger)) == len(taken)
    for row in taken:
        found = await known(ledger, row.path)
        numbers = {"claimed_seq": None, "answered_seq": None, "doubt_seq": found.doubt_seq}
        assert found == replace(row, **numbers)
        assert (found.doubt_seq is None) == (status is not Status.IN_DOUBT or row.path != "sub/a")


@pytest.mark.parametrize("status", sorted(MAYBE_STORED))
async def test_what_the_service_may_hold_is_not_sent_again(ledger, other, status):
    """Fault 103."""
    await bring_to(other, "a", status)
    await take_over(ledger, await rows(other))
    same = recording("sub/a")
    assert await claim(ledger, same) == (
        KNOWN if status in {Status.UPLOADED, Status.GIVEN_UP} else HELD
    )
    assert await claim(ledger, copy := recording("b")) == duplicate(copy, "sub/a")


async def test_a_claim_of_a_run_that_is_gone_is_in_doubt(ledger, other):
    """Fault 103."""
    await claim_all(other, [recording("a")], stamp_field=STAMP)
    (row,) = await rows(other)
    await take_over(ledger, [row])
    (doubt,) = await ledger.doubts()
    assert (doubt.key, doubt.stamp_field) == (row.key, STAMP)
    assert doubt.failure.code == "RUN_ENDED"
    assert (doubt.owner, row.owner) == (None, 1)
    assert doubt.since.wall_ns == doubt.settled_at_ns > row.claimed_at_ns - 1_000


async def test_what_was_sent_elsewhere_proves_nothing_about_a_doubt(ledger, other):
    """Fault 103: its claim has a higher number, of another count."""
    for number in range(9):
        await claim_all(other, [recording(f"{number}", f"{number}")], stamp_field=STAMP)
        await settle(other, uploaded(f"{number}", f"talk-{number}"))
    assert len(await other.canaries(STAMP, 10)) == 9
    await bring_to(ledger, "doubt", Status.IN_DOUBT)
    await take_over(ledger, await rows(other))
    assert await ledger.canaries(STAMP, 10) == []


async def test_talks_of_both_at_one_path_stay_on_record(ledger, other):
    """Fault 103: they were billed twice before; whatever is at the path, it is known."""
    await upload(ledger, "sub/a", "A", talk_id="ours")
    await upload(other, "a", "B", talk_id="first")
    await upload(other, "a", "C", talk_id="second")
    await upload(other, "b", "D", talk_id="theirs")
    await upload(ledger, "sub/b", "D", talk_id="ours too")
    for _ in range(2):
        await take_over(ledger, await rows(other))
        talks = sorted((row.path, row.talk_id) for row in await lines(ledger))
        assert talks == [
            ("sub/a", "first"),
            ("sub/a", "ours"),
            ("sub/a", "second"),
            ("sub/b", "ours too"),
            ("sub/b", "theirs"),
        ]
        assert (await known(ledger, "sub/a")).talk_id == "ours"
    for audio in "BCA":
        assert await claim(ledger, recording("sub/a", audio)) == KNOWN


@pytest.mark.parametrize(
    ("ours", "theirs", "then"),
    [
        (Status.FAILED, Status.UPLOADED, Status.UPLOADED),
        (Status.INVALID, Status.IN_DOUBT, Status.IN_DOUBT),
        (Status.REJECTED, Status.DUPLICATE, Status.DUPLICATE),
        (Status.UPLOADED, Status.FAILED, Status.UPLOADED),
        (Status.UPLOADED, Status.IN_DOUBT, Status.UPLOADED),
        (Status.IN_DOUBT, Status.UPLOADED, Status.UPLOADED),
        (Status.IN_DOUBT, Status.GIVEN_UP, Status.GIVEN_UP),
        (Status.GIVEN_UP, Status.CONFLICT, Status.CONFLICT),
        (Status.CONFLICT, Status.IN_DOUBT, Status.CONFLICT),
        (Status.IN_DOUBT, Status.INVALID, Status.IN_DOUBT),
        (Status.DUPLICATE, Status.FAILED, Status.DUPLICATE),
        (Status.IN_DOUBT, Status.IN_DOUBT, Status.CONFLICT),
    ],
)
async def test_of_one_recording_in_both_what_proves_more_stays(ledger, other, ours, theirs, then):
    """Fault 103: each was sent with a key of its own, so two doubts are for a human."""
    await bring_to(ledger, "sub/a", ours)
    await bring_to(other, "a", theirs)
    for _ in range(2):
        await take_over(ledger, await rows(other))
        assert await statuses_of(ledger, "sub/a") == [then]


@pytest.mark.parametrize("status", [Status.DUPLICATE, Status.POSSIBLE_DUPLICATE, Status.REJECTED])
async def test_what_took_the_place_of_a_talk_comes_along(ledger, other, status):
    """Faults 103, 107: what was decided about it is not asked again."""
    await upload(other, "a", "A", talk_id="first")
    await upload(other, "b", "B", talk_id="second")
    first, second = await rows(other)
    later = replace(second, path=first.path, status=status, talk_id=None, duplicate_of=second.path)
    for _ in range(2):
        await take_over(ledger, [first, later, second])
        assert await known(ledger, "sub/a") == replace(later, claimed_seq=None, answered_seq=None)
        assert sorted(await statuses_of(ledger, "sub/a")) == sorted([Status.UPLOADED, status])
    assert await claim(ledger, recording("sub/a", "A")) == KNOWN


async def test_a_doubt_is_looked_at_first_whoever_has_it(ledger, other):
    """Fault 103: other audio that is stored at its path becomes history."""
    await upload(ledger, "sub/a", "A", talk_id="ours")
    await bring_to(other, "a", Status.IN_DOUBT, "B")
    await bring_to(ledger, "sub/b", Status.IN_DOUBT, "C")
    await upload(other, "b", "D", talk_id="theirs")
    for _ in range(2):
        await take_over(ledger, await rows(other))
        for path in ("sub/a", "sub/b"):
            assert sorted(await statuses_of(ledger, path)) == [Status.IN_DOUBT, Status.UPLOADED]
            assert (await known(ledger, path)).status is Status.IN_DOUBT


async def test_two_doubts_about_different_audio_at_a_path_are_refused(ledger, other):
    """Fault 103: a path has room for one."""
    await bring_to(ledger, "sub/a", Status.IN_DOUBT, "A")
    await bring_to(other, "a", Status.IN_DOUBT, "B")
    with pytest.raises(LedgerError, match="in two ledgers"):
        await take_over(ledger, await rows(other))
    assert await claim(ledger, recording("sub/a", "A")) == HELD


async def test_a_copy_of_a_directory_with_its_ledger_is_of_duplicates(ledger, other):
    """Fault 103: a snapshot has the same talks."""
    await upload(other, "a", "A", talk_id="talk-1")
    for prefix in ("hourly.0/", "hourly.1/"):
        await take_over(ledger, await rows(other, prefix))
    first, second = await lines(ledger)
    assert (first.path, first.status, first.talk_id) == ("hourly.0/a", Status.UPLOADED, "talk-1")
    assert (second.status, second.duplicate_of, second.talk_id) == (
        Status.DUPLICATE,
        "hourly.0/a",
        None,
    )
    assert await claim(ledger, recording("hourly.1/a")) == KNOWN


async def test_one_talk_for_two_recordings_is_a_conflict(ledger, other):
    """Fault 84."""
    await upload(ledger, "x", "A", talk_id="talk-1")
    await upload(other, "a", "B", talk_id="talk-1")
    await take_over(ledger, await rows(other))
    assert (await known(ledger, "sub/a")).status is Status.CONFLICT
    assert (await known(ledger, "x")).talk_id == "talk-1"


async def test_a_failed_one_is_sent_under_its_path_here(ledger, other):
    """Fault 103."""
    await bring_to(other, "a", Status.FAILED)
    await take_over(ledger, await rows(other))
    assert await claim(ledger, wanted := recording("sub/a")) == GRANTED
    assert (await known(ledger, "sub/a")).key == wanted.key
    await settle(ledger, ended("sub/a", Status.FAILED))
