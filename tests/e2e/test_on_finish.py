"""``--on-finish``: what a command is told of each end, and that it changes nothing."""

import json
import os
import signal
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are shell scripts")


class Hook:
    """A command that keeps what it is told; ``more`` are lines of its script."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.path = folder / "a hook"
        self.write()

    def write(self, *more):
        lines = ("#!/bin/sh", f"cd '{self.folder}'", "cat > in.json", "env > variables", *more)
        self.path.write_text("\n".join(lines) + "\n")
        self.path.chmod(0o755)

    @property
    def flags(self):
        return ("--on-finish", f"'{self.path}' word 'two words'")

    @property
    def told(self):
        return json.loads((self.folder / "in.json").read_text("ascii"))

    @property
    def variables(self):
        lines = (self.folder / "variables").read_text("utf-8").splitlines()
        given = dict(line.partition("=")[::2] for line in lines)
        return {
            name.removeprefix("BATCH_UPLOADER_"): value
            for name, value in given.items()
            if name.startswith("BATCH_UPLOADER_")
        }


@pytest.fixture
def hook(tmp_path):
    return Hook(tmp_path / "hook")


def test_it_is_told_how_the_night_went(calls, upload, hook):
    calls.write("a.wav", "b.wav")
    calls.broken("bad.wav")
    result = upload(*hook.flags, "--progress", "json")
    assert result.code == 1, result.said
    events = [json.loads(line) for line in result.out.splitlines()]
    (ended,) = [each for each in events if each["event"] == "run_finished"]
    told = hook.told
    assert {name: told[name] for name in ended if name not in {"event", "time"}}.items() <= (
        told.items()
    )
    assert (told["exit_code"], told["source"], told["connection_id"]) == (1, str(calls), "calls")
    assert told["run_id"] == events[0]["run_id"]
    assert told["began_at"] < told["ended_at"]
    assert [(each["path"], each["status"]) for each in told["attention"]] == [
        ("bad.wav", "invalid")
    ]
    assert hook.variables == {
        "EXIT_CODE": "1",
        "RUN_ID": told["run_id"],
        "SOURCE": str(calls),
        "CONNECTION_ID": "calls",
        "ENDING": "completed",
        "REASON": "",
        "UPLOADED": "2",
        "ALREADY_THERE": "0",
        "WAITING": "0",
        "IN_DOUBT": "0",
        "NEEDS_ATTENTION": "1",
        "SUMMARY": "2 recordings uploaded, 1 needs attention",
    }


def test_all_is_on_record_by_then_and_another_run_may_begin(calls, upload, service, hook):
    """It may be what uploads another directory, or this one again."""
    calls.write("a.wav")
    words = ["upload", calls, *service.flags, "--api-key-file", calls.key_file]
    again = " ".join(f"'{word}'" for word in words)
    hook.write(f"batch-uploader {again} --progress json > again")
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))  # noqa: PTH120
    result = upload(*hook.flags, env={"PATH": path})
    assert result.code == 0, result.said
    again = [json.loads(line) for line in (hook.folder / "again").read_text().splitlines()]
    assert again[-1]["already_there"] == 1
    assert service.counts(calls) == {"a.wav": 1}


def test_refusals_are_told_as_far_as_the_settings_are_known(calls, program, upload, hook):
    result = program("upload", calls, *hook.flags)
    assert (result.code, hook.told["exit_code"]) == (2, 2)
    assert (hook.told["ending"], hook.told["run_id"]) == ("error", None)
    assert hook.told["reason"].startswith("the credentials are missing")
    assert hook.variables["SUMMARY"] == hook.told["reason"]
    assert set(hook.told["counts"].values()) == {0}
    # In the settings file, with a mistake beside it; and in one that cannot be read.
    settings = program.directory / "batch-uploader.toml"
    settings.write_text(f"concurrency = 0\non-finish = \"'{hook.path}'\"\n")
    (hook.folder / "in.json").unlink()
    assert upload().code == 2
    assert "concurrency" in hook.told["reason"]
    settings.write_text("not = toml = at all")
    assert program("upload", calls, *hook.flags).code == 2
    assert "not valid TOML" in hook.told["reason"]
    settings.unlink()
    # An empty directory: a share that is away.
    assert upload(*hook.flags).code == hook.told["exit_code"] == 4
    assert "no recordings" in hook.told["reason"]


def test_a_wrong_key_is_told(calls, program, service, hook, tmp_path):
    calls.write("a.wav")
    key = tmp_path / "wrong"
    key.write_text("wrong-key-0123456789")
    key.chmod(0o600)
    result = program("upload", calls, *service.flags, "--api-key-file", key, *hook.flags)
    assert result.code == hook.told["exit_code"] == 3
    assert hook.told["ending"] == "unauthorized"
    assert "wrong-key" not in json.dumps(hook.told)


def test_an_interrupted_run_is_told(calls, upload, program, start_service, hook):
    calls.write(*(f"{each}.wav" for each in range(6)))
    with start_service("--latency", "500ms") as service:
        flags = (*hook.flags, "--progress", "json", "--concurrency", "1")
        process = upload(*flags, to=service, start=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "upload_started":
                break
        process.send_signal(signal.SIGTERM)
        assert program.finish(process).code == 143
    assert (hook.told["exit_code"], hook.told["ending"]) == (143, "interrupted")
    assert hook.told["counts"]["uploaded"] >= 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("exit 3", "failed (exit code 3)"),
        ("kill -9 $$", "was killed by SIGKILL"),
        pytest.param(
            *("kill -40 $$", "was killed by signal 40"),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux"),
        ),
    ],
)
def test_its_failure_is_a_warning(calls, upload, hook, line, said):
    calls.write("a.wav")
    hook.write(line)
    result = upload(*hook.flags, "--progress", "none")
    assert result.code == 0
    assert result.err == f"warning: the command a hook of --on-finish {said}\n"


@pytest.mark.parametrize("command", ["/missing/program", "{folder}", "{folder}/in.txt"])
def test_so_is_a_program_that_cannot_be_run(calls, upload, hook, command):
    calls.write("a.wav")
    (hook.folder / "in.txt").write_text("no program")
    result = upload("--on-finish", command.format(folder=hook.folder), "--progress", "none")
    assert (result.code, result.err.count("warning: ")) == (0, 1), result.said
    assert "cannot be run" in result.err


@pytest.mark.parametrize("command", ["", "   ", "mail 'to me", "'' word"])
def test_a_command_that_is_none_is_an_error_of_the_settings(calls, upload, service, command):
    calls.write("a.wav")
    result = upload("--on-finish", command)
    assert (result.code, "--on-finish" in result.err) == (2, True), result.said
    assert service.talks(calls) == []


def test_it_needs_not_read_and_what_it_prints_goes_to_stderr(calls, upload):
    calls.write(*(f"{each}.wav" for each in range(3)))
    calls.broken("bad.wav")
    result = upload("--on-finish", "echo hello", "--progress", "json")
    assert result.code == 1
    assert result.err.splitlines()[-1] == "hello"
    assert all(json.loads(line) for line in result.out.splitlines())


def test_no_shell_is_between(calls, upload, tmp_path):
    calls.write("a.wav")
    victim = tmp_path / "victim"
    result = upload("--on-finish", f"echo $HOME; touch {victim}", "--progress", "none")
    assert result.err == f"$HOME; touch {victim}\n"
    assert not victim.exists()
    upload("--on-finish", f"sh -c 'echo $BATCH_UPLOADER_EXIT_CODE > {victim}'")
    assert victim.read_text() == "0\n"


def test_a_credential_in_the_environment_is_not_passed_on(calls, program, service, hook):
    calls.write("a.wav")
    key = calls.key_file.read_text()
    result = program("upload", calls, *service.flags, *hook.flags, env={"API_KEY": key})
    assert result.code == 0, result.said
    assert key not in (hook.folder / "variables").read_text()
    assert key not in json.dumps(hook.told)


def test_any_name_can_be_told(calls, program, service, tmp_path, hook):
    """Faults 39, 64."""
    name = tmp_path / os.fsdecode(b"odd \xff\n'name'")
    name.mkdir()
    result = program("upload", name, *service.flags, *hook.flags)
    assert result.code == hook.told["exit_code"]
    assert hook.variables["SOURCE"].endswith("\\n'name'")


@pytest.mark.slow
def test_one_that_hangs_is_killed_with_what_it_started(calls, upload, hook, tmp_path):
    calls.write("a.wav")
    late = tmp_path / "late"
    hook.write(f"(sleep 63; touch '{late}') &", "sleep 600")
    began = time.monotonic()
    result = upload(*hook.flags, "--progress", "none")
    assert result.code == 0
    assert "did not end within 60 seconds" in result.err
    assert 60 <= time.monotonic() - began < 75
    time.sleep(5)
    assert not late.exists()
