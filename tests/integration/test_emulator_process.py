"""The emulator as users run it: a process of its own, started from the command line."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys

import grpc
import pytest
from support.emulator_client import connected, metadata, refused, stream, upload, wav

from batch_uploader.cli.emulator import _parse_connection, _parse_outage
from batch_uploader.core.errors import ConfigError
from batch_uploader.emulator import Emulator, EmulatorOptions, Outage, stored_talks
from batch_uploader.emulator.rules import Connection

ANY = "0.0.0.0"  # noqa: S104 - to see it refused
COMMAND = [sys.executable, "-m", "batch_uploader", "emulator"]


class Process:
    """One that is ready; ``address`` is where."""

    def __init__(self, process, address):
        self.process = process
        self.address = address

    async def end(self, number=signal.SIGTERM):
        """The exit code and what it wrote to stdout and stderr since it was ready."""
        self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), 20)
        return self.process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def started(*flags):
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        if not line.startswith("listening on "):
            pytest.fail((await process.stderr.read()).decode())
        yield Process(process, line.removeprefix("listening on ").rstrip("\n"))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*flags):
    """A process that is expected not to start: its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert not out
    assert b"Traceback" not in err
    # A box may have broken the lines.
    return process.returncode, " ".join(err.decode().replace("│", " ").split())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_serves_tls_and_ends_when_told(tmp_path, number):
    tls, store = tmp_path / "tls", tmp_path / "talks.db"
    async with started("--tls", tls, "--store", store) as emulator:
        host, _, port = emulator.address.rpartition(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)
        async with connected(emulator.address, tls / "ca.pem") as client:
            assert await client.upload()
            assert await client.upload_as_stream()
        code, out, err = await emulator.end(number)
    assert (code, out.splitlines()) == (0, ["served 1 Upload", "served 1 UploadAsStream"])
    command = "batch-uploader upload DIRECTORY --connection-id demo"
    assert err.splitlines() == [
        "hint: export API_KEY=emulator-key",
        f"hint: {command} --endpoint {emulator.address} --ca-file {tls / 'ca.pem'}",
    ]
    assert len(stored_talks(store)) == 2


async def test_a_graceful_end_waits_for_what_is_being_uploaded(tmp_path):
    store = tmp_path / "talks.db"
    flags = ["--store", store, "--store-late", "500ms"]
    async with started(*flags) as emulator, connected(emulator.address) as client:
        answer = asyncio.ensure_future(client.upload())
        await asyncio.sleep(0.25)
        code, _, _ = await emulator.end()
        assert code == 0
        assert await answer == stored_talks(store)[0].talk_id


async def test_what_was_answered_survives_a_kill(tmp_path):
    """Fault 1, at the receiving end."""
    store = tmp_path / "talks.db"
    answered = []
    async with started("--store", store) as emulator, connected(emulator.address) as client:

        async def load(worker):
            with contextlib.suppress(grpc.aio.AioRpcError):
                for number in range(10_000):
                    fields = {"n": f"{worker}-{number}"}
                    request = upload(wav(0.01), talk=metadata(fields=fields))
                    answered.append(await client.upload(request))

        workers = [asyncio.ensure_future(load(number)) for number in range(8)]
        while len(answered) < 200:
            await asyncio.sleep(0.01)
        emulator.process.kill()
        await asyncio.gather(*workers)
    stored = {talk.talk_id for talk in stored_talks(store)}
    assert set(answered) <= stored
    assert len(stored) <= len(answered) + 8
    async with started("--store", store) as emulator, connected(emulator.address) as client:
        assert len(await client.get(*answered[:100])) == 100


@pytest.mark.parametrize(
    ("flag", "stored"), [("--die-before-storing", 2), ("--die-after-storing", 3)]
)
@pytest.mark.parametrize("way", ["upload", "upload_as_stream"])
async def test_it_dies_with_the_third_upload(tmp_path, flag, stored, way):
    """Faults 15 and 16, the server's side."""
    store = tmp_path / "talks.db"
    async with started("--store", store, flag, 3) as emulator:
        async with connected(emulator.address) as client:
            for _ in range(2):
                assert await getattr(client, way)()
            error = await refused(getattr(client, way)())
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert await asyncio.wait_for(emulator.process.wait(), 10) == 137
    assert len(stored_talks(store)) == stored


