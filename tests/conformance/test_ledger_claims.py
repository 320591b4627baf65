"""What a claim is answered, by every ledger.

Also covers faults 42 and 43 (the same audio for two recordings) as far as the ledger decides them.
"""

import anyio
import pytest
from msgspec.structs import replace
from support.ledger_cases import AUDIO, CONNECTION, ended, recording, uploaded
from support.ledger_changes import claim_all, settle
from support.ledger_harness import (
    GRANTED,
    HELD,
    KNOWN,
    LATER,
    OPEN,
    OUTDATED,
    bring_to,
    busy,
    claim,
    duplicate,
    known,
    lines,
    statuses_of,
    upload,
)

from batch_uploader.core.records import ClaimResult, Record
from batch_uploader.core.states import Status

# A claim, by what is known of its path


async def test_an_unseen_recording_is_granted_and_remembered_whole(ledger):
    new = recording("a.wav")
    assert await claim(ledger, new) == GRANTED
    found = await known(ledger, "a.wav")
    assert found.owner < found.claimed_seq, "the ledger was opened before"
    assert replace(found, owner=None, claimed_seq=None) == Record(
        CONNECTION,
        "a.wav",
        Status.CLAIMED,
        new.stat,
        sha256=new.fingerprint.sha256,
        metadata=new.fingerprint.metadata,
        key=new.key,
        duration=AUDIO.duration,
        container=AUDIO.container,
        claimed_at_ns=1,
        essence=new.identity.essence,
        default_id=new.identity.default_id,
        named_id=new.identity.named_id,
    )
    assert await lines(ledger) == [found]


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("audio", ["A", "B"])
async def test_an_open_recording_is_held_whatever_its_file_says(ledger, status, audio):
    await bring_to(ledger, "a.wav", status)
    before = await known(ledger, "a.wav")
    assert await claim(ledger, recording("a.wav", audio, seen=LATER)) == HELD
    assert await known(ledger, "a.wav") == before


@pytest.mark.parametrize("status", [Status.UPLOADED, Status.DUPLICATE])
async def test_a_touched_file_is_known_and_its_stat_renewed(ledger, status):
    await bring_to(ledger, "a.wav", status)
    before = await known(ledger, "a.wav")
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN
    assert await known(ledger, "a.wav") == replace(before, stat=LATER)


async def test_a_new_sidecar_of_a_talk_that_is_up_is_outdated_until_it_is_the_old_one(ledger):
    """Rule 0: the call has its new ID, and each run says that the metadata changed."""
    await upload(ledger, "a.wav")
    before = await known(ledger, "a.wav")
    edited = recording("a.wav", "A", "new", seen=LATER)
    for _ in range(2):
        assert await claim(ledger, edited) == OUTDATED
        then = LATER.described_as(before.stat)
        default_id = edited.identity.default_id
        assert await known(ledger, "a.wav") == replace(before, stat=then, default_id=default_id)
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN
    assert await known(ledger, "a.wav") == replace(before, stat=LATER)


async def test_a_duplicate_with_a_new_sidecar_is_a_recording_of_its_own(ledger):
    await bring_to(ledger, "a.wav", Status.DUPLICATE)
    assert await claim(ledger, recording("a.wav", "A", "new")) == GRANTED
    assert await statuses_of(ledger, "a.wav") == [Status.CLAIMED]


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.INVALID])
@pytest.mark.parametrize("audio", ["A", "B"])
async def test_what_proved_not_to_be_up_may_be_sent_again(ledger, status, audio):
    await bring_to(ledger, "a.wav", status)
    again = recording("a.wav", audio, seen=LATER)
    assert await claim(ledger, again) == GRANTED
    now = await known(ledger, "a.wav")
    assert now.outcome.status is Status.CLAIMED
    assert now.outcome.stat == LATER
    assert now.failure is None
    assert now.policy is None
    assert (now.sha256, now.key) == (again.fingerprint.sha256, again.key)
    assert len(await lines(ledger)) == 1


async def test_other_audio_at_the_path_of_a_talk_is_granted_and_the_talk_is_kept(ledger):
    await upload(ledger, "a.wav", "A", talk_id="talk-A")
    await upload(ledger, "a.wav", "B", talk_id="talk-B")
    assert await claim(ledger, recording("a.wav", "C")) == GRANTED
    assert [(row.status, row.talk_id) for row in await lines(ledger)] == [
        (Status.UPLOADED, "talk-A"),
        (Status.UPLOADED, "talk-B"),
        (Status.CLAIMED, None),
    ]
    assert list(await ledger.known("")) == ["a.wav"]
    assert (await known(ledger, "a.wav")).outcome.status is Status.CLAIMED


# A claim, by what other paths hold


@pytest.mark.parametrize("status", [Status.UPLOADED, Status.IN_DOUBT, Status.CONFLICT])
async def test_a_copy_of_what_the_service_may_hold_is_a_duplicate(ledger, status):
    """Fault 43."""
    await bring_to(ledger, "first.wav", status)
    copy = recording("sub/copy.wav", seen=LATER)
    assert await claim(ledger, copy) == duplicate(copy, "first.wav")
    now = await known(ledger, "sub/copy.wav")
    assert now.outcome.status is Status.DUPLICATE
    assert now.outcome.duplicate_of == "first.wav"
    assert now.outcome.stat == LATER
    assert (now.sha256, now.metadata) == (copy.fingerprint.sha256, copy.fingerprint.metadata)


