"""What every ledger must do with what a run tells it: settling, recovery, release, forgetting."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import AUDIO, ended, recording, stat, uploaded
from support.ledger_changes import forget, release, settle
from support.ledger_harness import (
    GRANTED,
    HELD,
    KNOWN,
    LATER,
    OPEN,
    OUTDATED,
    bring_to,
    claim,
    duplicate,
    known,
    lines,
    recorded,
    statuses_of,
    upload,
)

from batch_uploader.core.changes import Release
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Outcome
from batch_uploader.core.records import Lost
from batch_uploader.core.states import MAYBE_STORED, Status

# Settling


async def test_an_upload_is_remembered_with_its_fingerprint(ledger):
    new = recording("a.wav")
    await claim(ledger, new)
    await settle(ledger, uploaded("a.wav", "talk-7", attempts=3))
    now = await known(ledger, "a.wav")
    assert now.outcome.status is Status.UPLOADED
    assert (now.outcome.talk_id, now.outcome.attempts) == ("talk-7", 3)
    assert (now.outcome.duration, now.outcome.container) == (AUDIO.duration, AUDIO.container)
    assert (now.sha256, now.metadata) == (new.fingerprint.sha256, new.fingerprint.metadata)
    assert now.key == new.key
    (row,) = await lines(ledger)
    assert (row.talk_id, row.settled_at_ns) == ("talk-7", 2)


@pytest.mark.parametrize(
    "status",
    [Status.REJECTED, Status.FAILED, Status.IN_DOUBT, Status.CONFLICT, Status.INVALID],
)
async def test_a_claim_may_end_without_a_talk(ledger, status):
    new = recording("a.wav")
    await claim(ledger, new)
    outcome = ended("a.wav", status, attempts=2)
    await settle(ledger, outcome)
    now = await known(ledger, "a.wav")
    assert now.outcome == replace(outcome, duration=AUDIO.duration, container=AUDIO.container)
    assert now.sha256 == new.fingerprint.sha256


async def test_the_stat_on_record_stays_that_of_what_was_claimed(ledger):
    await claim(ledger, recording("a.wav"))
    await settle(ledger, uploaded("a.wav", seen=LATER))
    assert (await known(ledger, "a.wav")).outcome.stat == stat()


async def test_a_defect_needs_no_claim_and_remembers_the_rules_it_was_found_by(ledger):
    outcome = ended("sub/a.wav", Status.INVALID, code="sidecar-missing")
    await settle(ledger, outcome, policy=b"rules")
    assert await ledger.known("sub") == {
        "sub/a.wav": recorded(outcome, policy=b"rules", settled_at_ns=1)
    }


@pytest.mark.parametrize("status", [Status.DUPLICATE, Status.FAILED, Status.REJECTED])
async def test_others_that_need_no_claim_are_recorded_too(ledger, status):
    outcome = ended("a.wav", status)
    await settle(ledger, outcome)
    assert await ledger.known("") == {"a.wav": recorded(outcome, settled_at_ns=1)}


async def test_a_duplicate_is_on_record_with_the_fingerprint_of_its_claim(ledger):
    await bring_to(ledger, "a.wav", Status.DUPLICATE)
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN
    assert (await known(ledger, "a.wav")).outcome.duplicate_of == "first a.wav"


@pytest.mark.parametrize(
    "status", [Status.INVALID, Status.DUPLICATE, Status.FAILED, Status.REJECTED]
)
async def test_nothing_overwrites_a_talk(ledger, status):
    await upload(ledger, "a.wav", talk_id="talk-1")
    await settle(ledger, ended("a.wav", status))
    assert [(row.status, row.talk_id) for row in await lines(ledger)] == [
        (Status.UPLOADED, "talk-1"),
        (status, None),
    ]
    assert (await known(ledger, "a.wav")).sha256 is None


@pytest.mark.parametrize("status", [Status.INVALID, Status.FAILED, Status.REJECTED])
async def test_a_talk_comes_back_when_its_path_is_sound_again(ledger, status):
    await upload(ledger, "a.wav", talk_id="talk-1")
    before = await known(ledger, "a.wav")
    await settle(ledger, ended("a.wav", status))
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN
    assert await known(ledger, "a.wav") == replace(before, stat=LATER)
    assert len(await lines(ledger)) == 1


async def test_a_broken_sidecar_that_is_mended_otherwise_sends_no_second_talk(ledger):
    await upload(ledger, "a.wav", "A", "m")
    await settle(ledger, ended("a.wav", Status.INVALID))
    assert await claim(ledger, recording("a.wav", "A", "mended")) == OUTDATED
    assert await statuses_of(ledger, "a.wav") == [Status.UPLOADED]


async def test_other_audio_after_a_defect_is_granted_and_the_talk_is_kept(ledger):
    await upload(ledger, "a.wav", "A")
    await settle(ledger, ended("a.wav", Status.INVALID))
    assert await claim(ledger, recording("a.wav", "B")) == GRANTED
    assert await statuses_of(ledger, "a.wav") == [Status.UPLOADED, Status.CLAIMED]


async def test_a_talk_reported_again_renews_the_stat_and_nothing_else(ledger):
    await upload(ledger, "a.wav", talk_id="talk-1")
    (before,) = await lines(ledger)
    await settle(ledger, uploaded("a.wav", "talk-1", attempts=9, seen=LATER))
    assert await lines(ledger) == [replace(before, stat=LATER)]


@pytest.mark.parametrize("status", [Status.IN_DOUBT, Status.CONFLICT])
@pytest.mark.parametrize(
    "answer", [Status.UPLOADED, Status.FAILED, Status.REJECTED, Status.IN_DOUBT, Status.CONFLICT]
)
async def test_a_doubt_can_be_resolved(ledger, status, answer):
    await bring_to(ledger, "a.wav", status)
    resolved = uploaded("a.wav", "talk-9") if answer is Status.UPLOADED else ended("a.wav", answer)
    await settle(ledger, resolved)
    now = await known(ledger, "a.wav")
    assert now.outcome.status is answer
    assert now.outcome.talk_id == resolved.talk_id
    assert now.sha256 == recording("a.wav").fingerprint.sha256


async def test_a_doubt_resolved_as_to_be_sent_again_is_granted_next(ledger):
    await bring_to(ledger, "a.wav", Status.IN_DOUBT)
    await settle(ledger, ended("a.wav", Status.FAILED))
    assert await claim(ledger, recording("a.wav")) == GRANTED


async def test_a_copy_is_sent_when_the_doubt_it_waited_for_turns_out_unfounded(ledger):
    """Fault 43: the file was moved while its talk was in doubt, so nobody else will send it."""
    await bring_to(ledger, "old.wav", Status.IN_DOUBT)
    moved = recording("moved.wav")
    assert await claim(ledger, moved) == duplicate(moved, "old.wav")
    await settle(ledger, ended("old.wav", Status.FAILED))
    assert await known(ledger, "moved.wav") is None
    assert await claim(ledger, recording("moved.wav")) == GRANTED


async def test_a_copy_is_sent_when_a_doubt_that_was_given_up_is_taken_up_again(ledger):
    await bring_to(ledger, "old.wav", Status.IN_DOUBT)
    await claim(ledger, recording("moved.wav"))
    await settle(ledger, ended("old.wav", Status.GIVEN_UP))
    assert await claim(ledger, recording("moved.wav", seen=LATER)) == KNOWN
    await settle(ledger, ended("old.wav", Status.FAILED))
    assert await claim(ledger, recording("moved.wav")) == GRANTED


@pytest.mark.parametrize("answer", [Status.UPLOADED, Status.GIVEN_UP])
async def test_a_copy_stays_a_duplicate_when_the_doubt_is_settled_for_good(ledger, answer):
    await bring_to(ledger, "old.wav", Status.IN_DOUBT)
    await claim(ledger, recording("moved.wav"))
    await settle(
        ledger, uploaded("old.wav") if answer is Status.UPLOADED else ended("old.wav", answer)
    )
    assert (await known(ledger, "moved.wav")).outcome.status is Status.DUPLICATE


IMPOSSIBLE = [
    *((status, ended("a.wav", Status.CLAIMED)) for status in Status),
    *((status, Outcome("a.wav", Status.UPLOADED, stat())) for status in OPEN),
    (Status.UPLOADED, uploaded("a.wav", "another talk")),
    *((status, ended("a.wav", Status.INVALID)) for status in (Status.IN_DOUBT, Status.CONFLICT)),
    *((status, ended("a.wav", Status.DUPLICATE)) for status in OPEN),
    *(
        (status, outcome)
        for status in (Status.FAILED, Status.REJECTED, Status.INVALID, Status.DUPLICATE)
        for outcome in (
            uploaded("a.wav"),
            ended("a.wav", Status.IN_DOUBT),
            ended("a.wav", Status.CONFLICT),
        )
    ),
    (Status.UPLOADED, ended("a.wav", Status.IN_DOUBT)),
    *((status, ended("a.wav", Status.ACKNOWLEDGED)) for status in sorted(MAYBE_STORED)),
]


@pytest.mark.parametrize(("status", "outcome"), IMPOSSIBLE, ids=lambda value: value.__str__()[:60])
async def test_what_cannot_follow_is_refused_and_changes_nothing(ledger, status, outcome):
    await bring_to(ledger, "a.wav", status)
    before = await lines(ledger), await ledger.known("")
    with pytest.raises(LedgerError, match=r"a\.wav cannot be recorded as"):
        await settle(ledger, outcome)
    assert (await lines(ledger), await ledger.known("")) == before


@pytest.mark.parametrize("status", [Status.UPLOADED, Status.IN_DOUBT, Status.CONFLICT])
async def test_nothing_can_be_up_that_was_never_claimed(ledger, status):
    outcome = uploaded("a.wav") if status is Status.UPLOADED else ended("a.wav", status)
    with pytest.raises(LedgerError, match="was not claimed"):
        await settle(ledger, outcome)
    assert await lines(ledger) == []


# Recovery, release, forgetting


async def test_claims_of_a_run_that_died_are_in_doubt(opening):
    async with opening() as first:
        await claim(first, recording("a.wav", "A"), recording("b.wav", "B"))
        await upload(first, "c.wav", "C")
        before = await known(first, "a.wav")
    async with opening() as second:
        assert await second.recover() == 2
        assert await second.recover() == 0
        (a, b) = await lines(second, frozenset({Status.IN_DOUBT}))
        assert (a.path, b.path) == ("a.wav", "b.wav")
        assert a.failure.code == "RUN_ENDED"
        assert a.settled_at_ns is not None
        now = await known(second, "a.wav")
        assert (now.sha256, now.key) == (before.sha256, before.key)
        assert await claim(second, recording("a.wav", "A")) == HELD
        assert (await known(second, "c.wav")).outcome.status is Status.UPLOADED


async def test_a_released_claim_is_as_if_unseen(ledger):
    await bring_to(ledger, "a.wav", Status.FAILED)
    await claim(ledger, recording("a.wav"))
    await release(ledger, "a.wav")
    assert await ledger.known("") == {}
    assert await lines(ledger) == []
    assert await claim(ledger, recording("copy.wav")) == GRANTED


async def test_releasing_keeps_the_talk_that_was_there_before(ledger):
    await upload(ledger, "a.wav", "A", talk_id="talk-1")
    await claim(ledger, recording("a.wav", "B"))
    await release(ledger, "a.wav")
    assert [row.talk_id for row in await lines(ledger)] == ["talk-1"]
    assert await ledger.known("") == {}
    assert await claim(ledger, recording("a.wav", "B")) == GRANTED


@pytest.mark.parametrize("status", [None, *(each for each in Status if each != "claimed")])
async def test_only_a_claim_can_be_released(ledger, status):
    if status is not None:
        await bring_to(ledger, "a.wav", status)
    before = await lines(ledger)
    assert await ledger.apply([Release("a.wav")]) == [Lost("a.wav", status)]
    assert await lines(ledger) == before


async def test_only_what_is_not_stored_is_forgotten(ledger):
    for number, status in enumerate(Status):
        await bring_to(ledger, f"{status}.wav", status, audio=f"audio {number}")
    before = await lines(ledger)
    await forget(ledger, [*(f"{status}.wav" for status in Status), "never seen.wav"])
    forgotten = {Status.INVALID, Status.FAILED, Status.REJECTED}
    forgotten |= {Status.POSSIBLE_DUPLICATE, Status.ACKNOWLEDGED, Status.LEFT_OUT}
    forgotten |= {Status.WAITING, Status.STUCK}
    assert await lines(ledger) == [row for row in before if row.status not in forgotten]


async def test_paths_on_record_are_counted_in_all_states_but_waiting_ones(ledger):
    assert await ledger.count() == 0
    for number, status in enumerate(Status):
        await bring_to(ledger, f"{status}.wav", status, audio=f"audio {number}")
    await upload(ledger, "again.wav", talk_id="one")
    await upload(ledger, "again.wav", audio="other", talk_id="another")
    waiting = [row for row in await lines(ledger) if row.status.state.waits]
    assert len(waiting) == 2
    superseded = len(await lines(ledger)) - len(waiting) - await ledger.count()
    assert superseded == 1, "it has no path"
    before = await ledger.count()
    await forget(ledger, ["invalid.wav", "uploaded.wav", "waiting.wav"])
    assert await ledger.count() == before - 1


async def test_forgetting_a_defect_keeps_the_talk_beneath(ledger):
    await upload(ledger, "a.wav")
    await settle(ledger, ended("a.wav", Status.INVALID))
    await forget(ledger, ["a.wav"])
    assert await ledger.known("") == {}
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN


# A talk is one recording


@pytest.mark.parametrize("before", [Status.CLAIMED, Status.IN_DOUBT, Status.CONFLICT])
async def test_the_talk_of_another_recording_makes_a_conflict_and_stays_where_it_is(ledger, before):
    """Fault 84: whoever names it, the service, a search or a human."""
    await upload(ledger, "a.wav", "A", talk_id="talk-1")
    await bring_to(ledger, "b.wav", before, "B")
    recorded = await settle(ledger, uploaded("b.wav", "talk-1"))
    assert (recorded.status, recorded.talk_id) == (Status.CONFLICT, None)
    assert "talk talk-1 was named for b.wav, but it is a.wav; " in recorded.failure.message
    assert [(row.status, row.talk_id) for row in await lines(ledger)] == [
        (Status.UPLOADED, "talk-1"),
        (Status.CONFLICT, None),
    ]
    assert await settle(ledger, uploaded("b.wav", "talk-2")) == uploaded("b.wav", "talk-2")


async def test_the_talk_of_what_was_at_a_path_before_is_another_recordings(ledger):
    """Fault 84: superseded, and back again."""
    await upload(ledger, "a.wav", "A", talk_id="talk-1")
    assert await claim(ledger, recording("a.wav", "B")) == GRANTED
    recorded = await settle(ledger, uploaded("a.wav", "talk-1"))
    assert recorded.status is Status.CONFLICT
    assert "is a.wav as it was earlier" in recorded.failure.message
    await settle(ledger, ended("a.wav", Status.FAILED))
    assert await claim(ledger, recording("a.wav", "A", seen=LATER)) == KNOWN
    assert await claim(ledger, recording("b.wav", "B")) == GRANTED
    assert (await settle(ledger, uploaded("b.wav", "talk-1"))).status is Status.CONFLICT


async def test_the_records_of_some_paths_are_got_without_their_folders(ledger):
    await upload(ledger, "a.wav", "A", talk_id="talk-1")
    await upload(ledger, "d/b.wav", "B", talk_id="talk-2")
    await upload(ledger, "d/c.wav", "C", talk_id="talk-3")
    found = await ledger.get(["d/b.wav", "a.wav", "d/unseen.wav"])
    assert found == {path: await known(ledger, path) for path in ("d/b.wav", "a.wav")}
    assert await ledger.get([]) == {}


async def test_what_was_superseded_at_a_path_is_not_got(ledger):
    await upload(ledger, "a.wav", "A", talk_id="talk-1")
    await upload(ledger, "a.wav", "B", talk_id="talk-2")
    assert [each.talk_id for each in (await ledger.get(["a.wav"])).values()] == ["talk-2"]
