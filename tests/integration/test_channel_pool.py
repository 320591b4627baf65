"""The channels to a service: how many connect, which of them a call takes, which are given up."""

import anyio
import grpc
import pytest
from support.sink_samples import Sound, Tries, sample
from support.sink_servers import TalkServer

from batch_uploader.core.errors import NotSent
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.channel_pool import ChannelPool
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

MIB = 1024 * 1024
CONTENT = b"RIFF" + bytes(1000)


async def send_together(count, size):
    """From how many connections so many recordings at once came."""
    async with TalkServer() as server, SpeechSenseSink(server.endpoint, ApiKey("k")) as sink:

        async def upload(number):
            content = number.to_bytes(4, "big") * (size // 4)
            recording = sample(content, path=f"{number}.wav")
            await sink.upload(recording, Sound(content, whole=True), Tries()())

        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(upload, number)
        assert len(server.talks) == count
        return len(server.peers)


async def test_one_recording_connects_once():
    assert await send_together(1, 4 * MIB) == 1


async def test_a_few_small_recordings_share_a_connection():
    assert await send_together(8, 16 * 1024) == 1


async def test_large_recordings_get_a_connection_each():
    assert await send_together(3, MIB) == 3


async def test_many_begin_with_four_connections():
    assert await send_together(12, MIB) == 4


async def test_a_call_takes_the_channel_with_the_fewest_bytes():
    line = ChannelPool(Endpoint("127.0.0.1", 1, Security.PLAINTEXT))
    async with line.call(9 * MIB) as first, line.call(2 * MIB) as second:
        async with line.call(3 * MIB) as third, line.call(4 * MIB) as fourth:
            assert len({each.channel for each in (first, second, third, fourth)}) == 4
            async with line.call(MIB) as fifth:
                assert fifth.channel is second.channel
        async with line.call(MIB) as sixth:
            assert sixth.channel is third.channel
    await line.close()


async def test_channels_that_bring_no_more_are_closed_when_their_calls_are_over():
    now = [0.0]
    line = ChannelPool(Endpoint("127.0.0.1", 1, Security.PLAINTEXT), clock=lambda: now[0])

    async def round_of_calls(count):
        """All of them take as long, however many channels there are."""
        before = now[0]
        async with anyio.create_task_group() as group:
            everybody, held = anyio.Event(), []

            async def call():
                async with line.call(4 * MIB) as mine:
                    held.append(mine)
                    if len(held) == count:
                        now[0] = before + 3.0
                        everybody.set()
                    await everybody.wait()
                    mine.reached()

            for _ in range(count):
                group.start_soon(call)
        return {each.channel for each in held}

    assert len(await round_of_calls(32)) == 4
    wide = await round_of_calls(32)
    assert len(wide) == 32
    assert await round_of_calls(32) == wide
    narrow = await round_of_calls(32)
    assert len(narrow) == 4
    (gone, *_) = wide - narrow
    with pytest.raises(grpc.aio.UsageError):
        gone.unary_unary(wire.UPLOAD)(b"")
    await line.close()


async def test_a_channel_that_leads_nowhere_draws_no_calls_while_others_lead_somewhere():
    now = [0.0]
    line = ChannelPool(Endpoint("127.0.0.1", 1, Security.PLAINTEXT), clock=lambda: now[0])
    async with line.call(MIB) as first:
        async with line.call(MIB) as second:
            second.unreached()
        async with line.call(MIB) as third:
            assert third.channel is first.channel
        now[0] += 11
        async with line.call(MIB) as fourth:
            assert fourth.channel not in {first.channel, second.channel}
    await line.close()


async def test_a_lone_channel_is_replaced_after_minutes_without_a_connection():
    """Fault 27: by then its name may mean another address."""
    now = [0.0]
    async with TalkServer() as server:
        line = ChannelPool(server.endpoint, clock=lambda: now[0])
        async with line.call() as first:
            first.unreached()
            now[0] += 179
            first.unreached()
            async with line.call() as same:
                assert same.channel is first.channel
            now[0] += 2
            first.unreached()
            async with line.call() as second:
                assert second.channel is not first.channel
                with pytest.raises(grpc.aio.AioRpcError):
                    await second.channel.unary_unary(wire.UPLOAD)(b"\xff")
            # The call that is still on the first one may end in peace.
            with pytest.raises(grpc.aio.AioRpcError):
                await first.channel.unary_unary(wire.UPLOAD)(b"\xff")
        with pytest.raises(grpc.aio.UsageError):
            first.channel.unary_unary(wire.UPLOAD)(b"")
        await line.close()
        with pytest.raises(grpc.aio.UsageError):
            second.channel.unary_unary(wire.UPLOAD)(b"")


async def test_a_call_that_gets_through_keeps_the_channel():
    now = [0.0]
    line = ChannelPool(Endpoint("127.0.0.1", 1, Security.PLAINTEXT), clock=lambda: now[0])
    async with line.call() as first:
        first.unreached()
        now[0] += 179
        first.reached()
        now[0] += 100
        first.unreached()
    async with line.call() as second:
        assert second.channel is first.channel
    await line.close()


async def test_a_sink_finds_a_service_that_comes_back(monkeypatch):
    """Fault 27: an outage that lasts long enough for a new channel."""
    monkeypatch.setattr("batch_uploader.sinks.speechsense.channel_pool._STALE_AFTER", 0.0)
    async with TalkServer() as server:
        port = server.port
    endpoint = Endpoint("127.0.0.1", port, Security.PLAINTEXT)
    async with SpeechSenseSink(endpoint, ApiKey("k")) as sink:
        for _ in range(3):
            with pytest.raises(NotSent):
                await sink.upload(sample(CONTENT), Sound(CONTENT, whole=True), Tries()())
        server = grpc.aio.server()
        handler = TalkServer()
        handler.reading.set()
        server.add_generic_rpc_handlers([handler])
        assert server.add_insecure_port(f"127.0.0.1:{port}") == port
        await server.start()
        receipt = await sink.upload(sample(CONTENT), Sound(CONTENT, whole=True), Tries()())
        await server.stop(0)
    assert receipt.talk_id == "talk-1"