async def test_a_copy_of_what_is_being_sent_must_wait_and_leaves_no_trace(ledger):
    await claim(ledger, recording("first.wav"))
    assert await claim(ledger, recording("copy.wav")) == busy("first.wav")
    assert await known(ledger, "copy.wav") is None


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
async def test_a_copy_of_what_is_not_up_is_granted(ledger, status):
    await bring_to(ledger, "first.wav", status)
    assert await claim(ledger, recording("copy.wav")) == GRANTED


async def test_a_copy_of_a_duplicate_points_at_the_talk(ledger):
    await bring_to(ledger, "a.wav", Status.DUPLICATE)
    copy = recording("b.wav")
    assert await claim(ledger, copy) == duplicate(copy, "first a.wav")


async def test_the_same_audio_with_other_metadata_is_another_call(ledger):
    """Fault 42: silence and announcements are the same in many calls."""
    await upload(ledger, "a.wav", "silence", "one call")
    assert await claim(ledger, recording("b.wav", "silence", "another call")) == GRANTED


async def test_a_copy_of_a_superseded_talk_is_a_duplicate(ledger):
    """Fault 43: ``call.wav`` was renamed, and another file came in its place."""
    await upload(ledger, "call.wav", "A", talk_id="talk-A")
    await upload(ledger, "call.wav", "B", talk_id="talk-B")
    renamed = recording("renamed.wav", "A")
    assert await claim(ledger, renamed) == duplicate(renamed, "call.wav")


async def test_a_talk_that_comes_back_to_its_path_after_another_is_known(ledger):
    await upload(ledger, "call.wav", "A", talk_id="talk-A")
    await upload(ledger, "call.wav", "B", talk_id="talk-B")
    for audio in ("A", "B", "A"):
        assert await claim(ledger, recording("call.wav", audio, seen=LATER)) == KNOWN
        assert (await known(ledger, "call.wav")).outcome.talk_id == f"talk-{audio}"
        assert (await known(ledger, "call.wav")).outcome.stat == LATER
        talks = [row.talk_id for row in await lines(ledger, frozenset({Status.UPLOADED}))]
        assert sorted(talks) == ["talk-A", "talk-B"], "none is lost, none is there twice"


async def test_a_talk_that_comes_back_with_other_metadata_is_outdated(ledger):
    await upload(ledger, "call.wav", "A", talk_id="talk-A")
    await upload(ledger, "call.wav", "B", talk_id="talk-B")
    assert await claim(ledger, recording("call.wav", "A", "edited")) == OUTDATED


async def test_a_batch_is_answered_in_order_and_each_sees_the_ones_before(ledger):
    await upload(ledger, "old.wav", "old")
    copy = recording("copy of old.wav", "old")
    answers = await claim(
        ledger,
        recording("a.wav", "A"),
        recording("copy of a.wav", "A"),
        copy,
        recording("a.wav", "A"),
        recording("b.wav", "A", "another call"),
        recording("old.wav", "old", seen=LATER),
    )
    waits = busy("a.wav")
    assert answers == [GRANTED, waits, duplicate(copy, "old.wav"), HELD, waits, KNOWN]
    await settle(ledger, uploaded("a.wav"))
    assert await claim(ledger, recording("b.wav", "A", "another call")) == GRANTED


async def test_an_empty_batch_has_no_answers(ledger):
    assert await claim_all(ledger, []) == []


async def test_of_many_that_claim_the_same_content_at_once_one_gets_it(ledger):
    answers = []

    async def ask(path):
        answers.append(await claim(ledger, recording(path)))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(ask, f"{number}.wav")
    assert [answer.claim for answer in answers].count(ClaimResult.GRANTED) == 1
    assert [answer.claim for answer in answers].count(ClaimResult.BUSY) == 49


@pytest.mark.parametrize("digest", ["sha256", "metadata"])
async def test_contents_whose_digests_differ_in_the_last_byte_are_two(ledger, digest):
    """Faults 42, 43: whatever an index holds of a digest, what is compared is all of it."""
    first = recording("a.wav")
    content, ids = first.fingerprint, first.identity
    like_it = {digest: _nearly(getattr(content, digest))}
    new_ids = {"default_id": _nearly(ids.default_id)}
    if digest == "sha256":
        new_ids["essence"] = _nearly(ids.essence)
    other = replace(
        first,
        path="b.wav",
        fingerprint=replace(content, **like_it),
        identity=replace(ids, **new_ids),
    )
    assert await claim(ledger, first) == GRANTED
    assert await claim(ledger, replace(first, path="c.wav")) == busy("a.wav")
    await settle(ledger, ended("a.wav", Status.FAILED))
    assert await claim(ledger, other) == GRANTED
    await settle(ledger, uploaded("b.wav"))
    assert await claim(ledger, replace(first, path="c.wav")) == GRANTED
    copy = replace(other, path="d.wav")
    assert await claim(ledger, copy) == duplicate(copy, "b.wav")


def _nearly(digest):
    return digest[:-1] + bytes([digest[-1] ^ 1])
