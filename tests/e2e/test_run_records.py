"""The runs that a ledger keeps, of the installed program: also of one that was killed."""

import json
import sys

import anyio
import pytest
from e2e.conftest import API_KEY

from batch_uploader.ledgers.sqlite import LedgerReader


def runs_of(calls):
    """The oldest first."""

    async def read():
        async with LedgerReader(calls.ledger) as reader:
            return (await reader.runs(9))[::-1]

    return anyio.run(read)


def ends_of(calls):
    return [run.end and (run.end.ending, run.end.exit_code) for run in runs_of(calls)]


def test_each_run_is_on_record_with_its_exit_code_and_no_secret(calls, upload):
    calls.write("a.wav", "b.wav")
    assert upload("--max-recordings", "1").code == 6
    assert upload().code == 0
    calls.broken("bad.wav", b"no audio")
    assert upload("--concurrency", "3").code == 1
    assert ends_of(calls) == [("limit", 6), ("completed", 0), ("completed", 1)]
    *_, last = runs_of(calls)
    assert last.end.counts == {"invalid": 1}
    assert json.loads(last.begin.settings)["options"]["concurrency"] == 3
    assert API_KEY.encode() not in calls.ledger.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_that_is_killed_has_no_end_and_the_next_one_says_so(calls, upload, start_service):
    calls.write("a.wav")
    with start_service("--latency", "60s") as service:
        process = upload("--progress", "json", to=service, start=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "upload_started":
                break
        process.kill()
        process.communicate()
    assert ends_of(calls) == [None]
    assert upload().code == 1
    assert ends_of(calls) == [("killed", None), ("completed", 1)]
    killed, _ = runs_of(calls)
    assert killed.ended_at_ns is None


def test_an_error_that_ends_a_run_is_on_record(calls, upload):
    calls.write("a.wav")
    calls.key_file.write_text("unknown")
    assert upload().code == 3
    (run,) = runs_of(calls)
    assert (run.end.ending, run.end.exit_code) == ("unauthorized", 3)
    assert run.end.reason
