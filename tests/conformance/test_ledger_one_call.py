"""What a claim is answered where the call is on record as a duplicate, by every ledger."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import AUDIO, ended, recording
from support.ledger_changes import settle
from support.ledger_harness import (
    GRANTED,
    KNOWN,
    OUTDATED,
    bring_to,
    claim,
    duplicate,
    known,
    may_be,
    rejudge,
    upload,
)

from batch_uploader.core.changes import Forget, LearnIdentity
from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.model import Container
from batch_uploader.core.ports import apply_one
from batch_uploader.core.records import ClaimResult, Sight
from batch_uploader.core.states import Status

GONE = Sight(gone=True)
MP3 = replace(AUDIO, container=Container.MP3)
OPUS = replace(AUDIO, container=Container.OGG_OPUS)


def without_ids(path, audio, metadata="m", info=AUDIO):
    letter = {Container.WAV: b"p", Container.MP3: b"m", Container.OGG_OPUS: b"o"}[info.container]
    ids = Identity(letter + audio.encode().ljust(16, b"."))
    return recording(path, audio, metadata, ids=ids, info=info)


@pytest.fixture
async def converted(ledger):
    """A ledger with a call, and the MP3 that was made of it."""
    await upload(ledger, "day/a.wav", ids=without_ids("", "A").identity)
    copy = without_ids("day/a.mp3", "A as MP3", info=MP3)
    sights = {"day/a.wav": GONE}
    assert await claim(ledger, copy, sights=sights) == duplicate(copy, "day/a.wav", Cause.CONVERTED)
    return ledger


async def test_a_duplicate_that_is_moved_points_at_the_talk(converted):
    moved = without_ids("archive/a.mp3", "A as MP3", info=MP3)
    assert await claim(converted, moved) == duplicate(moved, "day/a.wav")


async def test_a_duplicate_that_is_moved_with_other_metadata_is_held(converted):
    moved = without_ids("archive/a.mp3", "A as MP3", "as it is exported", info=MP3)
    answer = await claim(converted, moved, sights={"day/a.mp3": GONE})
    assert answer.outcome.cause is Cause.MOVED
    assert answer.outcome.duplicate_of == "day/a.wav"


async def test_a_duplicate_that_is_moved_and_converted_later_points_at_the_talk(converted):
    moved = without_ids("archive/a.mp3", "A as MP3", info=MP3)
    await claim(converted, moved)
    smaller = without_ids("archive/a.opus", "A as Opus", info=OPUS)
    answer = await claim(converted, smaller, sights={"archive/a.mp3": GONE})
    assert answer == duplicate(smaller, "day/a.wav", Cause.CONVERTED)


async def test_other_audio_at_the_place_of_a_copy_is_held(ledger):
    await upload(ledger, "day/a.wav", ids=without_ids("", "A").identity)
    copy = without_ids("archive/a.wav", "A")
    assert await claim(ledger, copy) == duplicate(copy, "day/a.wav")
    louder = without_ids("archive/a.wav", "A, but louder")
    answer = await claim(ledger, louder)
    held = may_be(louder, "archive/a.wav", Cause.CHANGED_AUDIO)
    assert answer.outcome == replace(held.outcome, duplicate_of="day/a.wav")


async def test_a_copy_that_is_exported_again_stays_a_copy(ledger):
    """Rule 0: where nothing tells calls apart, its metadata may say what they like."""
    await upload(ledger, "day/a.wav", ids=without_ids("", "A").identity)
    await claim(ledger, without_ids("archive/a.wav", "A"))
    again = without_ids("archive/a.wav", "A", "as it is exported")
    assert await claim(ledger, again, again) == [OUTDATED, KNOWN]
    record = await known(ledger, "archive/a.wav")
    assert (record.status, record.duplicate_of) == (Status.DUPLICATE, "day/a.wav")


@pytest.mark.parametrize("kind", ["default_id", "named_id"])
async def test_a_copy_with_another_id_is_not_compared_with_itself(ledger, kind):
    one, other = (
        replace(without_ids("", "A").identity, **{kind: b"by these" + call})
        for call in (b"one call", b"the other")
    )
    await upload(ledger, "day/a.wav", ids=one)
    await claim(ledger, recording("archive/a.wav", ids=one))
    another = recording("archive/a.wav", metadata="of another call", ids=other)
    assert await claim(ledger, another) == GRANTED


@pytest.mark.parametrize("gone", [False, True])
async def test_what_is_made_of_other_audio_that_was_held_is_held(ledger, gone):
    """It may be as long as the talk, but that was not what lay there last."""
    await upload(ledger, "a.wav", ids=without_ids("", "A").identity)
    assert (await claim(ledger, without_ids("a.wav", "B"))).claim is ClaimResult.POSSIBLE
    if gone:
        await apply_one(ledger, Forget("a.wav"))
    made = without_ids("a.mp3", "B as MP3", info=MP3)
    assert await claim(ledger, made) == may_be(made, "a.wav", Cause.CHANGED_AUDIO)


async def test_other_audio_at_the_place_of_what_was_made_of_a_call_is_held(converted):
    """As long as the talk, and in another format: but the call had that format already."""
    other = without_ids("day/a.mp3", "B as MP3", info=MP3)
    answer = await claim(converted, other, sights={"day/a.wav": GONE})
    assert answer.claim is ClaimResult.POSSIBLE
    assert (answer.outcome.cause, answer.outcome.duplicate_of) == (Cause.CHANGED_AUDIO, "day/a.wav")
    assert await rejudge(converted, "day/a.mp3", {"day/a.wav": GONE}) == answer


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
async def test_what_was_made_of_a_call_that_is_not_stored_is_free_with_all_its_copies(
    ledger, status
):
    """Fault 43: each of these files may be the only one that is left of the call."""
    await bring_to(ledger, "a.wav", Status.IN_DOUBT)
    made = recording("a.mp3", "as MP3", info=MP3, ids=Identity(b"m"))
    sights = {"a.wav": GONE}
    assert await claim(ledger, made, sights=sights) == duplicate(made, "a.wav", Cause.CONVERTED)
    copy = recording("copy.mp3", "as MP3", info=MP3, ids=Identity(b"m"))
    assert await claim(ledger, copy) == duplicate(copy, "a.wav")
    await settle(ledger, ended("a.wav", status))
    assert [await known(ledger, path) for path in ("a.mp3", "copy.mp3")] == [None, None]
    assert await claim(ledger, copy) == GRANTED


async def test_a_talk_is_known_by_the_ids_of_its_corrected_sidecar(ledger):
    before, now = Identity(b"p" + bytes(16), b"monday"), Identity(None, b"tuesday")
    await upload(ledger, "a.wav", ids=before)
    record = await known(ledger, "a.wav")
    await apply_one(ledger, LearnIdentity("a.wav", record.stat, now))
    assert (await known(ledger, "a.wav")).default_id == b"monday"
    await apply_one(ledger, LearnIdentity("a.wav", record.stat, now, corrected=True))
    assert await known(ledger, "a.wav") == replace(record, default_id=b"tuesday")
    copy = recording("a.mp3", "as MP3", info=MP3, ids=Identity(b"m", b"tuesday"))
    answer = await claim(ledger, copy, sights={"a.wav": GONE})
    assert answer == duplicate(copy, "a.wav", Cause.CONVERTED)
