"""Slowness, outages, revoked keys, old connections, the end: seen from both ends."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

import grpc
import pytest
from support.emulator_client import chunk, connected, raw, refused, running, stream, until, upload

from batch_uploader.emulator import Emulator, EmulatorOptions, Faults, Outage

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
async def emulator(tmp_path):
    async with running(tmp_path) as (emulator, client):
        yield emulator, client


async def test_latency_is_added_to_every_answer(emulator):
    running, client = emulator
    running.control.faults = Faults(latency=0.3)
    for call in (client.upload(), client.upload_as_stream(), client.search()):
        before = time.monotonic()
        await call
        assert time.monotonic() - before > 0.29


@pytest.mark.slow
async def test_a_bandwidth_is_shared_and_felt_as_backpressure(emulator):
    """Fault 28, the server's side."""
    running, client = emulator
    running.control.faults = Faults(bandwidth=1024 * 1024)
    written = []

    async def send():
        call = client.open_stream(deadline=2.0)
        for message in stream(b"", raw()):
            await call.write(message)
        with suppress(grpc.aio.AioRpcError):
            while True:
                await call.write(chunk(bytes(1024 * 1024)))
                written.append(1)
        # DEADLINE_EXCEEDED, or INTERNAL where gRPC's client was in the middle of a write.
        await refused(call)

    await asyncio.gather(send(), send())
    # Two seconds at 1 MB/s, and a message of each stream on its way.
    assert 2 <= len(written) <= 5
    running.control.faults = Faults(bandwidth=100_000)
    await asyncio.sleep(1.5)
    before = time.monotonic()
    await asyncio.gather(*[client.upload(upload(bytes(10_000), raw())) for _ in range(5)])
    assert time.monotonic() - before > 0.45


async def test_in_an_outage_nobody_listens_and_then_all_is_well(tmp_path):
    """Faults 14 and 27, the server's side."""
    await outage(tmp_path, relay=False)


async def test_an_outage_behind_the_relay(tmp_path):
    await outage(tmp_path, relay=True)


async def outage(folder, *, relay):
    async with running(folder, relay=relay) as (emulator, client):
        talk_id = await client.upload()
        call = client.open_stream()
        await call.write(next(stream()))
        emulator.control.faults = Faults(outage=Outage(0.2, 1.0))
        assert await call.code() is UNAVAILABLE
        async with connected(emulator) as fresh:
            error = await refused(fresh.upload())
            assert error.code() is UNAVAILABLE
            assert "failed to connect to all addresses" in error.details()
        await asyncio.sleep(1.2)
        async with connected(emulator) as fresh:
            assert [talk.id for talk in await fresh.get(talk_id)] == [talk_id]
            assert await fresh.upload()


async def test_other_faults_end_an_outage(emulator):
    running, _ = emulator
    running.control.faults = Faults(outage=Outage(0, 3600))
    async with connected(running) as client:
        await asyncio.sleep(0.2)
        assert (await refused(client.upload())).code() is UNAVAILABLE
    running.control.faults = Faults()
    async with connected(running) as client:
        await asyncio.sleep(0.2)
        assert await client.upload()


async def test_the_emulator_can_end_in_the_middle_of_an_outage(tmp_path):
    async with running(tmp_path, faults=Faults(outage=Outage(0, 3600))):
        await asyncio.sleep(0.1)


async def test_listening_can_be_stopped_and_begun_by_hand(emulator):
    running, client = emulator
    address = running.address
    await running.stop_listening()
    await running.stop_listening()
    assert (await refused(client.upload())).code() is UNAVAILABLE
    await running.listen()
    await running.listen()
    assert running.address == address
    async with connected(running) as fresh:
        assert await fresh.upload()


async def test_the_credentials_are_revoked_after_so_many_requests(tmp_path):
    """Fault 25, the server's side."""
    async with running(tmp_path, faults=Faults(revoke_after=3)) as (emulator, client):
        for _ in range(3):
            assert await client.upload()
        for call in (client.upload(), client.upload_as_stream(), client.search()):
            error = await refused(call)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert error.details() == "The credentials have been revoked"
        assert len(emulator.control.talks()) == 3


async def test_credentials_are_revoked_and_reinstated_by_hand(emulator):
    running, client = emulator
    running.control.revoke()
    assert (await refused(client.upload())).code() is grpc.StatusCode.UNAUTHENTICATED
    running.control.reinstate()
    assert await client.upload()


async def test_old_connections_end_politely(tmp_path):
    """Fault 18, the server's side: a stream longer than the connection's life is cut."""
    async with running(tmp_path, connection_age=0.3) as (emulator, client):
        call = client.open_stream()
        await call.write(next(stream()))
        assert await call.code() is UNAVAILABLE
        for _ in range(5):
            assert await client.upload()
            await asyncio.sleep(0.2)
        assert len(emulator.control.talks()) == 5


async def test_the_emulator_ends_although_somebody_waits_for_ever(tmp_path):
    options = EmulatorOptions(store=tmp_path / "talks.db", faults=Faults(silent=1))
    async with AsyncExitStack() as stack:
        async with Emulator(options) as emulator:
            client = await stack.enter_async_context(connected(emulator))
            waiting = asyncio.ensure_future(refused(client.upload(deadline=60)))
            await until(lambda: emulator.control.received)
            before = time.monotonic()
        assert time.monotonic() - before < 10
        assert (await waiting).code() in {UNAVAILABLE, grpc.StatusCode.CANCELLED}
