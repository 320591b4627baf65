"""One call, one talk: what every ledger answers about what may be a call on record (core/calls)."""

import pytest
from msgspec.structs import replace
from support.ledger_cases import AUDIO, CONNECTION, ended, identity, recording, stat, uploaded
from support.ledger_changes import claim_all, settle
from support.ledger_harness import (
    GRANTED,
    HELD,
    KNOWN,
    LATER,
    OUTDATED,
    bring_to,
    busy,
    claim,
    duplicate,
    known,
    lines,
    may_be,
    rejudge,
    statuses_of,
)

from batch_uploader.app.decisions import Resolution
from batch_uploader.core.changes import (
    Forget,
    JudgeDefaultIds,
    LearnIdentity,
    Release,
    Settle,
    TakeOver,
)
from batch_uploader.core.identity import CONSTANT, Cause, Identity
from batch_uploader.core.model import Container
from batch_uploader.core.ports import apply_all, apply_one
from batch_uploader.core.records import ClaimResult, Record, SharedIds, Sight
from batch_uploader.core.states import Status, Verdict

GONE, THERE = Sight(gone=True), Sight(gone=False)


def call(path, audio="A", metadata="m", *, date=b"", named=b"", length=60.0, seen=None):
    """A recording of a call with these IDs; without any, unless they are given."""
    container = Container.MP3 if path.endswith(".mp3") else Container.WAV
    ids = Identity(identity(audio, "").essence, date, named)
    info = replace(AUDIO, container=container, duration=length)
    return recording(path, audio, metadata, ids=ids, info=info, seen=seen)


def of_older_version(new):
    """The record of what is uploaded, without an identity."""
    return Record(
        CONNECTION,
        new.path,
        Status.UPLOADED,
        new.stat,
        sha256=new.fingerprint.sha256,
        metadata=new.fingerprint.metadata,
        key=new.key,
        duration=new.audio.duration,
        container=new.audio.container,
        talk_id="talk-1",
    )


async def sent(ledger, new, talk_id="talk-1", sights=None):
    assert await claim(ledger, new, sights=sights) == GRANTED
    await settle(ledger, uploaded(new.path, talk_id))


# Looks


async def test_a_record_whose_file_decides_is_to_be_looked_at_and_nothing_is_recorded(ledger):
    await sent(ledger, call("a.wav"))
    (answer,) = await claim_all(ledger, [call("b.wav", metadata="other")])
    assert answer.claim is ClaimResult.LOOK
    assert [each.path for each in answer.look] == ["a.wav"]
    assert await known(ledger, "b.wav") is None


async def test_the_same_audio_elsewhere_is_a_move_only_if_the_old_file_is_gone(ledger):
    """Rule 2."""
    await sent(ledger, call("a.wav"))
    moved = call("b.wav", metadata="other")
    held = may_be(moved, "a.wav", Cause.MOVED)
    assert await claim(ledger, moved, sights={"a.wav": GONE}) == held
    assert (await known(ledger, "b.wav")).policy is None
    assert await claim(ledger, moved, sights={"a.wav": THERE}) == GRANTED


async def test_other_audio_at_a_place_is_converted_or_held_by_what_became_of_the_old_file(ledger):
    """Rule 3."""
    await sent(ledger, call("a.wav"))
    encoded = call("a.mp3", "B", length=61.0)
    assert await claim(ledger, encoded, sights={"a.wav": THERE}) == may_be(
        encoded, "a.wav", Cause.TWO_FORMATS
    )
    assert await claim(ledger, encoded, sights={"a.wav": GONE}) == duplicate(
        encoded, "a.wav", Cause.CONVERTED
    )
    assert await claim(ledger, replace(encoded, stat=LATER)) == KNOWN
    trimmed = call("a.wav", "C")
    assert await claim(ledger, trimmed) == may_be(trimmed, "a.wav", Cause.CHANGED_AUDIO)
    assert await statuses_of(ledger, "a.wav") == [Status.UPLOADED, Status.POSSIBLE_DUPLICATE]


