"""One process uses our messages and the vendor's SDK, whichever it imports first."""

import itertools
import subprocess
import sys

import pytest

OURS = "from batch_uploader.sinks.speechsense import wire as ours"
THEIRS = "from yandex.cloud.speechsense.v1 import talk_service_pb2 as theirs"
THEIR_GRPC = "from yandex.cloud.speechsense.v1 import talk_service_pb2_grpc"
GOOGLES = "from google.rpc import error_details_pb2, status_pb2"

USE = """
talk = {"metadata": {"connection_id": "c", "fields": {"date": "2025-04-24T14:34:19Z"}}}
here, there = ours.UploadTalkRequest(**talk), theirs.UploadTalkRequest(**talk)
assert type(here) is not type(there)
assert here.SerializeToString() == there.SerializeToString() != b""
assert there.FromString(here.SerializeToString()) == there
assert here.FromString(there.SerializeToString()) == here
detail = ours.Any()
detail.Pack(ours.RetryInfo(retry_delay=ours.Duration(seconds=3)))
info = error_details_pb2.RetryInfo()
status = status_pb2.Status.FromString(ours.Status(details=[detail]).SerializeToString())
assert status.details[0].Unpack(info) and info.retry_delay.seconds == 3
print("both work")
"""


@pytest.mark.parametrize("imports", list(itertools.permutations([OURS, THEIRS, GOOGLES])))
def test_both_work_in_every_order(imports):
    assert run(*imports, USE) == "both work\n"


@pytest.mark.parametrize("imports", list(itertools.permutations([OURS, THEIR_GRPC])))
def test_both_work_beside_the_sdks_stubs(imports):
    assert run(*imports, THEIRS, GOOGLES, USE) == "both work\n"


def test_ours_loads_protobuf_and_nothing_else():
    loaded = run("import sys; before = set(sys.modules)", OURS, "print(*set(sys.modules) - before)")
    packages = {name.partition(".")[0] for name in loaded.split()} - sys.stdlib_module_names
    assert packages == {"batch_uploader", "google"}
    assert "google.rpc" not in loaded.split()


def run(*lines: str) -> str:
    command = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
