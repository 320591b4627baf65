"""The examples for monitors: what they ask for is what the program tells."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import promql_parser
import pytest
import yaml

from batch_uploader.ui.metrics import OF_JOB, OF_RUN

EXAMPLES = Path(__file__).parents[2] / "examples"
MONITORING, HOOKS = EXAMPLES / "monitoring", EXAMPLES / "hooks"
ALERTS = MONITORING / "alerts.yml"
LABELS = {
    metric.in_prometheus: {"connection", "directory", metric.label} - {""}
    for metric in (*OF_JOB, *OF_RUN)
}

posix = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell")


def rules():
    (group,) = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return group["rules"]


def panels():
    return json.loads((MONITORING / "grafana.json").read_text("utf-8"))["panels"]


def expressions():
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


@pytest.mark.parametrize("expression", [*expressions()])
def test_an_expression_asks_for_metrics_and_labels_that_there_are(expression):
    promql_parser.parse(expression.replace("$directory", "calls"))
    names = re.findall(r"\bbatch_uploader_\w+", expression)
    assert names
    for name in names:
        assert name in LABELS, expression
    for name, matchers in re.findall(r"(\bbatch_uploader_\w+)\{(.*?)\}", expression):
        assert {*re.findall(r"(\w+)=", matchers)} <= LABELS[name], expression


def test_what_the_texts_name_is_in_the_metric():
    for rule in rules():
        (first, *_) = re.findall(r"\bbatch_uploader_\w+", rule["expr"])
        for text in rule["annotations"].values():
            assert {*re.findall(r"\$labels\.(\w+)", text)} <= LABELS[first]
    for panel in panels():
        for target in panel["targets"]:
            (first, *_) = re.findall(r"\bbatch_uploader_\w+", target["expr"])
            assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= LABELS[first]


def test_every_alert_has_its_severity_and_its_cure():
    assert len(rules()) == len({rule["alert"] for rule in rules()}) == 8
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {*rule["annotations"]} == {"summary", "description"}


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool here")
def test_promtool_tries_the_alerts():
    for words in (("check", "rules", ALERTS.name), ("test", "rules", "alerts_test.yml")):
        subprocess.run(["promtool", *words], check=True, timeout=60, cwd=MONITORING)


def test_panels_do_not_overlap():
    places = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places
        assert at["x"] + at["w"] <= 24
        places |= cells


def found(document, path):
    """What a JSONPath of plain keys and indexes leads to."""
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        document = document[key] if key else document[int(index)]
    return document


def test_zabbix_reads_what_status_says(calls, upload, program):
    (template,) = yaml.safe_load((MONITORING / "zabbix.yaml").read_text("utf-8"))["zabbix_export"][
        "templates"
    ]
    calls.write("a.wav", seconds=1)
    calls.broken("bad.wav")
    assert upload().code == 1
    agent = (MONITORING / "zabbix_agent.conf").read_text("utf-8")
    (line,) = re.findall(r"^UserParameter=batch-uploader\.status\[\*\],(.*)$", agent, re.MULTILINE)
    command = line.partition("/usr/local/bin/batch-uploader ")[2].replace("$1", str(calls))
    assert command.endswith(" --json 2>/dev/null || true")
    status = json.loads(program(*command.partition(" 2>")[0].replace('"', "").split()).out)
    values = {}
    for item in template["items"][1:]:
        assert item["master_item"]["key"] == template["items"][0]["key"]
        steps = {step["type"]: step["parameters"][0] for step in item["preprocessing"]}
        if "JSONPATH" in steps:
            values[item["name"]] = found(status, steps["JSONPATH"])
    assert values["All is well"] is False
    assert (values["Exit code of the last run"], values["Recordings that need a human"]) == (1, 1)
    assert (values["Recordings uploaded so far"], values["Audio uploaded so far"]) == (1, 1.0)
    assert values["Last run that did all that it could"].endswith("Z")
    keys = {item["key"] for item in template["items"]}
    expressions = [
        trigger["expression"] for item in template["items"] for trigger in item.get("triggers", ())
    ]
    for key in re.findall(r"last\(/batch-uploader by status/([^)]*)\)", " ".join(expressions)):
        assert key in keys
    everything = re.findall(r"uuid: (\w+)", (MONITORING / "zabbix.yaml").read_text("utf-8"))
    assert len(everything) == len({*everything})
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", e) for e in everything)


@posix
def test_shellcheck_has_nothing_against_the_hooks():
    scripts = sorted(HOOKS.iterdir())
    assert [script.name for script in scripts] == ["dead_mans_switch.sh", "mail.sh", "telegram.sh"]
    assert all(os.access(script, os.X_OK) for script in scripts)
    checker = Path(sys.executable).with_name("shellcheck")
    subprocess.run([checker, *scripts], check=True, timeout=60)


@contextmanager
def listening():
    """A server on this machine that accepts all; gives its address and what it was sent."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            came.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()


needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")


@posix
@needs_curl
def test_a_dead_mans_switch_hears_of_each_run(calls, upload):
    calls.write("a.wav")
    with listening() as (address, came):
        hook = ("--on-finish", f"{HOOKS / 'dead_mans_switch.sh'} {address}/uuid")
        assert upload(*hook, "--progress", "none").said == ""
        calls.broken("bad.wav")
        assert upload(*hook).code == 1
    assert came == [
        ("/uuid/0", "1 recording uploaded"),
        ("/uuid/1", "0 recordings uploaded, 1 needs attention"),
    ]


@posix
@needs_curl
def test_telegram_gets_a_message(calls, upload, tmp_path):
    calls.broken("bad.wav")
    (tmp_path / "token").write_text("123:abc\n")
    with listening() as (address, came):
        hook = f"{HOOKS / 'telegram.sh'} {tmp_path / 'token'} -100"
        result = upload("--on-finish", hook, "--progress", "none", env={"TELEGRAM_API": address})
        assert "warning" not in result.err
    ((path, body),) = came
    assert path == "/bot123:abc/sendMessage"
    text = f"{calls}: 0 recordings uploaded, 1 needs attention (exit code 1)"
    assert parse_qs(body) == {
        "chat_id": ["-100"],
        "disable_notification": ["false"],
        "text": [text],
    }


@posix
def test_a_bad_night_is_mailed_with_the_status(calls, upload, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    mail = programs / "mail"
    mail.write_text(f'#!/bin/sh\n{{ echo "$@"; cat; }} > "{tmp_path}/mailed"\n')
    mail.chmod(0o755)
    ours = Path(sys.executable).parent
    env = {"PATH": os.pathsep.join(map(str, (programs, ours, os.environ["PATH"])))}
    hook = ("--on-finish", f"{HOOKS / 'mail.sh'} ops@example.org")
    calls.write("a.wav")
    assert upload(*hook, env=env).code == 0
    assert not (tmp_path / "mailed").exists()
    calls.broken("bad.wav")
    assert upload(*hook, env=env).code == 1
    subject, summary, *status = (tmp_path / "mailed").read_text().splitlines()
    assert subject == f"-s batch-uploader: exit code 1 for {calls} ops@example.org"
    assert summary == "0 recordings uploaded, 1 needs attention"
    assert any("bad.wav" in line for line in status)
