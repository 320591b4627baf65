"""Every example is run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_all_examples_are_covered_here():
    text = Path(__file__).read_text("utf-8")
    for example in EXAMPLES.iterdir():
        if example.is_file():
            assert f'"{example.name}"' in text, f"{example.name} is run by no test"


def test_without_arguments_each_tells_how_it_is_used():
    for script in ("upload_directory.py", "listener.py", "zip_source.py"):
        done = run(script)
        assert done.returncode == 1
        assert f"python examples/{script}" in done.stderr


def test_the_one_call_use(calls, service):
    calls.write("a.wav", "b.wav")
    calls.put("c.wav", b"")
    calls.put("c.json", b"{}")
    done = run(
        "upload_directory.py",
        calls,
        "calls",
        API_KEY=calls.key_file.read_text(),
        SPEECHSENSE_ENDPOINT=service.address,
        CA_FILE=str(service.folder / "tls" / "ca.pem"),
    )
    assert done.returncode == 1, done.stderr
    assert "uploaded: 2" in done.stdout
    assert "c.wav: " in done.stdout
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}
    assert set(calls.manifest()) == {"a.wav", "b.wav", "c.wav"}


def test_a_listener(calls, tmp_path):
    calls.write("a.wav", "sub/b.wav")
    table = tmp_path / "talks.csv"
    assert "2 uploaded" in run("listener.py", calls, table).stdout
    assert {line.split(",")[0] for line in table.read_text().splitlines()} == {"a.wav", "sub/b.wav"}
    assert "0 uploaded, 2 already there" in run("listener.py", calls, table).stdout


def test_a_source(calls, tmp_path):
    calls.write("a.wav", "sub/b.wav")
    archive = tmp_path / "calls.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in calls.folder.rglob("*.*"):
            file.write(path, path.relative_to(calls.folder))
    assert "2 uploaded, 0 already there" in run("zip_source.py", archive).stdout
    assert "0 uploaded, 2 already there" in run("zip_source.py", archive).stdout


def settled_in_place(command, calls, service, tmp_path):
    """A command as an example has it, with the places of this machine in it."""
    words = shlex.split(command)
    places = {
        "/srv/calls": str(calls),
        "/etc/batch-uploader/api-key": str(calls.key_file),
        "$HOME/.config/speechsense-key": str(calls.key_file),
        "$HOME/batch-uploader.jsonl": str(tmp_path / "log.jsonl"),
        "CONNECTION_ID": "calls",
    }
    words = [places.get(word, word) for word in words[1:]]
    ca_file = service.folder / "tls" / "ca.pem"
    return [*words, "--endpoint", service.address, "--ca-file", ca_file]


def test_the_line_for_cron(calls, service, program, tmp_path):
    calls.write("a.wav")
    (line,) = [
        line
        for line in (EXAMPLES / "crontab").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    minute, hour, *rest = line.split(maxsplit=5)
    assert (minute, hour, rest[:3]) == ("17", "2", ["*", "*", "*"])
    result = program(*settled_in_place(rest[3], calls, service, tmp_path))
    assert (result.code, result.said) == (0, ""), "cron mails whatever is printed"
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    codes = [json.loads(line).get("code") for line in log]
    assert "OK" in codes
    calls.put("bad.wav", b"no audio")
    result = program(*settled_in_place(rest[3], calls, service, tmp_path))
    assert result.code == 1
    assert "attention" in result.err


def test_the_service_for_systemd(calls, service, program, tmp_path):
    calls.write("a.wav")
    unit = (EXAMPLES / "batch-uploader.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    (variable,) = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
    name, _, value = variable.partition("=")
    environment = {name: value.replace("CONNECTION_ID", "calls")}
    result = program(*settled_in_place(command, calls, service, tmp_path), env=environment)
    assert result.code == 0, result.said
    assert service.counts(calls) == {"a.wav": 1}


def test_systemd_accepts_the_units(tmp_path):
    timer = (EXAMPLES / "batch-uploader.timer").read_text()
    assert re.search(r"^OnCalendar=\S+ \S+$", timer, re.MULTILINE)
    assert re.search(r"^WantedBy=timers.target$", timer, re.MULTILINE)
    verify = shutil.which("systemd-analyze")
    if verify:
        calendar = re.search(r"^OnCalendar=(.*)$", timer, re.MULTILINE)[1]
        subprocess.run([verify, "calendar", calendar], check=True, capture_output=True, timeout=30)


def test_the_profile(calls, service, program, tmp_path):
    profile = (EXAMPLES / "batch-uploader.toml").read_text()
    profile = profile.replace("CONNECTION_ID", "calls")
    profile = profile.replace("/etc/batch-uploader/api-key", str(calls.key_file))
    (tmp_path / "batch-uploader.toml").write_text(profile)
    fields = {
        "operator_name": "Anna",
        "operator_id": "17",
        "client_name": "Ivan",
        "client_id": "4711",
        "date": "2025-04-24T14:34:19+03:00",
        "direction_outgoing": False,
        "call_score": 4.5,
    }
    calls.write("good.wav", "no-score.wav")
    calls.write("drafts/later.wav")
    for name in ("good", "no-score"):
        (calls.folder / f"{name}.json").write_text(json.dumps(fields))
        fields.pop("call_score", None)
    calls.rest("good.json", "no-score.json")
    flags = (
        "--config",
        tmp_path / "batch-uploader.toml",
        "--profile",
        "archive",
        "--min-age",
        "1s",
    )
    result = program("check", calls, *flags, "--json")
    assert result.code == 1, result.said
    found = json.loads(result.out)
    assert found["recordings"] == 1
    assert [(d["path"], d["field"]) for d in found["defects"]] == [("no-score.json", "call_score")]
    assert not any("drafts" in d["path"] for d in found["defects"])
