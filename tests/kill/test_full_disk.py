"""A disk that fills up under the installed program; the emulator's records are the judge.

A shim of C, preloaded, refuses to let any file of the directory grow (ENOSPC).
"""

import json
import subprocess
import sys

import pytest
from e2e.conftest import PATIENCE, PROGRAM, Calls, emulator, environment
from kill.harness import Human, Siege

from batch_uploader.ledgers.sqlite import kept_answers

AT_ONCE = 4

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc of Linux")


@pytest.fixture
def siege(tmp_path, shim):
    """A directory, and an emulator that answers two seconds after the last byte."""
    with emulator(tmp_path / "service", "--store-late", "2s") as service:
        made = Siege(Calls(tmp_path / "calls"), service, Human())
        made.full = tmp_path / "the disk is full"
        made.variables = {
            "LD_PRELOAD": str(shim),
            "KILL_UNDER": str(made.calls),
            "FULL_WHILE": str(made.full),
        }
        yield made


def ask(*arguments):
    """A command that sends nothing: its code, stdout and stderr."""
    result = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def test_a_disk_that_fills_up_while_answers_are_out_loses_none(siege):
    """Fault 6: the next run has the talk IDs, nothing is in doubt and nothing goes up twice."""
    siege.write(4 * AT_ONCE)
    run = siege.start("--concurrency", AT_ONCE, **siege.variables)
    events = (json.loads(line)["event"] for line in run.stdout)
    for _ in range(AT_ONCE):
        assert "upload_started" in events
    siege.full.touch()
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 7, said
    assert b"its disk is full (" in said
    assert b"hint: free some space and run again" in said
    assert b"and the next run records it" in said
    held = len(siege.talks())
    code, out, _ = ask("manifest", siege.calls)
    told = [json.loads(line)["status"] for line in out.splitlines()]
    kept = kept_answers(siege.ledger)
    assert code == 0
    assert kept >= held - told.count("uploaded") >= AT_ONCE

    for command in ("status", "manifest"):
        _, out, said = ask(command, siege.calls)
        assert f"the results of {kept} recordings could not be recorded" in said
        assert "resolve" not in out + said, "what is known already needs no human"
    assert json.loads(ask("status", siege.calls, "--json")[1])["kept_aside"] == kept

    code, said = siege.upload(**siege.variables)
    assert code == 7, "the disk is as full as before"
    assert "free some space" in said
    assert len(siege.talks()) == held

    siege.full.unlink()
    code, said = siege.upload(**siege.variables)
    assert code == 0, said
    siege.judge()
    assert siege.paths("uploaded") == sorted(siege.digests)
    assert len(siege.talks()) == len(siege.digests)
    assert kept_answers(siege.ledger) == 0


def test_on_a_disk_that_is_full_nothing_is_sent(siege):
    """Fault 5: neither where there is no ledger yet, nor where there is one."""
    siege.write(1)
    for there in range(2):
        siege.full.touch()
        code, said = siege.upload(**siege.variables)
        assert code == 7, said
        assert "its disk is full" in said
        assert "hint: free some space" in said
        assert len(siege.talks()) == there
        siege.full.unlink()
        code, said = siege.upload(**siege.variables)
        assert code == 0, said
        assert len(siege.talks()) == there + 1
        siege.write(1)
    assert not siege.twice()
