"""SIGKILL at random moments, until everything is up: nothing lost, nothing twice.

The short form is one of the tests; ``make kill-test`` is the long one. KILLS, RECORDINGS and
KILL_SEED say how long, and which moments.
"""

import hashlib
import sys
import time

import pytest
from e2e.conftest import Calls, emulator
from kill.harness import SEED, STORE_LATE, Blind, Human, Search, Siege, faults, number

KILLS = number("KILLS", 25)
RECORDINGS = number("RECORDINGS", 75)
CONTROL_KILLS = max(6, KILLS // 20)
HUMAN_KILLS = max(8, KILLS // 5)
LOSING_KILLS = max(6, KILLS // 10)
LAG = 2.0
"""Seconds until Search sees a talk: longer than it takes to start again."""
HOLDS = {"none": (1.0, 9.0, True)} | ({"long enough": (8.0, 4.0, False)} if KILLS > 25 else {})
"""The hold, how late a talk is stored, in seconds; whether that sends it twice."""

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX"),
    pytest.mark.timeout(120 + 10 * KILLS),
]


@pytest.fixture
def siege(tmp_path):
    """Makes one with a policy, against an emulator that survives it all."""
    with emulator(tmp_path / "service", *faults()) as service:
        yield lambda policy: Siege(Calls(tmp_path / "calls"), service, policy, seed=SEED)


def test_killed_at_random_a_human_decides_and_nothing_is_lost_or_twice(siege):
    """Faults 1, 10 and 12, without a stamp field."""
    under_fire = siege(Human())
    under_fire.write(3 * HUMAN_KILLS)
    under_fire.endure(HUMAN_KILLS)
    print(under_fire.report())  # noqa: T201 - for whoever runs the long form
    assert under_fire.figures["kills"] == HUMAN_KILLS
    assert under_fire.figures["found by the human"], "no kill ever hit what was being stored"
    under_fire.judge()
    assert not under_fire.paths("in_doubt")
    assert {talk.fields["name"]: talk.sha256.hex() for talk in under_fire.talks()} == {
        name: hashlib.sha256((under_fire.calls.folder / name).read_bytes()).hexdigest()
        for name in under_fire.digests
    }
    assert len(under_fire.talks()) == len(under_fire.digests)


def test_killed_at_random_nothing_is_lost_and_nothing_is_sent_twice(siege):
    """Faults 1 (kills at random), 10 (the lock of a killed run), 12 (the manifest is whole).

    With a stamp field: it finds out by itself what went up.
    """
    under_fire = siege(Search())
    under_fire.write(RECORDINGS)
    under_fire.endure(KILLS)
    print(under_fire.report())  # noqa: T201 - for whoever runs the long form
    assert under_fire.figures["kills"] == KILLS
    under_fire.judge()
    endings = under_fire.endings()
    # Some are killed before they have the ledger.
    assert None not in endings
    assert 0 < endings["killed"] <= KILLS
    assert set(under_fire.service.counts(under_fire.calls).values()) == {1}
    assert under_fire.paths("uploaded") == sorted(under_fire.digests)


def test_what_is_lost_without_a_trace_is_sent_again(tmp_path):
    """Faults 1 and 15: half of what is sent vanishes, and Search lags longer than a restart takes.

    So the hold is met, and what is absent proves so and goes up once more.
    """
    stormy = ("--seed", SEED, "--store-late", STORE_LATE, "--silent", 0.5, "--search-lag", LAG)
    calm = ("--search-lag", LAG)
    with (
        emulator(tmp_path / "service", *stormy) as service,
        emulator(tmp_path / "service", *calm) as way_around,
    ):
        policy = Search(hold=2 * LAG)
        under_fire = Siege(Calls(tmp_path / "calls"), service, policy, seed=SEED, calm=way_around)
        under_fire.write(3)
        assert under_fire.upload()[0] == 0  # else nothing proves the searches
        under_fire.write(4 * LOSING_KILLS)
        under_fire.endure(LOSING_KILLS)
        print(under_fire.report())  # noqa: T201 - for whoever runs the long form
        assert under_fire.figures["searches said HELD"] > 0
        assert under_fire.figures["searches said ABSENT"] > 0
        under_fire.judge()
        assert set(under_fire.service.counts(under_fire.calls).values()) == {1}
        assert under_fire.paths("uploaded") == sorted(under_fire.digests)


@pytest.mark.parametrize(("hold", "late", "twice"), HOLDS.values(), ids=HOLDS)
def test_the_hold_alone_keeps_what_is_stored_late_from_being_sent_twice(
    tmp_path, hold, late, twice
):
    """Faults 1 and 17, with their control: without a hold there are duplicates."""
    with (
        emulator(tmp_path / "service", "--store-late", late) as slow,
        emulator(tmp_path / "service") as way_around,
    ):
        siege = Siege(Calls(tmp_path / "calls"), slow, Search(hold), seed=SEED, calm=way_around)
        siege.write(3)
        assert siege.upload()[0] == 0
        siege.write(5)
        process = siege.start()
        for line in process.stdout:
            if b"upload_started" in line:
                break
        # All of them leave within a moment, and are stored long after.
        time.sleep(1)
        process.kill()
        process.communicate()
        siege.write(1)  # It goes up at once, so nothing but the hold stands in the way.
        assert siege.upload("--wait-for-doubt")[0] == 0
        siege.wait_for_quiet(late + 1)
        print(siege.report())  # noqa: T201 - for whoever runs the long form
        assert bool(siege.twice()) is twice


def test_the_control_that_sends_doubt_again_blindly_shows_duplicates(siege):
    """Fault 1: what the harness would see if the program were like others."""
    careless = siege(Blind())
    careless.write(2 * CONTROL_KILLS)
    careless.endure(CONTROL_KILLS)
    print(careless.report())  # noqa: T201 - for whoever runs the long form
    assert careless.twice(), "without duplicates here, the harness proves nothing"
