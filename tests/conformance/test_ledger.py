"""What every ledger must do, tested on each: the state machine, and what it remembers.

Also covers faults 42 and 43 (the same audio for two recordings) as far as the ledger decides them.
"""

import itertools
from contextlib import aclosing

import anyio
import pytest
from ledger_cases import AUDIO, CONNECTION, ended, recording, stat, uploaded
from msgspec.structs import replace

from batch_uploader.errors import LedgerError, LedgerLocked
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.model import Failure, Instant, Outcome, Status
from batch_uploader.ports import Claim, ClaimAnswer, Known, Row

GRANTED = ClaimAnswer(Claim.GRANTED)
KNOWN = ClaimAnswer(Claim.KNOWN)
OUTDATED = ClaimAnswer(Claim.OUTDATED)
HELD = ClaimAnswer(Claim.HELD)
LATER = stat(mtime_ns=1_800_000_000_000_000_000)
OPEN = [Status.CLAIMED, Status.IN_DOUBT, Status.CONFLICT]


def duplicate(other):
    return ClaimAnswer(Claim.DUPLICATE, other)


def busy(other):
    return ClaimAnswer(Claim.BUSY, other)


@pytest.fixture(params=["memory", "sqlite"])
def opening(request, tmp_path):
    """Makes a ledger over the same memory each time; its clock ticks 1, 2, 3, ..."""
    clock = itertools.count(1).__next__
    if request.param == "sqlite":
        return lambda: SqliteLedger(tmp_path / "ledger.db", CONNECTION, clock=clock)
    memory = MemoryLedger(CONNECTION, clock=clock)
    return lambda: memory


@pytest.fixture
async def ledger(opening):
    async with opening() as ledger:
        yield ledger


async def claim(ledger, *recordings):
    answers = await ledger.claim(recordings)
    return answers[0] if len(recordings) == 1 else answers


async def upload(ledger, path, audio="A", metadata="m", talk_id="talk-1"):
    assert await claim(ledger, recording(path, audio, metadata)) == GRANTED
    await ledger.settle(uploaded(path, talk_id))


async def bring_to(ledger, path, status, audio="A", metadata="m"):
    """Lead a path that was never seen to a status on the way that a run takes."""
    if status is Status.INVALID:
        await ledger.settle(ended(path, status), policy=b"rules")
        return
    if status is Status.DUPLICATE:
        await upload(ledger, f"{path} first", audio, metadata, talk_id=f"talk of {path} first")
        answer = await claim(ledger, recording(path, audio, metadata))
        assert answer == duplicate(f"{path} first")
        return
    assert await claim(ledger, recording(path, audio, metadata)) == GRANTED
    if status is Status.UPLOADED:
        await ledger.settle(uploaded(path))
    elif status is not Status.CLAIMED:
        await ledger.settle(ended(path, status))


async def lines(ledger, statuses=None):
    async with aclosing(ledger.rows(statuses)) as rows:
        return [row async for row in rows]


async def statuses_of(ledger, path):
    return [row.status for row in await lines(ledger) if row.path == path]


async def known(ledger, path):
    return (await ledger.known(path.rpartition("/")[0])).get(path)


def test_it_names_its_connection(opening):
    assert opening().connection_id == CONNECTION


# A claim, by what is known of its path


async def test_an_unseen_recording_is_granted_and_remembered_whole(ledger):
    new = recording("a.wav")
    assert await claim(ledger, new) == GRANTED
    assert await known(ledger, "a.wav") == Known(
        Outcome(
            "a.wav",
            Status.CLAIMED,
            new.stat,
            duration=AUDIO.duration,
            container=AUDIO.container,
        ),
        new.fingerprint.sha256,
        new.fingerprint.metadata,
        None,
        new.key,
    )
    assert await lines(ledger) == [
        Row(
            path="a.wav",
            connection_id=CONNECTION,
            status=Status.CLAIMED,
            size=1000,
            attempts=0,
            sha256=new.fingerprint.sha256,
            duration=AUDIO.duration,
            container=AUDIO.container,
        )
    ]


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
    assert await known(ledger, "a.wav") == replace(
        before, outcome=replace(before.outcome, stat=LATER)
    )


