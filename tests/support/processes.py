"""Processes that a test starts and that end with it, also if it fails.

One that is left behind would fail a later test, with its pipes that nobody closed.
"""

import subprocess

import pytest

_started = []


def start(command, **how):
    """A process with these options of Popen, which is killed at the end of the test."""
    process = subprocess.Popen(command, **how)
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def processes_end():
    """Kills what still runs and closes the pipes."""
    yield
    while _started:
        with _started.pop() as process:
            process.kill()
