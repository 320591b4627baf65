"""A service that takes so many uploads a second, and nobody tells; then it takes them all.

The short form is one of the tests; ``make overload`` is the long one. OVERLOAD says for how many
seconds.
"""

import os
import time
from collections import Counter
from datetime import datetime

import pytest
from soak.processes import attempts, sender, service, write_recordings

from batch_uploader.emulator import stored_talks

SECONDS = int(os.environ.get("OVERLOAD", "20"))
SETTLED = min(60, 0.3 * SECONDS)
RATE = 30
LATENCY = 0.25
FULL = 0.8 * 32 / LATENCY
"""Most of what 32 at once can be, which is the ceiling."""
SOON = 60

pytestmark = pytest.mark.timeout(120 + SECONDS)


class Requests:
    """What was sent until now: when each ended, of which recording, and how."""

    def __init__(self, folder):
        self._ended = [
            (datetime.fromisoformat(line["time"]).timestamp(), line["path"], line["code"])
            for line in attempts(folder)
        ]

    def successes(self, start, seconds):
        """So many a second got through then."""
        times = [at for at, _, code in self._ended if code == "OK" and 0 <= at - start < seconds]
        return len(times) / seconds

    def until(self, end):
        """How many there were, the share that was refused, and the share that were retries."""
        paths = [path for at, path, _ in self._ended if at < end]
        refused = sum(at < end and code == "RESOURCE_EXHAUSTED" for at, _, code in self._ended)
        return len(paths), refused / len(paths), 1 - len(set(paths)) / len(paths)


def full_speed(folder, since):
    """After how many seconds there was one at full speed, None if that took too long."""
    seen = 0
    while seen < SOON:
        if time.time() < since + seen + 2:
            time.sleep(0.5)
            continue
        if Requests(folder).successes(since + seen, 1) >= FULL:
            return seen
        seen += 1
    return None


def test_the_rate_is_found_with_few_retries_and_forgotten_when_it_is_lifted(tmp_path):
    """Fault 22: retries, throughput, and how soon full speed is back."""
    calls = tmp_path / "calls"
    write_recordings(calls, SECONDS * RATE + SOON * round(32 / LATENCY))
    with (
        service(tmp_path / "service", max_rate=RATE, latency=LATENCY) as emulator,
        sender(calls, emulator, deadline=60, hold=60),
    ):
        while not emulator.stored():
            time.sleep(0.1)
        began = time.time()
        time.sleep(SECONDS)
        lifted = time.time()
        emulator.order(max_rate=None)
        took = full_speed(calls, lifted)
        talks = Counter(talk.fields["name"] for talk in stored_talks(emulator.store))
    requests = Requests(calls)
    count, refused, retries = requests.until(lifted)
    throughput = requests.successes(began + SETTLED, lifted - began - SETTLED)
    print(  # noqa: T201 - the figures are wanted
        f"\n{count:,} requests in {SECONDS} s, {refused:.1%} refused, {retries:.1%} retries;"
        f" {throughput:.1f}/s of {RATE}/s after {SETTLED:.0f} s;"
        f" full speed ({FULL:.0f}/s) {took} s after it was lifted"
    )
    assert retries < 0.1
    assert throughput >= 0.9 * RATE
    assert took is not None
    assert set(talks.values()) == {1}