async def test_a_new_sidecar_of_a_talk_that_is_up_is_outdated_and_its_stat_is_not_renewed(ledger):
    await upload(ledger, "a.wav")
    before = await known(ledger, "a.wav")
    assert await claim(ledger, recording("a.wav", "A", "new", seen=LATER)) == OUTDATED
    assert await known(ledger, "a.wav") == before


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
    assert now.outcome.failure is None
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
    assert await claim(ledger, copy) == duplicate("first.wav")
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
    assert await claim(ledger, recording("b.wav")) == duplicate("a.wav first")


async def test_the_same_audio_with_other_metadata_is_another_call(ledger):
    """Fault 42: silence and announcements are the same in many calls."""
    await upload(ledger, "a.wav", "silence", "one call")
    assert await claim(ledger, recording("b.wav", "silence", "another call")) == GRANTED


async def test_a_copy_of_a_superseded_talk_is_a_duplicate(ledger):
    """Fault 43: ``call.wav`` was renamed, and another file came in its place."""
    await upload(ledger, "call.wav", "A", talk_id="talk-A")
    await upload(ledger, "call.wav", "B", talk_id="talk-B")
    assert await claim(ledger, recording("renamed.wav", "A")) == duplicate("call.wav")


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
    answers = await claim(
        ledger,
        recording("a.wav", "A"),
        recording("copy of a.wav", "A"),
        recording("copy of old.wav", "old"),
        recording("a.wav", "A"),
        recording("b.wav", "A", "another call"),
        recording("old.wav", "old", seen=LATER),
    )
    assert answers == [GRANTED, busy("a.wav"), duplicate("old.wav"), HELD, GRANTED, KNOWN]


async def test_an_empty_batch_has_no_answers(ledger):
    assert await ledger.claim([]) == []


async def test_of_many_that_claim_the_same_content_at_once_one_gets_it(ledger):
    answers = []

    async def ask(path):
        answers.append(await claim(ledger, recording(path)))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(ask, f"{number}.wav")
    assert [answer.claim for answer in answers].count(Claim.GRANTED) == 1
    assert [answer.claim for answer in answers].count(Claim.BUSY) == 49


# Settling


async def test_an_upload_is_remembered_with_its_fingerprint(ledger):
    new = recording("a.wav")
    await claim(ledger, new)
    await ledger.settle(uploaded("a.wav", "talk-7", attempts=3))
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
    await ledger.settle(outcome)
    now = await known(ledger, "a.wav")
    assert now.outcome == replace(outcome, duration=AUDIO.duration, container=AUDIO.container)
    assert now.sha256 == new.fingerprint.sha256


async def test_the_stat_on_record_stays_that_of_what_was_claimed(ledger):
    await claim(ledger, recording("a.wav"))
    await ledger.settle(uploaded("a.wav", seen=LATER))
    assert (await known(ledger, "a.wav")).outcome.stat == stat()


async def test_a_defect_needs_no_claim_and_remembers_the_rules_it_was_found_by(ledger):
    outcome = ended("sub/a.wav", Status.INVALID, code="sidecar-missing")
    await ledger.settle(outcome, policy=b"rules")
    assert await ledger.known("sub") == {
        "sub/a.wav": Known(outcome, policy=b"rules", settled_at_ns=1)
    }


@pytest.mark.parametrize("status", [Status.DUPLICATE, Status.FAILED, Status.REJECTED])
async def test_others_that_need_no_claim_are_recorded_too(ledger, status):
    outcome = ended("a.wav", status)
    await ledger.settle(outcome)
    assert await ledger.known("") == {"a.wav": Known(outcome, settled_at_ns=1)}


async def test_a_settled_duplicate_keeps_the_fingerprint_of_its_claim(ledger):
    await bring_to(ledger, "a.wav", Status.DUPLICATE)
    await ledger.settle(
        Outcome("a.wav", Status.DUPLICATE, stat(), duplicate_of="a.wav first", attempts=0)
    )
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN
    assert (await known(ledger, "a.wav")).outcome.duplicate_of == "a.wav first"


@pytest.mark.parametrize(
    "status", [Status.INVALID, Status.DUPLICATE, Status.FAILED, Status.REJECTED]
)
async def test_nothing_overwrites_a_talk(ledger, status):
    await upload(ledger, "a.wav", talk_id="talk-1")
    await ledger.settle(ended("a.wav", status))
    assert [(row.status, row.talk_id) for row in await lines(ledger)] == [
        (Status.UPLOADED, "talk-1"),
        (status, None),
    ]
    assert (await known(ledger, "a.wav")).sha256 is None


