"""SIGKILL at each system call of ``resolve`` that changes the ledger or the manifest (fault 2).

MOMENTS is as in ``test_system_calls``.
"""

import itertools
import shutil
import signal
import subprocess
import sys

import pytest
from e2e.conftest import PATIENCE, PROGRAM, Calls, emulator, environment
from kill.harness import Human, Siege
from kill.test_system_calls import MOMENTS, drawn

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc of Linux"),
    pytest.mark.timeout(3600),
]

DECIDED = "0/call-0.wav"
LEFT = "1/call-1.wav"


@pytest.fixture
def siege(tmp_path):
    """Two recordings, both up and both in doubt, at an emulator that loses every answer."""
    with emulator(tmp_path / "service", "--lose-answer", 1, "--lost-answer", "proxy") as service:
        made = Siege(Calls(tmp_path / "calls"), service, Human())
        made.write(2)
        code, said = made.upload()
        assert code == 1, said
        assert made.paths("in_doubt") == [DECIDED, LEFT]
        yield made


@pytest.fixture
def resolve(siege, shim, tmp_path):
    """Runs a decision on the directory as it was in the beginning, under the shim: its code."""
    before = tmp_path / "before"
    shutil.copytree(siege.calls, before)

    def run(*decision, **variables):
        shutil.rmtree(siege.calls)
        shutil.copytree(before, siege.calls)
        under = {"LD_PRELOAD": str(shim), "KILL_UNDER": str(siege.calls)}
        return subprocess.run(
            [PROGRAM, "resolve", siege.calls, *decision],
            env=environment(**under, **variables),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        ).returncode

    return run


def killed_at(resolve, decision, log):
    """Has it killed at one call after the other, or some that are drawn."""
    assert resolve(*decision, KILL_LOG=str(log)) == 0
    calls = log.read_text().splitlines()
    assert "fdatasync /.batch-uploader/ledger.db-wal" in calls
    assert "rename /manifest.jsonl" in calls
    killed = 0
    for moment in drawn(calls, MOMENTS // 2) if MOMENTS else itertools.count(1):
        code = resolve(*decision, KILL_AT=str(moment))
        if code != -signal.SIGKILL:
            assert code == 0
            break
        killed += 1
        yield moment
    assert killed >= (MOMENTS // 2 or len(calls)) - 1


def test_killed_while_a_talk_is_recorded_it_is_in_doubt_or_recorded(siege, resolve, tmp_path):
    """Faults 2 and 12."""
    (talk_id,) = [talk.talk_id for talk in siege.talks() if talk.fields["name"] == DECIDED]
    decision = (DECIDED, "--talk-id", talk_id)
    for _ in killed_at(resolve, decision, tmp_path / "log"):
        code, said = siege.upload()
        assert code == 1, said
        siege.judge()
        if DECIDED in siege.paths("in_doubt"):
            siege.resolve(*decision)
        assert siege.paths("uploaded") == [DECIDED]
        assert siege.calls.manifest()[DECIDED]["talk_id"] == talk_id
        assert siege.paths("in_doubt") == [LEFT]


def test_killed_while_doubts_are_to_be_sent_again_all_are_after_the_next(siege, resolve, tmp_path):
    """Faults 2 and 12."""
    decision = ("--all", "--resend", "--yes")
    for _ in killed_at(resolve, decision, tmp_path / "log"):
        assert {*siege.paths("in_doubt"), *siege.paths("failed")} == {DECIDED, LEFT}
        siege.resolve(*decision)
        assert siege.paths("failed") == [DECIDED, LEFT]
