"""A link with a delay, a rate and a loss, between two network namespaces of this machine."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from bench.lab import FAR_ADDRESS, NotPossible

# Of this process alone, since others may be measuring, too.
HERE, THERE = f"bench-client-{os.getpid()}", f"bench-sink-{os.getpid()}"
NEAR_ADDRESS = "10.77.0.1"
RENO = "net.ipv4.tcp_congestion_control=reno"


def inside(namespace):
    """What to put before a command to run it in a namespace."""
    return ("ip", "netns", "exec", namespace)


@contextmanager
def link(lab, *, round_trip, mbit, loss):
    """A link of so many ms and Mbit/s that loses so many percent of the packets.

    Its queue holds what fits on it in a round trip. TCP goes by loss, as it does nearly everywhere;
    by Reno, since a namespace may not always choose CUBIC. Raises NotPossible without root or TUN
    devices.
    """
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        raise NotPossible("needs root and /dev/net/tun")
    queue = round_trip * mbit / 8
    shape = (round_trip / 2, mbit, loss, queue)
    _remove()
    try:
        for namespace in (HERE, THERE):
            _ip("netns", "add", namespace)
        process = subprocess.Popen(
            [lab.program("link"), HERE, THERE, *map(str, shape)],
            stdout=subprocess.PIPE,
            preexec_fn=lambda: _go_first(lab.other_core),
        )
        with process:
            try:
                if not process.stdout.readline():
                    raise NotPossible("the TUN devices cannot be made")
                for namespace, address in ((HERE, NEAR_ADDRESS), (THERE, FAR_ADDRESS)):
                    _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "link")
                    _ip("-n", namespace, "link", "set", "dev", "link", "txqueuelen", "10000", "up")
                    _ip("netns", "exec", namespace, "sysctl", "-qw", RENO)
                yield
            finally:
                process.terminate()
    finally:
        _remove()


def _go_first(core):
    os.sched_setaffinity(0, {core})
    # A link waits for no processor.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _remove():
    for namespace in (HERE, THERE):
        subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def _ip(*arguments):
    try:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotPossible(f"ip {' '.join(arguments)} does not work here: {error}") from error
