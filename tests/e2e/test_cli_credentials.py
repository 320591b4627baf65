"""Credentials from a VM's metadata service and from commands, with the installed program."""

import signal
import socket
import sys
import time
from pathlib import Path

import pytest

TOKEN_MARK = "t1."
"""How the emulator's tokens begin."""


@pytest.fixture
def vm(start_service):
    """An emulator with a metadata service, and the variable that leads to it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with start_service("--metadata-port", port, "--token-lifetime", "2s") as service:
        yield service, {"YC_METADATA_ADDR": f"127.0.0.1:{port}"}


def command(tmp_path, *lines):
    """A command that runs these lines of Python, with a space in its path."""
    folder = tmp_path / "my tools"
    folder.mkdir(exist_ok=True)
    (folder / "give.py").write_text("\n".join(["import os, sys, time", *lines]))
    return f"'{sys.executable}' '{folder / 'give.py'}'"


def curl(tmp_path, address):
    """What a user's own script does, as the vendor's guide shows it."""
    url = f"http://{address}/computeMetadata/v1/instance/service-accounts/default/token"
    return command(
        tmp_path,
        "import json, urllib.request",
        f"request = urllib.request.Request({url!r}, headers={{'Metadata-Flavor': 'Google'}})",
        "print(json.load(urllib.request.urlopen(request))['access_token'])",
    )


def require_no_token(calls, *results):
    for result in results:
        assert TOKEN_MARK not in result.said
    for path in calls.folder.parent.rglob("*"):
        if path.is_file() and path.suffix not in {".wav", ".py"}:
            assert TOKEN_MARK.encode() not in path.read_bytes(), path


def test_a_vm_needs_no_secret_at_all(calls, program, vm, tmp_path):
    """Fault 66."""
    service, variables = vm
    calls.write("a.wav", "b.wav")
    loud = ("-v", "--log-file", tmp_path / "log.jsonl", "--progress", "json")
    flags = (*service.flags, "--metadata-credentials", *loud)
    result = program("upload", calls, *flags, env=variables)
    assert result.code == 0, result.said
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}
    settings = tmp_path / "night.toml"
    settings.write_text("metadata-credentials = true\n")
    calls.write("c.wav")
    flags = (*service.flags, "--config", settings, *loud)
    again = program("upload", calls, *flags, env=variables)
    assert again.code == 0, again.said
    assert len(service.talks(calls)) == 3
    require_no_token(calls, result, again)


def test_a_command_of_the_settings_file_gives_the_token(calls, program, vm, tmp_path):
    service, variables = vm
    calls.write("a.wav")
    given = curl(tmp_path, variables["YC_METADATA_ADDR"])
    settings = tmp_path / "night.toml"
    settings.write_text(f'iam-token-command = """{given}"""\n')
    result = program("upload", calls, *service.flags, "-v", "--config", settings)
    assert result.code == 0, result.said
    assert service.counts(calls) == {"a.wav": 1}
    require_no_token(calls, result)


def test_a_command_gives_the_key(calls, program, service):
    calls.write("a.wav")
    flags = ("--api-key-command", f"cat '{calls.key_file}'")
    result = program("upload", calls, *service.flags, *flags, "-v")
    assert result.code == 0, result.said
    assert len(service.talks(calls)) == 1
    assert calls.key_file.read_text() not in result.said


def require_refused(result, code, *said):
    text = " ".join(result.err.split())
    assert result.code == code, text
    for each in (*said, "the credential is from --iam-token-command"):
        assert each in text


def test_a_token_that_is_refused_ends_the_run(calls, program, service):
    calls.write("a.wav")
    gives = command(calls.folder.parent, "print('t1.unknown')")
    result = program("upload", calls, *service.flags, "--iam-token-command", gives)
    require_refused(result, 3, "does not accept the IAM token", "12 hours")
    assert service.talks(calls) == []


@pytest.mark.slow
def test_a_command_that_never_gave_a_token_ends_the_run(calls, program, service):
    """Fault 124: in less than a minute."""
    calls.write("a.wav")
    fails = command(calls.folder.parent, "sys.exit('log in first')")
    result = program("upload", calls, *service.flags, "--iam-token-command", fails)
    require_refused(result, 2, 'exit code 1: "log in first"', "run it yourself")
    assert calls.in_doubt() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_a_command_that_hangs_does_not_outlive_the_program(calls, program, service, tmp_path):
    calls.write("a.wav")
    pid_file = tmp_path / "pid"
    told = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))"
    hangs = command(tmp_path, told, "time.sleep(99)")
    process = program.start("upload", calls, *service.flags, "--iam-token-command", hangs)
    end = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    result = program.finish(process)
    assert result.code == 130, result.said
    assert not _lives(int(pid_file.read_text()))
    # Nothing was sent, so nothing is in doubt.
    assert calls.in_doubt() == []


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
