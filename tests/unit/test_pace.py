"""The pace as the workers feel it: turns, the pause for all, bandwidth, memory."""

import anyio
import pytest

from batch_uploader.core.errors import NotSent, Throttled
from batch_uploader.pace import ByteBudget, Caps, Notifier, Pacer, Timetable
from batch_uploader.pace import memory as pace_memory
from batch_uploader.pace.concurrency import START


def throttled(retry_after=None):
    return Throttled("slower", code="RESOURCE_EXHAUSTED", retry_after=retry_after)


async def test_no_more_than_the_limit_at_once():
    pacer = Pacer(Caps(3))
    running = most = done = 0

    async def work():
        nonlocal running, most, done
        async with pacer.turn(100) as turn:
            turn.begin()
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1
            done += 1
            turn.succeeded()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert (most, done) == (3, 20)


async def test_it_begins_below_the_ceiling_and_finds_it():
    pacer = Pacer(Caps(16))
    assert pacer.limit == START < 16
    running = most = 0

    async def work():
        nonlocal running, most
        async with pacer.turn(100) as turn:
            turn.begin()
            running += 1
            most = max(most, running)
            await anyio.sleep(0.02)
            running -= 1
            turn.succeeded()

    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(work)
    assert START < most <= 16, "how far it comes depends on how busy the machine is"


async def test_everybody_waits_out_a_pushback():
    """Fault 23: what the service asks of one holds for all."""
    pacer = Pacer(Caps(4))
    began = anyio.current_time()
    async with pacer.turn(1) as turn:
        turn.begin()
        assert turn.failed(throttled(0.2)).pause == pytest.approx(0.2, abs=0.05)
    waited = []

    async def work():
        async with pacer.turn(1):
            waited.append(anyio.current_time() - began)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(work)
    assert min(waited) >= 0.19


class StopError(Exception):
    pass


async def test_who_is_woken_to_stop_takes_no_place():
    stopped = False

    def check():
        if stopped:
            raise StopError

    pacer = Pacer(Caps(1))
    pacer.serve(check=check)
    async with pacer.turn(1) as turn:
        turn.begin()
        turn.failed(throttled(600))
    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:

            async def work():
                with pytest.raises(StopError):
                    async with pacer.turn(1):
                        pytest.fail("there is a pause of ten minutes")

            group.start_soon(work)
            group.start_soon(work)
            await anyio.sleep(0.01)
            stopped = True
            pacer.wake()
    assert pacer.governor.running == 0


async def test_a_cancelled_wait_takes_no_place():
    pacer = Pacer(Caps(1))
    async with pacer.turn(1):
        with anyio.move_on_after(0.01):
            async with pacer.turn(1):
                pytest.fail("there was no place left")
    with anyio.fail_after(1):
        async with pacer.turn(1):
            pass


async def test_a_retry_waits_for_what_earns_it():
    """Fault 22: the budget is spent; the next retry waits while fresh requests go on."""
    pacer = Pacer(Caps(2))
    order = []

    async def retry(number):
        async with pacer.turn(1, again=True) as turn:
            turn.begin()
            order.append(number)

    async with pacer.turn(1) as turn:
        turn.begin()
        turn.succeeded()
        for number in range(3):
            await retry(number)
        async with anyio.create_task_group() as group:
            group.start_soon(retry, 3)
            await anyio.sleep(0.02)
            assert order == [0, 1, 2]
            for _ in range(10):
                async with pacer.turn(1) as fresh:
                    fresh.begin()
            with anyio.fail_after(0.9):
                while len(order) < 4:
                    await anyio.sleep(0.001)


async def test_nothing_but_retries_goes_one_at_a_time():
    """Fault 22: a spent budget must not end the run."""
    pacer = Pacer(Caps(8))
    running = most = done = 0

    async def retry():
        nonlocal running, most, done
        async with pacer.turn(1, again=True) as turn:
            turn.begin()
            running += 1
            most = max(most, running)
            await anyio.sleep(0.01)
            running -= 1
            done += 1

    for _ in range(3):
        await retry()
    most = 0
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(retry)
    assert done == 13
    assert most <= 2, "one that is not paid for, and one that a second earned"


