"""How many at once, the pause for all, and the memory."""

import anyio
import pytest

from batch_uploader.pace import ByteBudget, Pacer


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.now += seconds


async def test_no_more_than_the_limit_at_once():
    pacer = Pacer(3)
    running = most = done = 0

    async def work():
        nonlocal running, most, done
        async with pacer.turn():
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1
            done += 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert (most, done) == (3, 20)


async def test_throttling_halves_once_a_burst_and_success_grows_back():
    clock = Clock()
    pacer = Pacer(16, sleep=clock.sleep, clock=clock)
    started = clock.now
    clock.now += 1
    for _ in range(10):
        pacer.throttled(started, None)
    assert pacer.limit == 8, "ten refusals of one burst are one piece of news"
    pacer.throttled(clock.now, None)
    assert pacer.limit == 4
    rounds = 0
    while pacer.limit < 16:
        for _ in range(pacer.limit):
            pacer.succeeded()
        rounds += 1
    assert 11 <= rounds <= 15, "about one more a round"


async def test_the_limit_never_falls_below_one():
    clock = Clock()
    pacer = Pacer(2, sleep=clock.sleep, clock=clock)
    for _ in range(5):
        pacer.throttled(clock.now, None)
        clock.now += 1
    assert pacer.limit == 1


async def test_everybody_waits_out_a_pause():
    clock = Clock()
    pacer = Pacer(4, sleep=clock.sleep, clock=clock)
    assert pacer.throttled(clock.now, 5.0) == 5.0
    assert pacer.throttled(clock.now, 3.0) == 0.0, "it is under way already"
    async with pacer.turn():
        assert clock.now >= 105.0


async def test_a_pause_that_is_called_off_takes_no_place():
    class StopError(Exception):
        pass

    async def sleep(_seconds):
        raise StopError

    pacer = Pacer(1, sleep=sleep)
    pacer.throttled(0.0, 60.0)
    with pytest.raises(StopError):
        async with pacer.turn():
            pass
    pacer._paused_until = 0.0
    with anyio.fail_after(1):
        async with pacer.turn():
            pass


async def test_the_budget_bounds_what_is_held_at_once():
    budget = ByteBudget(100)
    held = most = 0

    async def work(octets):
        nonlocal held, most
        async with budget.hold(octets):
            held += min(octets, 100)
            most = max(most, held)
            await anyio.sleep(0.001)
            held -= min(octets, 100)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for octets in (30, 60, 500, 10, 90, 100, 1) * 3:
                group.start_soon(work, octets)
    assert held == 0
    assert most <= 100


async def test_the_budget_survives_a_cancelled_wait():
    budget = ByteBudget(10)
    async with budget.hold(10):
        with anyio.move_on_after(0.01):
            async with budget.hold(1):
                pytest.fail("there was nothing left")
    with anyio.fail_after(1):
        async with budget.hold(10):
            pass
