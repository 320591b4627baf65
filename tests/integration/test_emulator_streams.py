"""Streams: what they cost, and what becomes of those that break off."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import anyio
import grpc
import pytest
from support.emulator_client import refused, running, stream, until, wav


@pytest.fixture
async def emulator(tmp_path):
    async with running(tmp_path) as (emulator, client):
        yield emulator, client


async def test_a_large_stream_is_not_held_in_memory(tmp_path):
    code = """
import resource, sys, anyio, grpc
from pathlib import Path
from support.emulator_client import running, stream, raw, chunk
async def main():
    async with running(Path(sys.argv[1])) as (emulator, client):
        await client.upload_as_stream()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pieces = [chunk(bytes(1024 * 1024))] * 150
        await client.upload_as_stream([*stream(b"", raw()), *pieces])
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        [_, talk] = emulator.control.talks()
        print(talk.size, after - before)
anyio.run(main)
"""
    run = await anyio.run_process(
        [sys.executable, "-c", code, str(tmp_path)], env=with_path(), stderr=None
    )
    size, grown = map(int, run.stdout.split())
    assert size == 150 * 1024 * 1024
    # In KB on Linux, in bytes on macOS.
    assert grown < 60 * 1024 * (1024 if sys.platform == "darwin" else 1)


def with_path():
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}


KILLED_CLIENT = """
import os, sys, time, grpc
from support.emulator_client import KEY, chunk, container, stream, trusting
from batch_uploader.sinks.speechsense import wire

def messages():
    first, second = stream(b"")
    yield first
    yield second
    for _ in range(int(sys.argv[3])):
        yield chunk(bytes(int(sys.argv[4])))
    # Long enough for the server to have read it all, however busy the machine.
    time.sleep(1)
    os._exit(9)

channel = grpc.secure_channel(sys.argv[1], trusting(sys.argv[2]))
channel.stream_unary(
    wire.UPLOAD_AS_STREAM, request_serializer=wire.StreamTalkRequest.SerializeToString
)(messages(), metadata=KEY)
"""


async def kill_a_client_in_mid_stream(emulator, pieces=5, size=10_000):
    arguments = [emulator.address, str(emulator.ca_file), str(pieces), str(size)]
    before = emulator.control.requests["UploadAsStream"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_CLIENT, *arguments, env=with_path(), stderr=subprocess.DEVNULL
    )
    assert await process.wait() == 9
    assert emulator.control.requests["UploadAsStream"] == before + 1


@pytest.mark.parametrize(("pieces", "size"), [(5, 10_000), (1, 100), (20, 1_000_000)])
async def test_the_stream_of_a_client_that_dies_is_discarded(emulator, pieces, size):
    running, client = emulator
    await kill_a_client_in_mid_stream(running, pieces, size)
    await asyncio.sleep(0.3)
    assert running.control.talks() == []
    assert running.control.received == 0
    assert await client.upload()


async def test_the_stream_of_a_client_that_dies_can_be_kept_as_truncated(tmp_path):
    options = {"keep_truncated": True, "keep_audio": tmp_path / "audio"}
    async with running(tmp_path, **options) as (emulator, _):
        await kill_a_client_in_mid_stream(emulator)
        await until(emulator.control.talks)
        [talk] = emulator.control.talks()
        assert talk.truncated
        assert (talk.size, talk.sha256) == (50_000, hashlib.sha256(bytes(50_000)).digest())
        assert (tmp_path / "audio" / f"{talk.talk_id}.wav").read_bytes() == bytes(50_000)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("end", ["cancel", "deadline"])
async def test_a_stream_that_its_client_ends_early_is_broken_off_too(tmp_path, end, keep):
    async with running(tmp_path, keep_truncated=keep) as (emulator, client):
        call = client.open_stream(deadline=0.5 if end == "deadline" else 20)
        audio = wav(3.0)
        for message in stream(audio[:16_044]):
            await call.write(message)
        if end == "cancel":
            await asyncio.sleep(0.2)
            call.cancel()
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await call
        await asyncio.sleep(0.3)
        talks = [(talk.size, talk.duration, talk.truncated) for talk in emulator.control.talks()]
        assert talks == ([(16_044, 1.0, True)] if keep else [])


async def test_no_broken_stream_ever_passes_for_a_whole_one(emulator):
    """To a grpc.aio server most of them end without any sign of it."""
    running, client = emulator

    async def broken_off(number):
        call = client.open_stream(deadline=0.5 if number % 2 else 20)
        with contextlib.suppress(grpc.aio.AioRpcError):
            for message in stream():
                await call.write(message)
        if not number % 2:
            await asyncio.sleep(0.2)
            call.cancel()
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await call

    for _ in range(5):
        await asyncio.gather(*map(broken_off, range(16)))
    await asyncio.sleep(0.3)
    assert running.control.requests["UploadAsStream"] == 80
    assert running.control.talks() == []


async def test_nothing_is_kept_of_a_stream_that_broke_off_before_its_audio(tmp_path):
    async with running(tmp_path, keep_truncated=True) as (emulator, client):
        call = client.open_stream()
        for message in stream(b""):
            await call.write(message)
        await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.sleep(0.2)
        assert emulator.control.talks() == []


async def test_a_stream_that_is_refused_is_not_kept_as_truncated(tmp_path):
    async with running(tmp_path, keep_truncated=True) as (emulator, client):
        await refused(client.upload_as_stream(stream(b"not a WAV")))
        await refused(client.upload_as_stream([*stream(), next(stream())]))
        assert emulator.control.talks() == []