async def test_an_outage_is_probed_by_one_at_a_time_and_ends_for_all():
    """Fault 27."""
    pacer = Pacer(Caps(8))
    down = True
    running = most = tries = 0

    async def work():
        nonlocal running, most, tries
        counted = 0
        while True:
            async with pacer.turn(1) as turn:
                turn.begin()
                running += 1
                tries += 1
                if pacer.down_for:
                    most = max(most, running)
                await anyio.sleep(0.001)
                running -= 1
                if not down:
                    turn.succeeded()
                    return counted
                counted += turn.failed(NotSent("refused", code="UNAVAILABLE")).counts

    counts = []

    async def one():
        counts.append(await work())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one)
            await anyio.sleep(1)
            assert 0.8 < pacer.down_for < 1.1
            assert tries < 50, "0.1, 0.2, 0.4 seconds apart, once it is known"
            down = False
    assert most == 1
    assert max(counts) <= 5
    assert len(counts) == 8
    assert pacer.down_for == 0


async def test_the_bandwidth_holds_for_messages_and_for_streams():
    class Audio:
        size = 30_000
        content = None

        async def chunks(self, size):
            for _ in range(self.size // size):
                yield bytes(size)

    pacer = Pacer(Caps(4, bandwidth=Timetable.parse("100000")))
    began = anyio.current_time()

    async def stream():
        async with pacer.turn(30_000, whole=False) as turn:
            turn.begin()
            async for _ in pacer.paced(Audio()).chunks(5_000):
                pass

    async def message():
        async with pacer.turn(15_000) as turn:
            turn.begin()

    async with anyio.create_task_group() as group:
        group.start_soon(stream)
        group.start_soon(message)
        group.start_soon(message)
    # All but the last piece is paid off.
    assert 0.42 <= anyio.current_time() - began <= 0.9


async def test_a_turn_that_never_begins_costs_nothing():
    """At one recording and one byte a second these would take an hour."""
    pacer = Pacer(Caps(1, rate=1.0, bandwidth=Timetable.parse("1")))
    with anyio.fail_after(10):
        for _ in range(100):
            async with pacer.turn(36):
                pass


async def test_the_budget_bounds_what_is_held_at_once():
    budget = ByteBudget(100)
    held = most = 0

    async def work(nbytes):
        nonlocal held, most
        async with budget.hold(nbytes):
            held += min(nbytes, 100)
            most = max(most, held)
            await anyio.sleep(0.001)
            held -= min(nbytes, 100)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for nbytes in (30, 60, 500, 10, 90, 100, 1) * 3:
                group.start_soon(work, nbytes)
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


@pytest.mark.parametrize(("spare", "together"), [(300, 3), (299, 1)])
async def test_the_budget_is_larger_over_an_expanded_pool_if_memory_is_plenty(
    monkeypatch, spare, together
):
    monkeypatch.setattr(pace_memory, "spare_memory", lambda: spare)
    expanded, most = False, []
    budget = ByteBudget(100, 300, lambda: expanded)
    held = 0

    async def work():
        nonlocal held
        async with budget.hold(100):
            held += 1
            most.append(held)
            await anyio.sleep(0.001)
            held -= 1

    async def all_at_once():
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(12):
                    group.start_soon(work)
        seen, most[:] = max(most), []
        return seen

    assert await all_at_once() == 1
    expanded = True
    assert await all_at_once() == together
    expanded = False
    assert await all_at_once() == 1


async def test_a_ring_wakes_those_who_wait_and_is_not_kept():
    bell, woken = Notifier(), []

    async def wait(name):
        await bell.wait()
        woken.append(name)

    bell.notify_all()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, "one")
        group.start_soon(wait, "two")
        await anyio.wait_all_tasks_blocked()
        assert not woken, "it rang before they came"
        bell.notify_all()
        await anyio.wait_all_tasks_blocked()
        assert sorted(woken) == ["one", "two"]
        group.start_soon(wait, "three")
        await anyio.wait_all_tasks_blocked()
        assert "three" not in woken
        bell.notify_all()
    assert "three" in woken


async def test_a_run_counts_an_outage_from_its_own_beginning():
    """Or one that follows another after hours would end with its first attempt, --max-outage."""
    now = 0.0
    pacer = Pacer(Caps(4), clock=lambda: now)
    pacer.serve(check=lambda: None)
    while not pacer.down_for:
        async with pacer.turn(100) as turn:
            turn.begin()
            now += 1
            turn.failed(NotSent("refused", code="UNAVAILABLE"))
            now += 1
    now += 10_000
    assert pacer.down_for > 10_000
    pacer.serve(check=lambda: None)
    now += 5
    assert pacer.down_for == 5
