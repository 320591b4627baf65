"""The rules of one call, one talk: as examples, and as what holds for every pair of recordings."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st
from msgspec.structs import replace
from support.ledger_cases import CONNECTION, stat

from batch_uploader.core.calls import (
    Evidence,
    Ruling,
    Sameness,
    are_alike_in_length,
    judge,
    possible,
    strongest,
)
from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.model import Container
from batch_uploader.core.naming import stem
from batch_uploader.core.records import Record, Sight
from batch_uploader.core.states import Status

GONE, THERE = Sight(gone=True), Sight(gone=False)
ALL, NOTHING = Evidence(), Evidence(default_ids=False, essence=False)
MON, SUN = b"monday, 1, 2", b"sunday, 1, 2"
ONE, TWO, OTHER = b"the code:one", b"the code:two", b"a number:one"
ANOTHER, UNSEEN = Ruling(Sameness.ANOTHER), Ruling(Sameness.UNSEEN)


def surely(cause):
    return Ruling(Sameness.ONE, cause)


def perhaps(cause):
    return Ruling(Sameness.POSSIBLE, cause)


def call(path="a.wav", audio="A", *, about="m", essence=None, date=b"", named=b"", length=60.0):
    """``audio`` stands for the bytes and, unless given, for what is heard."""
    return Record(
        CONNECTION,
        path,
        Status.UPLOADED,
        stat(),
        container=Container.MP3 if path.endswith("mp3") else Container.WAV,
        sha256=audio.encode(),
        metadata=about.encode(),
        duration=length,
        essence=f"p{audio}".encode() if essence is None else essence,
        default_id=date,
        named_id=named,
    )


def of_older_version(record):
    return replace(record, essence=None, default_id=None, named_id=None)


OLD = call()
EXAMPLES = {
    # 0
    "tagged": (call(audio="tagged", essence=b"pA"), OLD, None, surely(Cause.SAME_AUDIO)),
    "its sidecar and IDs corrected": (
        call(about="n", date=SUN, named=TWO),
        call(date=MON, named=ONE),
        None,
        surely(Cause.SAME_AUDIO),
    ),
    "silence, tagged": (
        call(audio="B", essence=b"c0"),
        call(essence=b"c0"),
        None,
        surely(Cause.SAME_AUDIO),
    ),
    "remuxed": (call("a.wave", "B", essence=b"pA"), OLD, GONE, surely(Cause.SAME_AUDIO)),
    # 1
    "another number at the same place": (
        call("a.mp3", "B", named=TWO),
        call(named=ONE),
        None,
        ANOTHER,
    ),
    "the same audio of another number": (
        call("b.wav", about="n", named=TWO),
        call(named=ONE),
        None,
        ANOTHER,
    ),
    "the same number and audio": (
        call("b.wav", about="n", named=ONE),
        call(named=ONE),
        None,
        surely(Cause.SAME_AUDIO),
    ),
    "the same number, converted elsewhere": (
        call("mp3/a.mp3", "B", named=ONE),
        call("wav/a.wav", named=ONE),
        None,
        surely(Cause.CONVERTED),
    ),
    "the same number, converted and renamed": (
        call("b.mp3", "B", named=ONE),
        call(named=ONE),
        GONE,
        surely(Cause.CONVERTED),
    ),
    "the same number, another name, both there": (
        call("b.mp3", "B", named=ONE),
        call(named=ONE),
        THERE,
        perhaps(Cause.SAME_CALL_ID),
    ),
    "the second part of a number": (
        call("b.wav", "B", named=ONE),
        call(named=ONE),
        None,
        perhaps(Cause.SAME_CALL_ID),
    ),
    "another part in another codec, much longer": (
        call("a.mp3", "B", named=ONE, length=90),
        call(named=ONE),
        GONE,
        perhaps(Cause.SAME_CALL_ID),
    ),
    "numbers by two definitions": (
        call("b.wav", "B", named=OTHER),
        call(named=ONE),
        None,
        ANOTHER,
    ),
    # 2
    "a copy": (call("b.wav"), OLD, None, surely(Cause.SAME_CONTENT)),
    "a copy of silence": (
        call("b.wav", essence=b"c0"),
        call(essence=b"c0"),
        None,
        surely(Cause.SAME_CONTENT),
    ),
    "a copy, exported with other values": (
        call("b.wav", about="n", date=MON),
        call(date=MON),
        THERE,
        surely(Cause.SAME_AUDIO),
    ),
    "moved, exported with other values": (
        call("b.wav", about="n"),
        OLD,
        GONE,
        perhaps(Cause.MOVED),
    ),
    "a prompt": (call("b.wav", about="n"), OLD, THERE, ANOTHER),
    "silence of another call": (
        call("b.wav", "B", about="n", essence=b"c0"),
        call(essence=b"c0"),
        GONE,
        ANOTHER,
    ),
    # 3
    "a name that is used again": (call(audio="B", date=SUN), call(date=MON), None, ANOTHER),
    "a name that is used again, without IDs": (
        call(audio="B"),
        OLD,
        None,
        perhaps(Cause.CHANGED_AUDIO),
    ),
    "converted": (call("a.mp3", "B", length=61), OLD, GONE, surely(Cause.CONVERTED)),
    "converted, and the old file kept": (
        call("a.mp3", "B"),
        OLD,
        THERE,
        perhaps(Cause.TWO_FORMATS),
    ),
    "normalised": (
        call(audio="B", date=MON),
        call(date=MON),
        None,
        perhaps(Cause.CHANGED_AUDIO),
    ),
    "trimmed while it was converted": (
        call("a.mp3", "B", length=50),
        OLD,
        GONE,
        perhaps(Cause.CHANGED_AUDIO),
    ),
    # 4
    "the other half of a call": (
        call("b.wav", "B", date=MON),
        call(date=MON),
        THERE,
        perhaps(Cause.SAME_DEFAULT_ID),
    ),
    "moved and converted": (
        call("b.mp3", "B", date=MON),
        call(date=MON),
        GONE,
        perhaps(Cause.MOVED_AND_CONVERTED),
    ),
    "another call": (call("b.wav", "B", date=SUN), call(date=MON), GONE, ANOTHER),
    "calls without IDs": (call("b.wav", "B"), OLD, GONE, ANOTHER),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_rules_by_example(example):
    new, old, sight, ruling = EXAMPLES[example]
    assert judge(new, old, sight, ALL) == ruling


# What holds for every pair

paths = st.sampled_from(["a.wav", "a.mp3", "a.b.wav", "b.wav", "d/a.wav", "d/a.mp3"])


def records(*, known=False):
    """``known``: not of an older version, and not from a manifest."""
    unknown = st.nothing() if known else st.none()
    return st.builds(
        lambda path, audio, about, essence, date, named, length: replace(
            call(path, audio, essence=essence, date=date, named=named, length=length),
            essence=essence,
            metadata=about,
        ),
        paths,
        st.sampled_from("AB"),
        st.sampled_from([b"m", b"n"]) | unknown,
        st.sampled_from([b"pA", b"pB", b"mC", b"c0"]) | unknown,
        st.sampled_from([b"", MON, SUN]) | unknown,
        st.sampled_from([b"", ONE, TWO, OTHER]) | unknown,
        st.sampled_from([0.0, 60.0, 62.0, 90.0]) | st.none(),
    )


identities = st.builds(
    Identity,
    st.sampled_from([None, b"pA", b"pB", b"c0"]),
    st.sampled_from([b"", MON]),
    st.sampled_from([b"", ONE]),
)
evidences = st.builds(Evidence, st.booleans(), st.booleans())
often = hypothesis.settings(max_examples=300, deadline=None)


@often
@hypothesis.given(records(), records(), identities | st.none(), evidences)
def test_once_seen_it_is_decided_and_a_look_is_only_asked_for_where_it_decides(
    new, old, identity, evidence
):
    by_sight = [judge(new, old, Sight(gone, identity), evidence) for gone in (True, False)]
    assert UNSEEN not in by_sight
    unseen = judge(new, old, None, evidence)
    if unseen != UNSEEN:
        assert {judge(new, old, sight, evidence) for sight in (GONE, THERE)} == {unseen}


@often
@hypothesis.given(records(), records(), evidences)
def test_a_file_that_is_gone_makes_no_other_call_of_what_was_one_while_it_was_there(
    new, old, evidence
):
    there, gone = (judge(new, old, sight, evidence).sameness for sight in (THERE, GONE))
    assert gone >= there


@often
@hypothesis.given(
    records(known=True), records(known=True), st.sampled_from([GONE, THERE]), evidences
)
def test_which_of_the_two_came_first_changes_nothing(one, other, sight, evidence):
    hypothesis.assume(one.path != other.path)
    # The same bytes are heard in the same way.
    hypothesis.assume(one.sha256 != other.sha256 or one.essence == other.essence)
    assert judge(one, other, sight, evidence) == judge(other, one, sight, evidence)


@often
@hypothesis.given(records(), records(), st.sampled_from([None, GONE, THERE]), evidences)
def test_nothing_is_another_call_that_the_rules_hold(new, old, sight, evidence):
    same_place = stem(new.path) == stem(old.path)
    heard = new.sha256 == old.sha256 or (new.essence is not None and new.essence == old.essence)
    ruling = judge(new, old, sight, evidence)
    if same_place and heard:
        assert ruling == surely(Cause.SAME_AUDIO)
    if new.sha256 == old.sha256 and old.metadata in {None, new.metadata}:
        assert ruling.sameness is Sameness.ONE
    # "" and None differ from nothing.
    numbers = {one[:8] for one in (new.named_id, old.named_id) if one}
    other_number = bool(new.named_id and old.named_id) and len(numbers) == 1
    other_number &= new.named_id != old.named_id
    other_date = bool(new.default_id and old.default_id) and new.default_id != old.default_id
    if same_place and not other_number and not other_date:
        assert ruling.sameness is not Sameness.ANOTHER
    if new.named_id and new.named_id == old.named_id:
        assert ruling.sameness is not Sameness.ANOTHER
    if evidence.default_ids and new.default_id and new.default_id == old.default_id:
        assert other_number or ruling.sameness is not Sameness.ANOTHER


@often
@hypothesis.given(records(), records(), st.sampled_from([None, GONE, THERE]))
def test_what_an_older_version_did_not_record_makes_no_other_call_at_the_same_place(
    new, old, sight
):
    hypothesis.assume(stem(new.path) == stem(old.path))
    assert judge(new, of_older_version(old), sight, ALL).sameness is not Sameness.ANOTHER


@often
@hypothesis.given(
    records(known=True), records(known=True), st.sampled_from([GONE, THERE]), evidences
)
def test_what_a_look_shows_counts_as_if_it_had_been_on_record(new, old, sight, evidence):
    hypothesis.assume(new.path != old.path)
    identity = Identity(old.essence, old.default_id, old.named_id)
    seen = replace(sight, identity=identity)
    assert judge(new, of_older_version(old), seen, evidence) == judge(new, old, sight, evidence)
    # What is on record is what was sent; the file may say something else by now.
    other = replace(sight, identity=Identity(b"pZ", b"another day", b"the code:zzz"))
    assert judge(new, old, other, evidence) == judge(new, old, sight, evidence)


@often
@hypothesis.given(records(), records(), st.sampled_from([None, GONE, THERE]))
def test_what_proves_nothing_counts_as_if_it_were_not_there(new, old, sight):
    hypothesis.assume(stem(new.path) != stem(old.path))
    hypothesis.assume(new.sha256 != old.sha256)
    bare_new, bare_old = (replace(each, default_id=b"", essence=None) for each in (new, old))
    assert judge(new, old, sight, NOTHING) == judge(bare_new, bare_old, sight, ALL)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (0, 2, True),
        (0, 2.04, True),
        (0, 2.05, False),
        (60, 63.26, True),
        (60, 63.27, False),
        (3600, 3675.5, True),
        (3600, 3675.6, False),
        (60, 60, True),
    ],
)
def test_two_seconds_and_two_percent_are_no_difference(one, other, alike):
    assert are_alike_in_length(one, other) is alike
    assert are_alike_in_length(other, one) is alike


def test_an_unknown_length_is_like_none():
    """Held, not taken for converted."""
    encoded = replace(call("a.mp3", "B"), duration=None)
    assert judge(encoded, OLD, GONE, ALL) == perhaps(Cause.CHANGED_AUDIO)
    unknown = replace(call("a.mp3", "B"), container=None)
    assert judge(unknown, OLD, GONE, ALL) == perhaps(Cause.CHANGED_AUDIO)


def test_raw_samples_in_another_container_are_not_converted():
    samples = replace(call("a.raw", "B"), container=Container.RAW)
    assert judge(samples, OLD, GONE, ALL) == perhaps(Cause.CHANGED_AUDIO)


def test_the_surest_ruling_counts_and_of_equal_ones_the_first():
    rulings = [ANOTHER, perhaps(Cause.MOVED), surely(Cause.CONVERTED), UNSEEN]
    for order in itertools.permutations(enumerate(rulings)):
        ruling, record = strongest((each, number) for number, each in order)
        assert (ruling, record) == (surely(Cause.CONVERTED), 2)
    two = [(perhaps(Cause.MOVED), "first"), (perhaps(Cause.LEG), "second")]
    assert strongest(two) == two[0]
    assert strongest([(ANOTHER, "any")]) == (ANOTHER, None)


@pytest.mark.parametrize(
    "cause", sorted({ruling.cause for *_, ruling in EXAMPLES.values() if ruling.sameness == 1})
)
def test_each_cause_of_a_possible_duplicate_has_its_words(cause):
    failure = possible(cause, "d/a.wav")
    assert failure.code == cause.name
    assert "d/a.wav" in failure.message
