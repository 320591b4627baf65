"""``--metrics-file``: what a monitor sees of each night, above all of those that fail."""

import json
import os
import signal
import stat
import sys
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_uploader.host.files import temporary_name

JOB = {"connection", "directory"}


@pytest.fixture
def prom(tmp_path):
    folder = tmp_path / "textfile"
    folder.mkdir()
    return folder / "calls.prom"


def told(prom):
    """The values by name, and by the value of a label of their own."""
    values = {}
    for family in text_string_to_metric_families(prom.read_text("utf-8")):
        assert family.documentation
        for sample in family.samples:
            own = [value for label, value in sample.labels.items() if label not in JOB]
            key = sample.name.removeprefix("batch_uploader_") + "".join(f" {each}" for each in own)
            assert key not in values, "a collector refuses the whole file"
            values[key] = sample.value
    return values


def test_a_night(calls, upload, prom):
    calls.write("a.wav", "b.wav", seconds=1)
    calls.broken("bad.wav")
    before = time.time()
    assert upload("--metrics-file", prom, "--progress", "none").code == 1
    found = told(prom)
    assert found["run_exit_code"] == found["attention"] == found["recordings invalid"] == 1
    assert found["recordings uploaded"] == found["requests OK"] == 2
    assert found["uploaded_audio_seconds"] == 2
    assert found["uploaded_bytes"] == found["sent_bytes"] == 2 * (44 + 32_000)
    assert before < found["last_run_begin_timestamp_seconds"]
    assert found["last_run_begin_timestamp_seconds"] < found["last_run_end_timestamp_seconds"]
    assert found["last_run_end_timestamp_seconds"] < time.time()
    ended = found["last_run_end_timestamp_seconds"]
    assert found["last_success_timestamp_seconds"] == ended, "it did all that it could"
    assert found["running"] == found["in_flight"] == 0
    assert found["concurrency"] in {1, 2}
    labels = f'{{connection="calls",directory="{calls}"}}'
    assert f"batch_uploader_run_exit_code{labels} 1.0\n" in prom.read_text("utf-8")


def test_the_last_success_outlives_nights_that_fail(calls, upload, program, service, prom):
    calls.write("a.wav")
    metrics = ("--metrics-file", prom, "--progress", "none")
    assert upload(*metrics).code == 0
    first = told(prom)
    success = first["last_success_timestamp_seconds"]
    assert success == first["last_run_end_timestamp_seconds"]
    # Refused before it began: another's key.
    (calls.folder.parent / "wrong").write_text("wrong-key-0123456789")
    (calls.folder.parent / "wrong").chmod(0o600)
    calls.write("b.wav")
    wrong = ("--api-key-file", calls.folder.parent / "wrong")
    nights = [(program("upload", calls, *service.flags, *wrong, *metrics), 3)]
    missing = ("--api-key-file", calls.folder.parent / "missing")
    nights.append((program("upload", calls, *service.flags, *missing, *metrics), 2))
    aside = calls.folder.rename(calls.folder.with_name("aside"))
    nights.append((upload(*metrics), 4))
    for result, code in nights:
        assert result.code == code, result.said
    found = told(prom)
    assert found["run_exit_code"] == 4
    assert found["last_success_timestamp_seconds"] == success
    assert found["last_run_end_timestamp_seconds"] > success
    assert "recordings uploaded" not in found, "nothing is known of recordings"
    aside.rename(calls.folder)
    assert upload(*metrics).code == 0
    assert told(prom)["last_success_timestamp_seconds"] > success


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ("concurrency = 0\n", ()),
        ("conncurrency = 4\n", ()),
        ("not = toml = at all", ()),
        ("", ("--profile", "none")),
    ],
)
def test_settings_that_are_refused_are_seen(calls, program, prom, content, flags):
    (program.directory / "batch-uploader.toml").write_text(content)
    result = program("upload", calls, "--connection-id", "c", "--metrics-file", prom, *flags)
    assert result.code == told(prom)["run_exit_code"] == 2, result.said
    assert result.err.count("error: ") == 1


def test_a_job_without_its_connection_is_still_the_same_job(calls, upload, program, prom):
    calls.write("a.wav")
    assert upload("--metrics-file", prom).code == 0
    assert program("upload", calls, "--metrics-file", prom).code == 2
    assert 'connection="calls"' in prom.read_text("utf-8")
    assert told(prom)["last_success_timestamp_seconds"] > 0


def test_an_attention_that_is_known_stays_while_runs_are_refused(calls, upload, program, prom):
    calls.broken("bad.wav")
    assert upload("--metrics-file", prom).code == 1
    assert program("upload", calls, "--metrics-file", prom).code == 2
    assert told(prom)["attention"] == 1


