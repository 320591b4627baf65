"""What follows from a search for a doubt: every hit, miss, clock and contradiction. Fault 29."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batch_uploader.errors import SearchFailed
from batch_uploader.model import Failure, Instant, Outcome, Stat, Status
from batch_uploader.ports import Doubt, Match
from batch_uploader.reconcile.policy import (
    Absent,
    Answer,
    Contradiction,
    Patience,
    Stays,
    Up,
    judge,
    passed,
)

CONNECTION = "connection-1"
HOUR = 3600
YEAR = 365 * 24 * HOUR
START = Instant(1_700_000_000 * 10**9, "this boot", 5_000 * 10**9)
WAIT = Patience(1800.0)
PROVED = Match("talk-w", CONNECTION, "witness")


def later(then, seconds, *, wall=0.0, boot=None, up=0.0):
    """``seconds`` after ``then``; ``wall`` is by how much the wall clock was set meanwhile.

    With ``boot`` the machine was started again, ``up`` seconds ago.
    """
    wall_ns = then.wall_ns + round((seconds + wall) * 1e9)
    if boot is not None:
        return Instant(wall_ns, boot, round(up * 1e9))
    return replace(then, wall_ns=wall_ns, boot_ns=then.boot_ns + round(seconds * 1e9))


def doubt(*, arose=START, missed=None, duration=60.0):
    failure = Failure("INTERNAL", "find out", "request-1")
    outcome = Outcome(
        "a.wav", Status.IN_DOUBT, Stat(1, 1), attempts=1, failure=failure, duration=duration
    )
    return Doubt(outcome, "key-a", "upload_key", arose, missed)


def hit(talk_id="talk-1", *, key="key-a", connection_id=CONNECTION, reaches=None):
    return Match(talk_id, connection_id, key, reaches)


def answer(*matches, others=("key-b",)):
    return Answer(frozenset({"key-a", *others}), frozenset({"witness"}), matches)


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
        ((hit(reaches=65.0),), "goes to second 65 where the recording has 60"),
        ((hit(reaches=20.0),), "goes to second 20 where the recording has 60"),
    ],
)
def test_what_contradicts_itself_is_for_a_human(found, said):
    about = doubt(missed=START)
    decided = verdict(about, answer(PROVED, *found), later(START, 2 * HOUR))
    assert isinstance(decided, Contradiction)
    assert said in decided.failure.message
    assert decided.failure.request_id == "request-1"


def test_a_search_for_it_alone_that_finds_another_stamp_is_for_a_human():
    decided = verdict(doubt(), answer(hit("talk-9", key="foreign"), others=()))
    assert isinstance(decided, Contradiction)
    assert "talk-9" in decided.failure.message


# Misses


def test_a_miss_before_the_hold_proves_nothing_and_says_when_it_is_over():
    decided = verdict(doubt(), answer(PROVED), later(START, 1799))
    assert isinstance(decided, Stays)
    assert decided.due == pytest.approx(1)
    assert decided.doubt.missed is None
    assert decided.doubt.outcome.failure.code == "HELD"
    assert "2023-11-14 22:44 UTC" in decided.doubt.outcome.failure.message


def test_two_misses_some_time_apart_after_the_hold_prove_that_it_is_absent():
    now = later(START, 1800)
    first = verdict(doubt(), answer(PROVED), now)
    assert isinstance(first, Stays)
    assert first.doubt.missed == now
    assert first.due == WAIT.spacing == 60
    early = verdict(first.doubt, answer(PROVED), later(now, 59))
    assert isinstance(early, Stays)
    assert (early.doubt.missed, early.due) == (now, pytest.approx(1))
    assert verdict(early.doubt, answer(PROVED), later(now, 60)) == Absent()


def test_a_hit_on_another_doubt_proves_the_search_as_well():
    found = answer(hit("talk-b", key="key-b"))
    decided = verdict(doubt(missed=later(START, 1800)), found, later(START, 1900))
    assert decided == Absent()


@pytest.mark.parametrize("found", [(), (hit("talk-9", key="foreign"), PROVED), (hit(key=None),)])
def test_a_miss_of_a_search_that_is_not_proved_never_counts(found):
    """A wrong key of the field finds nothing either, or anything."""
    decided = verdict(doubt(missed=START), answer(*found), later(START, YEAR))
    assert isinstance(decided, Stays)
    assert decided.doubt.outcome.failure.code == "SEARCH_UNPROVED"
    assert decided.due is None


def test_a_search_that_fails_changes_nothing_but_the_reason():
    failed = SearchFailed("the service did not tell", code="UNAVAILABLE")
    about = doubt(missed=later(START, 1800))
    decided = verdict(about, failed, later(START, HOUR))
    assert isinstance(decided, Stays)
    assert decided.doubt.outcome.failure.code == "UNAVAILABLE"
    assert replace(decided.doubt, outcome=about.outcome) == about


# Clocks: fault 13


@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEAR, -YEAR])
def test_a_wall_clock_that_jumps_changes_no_hold(jump):
    """Fault 13."""
    assert passed(START, later(START, 100, wall=jump)) == pytest.approx(100)
    early = verdict(doubt(), answer(PROVED), later(START, 1799, wall=jump))
    assert early.due == pytest.approx(1)
    now = later(START, 1800, wall=jump)
    missed = verdict(doubt(), answer(PROVED), now).doubt
    assert missed.missed == now
    assert verdict(missed, answer(PROVED), later(now, 61, wall=-jump)) == Absent()


@pytest.mark.parametrize("jump", [HOUR, YEAR])
def test_a_jump_ahead_across_a_restart_shortens_no_hold(jump):
    """Fault 13: of what was before the start nobody knows how long it took."""
    now = later(START, 30, wall=jump, boot="next boot", up=20)
    assert verdict(doubt(), answer(PROVED), now).due == pytest.approx(1780)


@pytest.mark.parametrize("jump", [-HOUR, -YEAR])
def test_a_jump_back_across_a_restart_begins_the_hold_anew_once(jump):
    """Fault 13: no wait is endless."""
    now = later(START, 30, wall=jump, boot="next boot", up=20)
    decided = verdict(doubt(missed=START), answer(PROVED), now)
    assert (decided.doubt.arose, decided.doubt.missed) == (now, None)
    assert decided.due == pytest.approx(1800)
    again = verdict(decided.doubt, answer(PROVED), later(now, 1800))
    assert again.doubt.missed is not None


def test_without_a_clock_that_nobody_sets_the_wall_clock_counts():
    bare = Instant(START.wall_ns)
    assert passed(bare, Instant(START.wall_ns + 10**9)) == 1
    assert passed(bare, Instant(START.wall_ns - 10**9)) is None


def test_a_doubt_of_unknown_age_is_as_old_as_its_first_look():
    decided = verdict(doubt(arose=None), answer(PROVED), START)
    assert decided.doubt.arose == START
    assert decided.due == 1800


seconds = st.floats(0, 3 * HOUR)
jumps = st.sampled_from([0, HOUR, -HOUR, YEAR, -YEAR]) | st.floats(-YEAR, YEAR)
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
        if decided.doubt.missed is not None and decided.doubt.missed != about.missed:
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
            st.sampled_from(["talk-1", "talk-2", "talk-3"]),
            st.sampled_from([CONNECTION, "other"]),
            st.sampled_from(["key-a", "key-b", "witness", "foreign", None]),
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
    about = doubt(missed=START if missed else None)
    decided = verdict(about, answer(*matches), later(START, age))
    ours = [match for match in matches if match.key == "key-a"]
    match decided:
        case Up(talk_id):
            assert [each.talk_id for each in ours] == [talk_id]
        case Absent():
            assert not ours
            assert age >= WAIT.hold
            assert missed
        case Contradiction():
            assert ours
        case Stays():
            assert not ours