@pytest.mark.parametrize("status", [Status.INVALID, Status.FAILED, Status.REJECTED])
async def test_a_talk_comes_back_when_its_path_is_sound_again(ledger, status):
    await upload(ledger, "a.wav", talk_id="talk-1")
    before = await known(ledger, "a.wav")
    await ledger.settle(ended("a.wav", status))
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN
    assert await known(ledger, "a.wav") == replace(
        before, outcome=replace(before.outcome, stat=LATER)
    )
    assert len(await lines(ledger)) == 1


async def test_a_broken_sidecar_that_is_mended_otherwise_sends_no_second_talk(ledger):
    await upload(ledger, "a.wav", "A", "m")
    await ledger.settle(ended("a.wav", Status.INVALID))
    assert await claim(ledger, recording("a.wav", "A", "mended")) == OUTDATED
    assert await statuses_of(ledger, "a.wav") == [Status.UPLOADED]


async def test_other_audio_after_a_defect_is_granted_and_the_talk_is_kept(ledger):
    await upload(ledger, "a.wav", "A")
    await ledger.settle(ended("a.wav", Status.INVALID))
    assert await claim(ledger, recording("a.wav", "B")) == GRANTED
    assert await statuses_of(ledger, "a.wav") == [Status.UPLOADED, Status.CLAIMED]


async def test_a_talk_reported_again_renews_the_stat_and_nothing_else(ledger):
    await upload(ledger, "a.wav", talk_id="talk-1")
    (before,) = await lines(ledger)
    await ledger.settle(uploaded("a.wav", "talk-1", attempts=9, seen=LATER))
    assert (await known(ledger, "a.wav")).outcome.stat == LATER
    assert await lines(ledger) == [before]


@pytest.mark.parametrize("status", [Status.IN_DOUBT, Status.CONFLICT])
@pytest.mark.parametrize(
    "answer", [Status.UPLOADED, Status.FAILED, Status.REJECTED, Status.IN_DOUBT, Status.CONFLICT]
)
async def test_a_doubt_can_be_resolved(ledger, status, answer):
    await bring_to(ledger, "a.wav", status)
    resolved = uploaded("a.wav", "talk-9") if answer is Status.UPLOADED else ended("a.wav", answer)
    await ledger.settle(resolved)
    now = await known(ledger, "a.wav")
    assert now.outcome.status is answer
    assert now.outcome.talk_id == resolved.talk_id
    assert now.sha256 == recording("a.wav").fingerprint.sha256


async def test_a_doubt_resolved_as_to_be_sent_again_is_granted_next(ledger):
    await bring_to(ledger, "a.wav", Status.IN_DOUBT)
    await ledger.settle(ended("a.wav", Status.FAILED))
    assert await claim(ledger, recording("a.wav")) == GRANTED


async def test_a_copy_is_sent_when_the_doubt_it_waited_for_turns_out_unfounded(ledger):
    """Fault 43: the file was moved while its talk was in doubt, so nobody else will send it."""
    await bring_to(ledger, "old.wav", Status.IN_DOUBT)
    assert await claim(ledger, recording("moved.wav")) == duplicate("old.wav")
    await ledger.settle(ended("old.wav", Status.FAILED))
    assert await known(ledger, "moved.wav") is None
    assert await claim(ledger, recording("moved.wav")) == GRANTED


async def test_a_copy_is_sent_when_a_doubt_that_was_given_up_is_taken_up_again(ledger):
    await bring_to(ledger, "old.wav", Status.IN_DOUBT)
    await claim(ledger, recording("moved.wav"))
    await ledger.settle(ended("old.wav", Status.GIVEN_UP))
    assert await claim(ledger, recording("moved.wav", seen=LATER)) == KNOWN
    await ledger.settle(ended("old.wav", Status.FAILED))
    assert await claim(ledger, recording("moved.wav")) == GRANTED


@pytest.mark.parametrize("answer", [Status.UPLOADED, Status.GIVEN_UP])
async def test_a_copy_stays_a_duplicate_when_the_doubt_is_settled_for_good(ledger, answer):
    await bring_to(ledger, "old.wav", Status.IN_DOUBT)
    await claim(ledger, recording("moved.wav"))
    await ledger.settle(
        uploaded("old.wav") if answer is Status.UPLOADED else ended("old.wav", answer)
    )
    assert (await known(ledger, "moved.wav")).outcome.status is Status.DUPLICATE


