"""How many channels there are where each carries little, and where all share one way."""

from collections import Counter

import pytest

from batch_uploader.sinks.speechsense.pool_sizer import MOST, START, Measurement, PoolSizer

MB = 1_000_000
STEP = 0.02  # seconds


class Call:
    def __init__(self, began, sample, channel, left, pause):
        self.began, self.sample, self.channel = began, sample, channel
        self.left, self.pause = left, pause


class World:
    """Keeps so many calls of 4 MB running, each on the channel that has fewest of them.

    ``each`` is what one channel carries at most, ``all`` what all of them do, in bytes a second;
    ``pause`` is what an answer takes.
    """

    def __init__(self, running, each=float("inf"), all=float("inf"), pause=0.0, size=4 * MB):  # noqa: A002
        self.width = PoolSizer()
        self.now = 0.0
        self.delivered = 0
        self.seen = [START]
        self.used = set()
        self._running = running
        self.each, self._all, self._pause, self._size = each, all, pause, size
        self._calls = []

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            while len(self._calls) < self._running(self.now):
                self._begin()
            self._step()
            if self.width.channels != self.seen[-1]:
                self.seen.append(self.width.channels)
        return self

    def _begin(self):
        busy = Counter(call.channel for call in self._calls)
        channel = min(range(self.width.channels), key=lambda number: busy[number])
        if busy[channel] * self._size >= MB:
            self.width.crowded()
        self.used.add(channel)
        sample = self.width.began()
        self._calls.append(Call(self.now, sample, channel, self._size, self._pause))

    def _step(self):
        busy = Counter(call.channel for call in self._calls)
        share = self._all / len(self._calls)
        for call in self._calls:
            call.left -= min(self.each / busy[call.channel], share) * STEP
            if call.left <= 0:
                call.pause -= STEP
        self.now += STEP
        running = len(self._calls)
        for call in [each for each in self._calls if each.left <= 0 and each.pause <= 0]:
            self._calls.remove(call)
            self.delivered += self._size
            if call.sample is not None:
                seconds = self.now - call.began
                self.width.ended(self.now, call.sample, seconds, self._size, running)


def always(running):
    return lambda now: running


def test_it_starts_with_four():
    assert PoolSizer().channels == START == 4


def test_there_are_many_where_each_channel_carries_little():
    world = World(always(64), each=2 * MB).run(240)

    assert world.seen == [4, 32]


def test_it_grows_along_with_the_calls_that_are_allowed():
    """As at the start of a run, when nobody knows yet what the service bears."""
    world = World(lambda now: min(64, 4 + int(4 * now)), each=2 * MB).run(60)

    assert world.seen == [4, 32]


def test_it_finds_them_within_seconds():
    world = World(always(24), each=1.5 * MB).run(30)

    assert world.width.channels == MOST


def test_it_knows_when_many_carry_more():
    world = World(always(24), each=1.5 * MB)
    proved = [world.run(0.5).width.proved for _ in range(60)]

    assert proved == sorted(proved)
    assert proved[-1]


def test_what_was_fast_only_before_the_first_loss_is_measured_again():
    """Few channels carry much as long as nothing was lost, and so look as good as many later."""
    world = World(always(11), each=6 * MB)
    world.run(2)
    assert world.width.channels == START
    while world.width.channels == START:
        world.run(0.1)
    world.each = 1.9 * MB
    world.run(60)

    assert world.seen == [4, 32, 4, 32]
    assert world.width.proved


def test_many_do_not_win_because_the_run_only_began():
    """Where an answer takes a second, twice as many calls at once carry twice as much."""
    world = World(lambda now: min(32, 4 + int(8 * now)), pause=1.0, size=MB)
    world.run(60)

    assert world.seen == [4, 32, 4]


def test_few_that_fail_altogether_do_not_speak_for_many():
    width = PoolSizer()
    for calls, goodput in ((12, 10 * MB), (16, 11 * MB), (16, 0), (16, 10 * MB)):
        for _ in range(calls):
            width.crowded()
            if sample := width.began():
                width.ended(1.0, sample, 1.0, goodput // 8, 8)

    assert width.channels == START


def test_it_tries_none_where_each_channel_carries_much():
    world = World(always(32), all=100 * MB).run(600)

    assert world.seen == [4]


def test_it_takes_back_what_brings_no_more():
    """As on a thin line: each carries little, and so do all of them."""
    world = World(always(32), all=20 * MB).run(600)

    assert world.seen == [4, 32, 4, 32, 4]


def test_no_more_are_used_than_there_are_calls():
    world = World(always(6), each=2 * MB).run(300)

    assert len(world.used) == 6


def test_a_run_that_only_begins_is_no_reason():
    """Few calls carry less than four channels could."""
    width = PoolSizer()
    for _ in range(100):
        width.crowded()
        if sample := width.began():
            width.ended(1.0, sample, 1.0, 20 * MB, 2)

    assert width.channels == START


def test_calls_that_all_fail_are_no_reason():
    width = PoolSizer()
    for _ in range(100):
        width.crowded()
        if sample := width.began():
            width.ended(1.0, sample, 1.0, 0, 8)

    assert width.channels == START


def test_which_calls_count_is_settled_when_they_begin():
    """Or the slow ones would be missing, and few channels look better than they are."""
    sample = Measurement(2)
    assert [sample.takes() for _ in range(5)] == [False, False, True, True, False]

    sample.add(1.0, 4 * MB, 8)
    assert not sample.complete
    sample.add(7.0, 4 * MB, 8)

    assert sample.complete
    assert sample.goodput == 8 * MB


def test_it_opens_nothing_for_calls_that_crowd_nobody():
    world = World(always(4), each=2 * MB).run(300)

    assert world.seen == [4]


def test_what_only_waits_for_answers_is_no_reason():
    world = World(always(32), pause=1.0, size=100_000, all=200 * MB).run(600)

    assert world.seen == [4]


@pytest.mark.parametrize(("each", "gains"), [(2 * MB, 2.5), (100 * MB, 0.9)])
def test_what_it_costs_and_gains_over_ten_minutes(each, gains):
    fixed = World(always(32), each=each, all=200 * MB)
    fixed.width.crowded = lambda: None
    alone = fixed.run(600).delivered
    adapting = World(always(32), each=each, all=200 * MB).run(600).delivered

    assert adapting >= gains * alone


def test_a_trial_that_found_no_connection_ends_at_once_and_rests():
    world = World(always(32), each=2 * MB).run(1)
    while world.width.channels == START:
        world.run(1)
    began = world.now

    world.width.failed(world.now)

    assert world.width.channels == START
    world.run(250)
    assert world.width.channels == START
    world.run(100)
    assert world.width.channels > START
    assert world.now > began + 300


def test_a_failure_without_a_trial_takes_nothing_away():
    world = World(always(64), each=2 * MB).run(240)

    world.width.failed(world.now)

    assert world.width.channels == MOST
