"""What ``upload`` says and writes, and what it never writes to."""

import json
import os
import shlex
import sqlite3
import sys
from pathlib import Path

import pytest

NOBODY_LISTENS = ("--endpoint", "127.0.0.1:9")


def no_file_may_grow():
    """As a full disk does it, once SQLite has the file that its readers share."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, 1 << 15))


class TestFilesApart:
    """No file is two things at once."""

    def test_nothing_is_destroyed(self, calls, upload, program, tmp_path):
        calls.write("a.wav")
        assert upload().code == 0
        ledger = calls.folder / ".batch-uploader" / "ledger.db"
        (tmp_path / "link").symlink_to(ledger)
        (tmp_path / "hard").hardlink_to(ledger)
        (calls.folder / "b.JSON").write_text("{}")
        files = [file for file in calls.folder.rglob("*") if file.is_file()]
        # But for the record of what was refused.
        files.remove(ledger.with_name("ledger.db-refused"))
        before = {file: file.read_bytes() for file in files}
        outputs = [ledger, tmp_path / "link", tmp_path / "hard", f"{ledger}-wal"]
        outputs += [calls.folder / "a.wav", calls.folder / "new.mp3", calls.folder / "b.JSON"]
        results = [program("manifest", calls, "-o", each) for each in outputs]
        for each in (*outputs, f"{ledger}.lock"):
            results.append(upload("--manifest", each))
            results.append(program("resolve", calls, "--all", "--give-up", "--manifest", each))
        results += [
            upload("--log-file", each)
            for each in (ledger, calls.folder / "manifest.jsonl", calls.folder / "a.wav")
        ]
        assert [result.said for result in results if result.code != 2] == []
        assert before == {file: file.read_bytes() for file in before}
        assert not (calls.folder / "new.mp3").exists()

    def test_the_settings_are_not_overwritten(self, calls, upload, program):
        calls.write("a.wav")
        settings = program.directory / "batch-uploader.toml"
        settings.write_text("")
        result = upload("--manifest", "batch-uploader.toml")
        assert result.code == 2
        assert "--config: the settings file would be the same file as the manifest" in result.err
        assert settings.read_text() == ""

    @pytest.mark.parametrize("flag", ["--manifest", "--log-file", "--ledger"])
    def test_the_credential_and_the_certificates_are_not_written(
        self, calls, upload, service, flag
    ):
        """Fault 97: a name that was given twice by mistake."""
        calls.write("a.wav")
        for file in (calls.key_file, service.folder / "tls" / "ca.pem"):
            before = file.read_bytes()
            result = upload(flag, file)
            assert result.code == 2
            assert "would be the same file as" in result.err.replace("\n", " ")
            assert file.read_bytes() == before

    def test_what_belongs_to_the_ledger_is_no_log(self, calls, upload):
        """Fault 97."""
        calls.write("a.wav")
        assert upload().code == 0
        pointer = calls.folder / ".batch-uploader" / "source.json"
        for name in (pointer, calls.folder / "a.json", calls.folder / ".manifest.jsonl.behind"):
            before = name.read_bytes() if name.exists() else None
            assert upload("--log-file", name).code == 2
            assert before == (name.read_bytes() if name.exists() else None)
        assert upload().code == 0

    def test_what_is_included_is_a_recording(self, calls, upload):
        calls.put("a.pcm", b"1234")
        result = upload("--include", "*.pcm", "--log-file", calls.folder / "a.pcm")
        assert result.code == 2
        assert (calls.folder / "a.pcm").read_bytes() == b"1234"


class TestOutput:
    def test_json_progress_is_events_on_stdout_and_nothing_else(self, calls, upload):
        calls.write("a.wav")
        result = upload("--progress", "json", "-v")
        assert result.code == 0
        events = [json.loads(line) for line in result.out.splitlines()]
        names = [event["event"] for event in events]
        assert names[0] == "run_started"
        assert names[-1] == "run_finished"
        assert "decided" in names
        assert "settled" in names

    def test_no_progress_is_silence_unless_something_needs_a_human(self, calls, upload):
        calls.write("a.wav")
        assert upload("--progress", "none").said == ""
        calls.broken("b.wav")
        result = upload("--progress", "none")
        assert result.code == 1
        first, *_, last = result.err.splitlines()
        assert first == "error: 1 recording needs attention"
        assert "b.wav" in result.err
        assert last == f"hint: batch-uploader status {calls} --connection-id calls"

    def test_a_command_that_is_named_runs_as_it_stands(self, calls, upload, program, tmp_path):
        """With the flags that were given by hand, wherever they lead."""
        calls.broken("b.wav")
        aside = ("--ledger", tmp_path / "it's aside.db", "--manifest", tmp_path / "m.jsonl")
        for progress in ("none", "plain"):
            told = upload("--progress", progress, *aside).err
            (command,) = [line for line in told.splitlines() if "batch-uploader status" in line]
            _, *words = shlex.split(command[command.index("batch-uploader") :])
            result = program(*words)
            assert (result.code, "b.wav" in result.out) == (1, True), result.said

    def test_what_the_ledger_cannot_remember_is_told_without_progress(self, calls, upload, program):
        """faults 37, 38"""
        calls.write("a.wav")
        (calls.folder / "b.wav").symlink_to("a.wav")
        result = upload("--progress", "none")
        assert result.code == 1
        assert result.err.startswith("error: b.wav: it is a link, and links are not followed; ")
        assert "attention" not in result.err
        for number in range(30):
            os.mkfifo(calls.folder / f"{number:02}.mp3")
        calls.broken("z.wav")
        result = upload("--progress", "none")
        assert result.err.count("error: ") == 5
        check = f"batch-uploader check {calls} --connection-id calls"
        assert f"error: 28 more like these\nhint: {check}\n" in result.err
        assert "error: 1 recording needs attention\n" in result.err
        result = upload()
        assert "31 of these cannot be listed" in " ".join(result.err.split())

    def test_verbose_explains_each_decision(self, calls, upload):
        calls.write("a.wav")
        assert "upload a.wav: it is new" in upload("-v").err
        assert "skip a.wav: it is uploaded and unchanged" in upload("-v").err

    def test_the_log_file_has_what_support_asks_for(self, calls, upload):
        calls.write("a.wav")
        assert upload("--log-file", calls.folder / "log.json").code == 0
        lines = (calls.folder / "log.json").read_text().splitlines()
        (attempt,) = [line for line in map(json.loads, lines) if line["event"] == "attempt_ended"]
        assert attempt["code"] == "OK"
        assert attempt["client_request_id"]
        assert attempt["request_id"]
        # The log is no sidecar, although it lies there and is called so.
        assert upload("--log-file", calls.folder / "log.json").code == 0

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
    @pytest.mark.parametrize(
        "command", ["status", "status --json", "check", "check --json", "manifest"]
    )
    def test_data_that_cannot_be_written_is_an_error(self, calls, upload, program, command):
        calls.write("a.wav")
        assert upload().code == 0
        name, *flags = command.split()
        result = program(name, calls, *flags, redirection=">/dev/full")
        assert result.code == 7, result.err
        assert "error: stdout cannot be written (No space left on device)\nhint: " in result.err

    @pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
    def test_an_output_file_that_cannot_be_written_is_named(self, calls, upload, program, tmp_path):
        calls.write(*(f"{number}.wav" for number in range(120)))
        assert upload().code == 0
        output = tmp_path / "talks.jsonl"
        result = program("manifest", calls, "--output", output, preexec=no_file_may_grow)
        assert result.code == 2, result.said
        assert result.err.startswith(
            f"error: --output: {output} cannot be written (File too large)"
        )
        assert not output.exists()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
    def test_so_is_help_that_cannot_be_written(self, program):
        result = program("--version", redirection=">/dev/full")
        assert result.code == 7
        assert result.err.startswith("error: ")

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
    @pytest.mark.parametrize("command", ["status", "status --json", "check", "check --json"])
    def test_a_reader_that_goes_away_is_no_error(self, calls, upload, program, command):
        calls.write("a.wav")
        assert upload().code == 0
        name, *flags = command.split()
        process = program.start(name, calls, *flags)
        process.stdout.close()
        process.stdout = None
        result = program.finish(process)
        assert (result.code, result.err) == (0, "")

    def test_a_dry_run_is_a_check(self, calls, upload, program):
        calls.write("a.wav")
        result = upload("--dry-run", *NOBODY_LISTENS)
        assert result.code == 0, result.err
        assert result.out == program("check", calls).out
        assert sorted(file.name for file in calls.folder.iterdir()) == ["a.json", "a.wav"]

    def test_a_proxy_is_not_taken_silently(self, calls, upload):
        calls.write("a.wav")
        proxy = {"https_proxy": "http://user:secret@127.0.0.1:9"}
        flags = ("--endpoint", "speechsense.invalid:443", "--max-duration", "100ms")
        result = upload(*flags, env=proxy)
        assert result.code == 6, result.err
        assert "using the proxy 127.0.0.1:9; " in result.err
        assert "secret" not in result.said

    @pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the stream")
    @pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
    def test_closed_streams_do_not_end_the_run(self, calls, upload, service, redirection):
        """fault 73"""
        calls.write("a.wav")
        result = upload("--progress", "json", redirection=redirection)
        assert result.code == 0, result.said
        assert service.counts(calls) == {"a.wav": 1}
        database = sqlite3.connect(calls.folder / ".batch-uploader" / "ledger.db")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
