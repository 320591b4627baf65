"""``--otlp``: the same metrics, sent to a collector that is a process of its own."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

RECEIVER = Path(__file__).parents[1] / "support" / "otlp_receiver.py"
HTTP, GRPC = "http/protobuf", "grpc"


class Collector:
    """The process; what it prints goes to a file, since a full pipe would hold it up."""

    def __init__(self, process, printed):
        self.process = process
        self.printed = printed
        while not (line := printed.read_text()).endswith("\n"):
            assert process.poll() is None
            time.sleep(0.05)
        self.addresses = {
            kind: f"http://127.0.0.1:{port}"
            for kind, port in zip((HTTP, GRPC), line.split(), strict=True)
        }

    def env(self, protocol, **more):
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.addresses[protocol],
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            **more,
        }

    def told(self):
        """All values that came, in order."""
        return [json.loads(line) for line in self.printed.read_text().splitlines()[1:]]


@pytest.fixture
def collector(tmp_path):
    @contextmanager
    def start(*words):
        printed = tmp_path / "received"
        with printed.open("w") as out:
            process = subprocess.Popen([sys.executable, RECEIVER, *words], stdout=out)
        try:
            yield Collector(process, printed)
        finally:
            process.kill()
            process.wait()

    return start


def last(lines):
    """The last value of each, under the names that Prometheus gives them."""
    units = {"s": "_seconds", "By": "_bytes", "": ""}
    found = {}
    for line in lines:
        name = line["name"].replace(".", "_") + units[line["unit"]]
        found[name, frozenset(line["labels"].items())] = line["value"]
    return found


def in_file(prom):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(prom.read_text("utf-8"))
        for sample in family.samples
        if family.name != "batch_uploader_info"
    }


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_a_night_is_told_as_in_the_file(calls, upload, collector, tmp_path, protocol):
    calls.write("a.wav", "b.wav", seconds=1)
    calls.broken("bad.wav")
    prom = tmp_path / "calls.prom"
    with collector() as there:
        metrics = ("--otlp", "--metrics-file", prom, "--progress", "none")
        env = there.env(protocol, OTEL_RESOURCE_ATTRIBUTES="host.name=pbx")
        result = upload(*metrics, env=env)
        assert result.code == 1, result.said
        lines = there.told()
    assert {line["by"] for line in lines} == {protocol.partition("/")[0]}
    resource = lines[0]["resource"]
    assert resource["service.name"] == "batch-uploader"
    assert (resource["service.version"], resource["host.name"]) == ("0.1.0", "pbx")
    told, written = last(lines), in_file(prom)
    assert told.keys() == written.keys()
    passing = {"batch_uploader_last_update_timestamp_seconds"}
    assert {key: value for key, value in told.items() if key[0] not in passing} == {
        key: value for key, value in written.items() if key[0] not in passing
    }
    assert {line["name"] for line in lines if line["grows"]} >= {
        "batch_uploader.requests",
        "batch_uploader.uploaded.audio",
    }


def test_a_run_is_told_of_while_it_goes_on(calls, upload, collector, start_service):
    calls.write(*(f"{each}.wav" for each in range(5)))
    with start_service("--latency", "400ms") as service, collector() as there:
        env = there.env(HTTP, OTEL_METRIC_EXPORT_INTERVAL="200")
        flags = ("--otlp", "--concurrency", "1")
        assert upload(*flags, to=service, env=env).code == 0
        lines = there.told()
    done = [line["value"] for line in lines if line["name"] == "batch_uploader.recordings.done"]
    assert done == sorted(done)
    assert len({*done}) > 2
    running = [line["value"] for line in lines if line["name"] == "batch_uploader.running"]
    assert (running[0], running[-1]) == (1, 0)
    # Without a file nothing is known of earlier runs, and nothing is made up.
    assert "batch_uploader.last_success.timestamp" not in {line["name"] for line in lines[:3]}


def test_a_refused_run_is_told_of_as_well(calls, program, collector):
    with collector() as there:
        result = program("upload", calls, "--connection-id", "c", "--otlp", env=there.env(HTTP))
        assert result.code == 2
        lines = there.told()
    (code,) = [line for line in lines if line["name"] == "batch_uploader.run.exit_code"]
    assert code["value"] == 2
    assert code["labels"] == {"connection": "c", "directory": str(calls)}


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_a_collector_that_refuses_or_is_away_is_a_warning(calls, upload, collector, protocol):
    calls.write("a.wav")
    with collector("refuse") as there:
        quickly = {"OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        env = there.env(protocol, **quickly)
        result = upload("--otlp", "--progress", "none", env=env)
    assert result.code == 0
    assert result.err.count("warning: metrics cannot be exported (OTLP)") == 1
    assert len(result.err.splitlines()) == 1
    began = time.monotonic()
    result = upload("--otlp", "--progress", "none", env=env)
    assert (result.code, result.err.count("warning: ")) == (0, 1)
    assert time.monotonic() - began < 30


def test_settings_of_opentelemetry_that_are_wrong_are_named(calls, upload):
    calls.write("a.wav")
    result = upload("--otlp", env={"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier pigeon"})
    assert result.code == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: unknown protocol 'carrier pigeon'" in result.err


def test_without_the_extra_the_message_names_it(calls, upload, tmp_path):
    calls.write("a.wav")
    hidden = tmp_path / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError")
    result = upload("--otlp", env={"PYTHONPATH": str(hidden.parent)})
    assert result.code == 2
    assert "batch-uploader[otlp]" in result.err