async def test_a_sidecar_of_what_was_converted_that_changes_makes_no_other_call(ledger):
    """Rule 0."""
    await sent(ledger, call("a.wav", date=b"monday"))
    encoded = call("a.mp3", "B", date=b"monday")
    await claim(ledger, encoded, sights={"a.wav": GONE})
    assert (await known(ledger, "a.mp3")).cause is Cause.CONVERTED
    for _ in range(2):
        assert await claim(ledger, call("a.mp3", "B", "edited", date=b"tuesday")) in (
            OUTDATED,
            KNOWN,
        )
        assert await statuses_of(ledger, "a.mp3") == [Status.DUPLICATE]


async def test_what_takes_the_place_of_what_was_converted_is_held(ledger):
    """Rule 3: a recorder that fills an hour each time uses its names again, without any IDs."""
    await sent(ledger, call("a.wav"))
    encoded, other = call("a.mp3", "B"), call("a.mp3", "C")
    assert (await claim(ledger, encoded, sights={"a.wav": GONE})).outcome.cause is Cause.CONVERTED
    answer = await claim(ledger, other, sights={"a.wav": GONE})
    assert (answer.claim, answer.outcome.cause) == (ClaimResult.POSSIBLE, Cause.CHANGED_AUDIO)


async def test_what_is_tagged_where_it_was_is_known_and_its_bytes_are_on_record(ledger):
    """Rule 0: the same essence, and other bytes."""
    first = call("a.wav")
    await sent(ledger, first)
    other_bytes = replace(first.fingerprint, sha256=b"tagged".ljust(32, b"."))
    tagged = replace(first, fingerprint=other_bytes, stat=LATER)
    assert await claim(ledger, tagged) == KNOWN
    now = await known(ledger, "a.wav")
    assert (now.sha256, now.talk_id, now.key) == (other_bytes.sha256, "talk-1", first.key)
    copy = replace(tagged, path="copy.wav")
    assert await claim(ledger, copy) == duplicate(copy, "a.wav")


async def test_what_is_being_sent_decides_first_by_each_of_the_rules(ledger):
    one = b"the code:one"
    await claim(ledger, call("a.wav", date=b"monday", named=one))
    for new in (
        call("a.mp3", "B"),
        call("b.wav", metadata="other"),
        call("c.wav", "B", date=b"monday"),
        call("d.wav", "B", named=one),
    ):
        assert await claim(ledger, new) == busy("a.wav"), new.path
    assert await claim(ledger, call("e.wav", "B", date=b"sunday")) == GRANTED


async def test_two_ids_by_one_definition_are_two_calls_and_by_two_say_nothing(ledger):
    """Rule 1."""
    await sent(ledger, call("a.wav", named=b"the code:one", date=b"monday"))
    part = call("b.wav", "B", named=b"the code:one")
    assert await claim(ledger, part) == may_be(part, "a.wav", Cause.SAME_CALL_ID)
    assert await claim(ledger, call("c.wav", "C", named=b"the code:two", date=b"monday")) == GRANTED
    other = call("d.wav", "D", named=b"a number:two", date=b"monday")
    assert (await claim(ledger, other)).claim is ClaimResult.BUSY
    await settle(ledger, uploaded("c.wav", "talk-2"))
    assert (await claim(ledger, other)).outcome.cause is Cause.SAME_DEFAULT_ID


async def test_silence_proves_nothing_nor_does_what_was_heard_in_three_calls(ledger):
    """Rule 2."""
    quiet = CONSTANT + b"-" * 16
    gone = {"a.wav": GONE, "b.wav": GONE}

    def silent(path, audio):
        return replace(call(path, audio, audio), identity=Identity(quiet))

    await sent(ledger, silent("a.wav", "A"))
    await sent(ledger, silent("b.wav", "B"), "talk-2", gone)
    for number, date in enumerate([b"monday", b"sunday"], start=3):
        new = call(f"{number}.wav", "prompt", f"m{number}", date=date)
        await sent(ledger, new, f"talk-{number}")
    moved = call("moved.wav", "prompt", "m", date=b"friday")
    assert await claim(ledger, moved, sights={"3.wav": GONE, "4.wav": GONE}) == GRANTED


