"""The installed program against the emulator as a process of its own, over TLS."""

import array
import ctypes
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import wave
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.leg_makers import kept
from support.processes import start

from batch_uploader.cli import main
from batch_uploader.emulator import stored_talks
from batch_uploader.settings import VARIABLES

PROGRAM = Path(sys.executable).with_name("batch-uploader")
CONNECTION = "calls"
API_KEY = "e2e-key-0123456789"
PATIENCE = 110

_DROP_CAPABILITY = 24
_WRITE_ANYWHERE, _READ_ANYWHERE = 1, 2


def environment(**variables):
    """Nothing of whoever runs the tests, but what a process cannot do without; None removes it."""
    kept = ("PATH", "HOME", "XDG_STATE_HOME", "TMPDIR", "SYSTEMROOT", "TEMP", "TMP")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in kept or name.startswith(("COV", "COVERAGE"))
    }
    wanted = {**inherited, "COLUMNS": "100", **variables}
    return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self):
        return self.out + self.err


class Program:
    """The console script, run in a directory without a settings file."""

    def __init__(self, directory):
        self.directory = directory

    def start(
        self,
        *arguments,
        env=None,
        redirection=None,
        stdin=subprocess.DEVNULL,
        preexec=None,
        under=(),
    ):
        """``under`` is the command of a program that runs ours."""
        command = [*under, PROGRAM, *map(str, arguments)]
        if redirection is not None:
            command = ["/bin/sh", "-c", f'exec "$0" "$@" {redirection}', *command]
        return start(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=environment(**(env or {})),
            preexec_fn=preexec,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=PATIENCE)
        result = Result(process.returncode, (out or b"").decode(), (err or b"").decode())
        assert "Traceback" not in result.said, result.said
        return result

    def __call__(self, *arguments, **how):
        return self.finish(self.start(*arguments, **how))


class Service:
    """A running emulator; ``served`` counts its requests by method once it has ended."""

    def __init__(self, process, address, folder):
        self.served = Counter()
        self.process = process
        self.address = address
        self.folder = folder

    @contextmanager
    def paused(self):
        """It stands still meanwhile: no answer comes, and no connection ends."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @property
    def flags(self):
        """What leads an upload here, the credential excluded."""
        return (
            "--connection-id",
            CONNECTION,
            "--endpoint",
            self.address,
            "--ca-file",
            self.folder / "tls" / "ca.pem",
        )

    def talks(self, folder=None):
        """All talks, or those whose metadata name this folder as their origin."""
        talks = stored_talks(self.folder / "talks.db")
        if folder is None:
            return talks
        return [talk for talk in talks if talk.fields.get("origin") == str(folder)]

    def counts(self, folder):
        """How many talks there are of each recording that ``Calls`` wrote."""
        names = [talk.fields["name"] for talk in self.talks(folder)]
        return {name: names.count(name) for name in names}


@contextmanager
def emulator(folder, *flags, key=API_KEY):
    folder.mkdir(exist_ok=True)
    (folder / "key").write_text(key)
    kept = ("--tls", folder / "tls", "--store", folder / "talks.db")
    admitted = ("--connection", CONNECTION, "--api-key-file", folder / "key")
    process = subprocess.Popen(
        [PROGRAM, "emulator", *kept, *admitted, *map(str, flags)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=folder,
    )
    try:
        line = process.stdout.readline().decode()
        assert line.startswith("listening on "), line
        service = Service(process, line.split()[-1], folder)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    for line in out.decode().splitlines():
        _, count, method = line.split()
        service.served[method] += int(count)


def assert_one_talk_each(calls, service, expected):
    """The emulator's records are the judge, and the manifest agrees with them."""
    assert service.counts(calls) == dict.fromkeys(expected, 1)
    by_name = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
    lines = calls.manifest()
    assert {path: line["talk_id"] for path, line in lines.items()} == by_name
    assert {line["status"] for line in lines.values()} == {"uploaded"}