@pytest.mark.parametrize("digest", ["sha256", "metadata"])
async def test_contents_whose_digests_differ_in_the_last_byte_are_two(ledger, digest):
    """Faults 42, 43: whatever an index holds of a digest, what is compared is all of it."""
    first = recording("a.wav")
    whole = getattr(first.fingerprint, digest)
    other = replace(first.fingerprint, **{digest: whole[:-1] + bytes([whole[-1] ^ 1])})
    assert await claim(ledger, first) == GRANTED
    assert await claim(ledger, replace(first, path="b.wav", fingerprint=other)) == GRANTED
    assert await claim(ledger, replace(first, path="c.wav")) == busy("a.wav")
    await ledger.settle(ended("a.wav", Status.FAILED))
    await ledger.settle(uploaded("b.wav"))
    assert await claim(ledger, replace(first, path="c.wav")) == GRANTED
    copy = replace(first, path="d.wav", fingerprint=other)
    assert await claim(ledger, copy) == duplicate("b.wav")


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
]


@pytest.mark.parametrize(("status", "outcome"), IMPOSSIBLE, ids=lambda value: value.__str__()[:60])
async def test_what_cannot_follow_is_refused_and_changes_nothing(ledger, status, outcome):
    await bring_to(ledger, "a.wav", status)
    before = await lines(ledger), await ledger.known("")
    with pytest.raises(LedgerError, match=r"a\.wav cannot be recorded as"):
        await ledger.settle(outcome)
    assert (await lines(ledger), await ledger.known("")) == before


@pytest.mark.parametrize("status", [Status.UPLOADED, Status.IN_DOUBT, Status.CONFLICT])
async def test_nothing_can_be_up_that_was_never_claimed(ledger, status):
    outcome = uploaded("a.wav") if status is Status.UPLOADED else ended("a.wav", status)
    with pytest.raises(LedgerError, match="was not claimed"):
        await ledger.settle(outcome)
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
    await ledger.release("a.wav")
    assert await ledger.known("") == {}
    assert await lines(ledger) == []
    assert await claim(ledger, recording("copy.wav")) == GRANTED


async def test_releasing_keeps_the_talk_that_was_there_before(ledger):
    await upload(ledger, "a.wav", "A", talk_id="talk-1")
    await claim(ledger, recording("a.wav", "B"))
    await ledger.release("a.wav")
    assert [row.talk_id for row in await lines(ledger)] == ["talk-1"]
    assert await ledger.known("") == {}
    assert await claim(ledger, recording("a.wav", "B")) == GRANTED


@pytest.mark.parametrize("status", [None, *(each for each in Status if each != "claimed")])
async def test_only_a_claim_can_be_released(ledger, status):
    if status is not None:
        await bring_to(ledger, "a.wav", status)
    before = await lines(ledger)
    with pytest.raises(LedgerError, match="cannot be released"):
        await ledger.release("a.wav")
    assert await lines(ledger) == before


async def test_only_what_is_not_stored_is_forgotten(ledger):
    for number, status in enumerate(Status):
        await bring_to(ledger, f"{status}.wav", status, audio=f"audio {number}")
    before = await lines(ledger)
    await ledger.forget([*(f"{status}.wav" for status in Status), "never seen.wav"])
    forgotten = {Status.INVALID, Status.FAILED, Status.REJECTED}
    assert await lines(ledger) == [row for row in before if row.status not in forgotten]


async def test_forgetting_a_defect_keeps_the_talk_beneath(ledger):
    await upload(ledger, "a.wav")
    await ledger.settle(ended("a.wav", Status.INVALID))
    await ledger.forget(["a.wav"])
    assert await ledger.known("") == {}
    assert await claim(ledger, recording("a.wav", seen=LATER)) == KNOWN


# Reading


async def test_a_folder_is_known_without_those_below_and_beside_it(ledger):
    paths = ["r.wav", "a/x.wav", "a/y.wav", "a/b/z.wav", "ab/x.wav", "a!/x.wav", "A/x.wav"]
    for number, path in enumerate(paths):
        await claim(ledger, recording(path, f"audio {number}"))
    assert sorted(await ledger.known("")) == ["r.wav"]
    assert sorted(await ledger.known("a")) == ["a/x.wav", "a/y.wav"]
    assert sorted(await ledger.known("a/b")) == ["a/b/z.wav"]
    assert await ledger.known("none") == {}