async def test_what_an_older_version_recorded_learns_what_was_seen_of_it(ledger):
    """No essence and no IDs are on record: what is seen decides, and is recorded with it."""
    await apply_one(ledger, TakeOver(of_older_version(call("a.wav"))))
    seen = Sight(gone=False, identity=Identity(b"pE", b"monday"))
    new = replace(call("b.wav", "A", "other", date=b"monday"), identity=Identity(b"pE", b"monday"))
    assert await claim(ledger, new, sights={"a.wav": seen}) == duplicate(
        new, "a.wav", Cause.SAME_AUDIO
    )
    now = await known(ledger, "a.wav")
    assert (now.essence, now.default_id, now.status) == (b"pE", b"monday", Status.UPLOADED)


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.INVALID])
async def test_what_is_not_stored_holds_nothing(ledger, status):
    await bring_to(ledger, "a.wav", status)
    same_ids = identity("A", "m")
    other_audio = recording("b.wav", "B", ids=replace(same_ids, essence=b"pB"))
    assert await claim(ledger, other_audio) == GRANTED


# A decision, and what becomes of it


@pytest.mark.parametrize("ending", [Status.FAILED, Status.REJECTED])
async def test_what_was_held_is_free_when_the_other_turns_out_not_to_be_stored(ledger, ending):
    await bring_to(ledger, "a.wav", Status.IN_DOUBT)
    held = recording("b.wav", "B", ids=replace(identity("A", "m"), essence=b"pB"))
    assert (await claim(ledger, held)).claim is ClaimResult.POSSIBLE
    before = await known(ledger, "b.wav")
    assert (await rejudge(ledger, "b.wav")).claim is ClaimResult.POSSIBLE
    assert await known(ledger, "b.wav") == before, "it is held since then"
    assert (await known(ledger, "b.wav")).status is Status.POSSIBLE_DUPLICATE
    await settle(ledger, ended("a.wav", ending))
    assert await rejudge(ledger, "b.wav") == GRANTED
    assert await known(ledger, "b.wav") is None
    assert await claim(ledger, held) == GRANTED


async def test_judged_again_it_may_be_the_same_call_for_sure(ledger):
    """The file that was there is gone by now."""
    await sent(ledger, call("a.wav"))
    encoded = call("a.mp3", "B")
    assert (await claim(ledger, encoded)).outcome.cause is Cause.TWO_FORMATS
    before = await known(ledger, "a.mp3")
    answer = await rejudge(ledger, "a.mp3", {"a.wav": GONE})
    assert answer == duplicate(encoded, "a.wav", Cause.CONVERTED)
    now = await known(ledger, "a.mp3")
    assert (now.status, now.sha256, now.stat) == (Status.DUPLICATE, before.sha256, before.stat)


async def test_judged_again_while_the_other_is_being_sent_it_waits(ledger):
    await bring_to(ledger, "a.wav", Status.IN_DOUBT)
    held = recording("b.wav", "B", ids=replace(identity("A", "m"), essence=b"pB"))
    await claim(ledger, held)
    await settle(ledger, ended("a.wav", Status.FAILED))
    await claim(ledger, recording("a.wav"))
    assert await rejudge(ledger, "b.wav") == busy("a.wav")
    assert (await known(ledger, "b.wav")).status is Status.POSSIBLE_DUPLICATE


@pytest.mark.parametrize(
    "status", [None, *sorted(set(Status) - {Status.POSSIBLE_DUPLICATE})], ids=str
)
async def test_only_what_is_held_is_judged_again(ledger, status):
    if status is not None:
        await bring_to(ledger, "a.wav", status)
    before = await lines(ledger)
    assert await rejudge(ledger, "a.wav") == HELD
    assert await lines(ledger) == before


async def test_a_leg_stays_held_until_a_human_decides(ledger):
    leg = replace(ended("a-in.wav", Status.POSSIBLE_DUPLICATE), cause=Cause.LEG)
    await settle(ledger, leg)
    assert await rejudge(ledger, "a-in.wav") == HELD
    assert await statuses_of(ledger, "a-in.wav") == [Status.POSSIBLE_DUPLICATE]


async def resend(ledger, path):
    """What ``resolve --resend`` records."""
    await settle(ledger, Resolution(Verdict.RESEND).outcome((await known(ledger, path)).outcome))


