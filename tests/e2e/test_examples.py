"""Every example is run."""

import getpass
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.conftest import PROGRAM, assert_one_talk_each

EXAMPLES = Path(__file__).parents[2] / "examples"
ROTATE = shutil.which("logrotate", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin")))


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
    texts = (Path(__file__), Path(__file__).with_name("test_containers.py"))
    text = "".join(path.read_text("utf-8") for path in texts)
    for example in EXAMPLES.iterdir():
        if example.is_file():
            assert f'"{example.name}"' in text, f"{example.name} is run by no test"


def test_without_arguments_each_tells_how_it_is_used():
    for script in (
        "attention.py",
        "upload_directory.py",
        "listener.py",
        "logging_listener.py",
        "opentelemetry_listener.py",
        "zip_source.py",
    ):
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


def test_what_needs_attention(calls, upload, start_service):
    calls.write("a.wav", "sub/b.wav")
    done = run("attention.py", calls)
    assert (done.returncode, "ledger.db does not exist" in done.stderr) == (1, True)
    with start_service("--lose-answer", "1", "--lost-answer", "internal") as service:
        assert upload(to=service).code == 1
    calls.put("c.wav", b"")
    calls.put("c.json", b"{}")
    done = run("attention.py", calls)
    assert done.returncode == 1, done.stderr
    assert "0 to send, 1 with defects\nin doubt: 2\n" in done.stdout
    assert "look for sub/b.wav in the SpeechSense console" in done.stdout


def test_what_is_logged(calls):
    calls.write("a.wav")
    calls.put("b.wav", b"RIFF")
    calls.put("b.json", b"{}")
    log = run("logging_listener.py", calls).stderr.splitlines()
    assert log[0].startswith("INFO uploads run ")
    assert any(re.match(r"INFO uploads a\.wav: uploaded: \S+$", line) for line in log)
    assert any(line.startswith("ERROR uploads b.wav: invalid: ") for line in log)
    assert log[-1] == "ERROR uploads completed: 1 invalid, 1 uploaded"


def test_spans_and_metrics(calls):
    calls.write("a.wav", "sub/b.wav", seconds=0.5)
    lines = run("opentelemetry_listener.py", calls).stdout
    decoder, found = json.JSONDecoder(), []
    while lines := lines.strip():
        document, end = decoder.raw_decode(lines)
        found.append(document)
        lines = lines[end:]
    spans = [each for each in found if "name" in each]
    (run_span,) = [span for span in spans if span["name"] == "upload run"]
    uploads = {span["attributes"]["recording.path"]: span for span in spans if span != run_span}
    assert run_span["attributes"]["run.ending"] == "completed"
    assert set(uploads) == {"a.wav", "sub/b.wav"}
    for span in uploads.values():
        assert span["parent_id"] == run_span["context"]["span_id"]
        assert span["attributes"]["talk.id"]
        assert [each["attributes"] for each in span["events"]] == [{"code": "OK", "number": 1}]
    (metrics,) = [
        {metric["name"]: metric["data"]["data_points"][0] for metric in scope["metrics"]}
        for each in found
        for resource in each.get("resource_metrics", ())
        for scope in resource["scope_metrics"]
    ]
    assert metrics["uploads.recordings"]["value"] == 2
    assert metrics["uploads.audio"]["value"] == 1.0
    assert metrics["uploads.attempt.duration"]["count"] == 2


@contextmanager
def app(calls, service):
    """The app under uvicorn, as a function that asks it; leaving ends it with SIGTERM."""
    assert "uvicorn fastapi_app:app --app-dir examples" in (EXAMPLES / "fastapi_app.py").read_text()
    words = ("-m", "uvicorn", "fastapi_app:app", "--app-dir", EXAMPLES, "--port", "0")
    environment = {
        "PATH": os.environ["PATH"],
        "CALLS": str(calls),
        "CONNECTION_ID": "calls",
        "API_KEY": calls.key_file.read_text(),
        "SPEECHSENSE_ENDPOINT": service.address,
        "CA_FILE": str(service.folder / "tls" / "ca.pem"),
    }
    process = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE)
    try:
        for line in process.stderr:
            if place := re.search(rb"http://127\.0\.0\.1:\d+", line):
                break

        def ask(method, path):
            request = urllib.request.Request(place[0].decode() + path, method=method)  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        yield ask
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert b"Traceback" not in log, log.decode()