async def test_the_flags_reach_the_server(tmp_path):
    key, token = tmp_path / "key", tmp_path / "token"
    key.write_text("k\n")
    token.write_text("t")
    flags = [
        *("--store", tmp_path / "talks.db", "--keep-audio", tmp_path / "audio"),
        *("--connection", "a:2=date,name", "--connection", "b"),
        *("--api-key-file", key, "--iam-token-file", token),
        *("--search-lag", "1h", "--revoke-after", "6"),
    ]
    async with started(*flags) as emulator:
        headers = (("authorization", "Api-Key k"),)
        async with connected(emulator.address, headers=headers) as client:
            talk_id = await client.upload(
                upload(wav(channels=2), talk=metadata("a", {"name": "x"}))
            )
            assert [path.name for path in (tmp_path / "audio").iterdir()] == [f"{talk_id}.wav"]
            for request in (upload(), upload(talk=metadata("a", {"other": "x"}))):
                assert (await refused(client.upload(request))).code() in {
                    grpc.StatusCode.NOT_FOUND,
                    grpc.StatusCode.INVALID_ARGUMENT,
                }
            assert (await client.search()).talk_ids == []
        async with connected(emulator.address) as client:
            assert (await refused(client.upload())).details() == "The credentials are unknown"
        headers = (("authorization", "Bearer t"),)
        async with connected(emulator.address, headers=headers) as client:
            assert await client.upload(upload(talk=metadata("b")))
            error = await refused(client.upload(upload(talk=metadata("b"))))
            assert error.details() == "The credentials have been revoked"
        code, _, err = await emulator.end()
    assert code == 0
    # A key that was declared is a secret; the default one is none.
    assert "API_KEY" not in err
    assert "--connection-id a" in err


async def test_fault_flags_reach_the_server(tmp_path):
    flags = ["--unavailable", "1", "--pushback", "never", "--store", tmp_path / "talks.db"]
    async with started(*flags) as emulator, connected(emulator.address) as client:
        error = await refused(client.upload())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "-1000"
    flags = ["--lose-answer", "1", "--lost-answer", "reset", "--store", tmp_path / "talks.db"]
    async with started(*flags) as emulator, connected(emulator.address) as client:
        assert (await refused(client.upload_as_stream(stream()))).code().name == "UNAVAILABLE"
    assert len(stored_talks(tmp_path / "talks.db")) == 1


BAD_FLAGS = {
    "any host": (["--host", ANY], f"listens on loopback only, not on {ANY}"),
    "a name": (["--host", "example.com"], "listens on loopback only, not on example.com"),
    "any IPv6": (["--host", "::"], "listens on loopback only, not on ::"),
    "a probability": (["--unavailable", "2"], "not in the range 0<=x<=1"),
    "too much": (
        ["--unavailable", ".6", "--silent", ".6"],
        "add up to more than 1 hint: lower some of unavailable",
    ),
    "a duration": (["--latency", "soon"], "'soon' is not a duration hint: write it as 90, 90s"),
    "a size": (["--bandwidth", "8MB"], "'8MB' is not a size hint: write it as"),
    "an outage": (["--outage", "5m"], "'5m' is not START+LENGTH hint: write it as 10s+5m"),
    "half an outage": (["--outage", "5m+x"], "'x' is not a duration"),
    "a pushback": (["--pushback", "-1"], "'-1' is not a duration"),
    "a connection": (["--connection", "=a"], "'=a' is not ID[:CHANNELS][=KEY,...]"),
    "twice the same": (["--connection", "a", "--connection", "a"], "declared twice"),
    "a status": (
        ["--abort-code", "BUSY"],
        "'BUSY' is not a gRPC status hint: the statuses are CANCELLED",
    ),
    "a missing key": (["--api-key-file", "no/such"], "cannot be read"),
    "an account": (["--service-account-key-file", os.devnull], "is not an authorized key"),
    "a folder": (["--tls", os.devnull], "the certificates cannot be kept in"),
    "an audio folder": (["--keep-audio", f"{os.devnull}/x"], "cannot be made"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
async def test_flags_that_make_no_sense_end_it_with_2_and_a_sentence(tmp_path, case):
    """Fault 71: loopback only."""
    flags, message = BAD_FLAGS[case]
    code, err = await run("--store", tmp_path / "talks.db", *flags)
    assert code == 2
    assert message in err


async def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, err = await run("--store", tmp_path / "talks.db", "--port", port)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in err


async def test_a_port_that_another_emulator_has(tmp_path):
    async with Emulator(EmulatorOptions(store=tmp_path / "one.db")) as first:
        port = int(first.address.rpartition(":")[2])
        for relay in (False, True):
            options = EmulatorOptions(store=tmp_path / "two.db", port=port, relay=relay)
            with pytest.raises(ConfigError, match="choose another with --port"):
                async with Emulator(options):
                    pass


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9", "::1"])
def test_loopback_has_several_names(tmp_path, host):
    Emulator(EmulatorOptions(store=tmp_path / "talks.db", host=host))


@pytest.mark.parametrize("host", ["", ANY, "::", "10.0.0.1", "example.com", "localhost.x"])
def test_nothing_but_loopback(tmp_path, host):
    """Fault 71."""
    with pytest.raises(ConfigError, match="loopback only"):
        Emulator(EmulatorOptions(store=tmp_path / "talks.db", host=host))


@pytest.mark.parametrize(
    ("text", "connection"),
    [
        ("demo", Connection("demo")),
        ("demo:2", Connection("demo", None, 2)),
        ("demo=a", Connection("demo", frozenset({"a"}))),
        ("demo:1=a,b", Connection("demo", frozenset({"a", "b"}), 1)),
    ],
)
def test_the_notation_of_connections(text, connection):
    assert _parse_connection(text) == connection


def test_the_notation_of_outages():
    assert _parse_outage("10+5m") == Outage(10.0, 300.0)