class Calls:
    """A directory of recordings, no two alike, that came to rest an hour ago."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.key_file = folder.parent / "api-key"
        self.key_file.write_text(API_KEY)
        self.key_file.chmod(0o600)

    def __fspath__(self):
        return str(self.folder)

    def __str__(self):
        return str(self.folder)

    def write(self, *names, seconds=0.1, noise=None, **fields):
        """Write WAVs with sidecars; metadata tells the emulator's talks apart.

        ``noise`` makes the same audio in any folder, so that an emulator's seed draws its faults.
        """
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            chance = random.Random(str(path) if noise is None else f"{noise} {name}")
            with wave.open(str(path), "wb") as file:
                file.setparams((2, 2, 8000, 0, "NONE", ""))
                count = max(1, round(8000 * seconds)) * 2
                file.writeframes(array.array("h", chance.randbytes(count * 2)).tobytes())
            origin = {"origin": str(self.folder), "name": name}
            path.with_suffix(".json").write_text(json.dumps({**origin, **fields}))
            self.rest(name, path.with_suffix(".json").relative_to(self.folder))
        return self

    def put(self, name, content):
        """Write a file of any content."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.rest(name)

    def broken(self, name, content=b""):
        """Write a recording that has a defect, and its sidecar."""
        self.put(name, content)
        self.put(str(Path(name).with_suffix(".json")), b"{}")

    def rest(self, *names):
        """Make files an hour old."""
        for name in names:
            then = time.time() - 3600
            os.utime(self.folder / name, (then, then))

    @property
    def ledger(self):
        """Where its ledger is."""
        return self.folder / ".batch-uploader" / "ledger.db"

    def change_ledger(self, query, *values):
        """Change what is on record behind the program's back."""
        with closing(sqlite3.connect(self.ledger)) as ledger, ledger:
            ledger.execute(query, values)

    def age_doubts(self, seconds):
        """Have all that is in doubt have been so for longer."""
        self.change_ledger(
            "UPDATE recordings SET doubt_wall_ns = doubt_wall_ns - ?,"
            " doubt_boot_ns = doubt_boot_ns - ? WHERE status = 'in_doubt'",
            *(seconds * 10**9,) * 2,
        )

    def every_line(self):
        """The manifest's lines, several of a path that held one recording after another."""
        text = (self.folder / "manifest.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def manifest(self):
        """The manifest's lines by path."""
        return {line["path"]: line for line in self.every_line()}

    def in_doubt(self):
        """The manifest's lines about what is in doubt."""
        return [line for line in self.manifest().values() if line["status"] == "in_doubt"]


def events(process, name):
    """The events of that name, as ``--progress json`` prints them; what is between is gone."""
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == name:
            yield event


@pytest.fixture
def unprivileged():
    """What even root may not do afterwards, once it runs something else: ignore file modes."""

    def drop():
        if sys.platform == "linux" and os.geteuid() == 0:
            libc = ctypes.CDLL(None, use_errno=True)
            for capability in (_WRITE_ANYWHERE, _READ_ANYWHERE):
                assert libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0) == 0

    return drop


@pytest.fixture
def program(tmp_path):
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return Program(directory)


@pytest.fixture
def calls(tmp_path):
    return Calls(tmp_path / "calls")


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """An emulator without faults that all tests share; talks are told apart by their folder.

    It refuses what goes to its connection ``strict``, by the fields.
    """
    strict = ("--connection", "strict=none")
    with emulator(tmp_path_factory.mktemp("emulator"), *strict) as running:
        yield running


@pytest.fixture
def start_service(tmp_path):
    """Starts an emulator with faults, for one test."""

    @contextmanager
    def start(*flags, **how):
        with emulator(tmp_path / "faulty", *flags, **how) as running:
            yield running

    return start


@pytest.fixture
def listening(start_service, tmp_path):
    """A service that keeps the audio."""
    with start_service("--keep-audio", tmp_path / "kept") as service:
        service.audio = lambda: kept(service, tmp_path / "kept")
        yield service


@pytest.fixture
def upload(program, calls, service):
    """Runs an upload of ``calls``, to the shared emulator if no other is named."""

    def run(*flags, to=service, start=False, **how):
        flags = ("upload", calls, *to.flags, "--api-key-file", calls.key_file, *flags)
        return program.start(*flags, **how) if start else program(*flags, **how)

    return run


@pytest.fixture
def inside(monkeypatch, capsys, tmp_path):
    """Runs a command within this process, as ``main`` does: for the many that end at once."""
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES.values(), "BATCH_UPLOADER_CONFIG", "BATCH_UPLOADER_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["batch-uploader", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Result(exit_.value.code, said.out, said.err)

    return run
