"""Signals and readers that go away: a run ends in good order, or goes on (faults 72 and 73)."""

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress

import pytest
from e2e.conftest import assert_one_talk_each

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def begun(process):
    """Wait for the first recording to be on its way; what was read up to there is gone."""
    for line in process.stdout:
        if json.loads(line)["event"] == "upload_started":
            return
    pytest.fail("nothing was ever sent")


class TestDrain:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
    def test_what_is_on_its_way_finishes_and_the_next_run_goes_on(
        self, calls, upload, program, start_service, number
    ):
        """fault 72"""
        calls.write(*(f"{each}.wav" for each in range(12)))
        with start_service("--latency", "500ms") as service:
            flags = ("--progress", "json", "--concurrency", "3")
            process = upload(*flags, to=service, start=True)
            begun(process)
            process.send_signal(number)
            result = program.finish(process)
            assert result.code == 128 + number, result.said
            lines = calls.manifest()
            assert {line["status"] for line in lines.values()} == {"uploaded"}
            assert 0 < len(lines) < 12
            assert len(service.talks(calls)) == len(lines)
            assert upload(to=service).code == 0
            assert len(service.talks(calls)) == 12
            assert set(service.counts(calls).values()) == {1}

    def test_a_second_signal_ends_at_once_and_leaves_doubt(
        self, calls, upload, program, start_service
    ):
        """Fault 72: what was under way is stored behind our back, and found by the next run."""
        calls.write("a.wav", "b.wav")
        stamp = ("--stamp-field", "upload_key")
        with start_service("--store-late", "60s") as service:
            process = upload(*stamp, "--progress", "json", to=service, start=True)
            begun(process)
            # An answer that does not come keeps a draining run waiting for its grace.
            process.send_signal(signal.SIGTERM)
            time.sleep(2.2)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            result = program.finish(process)
            assert result.code == 143, result.said
            assert service.talks(calls) == [], "it did not wait"
            assert "in_doubt" in {line["status"] for line in calls.manifest().values()}
            status = program("status", calls)
            assert status.code == 1
            assert "resolve" in status.out
        # Ending, the service stores what it has.
        with start_service() as service:
            patient = (*stamp, "--wait-for-doubt", "--hold", "2s")
            assert upload(*patient, to=service).code == 0
            assert_one_talk_each(calls, service, ["a.wav", "b.wav"])

    def test_a_signal_that_comes_twice_in_a_moment_is_one(
        self, calls, upload, program, start_service
    ):
        """Fault 72: GNU timeout and some supervisors signal the process, then its group."""
        calls.write("a.wav", "b.wav", "c.wav")
        with start_service("--latency", "2s") as service:
            process = upload("--progress", "json", to=service, start=True)
            begun(process)
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
                process.send_signal(number)
                time.sleep(0.1)
            result = program.finish(process)
            assert result.code == 143, result.said
            assert {line["status"] for line in calls.manifest().values()} == {"uploaded"}

    @pytest.mark.skipif(shutil.which("timeout") is None, reason="there is no timeout here")
    def test_timeout_ends_a_run_in_order(self, calls, upload, start_service):
        """fault 72"""
        calls.write(*(f"{each}.wav" for each in range(40)))
        with start_service("--latency", "500ms") as service:
            ended = upload("--concurrency", "2", to=service, under=("timeout", "4"))
            assert ended.code == 124, ended.said
            lines = calls.manifest()
            assert {line["status"] for line in lines.values()} == {"uploaded"}
            assert 0 < len(lines) < 40
            assert len(service.talks(calls)) == len(lines)

    def test_the_grace_ends_the_waiting(self, calls, upload, program, start_service):
        """fault 72"""
        calls.write("a.wav")
        with start_service("--silent", "1") as service:
            flags = ("--progress", "json", "--grace", "200ms")
            process = upload(*flags, to=service, start=True)
            begun(process)
            process.send_signal(signal.SIGTERM)
            assert program.finish(process).code == 143
        assert calls.manifest()["a.wav"]["status"] == "in_doubt"


class TestGoesOn:
    def test_a_terminal_that_hangs_up_does_not_end_the_run(
        self, calls, upload, program, start_service
    ):
        """fault 73"""
        calls.write("a.wav", "b.wav")
        with start_service("--latency", "500ms") as service:
            process = upload("--progress", "json", to=service, start=True)
            begun(process)
            process.send_signal(signal.SIGHUP)
            assert program.finish(process).code == 0
            assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}

    def test_logs_may_be_rotated_meanwhile(self, calls, upload, program, start_service, tmp_path):
        """Fault 73: no line is lost, and none is written twice."""
        calls.write(*(f"{each}.wav" for each in range(12)))
        log, rotated = tmp_path / "log.jsonl", tmp_path / "log.jsonl.1"
        with start_service("--latency", "300ms") as service:
            flags = ("--progress", "json", "--concurrency", "1", "--log-file", log)
            process = upload(*flags, to=service, start=True)
            begun(process)
            begun(process)
            log.rename(rotated)
            process.send_signal(signal.SIGHUP)
            result = program.finish(process)
            assert (result.code, "warning" in result.err) == (0, False), result.said
        before, after = (
            [json.loads(line) for line in file.read_text("ascii").splitlines()]
            for file in (rotated, log)
        )
        assert (before[0]["event"], after[-1]["event"]) == ("run_started", "run_finished")
        sent = [each["path"] for each in before + after if each["event"] == "attempt_ended"]
        assert sorted(sent) == sorted({*sent})
        assert len(sent) == 12

    def test_a_reader_that_goes_away_does_not_end_the_run(
        self, calls, upload, program, start_service
    ):
        """fault 73"""
        calls.write("a.wav", "b.wav")
        with start_service("--latency", "500ms") as service:
            process = upload("--progress", "json", to=service, start=True)
            begun(process)
            process.stdout.close()
            process.stdout = None
            result = program.finish(process)
            assert result.code == 0, result.err
            assert "BrokenPipe" not in result.err
            assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}

    @pytest.mark.slow
    def test_a_reader_that_takes_nothing_does_not_keep_the_program(
        self, calls, upload, tmp_path, service
    ):
        """Fault 73: it ends some seconds after the run, with its exit code."""
        calls.write("a.wav")
        fifo = tmp_path / "nobody-reads"
        os.mkfifo(fifo)
        pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        try:
            with suppress(BlockingIOError):
                while True:
                    os.write(pipe, bytes(1 << 12))
            assert upload("--progress", "plain", redirection=f"2>'{fifo}'").code == 0
        finally:
            os.close(pipe)
        assert service.counts(calls) == {"a.wav": 1}