async def test_lines_are_sorted_by_code_points_of_the_whole_path(ledger):
    paths = [
        "b",
        "a/b",
        "a.b",
        "a b",
        "a",
        "B",
        "\u044f",
        "\uffff",
        "\U0001f4de",
        "e\u0301",
        "\xe9",
    ]
    for number, path in enumerate(paths):
        await claim(ledger, recording(path, f"audio {number}"))
    assert [row.path for row in await lines(ledger)] == sorted(paths)


async def test_names_that_differ_in_form_or_case_are_two_recordings(ledger):
    """Fault 40."""
    paths = ["\xe9.wav", "e\u0301.wav", "CALL.wav", "call.wav"]
    for number, path in enumerate(paths):
        assert await claim(ledger, recording(path, f"audio {number}")) == GRANTED
    assert set(await ledger.known("")) == set(paths)


async def test_lines_can_be_chosen_by_status(ledger):
    for number, status in enumerate(Status):
        await bring_to(ledger, f"{status}.wav", status, audio=f"audio {number}")
    chosen = frozenset({Status.FAILED, Status.INVALID})
    assert [row.path for row in await lines(ledger, chosen)] == ["failed.wav", "invalid.wav"]
    assert await lines(ledger, frozenset()) == []
    assert len(await lines(ledger)) == len(Status) + 1


async def test_lines_are_those_of_one_moment_while_the_run_goes_on(ledger):
    paths = [f"{number:05}.wav" for number in range(2500)]
    await ledger.claim([recording(path, path) for path in paths])
    seen = []
    async with aclosing(ledger.rows()) as rows:
        async for row in rows:
            if not seen:
                await ledger.settle(uploaded("02499.wav"))
                await claim(ledger, recording("zzz.wav", "new"))
            seen.append((row.path, row.status))
    assert seen == [(path, Status.CLAIMED) for path in paths]
    assert len(await lines(ledger)) == 2501


async def test_an_unfinished_reading_can_be_closed(ledger):
    await ledger.claim([recording(f"{number}.wav", str(number)) for number in range(1500)])
    async with aclosing(ledger.rows()) as rows:
        async for _ in rows:
            break
    await claim(ledger, recording("new.wav", "new"))
    assert len(await lines(ledger)) == 1501


# Doubts

STAMP = "upload_key"


async def doubt_about(ledger, path, audio="A", *, stamp_field=STAMP):
    new = recording(path, audio)
    assert await ledger.claim([new], stamp_field=stamp_field) == [GRANTED]
    await ledger.settle(ended(path, Status.IN_DOUBT, attempts=2))
    return new


async def test_a_doubt_knows_its_key_its_stamp_and_since_when_it_is_one(ledger):
    later = await doubt_about(ledger, "d/b.wav", "B", stamp_field=None)
    new = await doubt_about(ledger, "a.wav")
    await upload(ledger, "up.wav", "C")
    first, second = await ledger.doubts()
    assert (first.path, first.key, first.stamp_field) == ("a.wav", new.key, STAMP)
    assert (second.path, second.key, second.stamp_field) == ("d/b.wav", later.key, None)
    assert first.outcome == replace(
        ended("a.wav", Status.IN_DOUBT, attempts=2),
        stat=new.stat,
        duration=AUDIO.duration,
        container=AUDIO.container,
    )
    assert second.arose.wall_ns < first.arose.wall_ns
    assert (first.arose.boot is None) == (first.arose.boot_ns is None)
    assert first.missed is None


async def test_a_killed_run_leaves_doubts_with_the_stamp_they_were_claimed_with(opening):
    """Fault 10, as far as the search for them goes."""
    async with opening() as ledger:
        await ledger.claim([recording("a.wav")], stamp_field=STAMP)
        assert await ledger.doubts() == []
    async with opening() as ledger:
        assert await ledger.recover() == 1
        (doubt,) = await ledger.doubts()
        assert (doubt.path, doubt.stamp_field, doubt.missed) == ("a.wav", STAMP, None)
        assert doubt.arose.wall_ns == (await known(ledger, "a.wav")).settled_at_ns


