"""So many RPCs that whatever grows with them shows; judged by what the emulator holds.

The short form is one of the tests; ``make soak`` is the long one. SOAK says how many recordings.
"""

import json
import os
import sys
import time
from collections import Counter
from statistics import median

import pytest
from soak.processes import attempts, sender, service, weigh, write_recordings

from batch_uploader.emulator import stored_talks

RECORDINGS = int(os.environ.get("SOAK", "1200"))
LONG = RECORDINGS >= 20_000
OUTAGES = 3
HOLD = 10 if LONG else 1.5
DEADLINE = 1 if LONG else 0.15
"""Seconds. What an outage cuts off before does not end by it, and in the short form outages come
within seconds of each other."""
FAULTS = {"silent": 0.025, "lose_answer": 0.035, "search_lag": HOLD / 3}
"""6 % of the uploads are not answered, most of these until the deadline; of 3.5 % is a talk."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux"),
    pytest.mark.timeout(120 + RECORDINGS // 20),
]


def watch(process, emulator):
    """Take the emulator down now and then, and weigh the uploader, until it ends.

    What it took, with how many talks there were: those that were there before the last few.
    """
    samples = []
    outages = [RECORDINGS * (n + 1) // (OUTAGES + 1) for n in range(OUTAGES)]
    while process.poll() is None:
        stored = emulator.stored()
        if level := weigh(process):
            samples.append((stored, *level))
        if outages and stored >= outages[0]:
            outages.pop(0)
            emulator.order(down=8 if LONG else 1)
        time.sleep(2 if LONG else 0.1)
    assert not outages
    return samples


def thirds(samples):
    """The medians of each third of the recordings, while they go up; what it took at most."""
    # The last of them are those that Search has proved absent.
    first_round = (1 - 1.5 * FAULTS["silent"]) * RECORDINGS
    for n, name in enumerate(("first", "second", "last")):
        low, high = (first_round * edge / 3 for edge in (n, n + 1))
        part = [level for stored, *level in samples if low < stored < high]
        yield name, *map(median, zip(*part, strict=True))
    yield "most", *list(map(max, zip(*samples, strict=True)))[1:]


def test_nothing_grows_nothing_is_lost_and_nothing_is_sent_twice(tmp_path):
    """Faults 15, 16, 17, 21, 27, 29 and 31: 5 % end by deadline, 1 % otherwise, three outages."""
    calls = tmp_path / "calls"
    digests = write_recordings(calls, RECORDINGS)
    began = time.monotonic()
    with (
        service(tmp_path / "service", **FAULTS) as emulator,
        sender(calls, emulator, deadline=DEADLINE, hold=HOLD) as process,
    ):
        samples = watch(process, emulator)
        counts = Counter(json.loads(process.stdout.read()))
        # What is absent too often in a run is the next one's to send, and what came into doubt last
        # waits for another one to go up.
        while counts.pop("failed", 0) + counts.pop("in_doubt", 0):
            digests |= write_recordings(calls, 1, first=len(digests))
            with sender(calls, emulator, deadline=DEADLINE, hold=HOLD) as again:
                counts.update(json.loads(again.stdout.read()))
        talks = stored_talks(emulator.store)
    took = time.monotonic() - began
    ends = Counter(line["code"] for line in attempts(calls))
    levels = list(thirds(samples))
    table = "\n".join("{:>8}{:>10.1f}{:>14.0f}{:>10.0f}".format(*level) for level in levels)
    print(  # noqa: T201 - the figures are wanted
        f"\n{RECORDINGS:,} recordings in {took:.0f} s, {dict(ends)}"
        f"\n   third       MiB   descriptors   threads\n{table}"
    )
    assert counts == {"uploaded": len(digests)}
    held = Counter((talk.fields["name"], talk.sha256.hex()) for talk in talks)
    assert held == Counter(digests.items())
    assert ends["DEADLINE_EXCEEDED"] > RECORDINGS / 100
    _, (_, *before), (_, *after), (_, _, descriptors, threads) = levels
    assert after[0] <= 1.05 * before[0] + 1
    assert after[1] <= before[1] + 10
    # As many as are at work at once; one for each deadline would be many more.
    assert descriptors < 100
    assert threads < 60
