"""The log for the vendor's support: what is in it, who may read it, a disk that fails."""

import json
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch_uploader.core import events
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.states import Status
from batch_uploader.ui.attemptlog import AttemptLog

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and /dev/full are POSIX")
FAILED = events.AttemptEnded(
    "x[/y]\x1b\n.wav", 2, "client-1", "service-1", "UNAVAILABLE", "no answer", 40, 1.23456, 2.0
)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_an_attempt_is_a_line_with_the_ids_of_both_sides(tmp_path):
    path = tmp_path / "support.log"
    with AttemptLog(path, now=lambda: datetime(2025, 1, 1, tzinfo=UTC)) as log:
        log(FAILED)
        # It is there at once, whatever becomes of the run.
        assert lines(path) == [
            {
                "time": "2025-01-01T00:00:00.000Z",
                "event": "attempt_ended",
                "path": "x[/y]\x1b\n.wav",
                "attempt": 2,
                "client_request_id": "client-1",
                "request_id": "service-1",
                "talk_id": None,
                "code": "UNAVAILABLE",
                "message": "no answer",
                "wire_bytes": 40,
                "elapsed": 1.235,
                "retry_in": 2.0,
            }
        ]


def test_what_support_does_not_need_is_left_out(tmp_path):
    path = tmp_path / "support.log"
    failure = Failure("NOT_FOUND", "name another connection", "service-2")
    refused = Outcome("a.wav", Status.REJECTED, Version(1, 0), 1, failure=failure)
    summary = Summary(Ending.COMPLETED, {Status.REJECTED: 1}, 5, 0, 0, 0, 0.0, 2.0, (refused,))
    with AttemptLog(path) as log:
        log(events.RunStarted("run-1", "/calls"))
        log(events.FolderPlanned("", 1, 1, 0, 0))
        log(events.Decided("a.wav", "upload", "new"))
        log(events.UploadStarted("a.wav", 1))
        log(events.BytesSent("a.wav", 1))
        log(events.Settled(refused))
        log(events.Settled(Outcome("b.wav", Status.UPLOADED, Version(1, 0), 1, "talk")))
        log(events.CarriedOver(refused))
        log(events.Paused(5.0, "busy"))
        log(events.Draining("interrupted"))
        log(events.RunFinished(summary))
    told = lines(path)
    assert [each["event"] for each in told] == [
        "run_started",
        "settled",
        "paused",
        "draining",
        "run_finished",
    ]
    assert told[1]["error"]["request_id"] == "service-2"
    assert told[4]["counts"]["rejected"] == 1


@posix
def test_a_new_log_is_its_owners_alone(tmp_path):
    """Fault 67."""
    path = tmp_path / "support.log"
    before = os.umask(0)
    try:
        with AttemptLog(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_runs_append(tmp_path):
    path = tmp_path / "support.log"
    for run in ("one", "two"):
        with AttemptLog(path) as log:
            log(events.RunStarted(run, "/calls"))
    assert [each["run_id"] for each in lines(path)] == ["one", "two"]


@pytest.mark.parametrize(
    "content",
    [b"dear diary\n", b"secret", b'{"operator_name": "Anna"}\n', b"\0\xff" * 99_999, b"\n"],
)
def test_nothing_is_added_to_another_file(tmp_path, content):
    """Fault 97."""
    path = tmp_path / "victim"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a log of this program"), AttemptLog(path):
        pytest.fail("it was entered")
    assert path.read_bytes() == content


@pytest.mark.parametrize("kept", [100, 200_000])
def test_a_log_goes_on_that_was_cut_or_shares_its_file(tmp_path, kept):
    path = tmp_path / "support.log"
    with AttemptLog(path) as log:
        log(events.RunStarted("one", "/calls"))
    path.write_bytes(b"uploading /calls\n" * kept + path.read_bytes() + b"warning: late\n" * 9)
    with AttemptLog(path) as log:
        log(events.RunStarted("two", "/calls"))
    assert b'"two"' in path.read_bytes()


def test_a_log_that_cannot_be_opened_is_a_setting_to_mend(tmp_path):
    path = tmp_path / "missing" / "support.log"
    with (
        pytest.raises(ConfigError, match=r"specify a file.* you can write to"),
        AttemptLog(path),
    ):
        pytest.fail("it was entered")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_a_full_disk_ends_the_log_not_the_run():
    said = []
    with AttemptLog(Path("/dev/full"), warn=said.append) as log:
        for _ in range(3):
            log(FAILED)
    (warning,) = said
    assert "'/dev/full' cannot be written" in warning
    assert warning.endswith("the run goes on without it")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_the_warning_survives_a_closed_stderr(monkeypatch):
    """Fault 73."""
    ours, theirs = os.pipe()
    os.close(ours)
    stream = os.fdopen(theirs, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", stream)
    with AttemptLog(Path("/dev/full")) as log:
        log(FAILED)
    monkeypatch.undo()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_any_name_and_number_can_be_written(tmp_path):
    """Faults 39, 64."""
    path = tmp_path / "support.log"
    name = "\udcff\u2028.wav"
    with AttemptLog(path) as log:
        log(events.AttemptEnded(name, 1, "c", None, "X", "", 0, float("nan"), float("inf")))
    (line,) = lines(path)
    assert (line["path"], line["elapsed"], line["retry_in"]) == (name, None, None)


def test_outside_its_block_it_writes_nothing(tmp_path):
    path = tmp_path / "support.log"
    log = AttemptLog(path)
    log(FAILED)
    assert not path.exists()


@posix
def test_it_goes_on_in_a_new_file_after_a_rotation(tmp_path):
    path, rotated = tmp_path / "support.log", tmp_path / "support.log.1"
    with AttemptLog(path, warn=pytest.fail) as log:
        log(events.RunStarted("one", "/calls"))
        path.rename(rotated)
        log(events.Draining("still in the old one"))
        log.reopen()
        log(FAILED)
        log.reopen()
        log(FAILED)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each["event"] for each in lines(rotated)] == ["run_started", "draining"]
    assert [each["event"] for each in lines(path)] == ["attempt_ended"] * 2


@posix
@pytest.mark.parametrize("content", [None, b"dear diary"])
def test_it_goes_on_in_the_old_file_if_there_can_be_no_new_one(tmp_path, content):
    """Fault 97."""
    path, rotated = tmp_path / "logs" / "support.log", tmp_path / "gone"
    path.parent.mkdir()
    said = []
    with AttemptLog(path, warn=said.append) as log:
        path.rename(rotated)
        if content is None:
            path.parent.rmdir()
        else:
            path.write_bytes(content)
        log.reopen()
        log(FAILED)
    assert [each["event"] for each in lines(rotated)] == ["attempt_ended"]
    assert "goes on in the file that it has open" in said[0]
    assert content is None or path.read_bytes() == content


def test_a_log_that_failed_is_not_opened_again(tmp_path):
    log = AttemptLog(tmp_path / "support.log", warn=pytest.fail)
    log.reopen()
    assert not [*tmp_path.iterdir()]
