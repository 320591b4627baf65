"""SIGKILL at each system call in turn that changes the ledger or the manifest (fault 2).

A shim of C, preloaded into the installed program, ends it where the nth write, sync, cut, rename or
removal of a file of the directory would be. The short form draws MOMENTS of these calls;
``make kill-test`` (MOMENTS=0) takes one after another until a run survives.
"""

import itertools
import random
import signal
import sys

import pytest
from e2e.conftest import Calls, emulator
from kill.harness import SEED, Human, Siege, faults, number

MOMENTS = number("MOMENTS", 8)
"""How many of the calls are tried, 0 for all."""
RECORDINGS = 4
LATE = 0.05
"""Seconds; the moments are exact here, so a short time does."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc of Linux"),
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with emulator(tmp_path_factory.mktemp("service"), *faults(LATE)) as running:
        yield running


@pytest.fixture
def begin(tmp_path, service, shim):
    """Makes a directory of a few recordings; how the first run over it ended, shim and all."""
    made = itertools.count(1)

    def run(**variables):
        folder = tmp_path / str(next(made))
        folder.mkdir()
        siege = Siege(Calls(folder / "calls"), service, Human(patience=5 * LATE))
        siege.write(RECORDINGS)
        under = {"LD_PRELOAD": str(shim), "KILL_UNDER": str(siege.calls)}
        code, said = siege.upload("--concurrency", "2", **under, **variables)
        assert code in {0, 1, -signal.SIGKILL}, said
        return siege, code

    return run


def drawn(calls, count):
    """The numbers of so many calls, from 1: half of them of the log of commits, half others."""
    numbers = list(range(1, len(calls) + 1))
    random.Random(SEED).shuffle(numbers)
    log = [number for number in numbers if calls[number - 1].endswith("-wal")]
    # One of each kind, call and file: the kinds differ more than the calls of a kind do.
    others = {calls[number - 1]: number for number in numbers if number not in log}
    return sorted(log[: count // 2] + list(others.values())[: count - count // 2])


def prove(siege):
    """Let it recover, and hold it against the emulator at each step until all is up, once."""
    for _ in range(5):
        if siege.uploads():
            break
        siege.policy.decide(siege)
    counts = siege.service.counts(siege.calls)
    assert counts == dict.fromkeys(siege.digests, 1)
    assert not siege.paths("in_doubt")


def test_killed_at_a_change_of_a_file_nothing_is_lost_and_nothing_is_sent_twice(begin, tmp_path):
    """Faults 2 (each system call of the ledger) and 12 (the manifest, cut off in the writing)."""
    log = tmp_path / "calls-made"
    siege, code = begin(KILL_LOG=str(log))
    assert code in {0, 1}
    prove(siege)
    calls = log.read_text().splitlines()
    # What proves that the shim sees what matters: the making, the commits, the manifest.
    assert {"rename /.batch-uploader/ledger.db", "rename /manifest.jsonl"} <= {*calls}
    assert calls.count("fdatasync /.batch-uploader/ledger.db-wal") >= RECORDINGS
    killed = 0
    for moment in drawn(calls, MOMENTS) if MOMENTS else itertools.count(1):
        siege, code = begin(KILL_AT=str(moment))
        prove(siege)
        if code == -signal.SIGKILL:
            killed += 1
        elif not MOMENTS:
            break
    print(f"killed at {killed} calls of {len(calls)}")  # noqa: T201 - for the long form
    # The workers' commits meet differently each time: a run may have fewer calls than another.
    assert killed >= (MOMENTS or len(calls)) // 2


def test_killed_around_its_manifest_it_leaves_the_old_one_or_the_new(begin, shim):
    """Fault 12: and the next run has all of it, and each is up once."""
    siege, _ = begin()
    prove(siege)
    # While it is written, before it takes its place, and after that.
    for files, new in (
        ("/.batch-uploader-", False),
        ("/manifest.jsonl", False),
        ("/.manifest.jsonl", True),
    ):
        under = {"LD_PRELOAD": str(shim), "KILL_UNDER": f"{siege.calls}{files}"}
        for moment in itertools.count(1):
            before = siege.calls.manifest()
            siege.write(1)
            code, said = siege.upload(**under, KILL_AT=str(moment))
            after = siege.calls.manifest()
            prove(siege)
            if code != -signal.SIGKILL:
                break
            assert after.keys() == (siege.digests.keys() if new else before.keys())
        assert moment > 1, "no call was ever seen"
        assert code in {0, 1}, said