@pytest.mark.parametrize("given_back", [False, True])
async def test_what_a_human_called_another_call_is_sent_whatever_it_is_like(ledger, given_back):
    await sent(ledger, call("a.wav"))
    new = call("a.mp3", "B")
    await claim(ledger, new)
    await resend(ledger, "a.mp3")
    assert await claim(ledger, new) == GRANTED
    if given_back:
        assert await ledger.apply([Release("a.mp3")]) == [None]
        assert (await known(ledger, "a.mp3")).status is Status.FAILED
        assert await claim(ledger, new) == GRANTED
    await settle(ledger, uploaded("a.mp3", "talk-2"))
    assert await claim(ledger, new) == KNOWN


async def test_of_copies_that_are_another_call_than_a_third_one_is_sent(ledger):
    """Fault 43: each was compared with the first half of the call, and not with the other."""
    await sent(ledger, call("a.wav", date=b"monday"))
    half, copy = call("b.wav", "B", date=b"monday"), call("c.wav", "B", date=b"monday")
    for each in (half, copy):
        assert (await claim(ledger, each)).claim is ClaimResult.POSSIBLE
        await resend(ledger, each.path)
    assert await claim(ledger, half, copy) == [GRANTED, busy("b.wav")]
    await settle(ledger, uploaded("b.wav", "talk-2"))
    assert await claim(ledger, copy) == duplicate(copy, "b.wav")


async def test_a_copy_that_a_human_called_another_call_is_sent(ledger):
    await sent(ledger, call("a.wav"))
    copy = call("b.wav")
    assert await claim(ledger, copy) == duplicate(copy, "a.wav")
    await resend(ledger, "b.wav")
    assert await claim(ledger, copy) == GRANTED


async def test_a_decision_is_about_the_audio_that_was_held(ledger):
    await sent(ledger, call("a.wav"))
    await claim(ledger, call("a.mp3", "B"))
    await resend(ledger, "a.mp3")
    assert (await claim(ledger, call("a.mp3", "C"))).outcome.cause is Cause.TWO_FORMATS


async def test_a_decision_about_a_leg_that_was_not_read_is_about_its_file(ledger):
    await sent(ledger, call("a.wav"))
    leg = replace(ended("a.mp3", Status.POSSIBLE_DUPLICATE, duplicate_of="x"), cause=Cause.LEG)
    for seen, answer in ((stat(), ClaimResult.GRANTED), (LATER, ClaimResult.POSSIBLE)):
        await settle(ledger, leg)
        await resend(ledger, "a.mp3")
        assert (await claim(ledger, call("a.mp3", "B", seen=seen))).claim is answer
        await settle(ledger, ended("a.mp3", Status.FAILED))
        await apply_one(ledger, Forget("a.mp3"))


@pytest.mark.parametrize("cause", [Cause.CONVERTED, Cause.SAME_AUDIO, Cause.SAME_CONTENT, None])
async def test_duplicates_of_what_proves_absent_are_judged_again(ledger, cause):
    """Fault 43: also those that were found to be the same call by other means than its bytes."""
    await bring_to(ledger, "a.wav", Status.IN_DOUBT)
    sure = replace(ended("b.wav", Status.DUPLICATE, duplicate_of="a.wav"), cause=cause)
    other = replace(ended("c.wav", Status.DUPLICATE, duplicate_of="else.wav"), cause=cause)
    await apply_all(ledger, [Settle(sure), Settle(other)])
    await settle(ledger, ended("a.wav", Status.FAILED))
    assert await known(ledger, "b.wav") is None
    assert await known(ledger, "c.wav") is not None


async def test_a_copy_of_what_was_converted_is_not_lost_when_the_call_proves_absent(ledger):
    """Fault 43: the copy has other bytes than the recording whose duplicate it is."""
    await claim(ledger, call("a.wav"))
    await settle(ledger, ended("a.wav", Status.IN_DOUBT))
    encoded, copy = call("a.mp3", "B"), call("b.mp3", "B")
    answer = await claim(ledger, encoded, sights={"a.wav": GONE})
    assert answer == duplicate(encoded, "a.wav", Cause.CONVERTED)
    assert await claim(ledger, copy) == duplicate(copy, "a.wav")
    await settle(ledger, ended("a.wav", Status.FAILED))
    assert await claim(ledger, copy) == GRANTED
    assert await claim(ledger, encoded) == busy("b.mp3")


