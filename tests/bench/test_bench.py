"""The benchmark in small: every client puts all of a directory up, and what it says holds.

What it measures is of no interest here, only that what it measures is the whole work.
"""

import copy
import json
import re
import sys

import pytest
from bench import clients
from bench.data import KB, recordings
from bench.lab import FAR_ADDRESS, Lab, NotPossible
from bench.measuring import measure, upload
from bench.network import HERE, THERE, inside, link
from bench.report import Section, Target, put
from bench.works import conversion, essence, second_run, slope, stalls, tables
from e2e.conftest import emulator

COUNT = 3
ALL = (
    *(clients.PROGRAM, clients.RAW, clients.KEPT, clients.PROTOBUF, clients.VENDOR),
    *(clients.SENDER, clients.RCLONE, clients.S5CMD),
)
TALKERS = (clients.PROGRAM, clients.RAW, clients.KEPT, clients.PROTOBUF, clients.VENDOR)
"""Those that speak with the service."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cores and terminals of Linux")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"), scale=0.0001)
    try:
        lab.program("grpc_sink")
    except NotPossible as reason:
        pytest.skip(str(reason))
    return lab


@pytest.fixture(scope="module")
def folder(lab):
    return recordings(lab, "few", [20 * KB, 20 * KB, 300 * KB])


def names(each):
    return [client.name for client in each]


@pytest.mark.parametrize("client", ALL, ids=names(ALL))
def test_each_client_puts_all_of_it_into_its_sink(client, lab, folder):
    # ``upload`` holds the sink's counts against what there is.
    with lab.sink(client.sink) as sink, lab.scratch() as scratch:
        try:
            run = upload(client, clients.Job(folder, sink.host, sink.port, lab, scratch), sink)
        except NotPossible as reason:
            pytest.skip(str(reason))
    assert run.wall > 0
    assert run.cpu > 0
    assert run.peak > 0


def test_what_did_not_come_is_no_result(lab, folder):
    nobody = clients.Client("nobody", lambda _: [sys.executable, "-c", "pass"])
    with lab.sink("grpc_sink") as sink, pytest.raises(RuntimeError, match="0 of 3"):
        upload(nobody, clients.Job(folder, sink.host, sink.port, lab, lab.folder), sink)


def test_a_client_that_fails_is_no_result(lab):
    fails = "import sys; print('no good', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError, match="ended with 3: no good"):
        measure([sys.executable, "-c", fails], lab)


def test_what_the_clients_send_are_the_recordings(lab, folder, tmp_path):
    """To the strict emulator, which keeps what it was sent."""
    admitted = ("--connection", clients.CONNECTION)
    with emulator(tmp_path / "service", *admitted, key="bench-key") as service:
        port = int(service.address.rpartition(":")[2])
        trusted = copy.copy(lab)
        trusted.certificate = service.folder / "tls" / "ca.pem"
        for number, client in enumerate(TALKERS, start=1):
            job = clients.Job(folder, "127.0.0.1", port, trusted, tmp_path)
            measure(client.command(job), trusted)
            digests = [talk.sha256 for talk in service.talks()]
            assert len(digests) == number * COUNT
    sent = [(talk.sha256, talk.fields["client_id"]) for talk in service.talks()]
    assert {sent.count(each) for each in sent} == {len(TALKERS)}


def test_a_second_run_needs_no_service(lab):
    section = second_run.run(lab, runs=1)
    assert [row[0] for row in section.rows] == ["batch-uploader", "find -printf '%p %s %T@'"]
    assert all(target.value > 0 for target in section.targets)


def test_one_more_recording_costs_what_many_cost_more_than_few(lab):
    section = slope.run(lab, runs=1)
    assert [row[0] for row in section.rows] == names(slope.CONTESTANTS)
    assert [target.limit for target in section.targets] == [1.8, 1.4, 1.4]


def test_calls_are_sent_as_pcm_whatever_they_are(lab):
    section = conversion.run(lab, runs=1)
    assert [row[0].rpartition(" ")[2] for row in section.rows] == ["PCM", "mu-law"]
    assert section.targets[0].value > 0


def test_an_essence_is_measured_for_each_kind_of_audio(lab):
    section = essence.run(lab, runs=1)
    assert [row[0].partition(",")[0] for row in section.rows] == [
        kind for kind in ("WAV", "MP3", "Ogg Opus") for _ in essence.TIMES
    ]


def test_each_recording_has_its_row_and_the_second_night_reads_what_was_appended(lab):
    # A recording without its row would be a defect, and end the run with another code.
    section = tables.run(lab, runs=1)
    assert [row[0] for row in section.rows][2:] == [
        "first night",
        "its appended rows",
        "find, of the recordings",
        "second night",
    ]
    assert all(target.value > 0 for target in section.targets)


def test_the_heartbeat_is_in_the_program_s_own_loop(lab, folder, tmp_path):
    found = tmp_path / "stalls.json"
    with lab.sink("grpc_sink") as sink, lab.scratch() as scratch:
        job = clients.Job(folder, sink.host, sink.port, lab, scratch)
        watched = clients.Client("watched", lambda job: stalls.watched(job, found))
        upload(watched, job, sink)
    assert json.loads(found.read_bytes())["p99"] > 0


def test_a_link_between_two_namespaces(lab, folder):
    try:
        with (
            link(lab, round_trip=4, mbit=1000, loss=0.1),
            lab.sink("grpc_sink", FAR_ADDRESS, inside(THERE)) as sink,
            lab.scratch() as scratch,
        ):
            job = clients.Job(folder, sink.host, sink.port, lab, scratch)
            upload(clients.PROGRAM, job, sink, prefix=inside(HERE))
    except NotPossible as reason:
        pytest.skip(str(reason))


def test_the_page_keeps_what_was_not_measured_again():
    old = put("# Performance\n\n## Profile\n\nBy hand.\n", [_section("one", 1), _section("two", 1)])
    new = put(old, [_section("one", 9)])
    assert [line for line in new.splitlines() if line.startswith("#")] == [
        "# Performance",
        "## Targets",
        "## Profile",
        "## one",
        "## two",
    ]
    assert "By hand." in new
    summary = new.split("## ")[1]
    found = re.findall(r"\| (target \w+) +\| >= 3 x +\| (\d) x +\| (\S+) ", summary)
    assert found == [("target one", "9", "met"), ("target two", "1", "**missed**")]


def _section(title, value):
    return Section(title, "About.", ["a"], [["b"]], [Target(f"target {title}", value, 3)])
