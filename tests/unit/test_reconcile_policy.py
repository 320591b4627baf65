"""What follows from a search for a doubt: every hit, miss, clock and contradiction. Fault 29."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from batch_uploader.core.errors import SearchFailed
from batch_uploader.core.model import Failure, Timestamp, Version
from batch_uploader.core.ports import Match
from batch_uploader.core.records import Canary, Record
from batch_uploader.core.states import Status
from batch_uploader.doubts.policy import (
    Absent,
    Contradiction,
    SearchPatience,
    SearchResult,
    Stays,
    Up,
    judge,
    passed,
)

CONNECTION = "connection-1"
HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY
START = Timestamp(1_700_000_000 * 10**9, "this boot", 5_000 * 10**9)
WAIT = SearchPatience(1800.0)
PLACE = 5
CANARY = Canary("canary", "talk-w", PLACE + 1)
BEFORE = Canary("before", "talk-b", PLACE)
PROVED = Match("talk-w", CONNECTION, "canary")
UNEXPECTED = Match("talk-9", CONNECTION, "foreign")
CHANGED = Failure("SOURCE_CHANGED", "compare talk talk-7 with the recording", "request-1")


def later(then, seconds, *, wall=0.0, boot=None, up=0.0):
    """``seconds`` after ``then``; ``wall`` is by how much the wall clock was set meanwhile.

    With ``boot`` the machine was started again, ``up`` seconds ago.
    """
    wall_ns = then.wall_ns + round((seconds + wall) * 1e9)
    if boot is not None:
        return Timestamp(wall_ns, boot, round(up * 1e9))
    return replace(then, wall_ns=wall_ns, boot_ns=then.boot_ns + round(seconds * 1e9))


def doubt(
    *, since=START, first_miss=None, duration=60.0, claimed_at_ns=START.wall_ns, failure=None
):
    failure = failure or Failure("INTERNAL", "find out", "request-1")
    return Record(
        CONNECTION,
        "a.wav",
        Status.IN_DOUBT,
        Version(1, 1),
        failure=failure,
        since=since,
        first_miss=first_miss,
        key="key-a",
        duration=duration,
        attempts=1,
        claimed_at_ns=claimed_at_ns,
        stamp_field="upload_key",
        doubt_seq=PLACE,
    )


def hit(talk_id="talk-1", *, key="key-a", connection_id=CONNECTION, reaches=None):
    return Match(talk_id, connection_id, key, reaches)


def answer(*matches, others=("key-b",), canaries=(CANARY, BEFORE), wider=None):
    return SearchResult(frozenset({"key-a", *others}), tuple(canaries), matches, wider)


def alone(*matches):
    """The answer to a search for the one key, after one that had the canary found it."""
    return answer(*matches, others=(), canaries=(), wider=answer(PROVED, UNEXPECTED))


def verdict(about, found, now=START, wait=WAIT):
    return judge(about, found, CONNECTION, now, wait)


# Hits


@pytest.mark.parametrize("reaches", [None, 60.0, 61.9, 58.0, 30.0])
@pytest.mark.parametrize("age", [0, HOUR, -HOUR])
def test_one_hit_that_can_be_the_recording_is_it_at_once(age, reaches):
    assert verdict(doubt(), answer(hit(reaches=reaches)), later(START, 0, wall=age)) == Up("talk-1")


def test_a_hit_of_unknown_length_is_believed():
    assert verdict(doubt(duration=None), answer(hit(reaches=9.0))) == Up("talk-1")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((hit("talk-1"), hit("talk-2")), "2 talks carry its key: talk-1, talk-2"),
        ((hit(connection_id="other"),), "belongs to another connection"),
        ((hit(reaches=65.0),), "lasts 65 s; the recording lasts 60 s"),
        ((hit(reaches=20.0),), "lasts 20 s; the recording lasts 60 s"),
    ],
)
def test_what_contradicts_itself_is_for_a_human(found, said):
    about = doubt(first_miss=START)
    decided = verdict(about, answer(PROVED, *found), later(START, 2 * HOUR))
    assert isinstance(decided, Contradiction)
    assert said in decided.failure.message
    assert decided.failure.request_id == "request-1"


def test_a_search_for_it_alone_that_finds_another_stamp_is_for_a_human():
    decided = verdict(doubt(), alone(UNEXPECTED))
    assert isinstance(decided, Contradiction)
    assert "talk-9" in decided.failure.message


@pytest.mark.parametrize(
    "found",
    [
        alone(Match("talk-9", CONNECTION, None)),
        alone(UNEXPECTED, Match("talk-8", CONNECTION, None)),
        answer(UNEXPECTED, others=()),
        answer(PROVED, UNEXPECTED),
        answer(PROVED, UNEXPECTED, canaries=()),
    ],
    ids=["no stamp is told", "of one none is told", "a canary", "others", "others alone"],
)
def test_a_stray_that_another_key_may_bring_up_leaves_it_in_doubt(found):
    """Fault 29: perhaps it is its own talk, which Search knows before Get does."""
    decided = verdict(doubt(first_miss=START), found, later(START, HOUR))
    assert isinstance(decided, Stays)
    assert decided.doubt.failure.code == "SEARCH_ASTRAY"
    assert "talk-9" in decided.doubt.failure.message


@pytest.mark.parametrize("found", [hit(), hit(reaches=60.0)])
def test_a_talk_that_is_known_to_be_another_recording_is_for_a_human(found):
    """Fault 33: the file changed while it was sent, and the service took what had come."""
    decided = verdict(doubt(failure=CHANGED), answer(PROVED, found))
    assert isinstance(decided, Contradiction)
    assert "talk talk-1 carries its key" in decided.failure.message
    assert "talk-7" in decided.failure.message


@pytest.mark.parametrize(
    "found",
    [
        answer(PROVED),
        answer(),
        answer(PROVED, UNEXPECTED),
        SearchFailed("the service did not tell", code="UNAVAILABLE"),
    ],
    ids=["not found", "unproved", "astray", "failed"],
)
@pytest.mark.parametrize("age", [10, HOUR, YEAR])
def test_a_talk_that_was_named_is_never_absent_and_its_name_never_lost(found, age):
    """Fault 33."""
    decided = verdict(doubt(failure=CHANGED, first_miss=START), found, later(START, age))
    assert isinstance(decided, Stays)
    assert decided.doubt.failure == CHANGED


# Misses


def test_a_miss_before_the_hold_proves_nothing_and_says_when_it_is_over():
    decided = verdict(doubt(), answer(PROVED), later(START, 1799))
    assert isinstance(decided, Stays)
    assert decided.due == pytest.approx(1)
    assert decided.doubt.first_miss is None
    assert decided.doubt.failure.code == "HELD"
    assert "2023-11-14 22:44 UTC" in decided.doubt.failure.message


def test_two_misses_some_time_apart_after_the_hold_prove_that_it_is_absent():
    now = later(START, 1800)
    first = verdict(doubt(), answer(PROVED), now)
    assert isinstance(first, Stays)
    assert first.doubt.first_miss == now
    assert first.due == WAIT.spacing == 60
    early = verdict(first.doubt, answer(PROVED), later(now, 59))
    assert isinstance(early, Stays)
    assert (early.doubt.first_miss, early.due) == (now, pytest.approx(1))
    assert verdict(early.doubt, answer(PROVED), later(now, 60)) == Absent()


def test_a_search_for_some_of_the_keys_goes_by_the_canaries_of_the_wider_one():
    decided = verdict(doubt(first_miss=later(START, 1800)), alone(), later(START, 1900))
    assert decided == Absent()


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (answer(), "SEARCH_BEHIND"),
        (answer(hit("talk-b", key="key-b")), "SEARCH_BEHIND"),
        (answer(hit("talk-w0", key="canary")), "SEARCH_BEHIND"),
        (answer(PROVED, canaries=(CANARY, Canary("l", "latest", PLACE + 2))), "SEARCH_BEHIND"),
        (answer(PROVED, UNEXPECTED), "SEARCH_ASTRAY"),
        (answer(hit(key=None)), "SEARCH_ASTRAY"),
    ],
    ids=["nothing", "others", "an earlier talk of one", "not the latest", "astray", "no key"],
)
def test_a_miss_of_a_search_that_is_not_proved_never_counts(found, code):
    """Faults 29 and 82: a wrong key of the field finds nothing, an index that is behind not all."""
    decided = verdict(doubt(first_miss=START), found, later(START, 10 * DAY))
    assert isinstance(decided, Stays)
    assert decided.doubt.failure.code == code
    assert decided.due is None


@pytest.mark.parametrize("canaries", [(), (BEFORE,)], ids=["none", "before the doubt"])
def test_where_nothing_went_up_since_no_wait_helps_but_an_upload(canaries):
    """Faults 82 and 83."""
    found = answer(hit("talk-b", key="before"), canaries=canaries, others=("before",))
    decided = verdict(doubt(first_miss=START), found, later(START, 10 * DAY))
    assert decided.doubt.failure.code == "SEARCH_UNPROVED"
    assert "the next upload with --stamp-field upload_key" in decided.doubt.failure.message
    assert decided.due == math.inf


def test_a_canary_of_before_the_doubt_need_not_be_there_any_more():
    """The service deletes talks after three months."""
    found = answer(PROVED, canaries=(CANARY, BEFORE))
    assert verdict(doubt(first_miss=START), found, later(START, HOUR)) == Absent()


@pytest.mark.parametrize(
    "about",
    [
        doubt(first_miss=START),
        doubt(first_miss=START, since=Timestamp(START.wall_ns, "another boot", 1)),
        doubt(first_miss=START, since=later(START, 61 * DAY - HOUR), claimed_at_ns=START.wall_ns),
    ],
    ids=["by the time since the start", "by the wall clock", "by its claim"],
)
def test_a_miss_proves_nothing_once_the_service_may_have_deleted_the_talk(about):
    """What was sent so long ago may have been there."""
    decided = verdict(about, answer(PROVED), later(START, 61 * DAY))
    assert isinstance(decided, Stays)
    assert decided.doubt.failure.code == "TOO_OLD"
    assert "60 days" in decided.doubt.failure.message
    assert verdict(about, answer(PROVED, hit()), later(START, 61 * DAY)) == Up("talk-1")


def test_until_then_it_does():
    about = doubt(first_miss=START, claimed_at_ns=START.wall_ns)
    assert verdict(about, answer(PROVED), later(START, 59 * DAY)) == Absent()


@pytest.mark.parametrize(
    "found", [answer(PROVED), answer(), SearchFailed("no", code="INTERNAL"), answer(UNEXPECTED)]
)
@pytest.mark.parametrize("age", [0, HOUR])
def test_no_look_is_promised_that_a_run_without_the_field_would_not_do(found, age):
    decided = verdict(doubt(), found, later(START, age))
    assert "--stamp-field upload_key" in decided.doubt.failure.message


def test_a_search_that_fails_changes_nothing_but_the_reason():
    failed = SearchFailed("the service did not tell", code="UNAVAILABLE")
    about = doubt(first_miss=later(START, 1800))
    decided = verdict(about, failed, later(START, HOUR))
    assert isinstance(decided, Stays)
    assert decided.doubt.failure.code == "UNAVAILABLE"
    assert replace(decided.doubt, failure=about.failure) == about


# Clocks: fault 13

FAR = 50 * DAY


def test_a_clock_a_year_ahead_leaves_it_in_doubt_until_it_goes_right():
    """Fault 13: for all that is known the talk is deleted."""
    decided = verdict(doubt(first_miss=START), answer(PROVED), later(START, HOUR, wall=YEAR))
    assert decided.doubt.failure.code == "TOO_OLD"
    assert verdict(decided.doubt, answer(PROVED), later(START, HOUR)) == Absent()


@pytest.mark.parametrize("jump", [HOUR, -HOUR, FAR, -YEAR])
def test_a_wall_clock_that_jumps_changes_no_hold(jump):
    """Fault 13."""
    assert passed(START, later(START, 100, wall=jump)) == pytest.approx(100)
    early = verdict(doubt(), answer(PROVED), later(START, 1799, wall=jump))
    assert early.due == pytest.approx(1)
    now = later(START, 1800, wall=jump)
    missed = verdict(doubt(), answer(PROVED), now).doubt
    assert missed.first_miss == now
    assert verdict(missed, answer(PROVED), later(now, 61, wall=-jump)) == Absent()


@pytest.mark.parametrize("jump", [HOUR, FAR])
def test_a_jump_ahead_across_a_restart_shortens_no_hold(jump):
    """Fault 13: of what was before the start nobody knows how long it took."""
    now = later(START, 30, wall=jump, boot="next boot", up=20)
    assert verdict(doubt(), answer(PROVED), now).due == pytest.approx(1780)


@pytest.mark.parametrize("jump", [-HOUR, -YEAR])
def test_a_jump_back_across_a_restart_begins_the_hold_anew_once(jump):
    """Fault 13: no wait is endless."""
    now = later(START, 30, wall=jump, boot="next boot", up=20)
    decided = verdict(doubt(first_miss=START), answer(PROVED), now)
    assert (decided.doubt.since, decided.doubt.first_miss) == (now, None)
    assert decided.due == pytest.approx(1800)
    again = verdict(decided.doubt, answer(PROVED), later(now, 1800))
    assert again.doubt.first_miss is not None


def test_without_a_clock_that_nobody_sets_the_wall_clock_counts():
    bare = Timestamp(START.wall_ns)
    assert passed(bare, Timestamp(START.wall_ns + 10**9)) == 1
    assert passed(bare, Timestamp(START.wall_ns - 10**9)) is None


def test_a_doubt_of_unknown_age_is_as_old_as_its_first_look():
    decided = verdict(doubt(since=None), answer(PROVED), START)
    assert decided.doubt.since == START
    assert decided.due == 1800


seconds = st.floats(0, 3 * HOUR)
jumps = st.sampled_from([0, HOUR, -HOUR, FAR, -YEAR]) | st.floats(-YEAR, FAR)
restarts = st.none() | st.floats(0, 1)


@given(st.lists(st.tuples(seconds, jumps, restarts), min_size=1, max_size=12))
def test_no_history_of_clocks_makes_it_absent_before_its_time(history):
    """Fault 13: by the true time, which no clock of the machine shows."""
    about, true, now, boots = doubt(), 0.0, START, 0
    counted = None
    for step, jump, restart in history:
        true += step
        if restart is None:
            now = later(now, step, wall=jump)
        else:
            boots += 1
            now = later(now, step, wall=jump, boot=f"boot {boots}", up=step * restart)
        decided = verdict(about, answer(PROVED), now)
        if isinstance(decided, Absent):
            assert true >= WAIT.hold - 1e-3
            assert counted is not None
            assert true - counted >= WAIT.spacing - 1e-3
            return
        if decided.doubt.first_miss is not None and decided.doubt.first_miss != about.first_miss:
            counted = true
        about = decided.doubt


@given(jumps, restarts.filter(lambda share: share != 0))
def test_after_any_jump_two_looks_are_enough_once_the_clocks_go_right(jump, restart):
    """Fault 13: no wait endless."""
    now = later(START, HOUR, wall=jump)
    if restart is not None:
        now = later(START, HOUR, wall=jump, boot="next boot", up=HOUR * restart)
    about = doubt()
    for _ in range(4):
        decided = verdict(about, answer(PROVED), now)
        if isinstance(decided, Absent):
            return
        assert decided.due is not None
        assert decided.due <= WAIT.hold
        about, now = decided.doubt, later(now, decided.due + 0.001)
    pytest.fail("it is never absent")


@given(
    st.lists(
        st.builds(
            Match,
            st.sampled_from(["talk-1", "talk-2", "talk-w", "talk-b"]),
            st.sampled_from([CONNECTION, "other"]),
            st.sampled_from(["key-a", "key-b", "canary", "before", "foreign", None]),
            st.none() | st.floats(0, 200),
        ),
        max_size=4,
        unique_by=lambda match: match.talk_id,
    ),
    st.booleans(),
    st.floats(0, YEAR),
)
def test_what_is_found_is_never_absent_and_what_is_not_never_up(matches, missed, age):
    """Fault 29, whatever Search may answer."""
    assume(len({match.talk_id for match in matches}) == len(matches))
    about = doubt(first_miss=START if missed else None)
    decided = verdict(about, answer(*matches), later(START, age))
    ours = [match for match in matches if match.key == "key-a"]
    match decided:
        case Up(talk_id):
            assert [each.talk_id for each in ours] == [talk_id]
        case Absent():
            assert not ours
            assert age >= WAIT.hold
            assert missed
            assert ("canary", "talk-w") in {(match.key, match.talk_id) for match in matches}
        case Contradiction():
            assert ours
        case Stays():
            assert not ours


def test_where_a_ledger_was_lost_a_miss_never_counts():
    """Fault 8: nobody knows when, and from where, it may have been sent; a hit is a hit."""
    lost = doubt(first_miss=START, claimed_at_ns=None)
    missed = verdict(lost, answer(PROVED), later(START, 10 * HOUR))
    assert isinstance(missed, Stays)
    assert missed.doubt.failure.code == "LEDGER_LOST"
    assert verdict(lost, answer(PROVED, hit())) == Up("talk-1")