def until(ask, there):
    for _ in range(600):
        _, told = ask("GET", "/upload")
        if there(told):
            return told
        time.sleep(0.1)
    raise TimeoutError


def until_it_ends(ask):
    return until(ask, lambda told: not told["runs"])


def test_an_app_that_uploads(calls, service):
    calls.write("a.wav", "b.wav")
    with app(calls, service) as ask:
        assert ask("GET", "/upload")[1]["runs"] is False
        assert ask("POST", "/upload")[0] == 202
        told = until_it_ends(ask)
        assert (told["ended"], told["counts"]) == ("completed", {"uploaded": 2})
        calls.write("c.wav")
        assert ask("POST", "/upload")[0] == 202
        assert until_it_ends(ask)["counts"] == {"uploaded": 1}
        shutil.rmtree(calls.folder)
        status, refusal = ask("POST", "/upload")
        assert (status, "does not exist" in refusal["detail"]) == (500, True)
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1, "c.wav": 1}


def test_an_app_that_is_drained_or_shut_down_leaves_nothing_in_doubt(calls, start_service):
    names = [f"{number:03}.wav" for number in range(200)]
    calls.write(*names)
    with start_service("--latency", "300ms") as service:
        with app(calls, service) as ask:
            assert ask("POST", "/upload")[0] == 202
            assert ask("POST", "/upload")[0] == 409
            until(ask, lambda told: told["counts"])
            assert ask("POST", "/upload/drain")[0] == 202
            assert "drained" in until_it_ends(ask)["ended"]
            assert ask("POST", "/upload")[0] == 202
        sent = calls.manifest()
        assert {line["status"] for line in sent.values()} == {"uploaded"}
        assert dict.fromkeys(sent, 1) == service.counts(calls)
        assert len(sent) < len(names)
        with app(calls, service) as ask:
            ask("POST", "/upload")
            assert until_it_ends(ask)["ended"] == "completed"
        assert_one_talk_each(calls, service, names)


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
        "$HOME/batch-uploader.toml": str(tmp_path / "settings" / "batch-uploader.toml"),
        "$HOME/batch-uploader.jsonl": str(tmp_path / "log.jsonl"),
        "CONNECTION_ID": "calls",
    }
    words = [places.get(word, word) for word in words[1:]]
    ca_file = service.folder / "tls" / "ca.pem"
    return [*words, "--endpoint", service.address, "--ca-file", ca_file]


def test_the_line_for_cron(calls, service, program, tmp_path):
    """cron has another working directory than init had: all comes from the settings file."""
    calls.write("a.wav")
    settings = tmp_path / "settings"
    settings.mkdir()
    shutil.copy(calls.key_file, settings / "speechsense-key")
    (settings / "batch-uploader.toml").write_text(
        'connection-id = "calls"\napi-key-file = "speechsense-key"\n'
    )
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
    calls.broken("bad.wav", b"no audio")
    result = program(*settled_in_place(rest[3], calls, service, tmp_path))
    assert result.code == 1
    assert "attention" in result.err


def unit(name):
    """A unit's settings that stand once, with what a line ends with a backslash put together."""
    text = (EXAMPLES / name).read_text().replace("\\\n", "")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


@pytest.fixture
def under_systemd(calls, service, tmp_path):
    """What systemd makes of a command: its words, with the places that it gives to the service."""
    state, credentials = tmp_path / "state", tmp_path / "credentials"
    (state / unit("batch-uploader.service")["StateDirectory"]).mkdir(parents=True, mode=0o700)
    credentials.mkdir(mode=0o700)
    loaded = unit("batch-uploader.service")["LoadCredential"].partition(":")[0]
    shutil.copy(calls.key_file, credentials / loaded)
    (credentials / loaded).chmod(0o440)
    settings = tmp_path / "batch-uploader.toml"
    settings.write_text(
        f'connection-id = "calls"\nendpoint = "{service.address}"\n'
        f'ca-file = "{service.folder / "tls" / "ca.pem"}"\n'
    )
    places = {
        "%d": str(credentials),
        "%S": str(state),
        "%H": "machine",
        "/usr/local/bin/batch-uploader": str(PROGRAM),
        "/etc/batch-uploader/batch-uploader.toml": str(settings),
        "/srv/calls": str(calls),
    }

    def words(name):
        command = unit(name)["ExecStart"]
        for place, ours in places.items():
            command = command.replace(place, ours)
        assert "%" not in command
        return shlex.split(command)

    return words, {"CREDENTIALS_DIRECTORY": str(credentials)}


