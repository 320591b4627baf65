"""Runs a property on examples of hypothesis for a time, with limits of time and memory for each."""

import os
import pickle
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

SECONDS = float(os.environ.get("FUZZ", "15"))
"""How long each of the six tests hunts; ``make fuzz`` has an hour for all."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))
_SLOWEST = 1.0
_MOST_MEMORY = 100 << 20
_ROUND = 200


def hunt(strategy, check):
    """Check examples of the strategy until the time is up, or one fails; how many there were.

    The one that failed is kept in a file, for a test of its own.
    """
    end, count, number, failure = time.monotonic() + SECONDS, 0, SEED * 1_000_000, None

    def counted(example):
        nonlocal count, failure
        if failure is not None or time.monotonic() > end:
            return
        count += 1
        try:
            check(example)
        except Exception as error:  # noqa: BLE001 - hypothesis would run it again, and others
            kept = Path(tempfile.mkdtemp(prefix="fuzz-"), "example.pickle")
            kept.write_bytes(pickle.dumps(example))
            error.add_note(f"the example: {kept}")
            failure = error

    while time.monotonic() < end and failure is None:
        number += 1
        once = seed(number)(given(strategy)(counted))
        settings(
            max_examples=_ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(once)()
    if failure is not None:
        raise failure
    return count


@contextmanager
def within_limits():
    """Fail if what is done within takes over a second of CPU time, or over 100 MB."""
    before, began = _peak(), time.process_time()
    yield
    took, more = time.process_time() - began, _peak() - before
    assert took < _SLOWEST, f"{took:.2f} s"
    assert more < _MOST_MEMORY, f"{more:,} bytes"


def _peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Sampler:
    """Picks the 1st, 2nd, 4th, 8th and so on of each kind of finding, for what takes long."""

    def __init__(self):
        self.seen = {}

    def picks(self, kind):
        """Whether this one of the kind is to be looked at."""
        self.seen[kind] = number = self.seen.get(kind, 0) + 1
        return number & (number - 1) == 0