def test_a_run_is_seen_while_it_goes_on_and_another_one_does_not_disturb_it(
    calls, upload, program, start_service, prom
):
    calls.write("a.wav")
    metrics = ("--metrics-file", prom)
    with start_service("--latency", "2s") as service:
        process = upload(*metrics, "--progress", "json", to=service, start=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "upload_started":
                break
        with service.paused():
            found = told(prom)
            assert found["running"] == 1
            assert "run_exit_code" not in found
            assert upload(*metrics, to=service).code == 5
            assert told(prom) == found
        assert program.finish(process).code == 0
    assert (told(prom)["running"], told(prom)["run_exit_code"]) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_stays_running_and_leaves_no_other_file(
    calls, upload, program, start_service, prom
):
    calls.write("a.wav")
    left, anothers = temporary_name(prom), temporary_name(prom.with_name("another.prom"))
    with start_service("--silent", "1") as service:
        process = upload("--metrics-file", prom, "--progress", "json", to=service, start=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "upload_started":
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert told(prom)["running"] == 1
    # What a kill amid a write leaves.
    left.touch()
    anothers.touch()
    assert program("upload", calls, "--metrics-file", prom).code == 2
    assert told(prom)["running"] == 0
    assert {*prom.parent.iterdir()} == {prom, anothers}


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_a_collector_of_another_user_can_read_it(calls, program, prom):
    program("upload", calls, "--metrics-file", prom)
    assert stat.S_IMODE(prom.stat().st_mode) == 0o644
    prom.chmod(0o640)
    program("upload", calls, "--metrics-file", prom)
    assert stat.S_IMODE(prom.stat().st_mode) == 0o640


@pytest.mark.parametrize("content", [b"dear diary\n", b"\0SQLite", b'{"path": "a.wav"}\n'])
def test_another_file_is_not_replaced(calls, upload, prom, content):
    """Fault 97."""
    calls.write("a.wav")
    prom.write_bytes(content)
    result = upload("--metrics-file", prom)
    assert (result.code, "would be replaced" in result.err) == (2, True), result.said
    assert prom.read_bytes() == content
    assert not calls.ledger.exists()


def test_neither_is_the_ledger_nor_a_device(calls, upload):
    calls.write("a.wav")
    assert upload().code == 0
    before = calls.ledger.read_bytes()
    for victim in (calls.ledger, calls.folder / "manifest.jsonl", calls.key_file, os.devnull):
        result = upload("--metrics-file", victim)
        assert result.code == 2, result.said
    assert calls.ledger.read_bytes() == before
    assert not os.path.isfile(os.devnull)  # noqa: PTH113 - as it is


def test_a_file_that_cannot_be_written_is_a_warning_once(calls, upload, tmp_path):
    calls.write("a.wav")
    result = upload("--metrics-file", tmp_path / "missing" / "calls.prom", "--progress", "none")
    assert result.code == 0
    assert result.err.count("calls.prom' cannot be written") == 1
    assert upload("--metrics-file", calls.folder / "b.json").code == 2


def test_a_recording_is_not_made_of_it(calls, upload):
    calls.write("a.wav")
    prom = calls.folder / "calls.prom"
    for _ in range(2):
        assert upload("--metrics-file", prom, "--include", "*.prom").code == 2
    assert upload("--metrics-file", prom).code == 0
    assert told(prom)["recordings uploaded"] == 1


def test_a_new_file_has_the_last_success_from_the_ledger(calls, upload, program, service, prom):
    """As after the flag was added, or the file was lost, above all if the next night fails."""
    calls.write("a.wav")
    calls.broken("bad.wav")
    before = time.time()
    assert upload().code == 1
    after = time.time()
    missing = ("--api-key-file", calls.folder.parent / "missing")
    refused = program("upload", calls, *service.flags, *missing, "--metrics-file", prom)
    assert refused.code == 2
    found = told(prom)
    assert before < found["last_success_timestamp_seconds"] < after
    assert (found["run_exit_code"], found["attention"]) == (2, 1)


def test_a_success_with_another_connection_is_not_one(calls, upload, program, prom):
    calls.write("a.wav")
    assert upload().code == 0
    result = program("upload", calls, "--connection-id", "another", "--metrics-file", prom)
    assert result.code == 2
    assert told(prom)["last_success_timestamp_seconds"] == 0


def test_a_file_of_another_job_is_told_of(calls, upload, program, service, prom):
    """Its metrics vanish, and with them its alarms."""
    calls.write("a.wav")
    assert "warning" not in upload("--metrics-file", prom).err
    other = calls.folder.with_name("others")
    other.mkdir()
    key = ("--api-key-file", calls.key_file)
    result = program("upload", other, *service.flags, *key, "--metrics-file", prom)
    assert f"was that of connection calls and {calls}: each job needs its own" in result.err
    assert result.err.count("warning: ") == 1
