"""Locks on directories, above and below each other, between real processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from batch_uploader.host.treelock import Holder, TreeLock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks on directories there")

HOLD = """
import subprocess, sys, time
from pathlib import Path
from batch_uploader.host.treelock import TreeLock
lock = TreeLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
child = subprocess.Popen(["sleep", "60"]) if "child" in sys.argv else None
print(child and child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def held(directory, *words):
    """A process that holds the lock on a directory; yields it and the ID of its child."""
    command = [sys.executable, "-c", HOLD, str(directory), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "None\n"
            child = process.stdout.readline().strip()
            yield process, child
        finally:
            process.kill()


def taken(directory):
    """Who has it; the lock is released at once."""
    lock = TreeLock(directory)
    try:
        return lock.acquire()
    finally:
        lock.release()


@pytest.fixture
def tree(tmp_path):
    for each in ("a/b/c", "a/d"):
        (tmp_path / each).mkdir(parents=True)
    return tmp_path


def test_what_is_above_and_below_is_excluded_and_what_is_beside_is_not_fault_104(tree):
    with held(tree / "a" / "b") as (process, _):
        holder = Holder(tree / "a" / "b", process.pid)
        for each in ("", "a", "a/b", "a/b/c"):
            assert taken(tree / each) == holder
        assert taken(tree / "a" / "d") is None
    for each in ("", "a", "a/b", "a/b/c"):
        assert taken(tree / each) is None


def test_two_in_one_process_exclude_each_other_as_well_fault_104(tree):
    lock = TreeLock(tree / "a")
    assert lock.acquire() is None
    for each in ("", "a", "a/b"):
        assert taken(tree / each) == Holder(tree / "a", os.getpid())
    lock.release()
    lock.release()
    assert taken(tree / "a") is None


def test_a_killed_run_leaves_no_lock_though_its_child_goes_on_fault_104(tree):
    with held(tree / "a", "child") as (process, child):
        process.kill()
        process.wait()
        try:
            os.kill(int(child), 0)
            assert taken(tree) is None
        finally:
            os.kill(int(child), signal.SIGKILL)


def _in_child(there, begun, ended):
    lock = TreeLock(there)
    begun.put(lock.acquire())
    ended.get()


def test_a_fork_has_no_share_in_it_fault_104(tree):
    """Fault 104: the child neither keeps it nor is let in by it, and can release nothing of it."""
    fork = multiprocessing.get_context("fork")
    begun, ended = fork.Queue(), fork.Queue()
    lock = TreeLock(tree / "a")
    assert lock.acquire() is None
    child = fork.Process(target=_in_child, args=(tree / "a" / "b", begun, ended), daemon=True)
    child.start()
    assert begun.get(timeout=30) == Holder(tree / "a", os.getpid())
    lock.release()
    assert taken(tree / "a") is None
    ended.put(None)
    child.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a lock")
@pytest.mark.parametrize(
    "command",
    ['flock "$1" {}', 'flock -F "$1" {}', '( flock 9; {} ) 9<"$1"'],
    ids=["started by it", "in its place", "a shell's"],
)
def test_a_lock_around_the_command_is_no_other_run_fault_104(tree, command):
    """Fault 104: cron jobs are often started as ``flock DIRECTORY COMMAND``."""
    looks = (
        "import sys; from pathlib import Path; from batch_uploader.host.treelock import TreeLock;"
        " print(TreeLock(Path(sys.argv[1])).acquire())"
    )
    shell = command.format('"$2" -c "$3" "$4"')
    for below in ("", "b"):
        words = [tree / "a", sys.executable, looks, tree / "a" / below]
        done = subprocess.run(
            ["sh", "-c", shell, "sh", *words], capture_output=True, text=True, check=True
        )
        assert done.stdout == "None\n"
    with subprocess.Popen(["flock", "-F", tree / "a", "sleep", "60"]) as other:
        try:
            deadline = time.monotonic() + 10
            while (holder := taken(tree / "a" / "b")) is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert holder == Holder(tree / "a", other.pid), "it is for another command"
        finally:
            other.kill()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may list everything")
def test_a_directory_that_may_not_be_listed_is_passed_over(tree):
    (tree / "a").chmod(0o311)
    try:
        assert taken(tree / "a" / "b") is None
    finally:
        (tree / "a").chmod(0o755)