async def test_what_a_look_brought_is_remembered(opening):
    """Fault 13: also by the next run."""
    async with opening() as ledger:
        await doubt_about(ledger, "a.wav")
        (doubt,) = await ledger.doubts()
        failure = Failure("HELD", "wait", "request-1")
        noted = replace(
            doubt,
            outcome=replace(doubt.outcome, failure=failure),
            arose=Instant(77, "boot", 5),
            missed=Instant(78, None, None),
        )
        await ledger.note([noted])
        assert await ledger.doubts() == [noted]
    async with opening() as ledger:
        assert await ledger.recover() == 0
        assert await ledger.doubts() == [noted]
        assert (await known(ledger, "a.wav")).outcome.failure == failure
        # Reported once more it is as old as it was, and ended and begun anew it is not.
        await ledger.settle(ended("a.wav", Status.IN_DOUBT))
        (same,) = await ledger.doubts()
        assert (same.arose, same.missed) == (noted.arose, noted.missed)
        await ledger.settle(ended("a.wav", Status.FAILED))
        assert await ledger.doubts() == []
        await doubt_about(ledger, "a.wav")
        (new,) = await ledger.doubts()
        assert new.missed is None
        assert new.arose.wall_ns < 77


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.IN_DOUBT])
async def test_what_is_not_in_doubt_any_more_is_not_noted(ledger, status):
    await doubt_about(ledger, "a.wav")
    (doubt,) = await ledger.doubts()
    await ledger.settle(ended("a.wav", Status.FAILED))
    if status is not Status.FAILED:
        await bring_to(ledger, "a.wav", status)
    before = await known(ledger, "a.wav")
    await ledger.note([doubt])
    assert await known(ledger, "a.wav") == before


async def test_a_note_about_other_audio_at_the_path_is_left_out(ledger):
    await doubt_about(ledger, "a.wav")
    (old,) = await ledger.doubts()
    await ledger.settle(ended("a.wav", Status.FAILED))
    await doubt_about(ledger, "a.wav", "B")
    (new,) = await ledger.doubts()
    await ledger.note([replace(old, missed=Instant(1))])
    assert await ledger.doubts() == [new]


async def test_stamps_that_are_known_to_be_up_the_latest_first(ledger):
    keys = []
    for number in range(4):
        new = recording(f"{number}.wav", str(number))
        await ledger.claim([new], stamp_field=STAMP if number != 1 else "other")
        await ledger.settle(uploaded(f"{number}.wav", f"talk-{number}"))
        keys.append(new.key)
    await upload(ledger, "bare.wav", "bare")
    await doubt_about(ledger, "doubt.wav", "doubt")
    assert await ledger.stamped(STAMP, 2) == [keys[3], keys[2]]
    assert await ledger.stamped(STAMP, 9) == [keys[3], keys[2], keys[0]]
    assert await ledger.stamped("other", 9) == [keys[1]]


# The lock and the life


async def test_one_run_at_a_time(opening):
    """Fault 9, within one process."""
    async with opening() as first:
        await claim(first, recording("a.wav"))
        with pytest.raises(LedgerLocked, match="another run"):
            await opening().__aenter__()
        await first.settle(uploaded("a.wav"))
    async with opening() as second:
        assert (await known(second, "a.wav")).outcome.talk_id == "talk-1"


async def test_a_ledger_that_is_not_entered_refuses_everything(opening):
    async with opening() as ledger:
        await claim(ledger, recording("a.wav"))
    calls = [
        ledger.recover,
        lambda: ledger.known(""),
        lambda: ledger.claim([recording("b.wav")]),
        lambda: ledger.release("a.wav"),
        lambda: ledger.settle(ended("a.wav", Status.INVALID)),
        lambda: ledger.forget(["a.wav"]),
        ledger.doubts,
        lambda: ledger.note([]),
        lambda: ledger.stamped(STAMP, 1),
        lambda: lines(ledger),
    ]
    for call in calls:
        with pytest.raises(LedgerError, match="not open"):
            await call()


@pytest.mark.parametrize("answer", [Status.UPLOADED, Status.IN_DOUBT])
async def test_of_another_file_at_the_path_nothing_was_decided(ledger, answer):
    await bring_to(ledger, "a.wav", Status.GIVEN_UP)
    other = uploaded("a.wav") if answer is Status.UPLOADED else ended("a.wav", answer)
    other = replace(other, stat=LATER)
    with pytest.raises(LedgerError, match="not the one that was claimed"):
        await ledger.settle(other)
    assert (await known(ledger, "a.wav")).outcome.status is Status.GIVEN_UP
