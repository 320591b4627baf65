"""Who holds the ledger, where its lock tells nothing; the emulator's records are the judge.

A shim of C, preloaded, grants every lock to whoever asks. Runs have process namespaces of their own
and come to the directory by another mount.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from e2e.conftest import PATIENCE, PROGRAM, Calls, emulator, environment, events
from support.processes import start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc of Linux")

COUNT = 24
AT_ONCE = 2
SLOW = ("--store-late", "0.3s")


@pytest.fixture(scope="session")
def no_locks(compiled):
    """The variables with which no lock keeps anybody out."""
    return {"LD_PRELOAD": str(compiled("nolocks")), "NO_LOCKS": "1"}


def namespaces():
    """A command of one's own processes and mounts: what goes before another command."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount"]
    command += [] if os.geteuid() == 0 else ["--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this machine gives no namespaces")
    return command


class Harness:
    """A directory and a service that takes its time; starts runs in several ways."""

    def __init__(self, folder, service, variables):
        self.calls = Calls(folder / "calls")
        self.names = [f"{number}.wav" for number in range(COUNT)]
        self.calls.write(*self.names, seconds=0.01)
        self.ledger = self.calls.folder / ".batch-uploader" / "ledger.db"
        self.other = folder / "mount"
        self.other.mkdir()
        self.service = service
        self.variables = variables

    def start(self, *flags, directory=None, inside=()):
        """A run that tells its events."""
        where = (*self.service.flags, "--api-key-file", self.calls.key_file)
        upload = [PROGRAM, "upload", directory or self.calls, *where, "--progress", "json"]
        return start(
            [*inside, *map(str, (*upload, "--concurrency", AT_ONCE, *flags))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**self.variables),
            cwd=self.calls.folder.parent,
        )

    def start_elsewhere(self, *flags):
        """A run with processes of its own, by another mount."""
        mount = f'mount --bind {self.calls} {self.other} && exec "$0" "$@"'
        inside = [*namespaces(), "/bin/sh", "-c", mount]
        return self.start(*flags, directory=self.other, inside=inside)

    def check(self):
        """What foretells a run."""
        return start(
            [PROGRAM, "check", self.calls.folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**self.variables),
            cwd=self.calls.folder.parent,
        )

    def ask(self, command, *flags):
        """What a command that sends nothing says."""
        done = subprocess.run(
            [PROGRAM, command, self.calls.folder, *flags],
            capture_output=True,
            check=False,
            env=environment(**self.variables),
            cwd=self.calls.folder.parent,
        )
        return done.stdout

    def begin(self, *flags, start=None, uploads=4):
        """The same once so many uploads began."""
        run = (start or self.start)(*flags)
        begun = events(run, "upload_started")
        for _ in range(uploads):
            next(begun)
        return run

    def begin_and_kill(self):
        """A run with processes of its own, killed while it sends."""
        run = self.begin(start=self.start_elsewhere)
        with self.standstill():
            run.kill()
            run.communicate()

    @contextmanager
    def standstill(self):
        """No answer comes meanwhile, so that a run that sends does not end, nor do its claims."""
        with self.service.paused():
            wait_until(lambda: self.claims() == AT_ONCE)
            yield

    def claims(self):
        """How many recordings are claimed."""
        with closing(sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True)) as ledger:
            asked = "SELECT count(*) FROM recordings WHERE status = 'claimed'"
            return ledger.execute(asked).fetchone()[0]

    def talks(self):
        """How many talks there are of each recording."""
        return self.service.counts(self.calls)

    def assert_whole(self):
        """Each is up once and the ledger is not damaged."""
        assert self.talks() == dict.fromkeys(self.names, 1)
        assert {line["status"] for line in self.calls.manifest().values()} == {"uploaded"}
        with closing(sqlite3.connect(self.ledger)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def wait_until(condition):
    """Wait for something that happens by itself."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def end(run):
    """Its exit code and what it said."""
    _, said = run.communicate(timeout=PATIENCE)
    return run.returncode, said.decode()


@pytest.fixture
def harness(tmp_path, no_locks):
    """With a service of its own, where no lock keeps anybody out."""
    with emulator(tmp_path / "service", *SLOW) as service:
        yield Harness(tmp_path, service, no_locks)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_of_two_runs_without_locks_the_second_ends(harness, elsewhere):
    """Fault 85."""
    first = harness.begin()
    with harness.standstill():
        code, said = end(harness.start_elsewhere() if elsewhere else harness.start())
        assert code == 5, said
        asked = harness.ask("status", "--json")
    assert json.loads(asked)["running"], "others see it as well"
    assert "another run (process " in said
    assert end(first)[0] == 0
    harness.assert_whole()


def test_a_run_that_was_killed_in_its_own_namespace_is_found_dead(harness):
    """Fault 85: by another run that cannot see its processes."""
    harness.begin_and_kill()
    code, said = end(harness.start("--stamp-field", "key"))
    assert code == 1, said
    assert max(harness.talks().values()) == 1
    doubtful = [p for p, line in harness.calls.manifest().items() if line["status"] == "in_doubt"]
    assert len(doubtful) == AT_ONCE


def test_of_many_that_follow_a_dead_one_at_once_one_runs(harness):
    """Fault 85: all of them watch it, and none sees another's process."""
    harness.begin_and_kill()
    with harness.service.paused():
        runs = [harness.start_elsewhere("--stamp-field", "key") for _ in range(3)]
        wait_until(lambda: sum(run.poll() is not None for run in runs) == 2)
    codes = sorted(end(run)[0] for run in runs)
    assert codes == [1, 5, 5]
    assert max(harness.talks().values()) == 1


def test_a_run_that_was_taken_for_dead_sends_nothing_more(harness):
    """Fault 85: it stood still for long, as a machine that sleeps does."""
    first = harness.begin(start=harness.start_elsewhere)
    inside = [int(p) for p in children(first.pid)]
    with harness.standstill():
        for process in inside:
            os.kill(process, signal.SIGSTOP)
    second = harness.start()
    begun = events(second, "upload_started")
    next(begun)
    for process in inside:
        os.kill(process, signal.SIGCONT)
    code, said = end(first)
    assert code == 5, said
    assert "took over the ledger" in said
    assert end(second)[0] == 1
    assert max(harness.talks().values()) == 1
    lines = harness.calls.manifest()
    assert {line["status"] for line in lines.values()} == {"uploaded", "in_doubt"}


@pytest.mark.parametrize("command", ["upload", "check"])
@pytest.mark.parametrize(("number", "name"), [("0x6969", "NFS"), ("0xff534d42", "CIFS")])
def test_a_ledger_on_a_network_file_system_is_told_of(harness, command, number, name):
    """Fault 88: once, with the cure."""
    harness.variables = {**harness.variables, "FS_TYPE": number}
    run = harness.start() if command == "upload" else harness.check()
    code, said = end(run)
    assert code == 0
    assert said.count(f"is on a network file system ({name})") == 1
    assert "keep it on a disk of this machine with --ledger" in said


def test_a_ledger_on_a_disk_of_this_machine_is_not(harness):
    """Fault 88: nor is anything said that nobody wants to hear."""
    for run in (harness.start(), harness.check()):
        code, said = end(run)
        assert code == 0
        assert "network" not in said
    harness.variables = {**harness.variables, "FS_TYPE": "0x6969"}
    assert "network" not in end(harness.start("--progress", "none"))[1]


def children(process):
    """All processes below it."""
    for each in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield each
        yield from children(each)


def test_a_share_that_locks_no_parts_of_files_is_told_from_another_program(tmp_path, compiled):
    """Fault 88: SQLite only says that it is busy."""
    variables = {"LD_PRELOAD": str(compiled("nolocks")), "NO_RANGES": "1"}
    with emulator(tmp_path / "service") as service:
        share = Harness(tmp_path, service, variables)
        _, said = share.start().communicate(timeout=PATIENCE)
        assert b"its file system does not lock parts of files" in said
        assert b"keep the ledger on a disk of this machine: --ledger F" in said
        assert b"another program" not in said
        # The cure; the shim knows no folders, so it is left out.
        share.variables = {}
        moved = share.start("--ledger", tmp_path / "of-calls.db")
        _, said = moved.communicate(timeout=PATIENCE)
        assert moved.returncode == 0, said
        assert len(service.talks()) == COUNT
