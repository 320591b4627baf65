"""The quota of Get: no window is ever overdrawn, and nobody waits longer than that takes."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.sinks.speechsense.quota import GET_QUOTA, Quota


class Time:
    """Passes when somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


async def spend(amounts, limits=GET_QUOTA):
    time = Time()
    quota = Quota(limits, clock=time.clock, sleep=time.sleep)
    taken = []
    for amount in amounts:
        await quota.take(amount)
        taken.append((time.now, amount))
    return taken


def overdrawn(taken, limits):
    for most, seconds in limits:
        for start, _ in taken:
            if sum(n for when, n in taken if start <= when < start + seconds) > most:
                return True
    return False


@pytest.mark.parametrize(
    ("talks", "least"), [(20, 0), (40, 1), (200, 9), (201, 60), (2_001, 3600), (20_001, 86_400)]
)
async def test_the_service_grants_so_many_talks_in_so_much_time(talks, least):
    taken = await spend([20] * (talks // 20) + [1] * (talks % 20))
    assert taken[-1][0] - taken[0][0] == pytest.approx(least, abs=1e-6)


@given(st.lists(st.integers(1, 4), max_size=60))
def test_no_window_is_overdrawn(amounts):
    limits = ((4, 1.0), (10, 7.0), (25, 60.0))
    assert not overdrawn(anyio.run(spend, amounts, limits), limits)


async def test_who_comes_first_is_served_first():
    time = Time()
    quota = Quota(((1, 1.0),), clock=time.clock, sleep=time.sleep)
    order = []

    async def take(name):
        await quota.take(1)
        order.append((name, time.now))

    async with anyio.create_task_group() as group:
        for name in range(4):
            group.start_soon(take, name)
    assert order == [(name, 1000.0 + name) for name in range(4)]
    assert quota.at_once == 1


async def test_each_pause_is_told_before_it_begins():
    time, told = Time(), []
    quota = Quota(((4, 1.0), (6, 9.0)), clock=time.clock, sleep=time.sleep)
    for _ in range(4):
        await quota.take(2, lambda seconds: told.append((time.now, seconds)))
    assert told == [(1000.0, 1.0), (1001.0, 8.0)]
