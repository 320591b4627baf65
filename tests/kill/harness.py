"""The kill harness: the installed program, killed over and over, judged at the receiving end.

A ``Siege`` is one directory, one emulator that survives everything, and a way to deal with doubt.
It starts the program, kills it at a moment drawn from a seed, starts it again, until all is up and
all kills are spent. What the emulator stored is the judge; what the program says of itself is
held against that, never believed.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from unittest import mock

import pytest
from e2e.conftest import CONNECTION, PATIENCE, PROGRAM, environment
from support.processes import start

from batch_uploader.cli import main
from batch_uploader.core.model import recording_key

STORE_LATE = 0.2
"""Seconds from the last byte of a recording to its talk."""

_WHILE_STARTING = 0.25
"""The share of the kills that fall before anything was sent."""


def number(name, default):
    """A number from the environment: the long form is the short one with other numbers."""
    return int(os.environ.get(name, default))


_MORE = 3
"""Runs with one more recording each until nothing is in doubt."""

SEED = number("KILL_SEED", 1)
"""Says which moments are drawn."""


def faults(late=STORE_LATE):
    """What the emulator does wrong all the while, beside what the kills do."""
    return (
        *("--seed", SEED, "--store-late", late),
        *("--lose-answer", 0.05, "--lost-answer", "proxy", "--search-lag", 0.5),
    )


class Human:
    """Looks up at the service what is in doubt, and tells the program with ``resolve``.

    ``patience`` in seconds: when no talk came for that long, none is on its way any more.
    """

    flags = ()

    def __init__(self, patience=5 * STORE_LATE):
        self._patience = patience

    def after_kill(self, siege):
        """Nothing: doubt can wait."""

    def decide(self, siege):
        """Decide all that is in doubt, by what the emulator holds."""
        siege.wait_for_quiet(self._patience)
        held = {talk.idempotency_key: talk.talk_id for talk in siege.talks()}
        missing = []
        for path in siege.paths("in_doubt"):
            talk_id = held.get(siege.key(path))
            if talk_id is None:
                missing.append(path)
            else:
                siege.figures["found by the human"] += 1
                siege.resolve(path, "--talk-id", talk_id)
        if missing:
            siege.figures["sent again by the human"] += len(missing)
            siege.resolve(*missing, "--resend", "--yes")


class Search:
    """Leaves it to the program: the stamp field, Search, and a hold that covers what may be late.

    ``hold`` in seconds. All that is in doubt is settled by runs that wait for it, and that have
    something to send: what goes up after a doubt shows that Search is up to date.
    """

    def __init__(self, hold=10 * STORE_LATE):
        self.flags = ("--stamp-field", "upload_key", "--hold", f"{hold}s")

    def after_kill(self, siege):
        """Nothing: the next run searches."""

    def decide(self, siege):
        """Nothing is left in doubt by runs that wait for it, as soon as one more goes up.

        What goes up may come into doubt itself; then the one of the next run has to.
        """
        siege.wait_for_quiet(STORE_LATE)
        siege.figures["found by Search or sent again"] += len(siege.paths("in_doubt"))
        for _ in range(_MORE):
            siege.write(1)
            code, said = siege.upload("--wait-for-doubt")
            if code == 0:
                return
            assert code == 1, said
            assert set(siege.codes()) == {"SEARCH_UNPROVED"}, said
        raise AssertionError(said)


class Blind:
    """What no uploader should do, and what most do: whatever is in doubt is sent again at once.

    The control: a harness that finds no duplicates under it finds none at all.
    """

    flags = ()

    def after_kill(self, siege):
        """Send it all again, unless the kill came before anything was in the ledger."""
        if siege.ledger.exists() and siege.is_begun():
            siege.resolve("--all", "--resend", "--yes")

    def decide(self, siege):
        """The same."""
        self.after_kill(siege)


class Siege:
    """One directory under fire.

    ``policy`` deals with doubt: its ``flags`` go to every upload, ``after_kill`` is called after
    each kill and ``decide`` when a run ended by itself and left doubt. Runs that are not to be
    killed go to ``calm``, if there is one: a second way into the same service. ``figures`` count.
    """

    def __init__(self, calls, service, policy, *, seed=0, calm=None):
        self.calls = calls
        self.service = service
        self.calm = calm or service
        self.policy = policy
        self.figures = Counter()
        self.digests = {}
        self.ledger = calls.folder / ".batch-uploader" / "ledger.db"
        self._chance = random.Random(seed)

    def write(self, count):
        """More recordings arrive."""
        first = len(self.digests)
        names = [f"{number % 10}/call-{number}.wav" for number in range(first, first + count)]
        self.calls.write(*names, seconds=0.01)
        for name in names:
            content = (self.calls.folder / name).read_bytes()
            self.digests[name] = hashlib.sha256(content).hexdigest()

    def talks(self):
        """What the emulator holds of this directory."""
        return self.service.talks(self.calls)

    def twice(self):
        """The recordings of which it holds more than one talk."""
        return [name for name, count in self.service.counts(self.calls).items() if count > 1]

    def paths(self, status):
        """The paths that the manifest has in a state."""
        return [path for path, line in self.calls.manifest().items() if line["status"] == status]

    def endings(self):
        """How the runs ended that the ledger keeps, None for one that goes on."""
        with self._reading() as ledger:
            return Counter(ending for (ending,) in ledger.execute("SELECT ending FROM runs"))

    def _reading(self):
        place = f"{self.ledger.as_uri()}?mode=ro"
        return contextlib.closing(sqlite3.connect(place, uri=True))

    def codes(self):
        """Why what needs a human does so, by the manifest."""
        errors = (line["error"] for line in self.calls.manifest().values())
        return [error["code"] for error in errors if error is not None]

    def key(self, path):
        """The idempotency key that a recording goes by."""
        return recording_key(CONNECTION, path, bytes.fromhex(self.digests[path]))

    def wait_for_quiet(self, seconds):
        """Wait until there was no new talk for so long."""
        before, now = -1, len(self.talks())
        while before != now:
            time.sleep(seconds)
            before, now = now, len(self.talks())

    def is_begun(self):
        """Whether anything is on record."""
        with self._reading() as ledger:
            return ledger.execute("SELECT 1 FROM recordings").fetchone() is not None

    def resolve(self, *arguments):
        """Decide; in this process, since a thousand starts of Python would prove nothing more."""
        said = io.StringIO()
        command = ["batch-uploader", "resolve", str(self.calls), *arguments]
        with (
            mock.patch.object(sys, "argv", command),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            pytest.raises(SystemExit) as exit_,
        ):
            main()
        assert exit_.value.code == 0, said.getvalue()

    def start(self, *flags, service=None, **variables):
        """The installed program, uploading."""
        where = (*(service or self.service).flags, "--api-key-file", self.calls.key_file)
        how = ("--progress", "json", *self.policy.flags, *flags)
        self.figures["runs"] += 1
        return start(
            [PROGRAM, "upload", *map(str, (self.calls, *where, *how))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.calls.folder.parent,
            # Measuring the coverage of what gets killed yields nothing and takes time.
            env={
                name: value
                for name, value in environment(**variables).items()
                if not name.startswith("COV")
            },
        )

    def upload(self, *flags, **variables):
        """A run to its end, however it ends: its code, and what it said on stderr."""
        process = self.start(*flags, service=self.calm, **variables)
        out, err = process.communicate(timeout=PATIENCE)
        for line in out.splitlines():
            self._note(line)
        return process.returncode, err.decode()

    def uploads(self):
        """An undisturbed run; whether everything is up. What is not is listed as in doubt."""
        code, said = self.upload()
        assert code in {0, 1}, said
        self.judge()
        return code == 0

    def judge(self):
        """Hold what the program says after a run that ended by itself against the emulator."""
        manifest = self.calls.manifest()
        states = {path: line["status"] for path, line in manifest.items()}
        assert states.keys() == self.digests.keys(), "nothing is lost silently"
        assert set(states.values()) <= {"uploaded", "in_doubt"}, Counter(states.values())
        assert not self.twice()
        held = {talk.talk_id: talk for talk in self.talks()}
        for path, line in manifest.items():
            if line["status"] == "uploaded":
                talk = held.pop(line["talk_id"])
                assert talk.fields["name"] == path
                assert talk.sha256.hex() == line["sha256"] == self.digests[path]
        unclear = set(self.paths("in_doubt"))
        # What is there and not on record is there for good: it must be in doubt.
        assert {talk.fields["name"] for talk in held.values()} <= unclear

    def endure(self, kills):
        """Kill it so many times, and go on until everything is up."""
        while True:
            left = kills - self.figures["kills"]
            code = self._run_under_fire() if left else self.upload()[0]
            if code is None:
                self.figures["kills"] += 1
                self._look_at_the_manifest()
                self.policy.after_kill(self)
                continue
            assert code in {0, 1}
            if code == 1:
                assert self.paths("in_doubt"), "code 1, and the manifest does not say why"
                self.figures["in doubt"] += len(self.paths("in_doubt"))
                self.policy.decide(self)
            elif left:
                self.write(left)
            else:
                return

    def _run_under_fire(self):
        """A run that is killed, or ends before that: its exit code, or None for a kill."""
        starting = self._chance.random() < _WHILE_STARTING
        # Few at a time: each kill is to hit some, and all of them are to last for all the kills.
        process = self.start("--concurrency", self._chance.choice([1, 1, 2, 3]))
        if not starting:
            for line in process.stdout:
                self._note(line)
                if json.loads(line)["event"] == "upload_started":
                    break
        # From the start to the first upload takes half a second, and each upload STORE_LATE.
        longest = 0.6 if starting else 1.5 * STORE_LATE
        try:
            _, err = process.communicate(timeout=self._chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            _, err = process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.figures["kills while starting" if starting else "kills while sending"] += 1
            return None
        assert process.returncode in {0, 1}, err.decode()
        return process.returncode

    def _note(self, line):
        """Count what searches brought; the last line of a killed run may be cut off."""
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(line)
            if event["event"] == "reconciled":
                code = event["error"]["code"] if event["error"] else event["status"]
                self.figures[f"searches said {code}"] += 1

    def _look_at_the_manifest(self):
        """It may be old, and is never torn."""
        with contextlib.suppress(FileNotFoundError):
            self.calls.manifest()

    def report(self):
        """The figures, in one line."""
        self.figures |= Counter({"recordings": len(self.digests), "talks": len(self.talks())})
        counted = ", ".join(f"{count} {what}" for what, count in sorted(self.figures.items()))
        return f"{type(self.policy).__name__}: {counted}, {len(self.twice())} twice"