@pytest.fixture
def night(calls, under_systemd, program, unprivileged):
    """Runs the service once, over recordings that it can only read."""
    words, environment = under_systemd

    def run():
        calls.folder.chmod(0o555)
        _, *arguments = words("batch-uploader.service")
        return program(*arguments, env=environment, preexec=unprivileged)

    return run


def test_the_service_for_systemd(calls, service, night):
    calls.write("a.wav")
    result = night()
    assert result.code == 0, result.said
    assert service.counts(calls) == {"a.wav": 1}
    assert "other users" not in result.said
    assert not calls.ledger.exists()


def test_the_mail_when_the_service_has_failed(calls, night, under_systemd, tmp_path):
    calls.broken("bad.wav", b"no audio")
    assert night().code == 1
    words, _ = under_systemd
    failed = "batch-uploader-failed.service"
    assert unit("batch-uploader.service")["OnFailure"] == failed
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in {"mail": 'echo "$2"; cat', "journalctl": 'echo "of $*"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        words(failed),
        check=True,
        env={
            "PATH": f"{tools}:/usr/bin:/bin",
            "MONITOR_SERVICE_RESULT": "exit-code",
            "MONITOR_EXIT_STATUS": "1",
            "MONITOR_INVOCATION_ID": "e6b0",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    subject, *mail = done.stdout.splitlines()
    assert subject == "batch-uploader on machine: exit-code 1"
    assert [line for line in mail if "bad.wav" in line]
    assert mail[-1].endswith("_SYSTEMD_INVOCATION_ID=e6b0")


def test_the_timer_starts_the_service_every_night():
    timer = (EXAMPLES / "batch-uploader.timer").read_text()
    assert re.search(r"^OnCalendar=\S+ \S+$", timer, re.MULTILINE)
    assert re.search(r"^WantedBy=timers.target$", timer, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_accepts_the_units(tmp_path):
    names = ("batch-uploader.service", "batch-uploader.timer", "batch-uploader-failed.service")
    for name in names:
        text = (EXAMPLES / name).read_text().replace("/usr/local/bin/batch-uploader", str(PROGRAM))
        (tmp_path / name).write_text(text.replace("User=calls\n", ""))
    verify = ["systemd-analyze", "verify", "--man=no", *(tmp_path / name for name in names)]
    done = subprocess.run(verify, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    rate = ["systemd-analyze", "security", "--offline=true", "--threshold=25"]
    done = subprocess.run(
        [*rate, tmp_path / names[0]], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_logrotate_neither_makes_nor_copies_the_log():
    text = (EXAMPLES / "logrotate").read_text()
    assert re.search(r"^    nocreate$", text, re.MULTILINE), "a run makes its own file"
    assert "copytruncate" not in text


@pytest.mark.skipif(ROTATE is None, reason="there is no logrotate here")
def test_logrotate_accepts_its_file(tmp_path):
    log = tmp_path / "calls.jsonl"
    log.write_text("{}\n")
    there = (EXAMPLES / "logrotate").read_text()
    there = there.replace("/var/log/batch-uploader", str(tmp_path))
    there = there.replace("su calls calls", f"su {getpass.getuser()} {tmp_path.group()}")
    there = there.replace("systemctl kill", "true kill")
    (tmp_path / "conf").write_text(there)
    words = [ROTATE, "--force", "--state", tmp_path / "state", tmp_path / "conf"]
    subprocess.run(words, check=True, timeout=30)
    assert not log.exists()
    assert (tmp_path / "calls.jsonl.1").exists()


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
    assert found["to_send"] == 1
    assert [(d["path"], d["field"]) for d in found["defects"]] == [("no-score.json", "call_score")]
    assert not any("drafts" in d["path"] for d in found["defects"])
