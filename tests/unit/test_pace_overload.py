"""The pace against services of all kinds, in a world without real time (faults 22, 23 and 27)."""

import pytest
from support.pace_world import Service, World

from batch_uploader.pace.concurrency import START


def share(world, events, start, end):
    return world.during(events, start, end) / world.during(world.sent, start, end)


@pytest.mark.parametrize(
    ("rate", "latency"),
    [(2, 0.05), (5, 0.05), (5, 1.0), (20, 0.005), (20, 0.05), (20, 1.0), (200, 0.005), (200, 0.05)],
)
def test_ten_minutes_of_overload(rate, latency):
    """Fault 22: nobody tells the rate, and yet it is used, with few retries; then it is lifted."""
    workers = 32
    world = World(Service(latency, rate), workers)
    world.run(600)
    assert world.during(world.taken, 30, 600) >= 0.9 * rate * 570
    assert share(world, world.retried, 0, 600) < 0.1
    assert share(world, world.refused, 30, 600) < 0.1
    assert world.burnt <= 4, "of ten attempts"
    world.service.limit(None)
    world.run(670)
    full = workers / latency
    assert world.during(world.taken, 660, 670) >= 0.9 * full * 10


def test_what_the_service_rejects_it_has_taken():
    """Fault 22: its rate is found where it finds fault with every recording, too."""
    world = World(Service(0.05, 8))
    world.service.rejects = True
    world.run(120)
    assert world.during(world.taken, 30, 120) >= 0.9 * 8 * 90
    assert share(world, world.retried, 0, 120) < 0.1


def test_a_limit_that_comes_in_the_middle():
    """Fault 22: from full speed to a hundredth of it."""
    world = World(Service(0.01))
    world.run(60)
    assert world.during(world.taken, 50, 60) > 0.9 * 32_000
    world.service.limit(20)
    world.run(360)
    assert world.during(world.taken, 80, 360) >= 0.9 * 20 * 280
    assert share(world, world.retried, 60, 360) < 0.1


def test_a_service_that_takes_so_many_at_once():
    """Fault 22: concurrency falls to what there is room for."""
    world = World(Service(0.3, most=10))
    world.run(120)
    assert world.during(world.taken, 30, 120) >= 0.85 * 10 / 0.3 * 90
    assert share(world, world.retried, 0, 120) < 0.1
    assert world.governor.window.limit <= 12


def test_a_refusal_now_and_then_is_no_limit():
    """Fault 22: 2 % of all requests are refused whatever we do."""
    world = World(Service(0.05, refused=0.02))
    world.run(60)
    assert world.during(world.taken, 0, 60) / 60 > 100
    assert share(world, world.retried, 0, 60) < 0.03


def test_an_outage_of_thirty_minutes():
    """Fault 27: probes grow rare, no attempt is burnt, no burst at the end."""
    world = World(Service(0.2))
    world.run(60)
    full = world.during(world.taken, 50, 60)
    world.service.down = True
    world.run(1860)
    assert world.governor.outage.down
    assert world.governor.outage.since == pytest.approx(60, abs=2)
    assert world.during(world.sent, 70, 1860) < 40
    assert world.during(world.sent, 1500, 1860) in {6, 7}, "one a minute"
    assert world.burnt <= 2
    world.service.down = False
    world.run(1980)
    back = next(moment for moment in world.taken if moment > 1860)
    assert back <= 1921
    assert world.during(world.sent, back, back + 0.1) <= START
    assert world.during(world.sent, back, back + 0.3) <= 4 * START
    assert world.during(world.taken, 1970, 1980) >= 0.9 * full


def test_an_hour_in_which_everything_is_refused():
    """Fault 22: it is waited out as an outage is, and full speed is back within a minute."""
    world = World(Service(0.2))
    world.run(60)
    full = world.during(world.taken, 50, 60)
    world.service.refused = 1.0
    world.run(3660)
    assert world.during(world.sent, 120, 3660) <= 3540 / 15 + 1
    assert world.burnt <= 3, "of ten attempts"
    world.service.refused = 0.0
    world.run(3730)
    assert world.during(world.taken, 3720, 3730) >= 0.9 * full


def test_the_rate_that_the_user_allows():
    world = World(Service(0.01), rate=50.0)
    world.run(60)
    assert 49 * 60 <= len(world.sent) <= 50 * 60 + 2
    for second in range(60):
        assert world.during(world.sent, second, second + 1) <= 52
