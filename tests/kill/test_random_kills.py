"""SIGKILL at random moments, until everything is up: nothing lost, nothing twice.

The short form is one of the tests; ``make kill-test`` is the long one. KILLS, RECORDINGS and
KILL_SEED say how long, and which moments.
"""

import hashlib
import sys

import pytest
from e2e.conftest import Calls, emulator
from kill.harness import SEED, Blind, Human, Search, Siege, faults, number

KILLS = number("KILLS", 25)
RECORDINGS = number("RECORDINGS", 75)
CONTROL_KILLS = max(6, KILLS // 20)
HUMAN_KILLS = max(8, KILLS // 5)

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
    assert set(under_fire.service.counts(under_fire.calls).values()) == {1}
    assert under_fire.paths("uploaded") == sorted(under_fire.digests)


def test_the_control_that_sends_doubt_again_blindly_shows_duplicates(siege):
    """Fault 1: what the harness would see if the program were like others."""
    careless = siege(Blind())
    careless.write(2 * CONTROL_KILLS)
    careless.endure(CONTROL_KILLS)
    print(careless.report())  # noqa: T201 - for whoever runs the long form
    assert careless.twice(), "without duplicates here, the harness proves nothing"