# Learning


async def test_an_identity_is_learned_where_there_was_none_and_for_the_same_files(ledger):
    await apply_one(ledger, TakeOver(of_older_version(call("a.wav"))))
    found = Identity(b"pE", b"monday", b"the code:one")
    await apply_one(ledger, LearnIdentity("a.wav", LATER, found))
    assert (await known(ledger, "a.wav")).essence is None, "other files"
    await apply_one(ledger, LearnIdentity("a.wav", stat(), found))
    for identity_now in (found, Identity(b"pF", b"sunday")):
        await apply_one(ledger, LearnIdentity("a.wav", stat(), identity_now))
        now = await known(ledger, "a.wav")
        assert Identity(now.essence, now.default_id, now.named_id) == found


async def test_nothing_is_learned_of_what_is_being_sent_or_unseen(ledger):
    await claim(ledger, replace(call("a.wav"), identity=Identity()))
    before = await lines(ledger)
    for path in ("a.wav", "unseen.wav"):
        await apply_one(ledger, LearnIdentity(path, stat(), Identity(b"pE")))
    assert await lines(ledger) == before


# Default IDs that name no calls


async def held(ledger, count, *, lengths=(10.0,), date=b"monday", prefix=""):
    """So many recordings with one default ID: the first is sent, the others are held."""
    paths = [f"{prefix}{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        new = call(path, path, path, date=date, length=lengths[number % len(lengths)])
        answer = await claim(ledger, new)
        if number:
            assert answer.outcome.cause is Cause.SAME_DEFAULT_ID
        else:
            await settle(ledger, uploaded(path, f"talk of {path}"))
    return paths


@pytest.mark.parametrize(
    ("places", "lengths", "off"),
    [
        (4, (10.0, 60.0, 300.0), True),
        (3, (10.0, 60.0, 300.0), False),
        (4, (10.0, 60.0), False),
        (4, (60.0, 61.0, 62.0), False),
    ],
)
async def test_an_id_at_four_places_with_three_lengths_names_no_call(ledger, places, lengths, off):
    paths = await held(ledger, places, lengths=lengths)
    shared = await apply_one(ledger, JudgeDefaultIds())
    assert shared == (SharedIds(tuple(paths[:3]), 1, 1) if off else None)
    assert await apply_one(ledger, JudgeDefaultIds()) is None, "said once"
    for path in paths[1:]:
        assert (await rejudge(ledger, path) == GRANTED) is off
    new = call("new.wav", "new", date=b"monday")
    assert (await claim(ledger, new) == GRANTED) is off


@pytest.mark.parametrize(
    ("shared", "total", "off"), [(10, 100, True), (10, 600, False), (9, 100, False)]
)
async def test_ids_that_many_share_name_no_calls(ledger, shared, total, off):
    """Over 2 %, and more than a few."""
    for number in range(shared):
        await held(ledger, 2, date=b"%d" % number, prefix=f"{number}-")
    others = [
        call(f"other {number}.wav", f"o{number}", f"{number}", date=b"other %d" % number)
        for number in range(total - shared)
    ]
    assert {answer.claim for answer in await claim_all(ledger, others)} == {ClaimResult.GRANTED}
    found = await apply_one(ledger, JudgeDefaultIds())
    assert (found is not None) is off
    if off:
        assert (found.shared, found.total) == (shared, total)


async def test_ids_that_name_no_calls_prove_nothing_in_any_rule_but_different_ones_do(ledger):
    await held(ledger, 4, lengths=(10.0, 60.0, 300.0))
    await apply_one(ledger, JudgeDefaultIds())
    same_audio = call("moved.wav", "0.wav", "other", date=b"monday", length=10.0)
    assert await claim(ledger, same_audio) == GRANTED, "not the same call for its ID"
    reused = call("0.wav", "other", date=b"sunday")
    assert await claim(ledger, reused) == GRANTED, "a name is used again"
