"""When a run is to end since more of the same would only do harm."""

import pytest

from batch_uploader.core.errors import (
    InDoubt,
    NoSuchService,
    NotSent,
    Rejected,
    Throttled,
    Unauthorized,
    UnknownConnection,
)
from batch_uploader.core.model import Ending
from batch_uploader.pace.governor import Caps, Governor
from batch_uploader.pace.stop_policy import DOUBTS, FIRST_DOUBTS, RECENT, UNKNOWN

DOUBT = InDoubt("a proxy answered", code="UNAVAILABLE")
NO_SERVICE = NoSuchService("no such host", hint="check it", code="UNAVAILABLE")
NOBODY = NotSent("nobody is there", code="UNAVAILABLE")
REFUSED = Rejected("no", code="INVALID_ARGUMENT")
REVOKED = Unauthorized("check the credentials", code="UNAUTHENTICATED")
UNHEARD_OF = UnknownConnection("check the connection ID", code="NOT_FOUND")


class World:
    """Attempts one after the other, each as soon as it may begin and 10 ms long."""

    def __init__(self):
        self.governor = Governor(Caps(8), 0.0)
        self.now = 0.0

    def _begin(self):
        self.now += max(0.0, self.governor.wait(self.now))
        started = self.now
        self.governor.begin(started)
        self.now += 0.01
        return started

    def succeed(self):
        started = self._begin()
        self.governor.succeeded(self.now, started, 1000)
        self.governor.ended(started)

    def fail(self, error):
        started = self._begin()
        verdict = self.governor.failed(self.now, started, error)
        self.governor.ended(started)
        return verdict.stop

    def fail_until_the_end(self, error):
        """After how many attempts, and how."""
        for count in range(1, 1000):
            if stop := self.fail(error):
                return count, stop
        return None, None


@pytest.fixture
def world():
    return World()


def test_where_nothing_ever_got_through_doubts_end_the_run_at_once(world):
    """Fault 26."""
    count, stop = world.fail_until_the_end(DOUBT)
    assert count <= FIRST_DOUBTS + 2
    assert world.now < 2
    assert stop.ending is Ending.UNREACHABLE
    assert stop.reason == "every upload ends in doubt: a proxy answered"


def test_a_restart_of_two_minutes_is_waited_out_and_an_hour_is_not(world):
    """Fault 26: few are in doubt either way."""
    world.succeed()
    count, _ = world.fail_until_the_end(DOUBT)
    assert count <= DOUBTS + 2
    assert 120 < world.now < 300


@pytest.mark.parametrize(("good", "bad", "stops"), [(1, 1, False), (1, 3, False), (1, 5, True)])
def test_nearly_all_in_doubt_is_no_accident_any_more(world, good, bad, stops):
    """Fault 16: without a stamp field each is a human's work."""
    stop = None
    for _ in range(RECENT):
        for _ in range(good):
            world.succeed()
        stop = [world.fail(DOUBT) for _ in range(bad)][-1] or stop
    assert bool(stop) is stops
    assert not stops or stop.reason == "most uploads end in doubt: a proxy answered"


def test_all_that_is_on_its_way_at_once_is_one_accident():
    """Fault 15: the service was started anew."""
    governor = Governor(Caps(1000), 0.0)
    for _ in range(1000):
        governor.succeeded(0.0, 0.0, 1)
    assert not any(governor.failed(1.0, 0.0, DOUBT).stop for _ in range(1000))


def test_probes_in_doubt_are_counted_in_a_row(world):
    """Fault 26: an outage in which now and then an answer is lost is waited out."""
    world.succeed()
    for _ in range(4 * DOUBTS):
        assert world.fail(DOUBT) is None
        assert world.fail(NOBODY) is None
        assert world.fail(NOBODY) is None


def test_a_success_begins_the_count_anew(world):
    world.succeed()
    for _ in range(5):
        for _ in range(DOUBTS - 1):
            assert world.fail(DOUBT) is None
        world.succeed()


@pytest.mark.parametrize("error", [NOBODY, REFUSED])
def test_what_leaves_nothing_in_doubt_goes_on(world, error):
    """Fault 27: to wait costs nothing, and a refusal is one recording's affair."""
    assert world.fail_until_the_end(error) == (None, None)


@pytest.mark.parametrize("error", [REVOKED, UNHEARD_OF])
def test_a_refusal_of_all_ends_the_run(world, error):
    stop = world.fail(error)
    assert (stop.ending, stop.reason) == (Ending.UNAUTHORIZED, str(error))


def test_a_connection_that_was_there_may_be_missed_for_a_while(world):
    world.succeed()
    count, stop = world.fail_until_the_end(UNHEARD_OF)
    assert count == UNKNOWN
    assert stop.ending is Ending.UNAUTHORIZED


def test_it_may_be_missed_now_and_then(world):
    world.succeed()
    for _ in range(10):
        for _ in range(UNKNOWN - 1):
            assert world.fail(UNHEARD_OF) is None
        world.succeed()


class TestNoSuchService:
    """Fault 106."""

    @pytest.fixture
    def reached(self, world):
        """What is called when the service is reached for the first time."""
        calls = []
        world.governor.never_reached(lambda: calls.append(world.now))
        return calls

    def test_where_none_was_ever_reached_it_is_a_wrong_setting(self, world, reached):
        _, stop = world.fail_until_the_end(NO_SERVICE)
        assert 10 < world.now < 45, "not for a moment, and within a minute"
        assert (stop.usage, stop.reason, stop.hints) == (True, "no such host", ("check it",))
        assert reached == []

    def test_where_one_was_reached_it_is_an_outage(self, world):
        assert world.fail_until_the_end(NO_SERVICE) == (None, None)

    @pytest.mark.parametrize("answer", [DOUBT, REFUSED, Throttled("busy", code="X")])
    def test_any_answer_shows_that_there_is_one(self, world, reached, answer):
        world.fail(answer)
        assert len(reached) == 1
        assert world.fail_until_the_end(NO_SERVICE) == (None, None)
        assert len(reached) == 1

    def test_a_success_shows_it(self, world, reached):
        world.succeed()
        world.succeed()
        assert len(reached) == 1
        assert world.fail_until_the_end(NO_SERVICE) == (None, None)

    def test_another_failure_in_between_is_an_outage(self, world, reached):
        for _ in range(100):
            for error in (NO_SERVICE, NO_SERVICE, NO_SERVICE, NOBODY):
                assert world.fail(error) is None
        assert reached == []
