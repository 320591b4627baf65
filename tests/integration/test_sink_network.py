"""How calls really end on this grpcio: each text that evidence.py goes by, provoked over a socket.

If an upgrade of grpcio changes a text, a test here fails, and evidence.py learns the new one.
"""

import asyncio
import os
import signal
import socket
import struct
import sys
import textwrap

import grpc
import pytest
from audio_makers import write_recording
from grpc import StatusCode
from sink_samples import Sound, Tries, sample
from sink_servers import FrameServer, Moment, TalkServer, Trouble

from batch_uploader import upload_directory
from batch_uploader.engine import RunOptions
from batch_uploader.errors import InDoubt, NotSent, Rejected, Throttled, Unauthorized
from batch_uploader.events import AttemptEnded
from batch_uploader.model import Status
from batch_uploader.sinks.speechsense.channel import Endpoint, Security, open_channel
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.evidence import Unavailable
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

CONTENT = b"RIFF" + bytes(2000)


def plain(port):
    return Endpoint("127.0.0.1", port, Security.PLAINTEXT)


async def failure(endpoint, *, seconds=10.0, whole=True, **kwargs):
    """The error that one upload ends with."""
    async with SpeechSenseSink(endpoint, ApiKey("k"), chunk_size=500, **kwargs) as sink:
        with pytest.raises((NotSent, InDoubt, Rejected, Throttled, Unauthorized)) as caught:
            await sink.upload(sample(CONTENT), Sound(CONTENT, whole=whole), Tries()(seconds))
    return caught.value


# --- no connection


async def test_refused():
    """Fault 14."""
    error = await failure(plain(1), unavailable=Unavailable.DOUBTED)
    assert type(error) is NotSent
    assert "failed to connect to all addresses" in str(error)


async def test_a_name_that_does_not_exist():
    """Fault 14."""
    error = await failure(Endpoint("no-such-host.invalid", 443))
    assert type(error) is NotSent
    assert "DNS" in str(error)
    assert "errors resolving" in str(error)


async def test_a_web_server_that_does_not_speak_http2():
    """Fault 14."""

    async def serve(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        error = await failure(plain(server.sockets[0].getsockname()[1]))
    assert type(error) is NotSent
    assert "http1.x" in str(error)
    assert "does not speak gRPC" in str(error)


async def test_a_server_that_hangs_up_at_once():
    """Fault 14."""

    async def serve(reader, writer):
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        error = await failure(plain(server.sockets[0].getsockname()[1]))
    assert type(error) is NotSent


# --- frames that no gRPC server would send


def reset(code):
    async def script(writer, stream):
        writer.write(FrameServer.frame(FrameServer.RST, 0, stream, struct.pack(">I", code)))

    return script


def http(status):
    async def script(writer, stream):
        headers = ((":status", str(status)), ("content-type", "text/html"))
        writer.write(FrameServer.answer(stream, *headers))

    return script


def says(code, text):
    async def script(writer, stream):
        headers = (
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", str(code.value[0])),
            ("grpc-message", text),
        )
        writer.write(FrameServer.answer(stream, *headers))

    return script


def goes_away(last):
    async def script(writer, stream):
        body = struct.pack(">II", last, 0) + b"max_age"
        writer.write(FrameServer.frame(FrameServer.GOAWAY, 0, 0, body))
        await writer.drain()
        writer.close()

    return script


async def hangs_up(writer, stream):
    writer.close()


async def resets_the_connection(writer, stream):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def talks_nonsense(writer, stream):
    writer.write(b"nonsense " * 100)


ENVOY = "upstream connect error or disconnect/reset before headers. reset reason: "


@pytest.mark.parametrize(
    ("script", "expected", "text"),
    [
        (hangs_up, InDoubt, "Stream removed (Socket closed)"),
        (resets_the_connection, InDoubt, "recvmsg:Connection reset by peer"),
        (talks_nonsense, InDoubt, "Failed parsing HTTP/2"),
        (goes_away(1), InDoubt, "GOAWAY received"),
        (goes_away(0), InDoubt, "GOAWAY received"),
        (reset(2), InDoubt, "Received RST_STREAM with error code 2"),
        (reset(7), InDoubt, "Received RST_STREAM with error code 7"),
        (reset(8), InDoubt, "Received RST_STREAM with error code 8"),
        (reset(11), InDoubt, "Received RST_STREAM with error code 11"),
        (reset(12), InDoubt, "Received RST_STREAM with error code 12"),
        (http(400), InDoubt, "Received http2 header with status: 400"),
        (http(401), Unauthorized, "Received http2 header with status: 401"),
        (http(403), Unauthorized, "Received http2 header with status: 403"),
        (http(404), Unauthorized, "Received http2 header with status: 404"),
        (http(429), Throttled, "Received http2 header with status: 429"),
        (http(500), InDoubt, "Received http2 header with status: 500"),
        (http(502), InDoubt, "Received http2 header with status: 502"),
        (http(503), InDoubt, "Received http2 header with status: 503"),
        (http(504), InDoubt, "Received http2 header with status: 504"),
        (http(200), InDoubt, "No status received"),
        (says(StatusCode.UNAVAILABLE, "busy"), NotSent, "busy"),
        (says(StatusCode.UNAVAILABLE, ENVOY + "connection termination"), InDoubt, "upstream"),
        (says(StatusCode.UNAVAILABLE, ENVOY + "connection failure"), NotSent, "upstream"),
        (says(StatusCode.UNAVAILABLE, "upstream request timeout"), InDoubt, "timeout"),
    ],
)
async def test_after_the_body(script, expected, text):
    """Faults 15, 16, 18 and 26."""
    async with FrameServer(script) as server:
        error = await failure(server.endpoint)
    assert type(error) is expected
    assert text in str(error)


@pytest.mark.parametrize("status", [404, 502])
async def test_a_proxy_is_named(status):
    """Fault 26."""
    async with FrameServer(http(status)) as server:
        error = await failure(server.endpoint)
    assert "proxy" in str(error)
    assert str(server.endpoint) in str(error)


# --- gRPC servers that end under a call


SERVER = """
    import asyncio, sys
    import grpc

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            async def upload(request, context):
                print("received", flush=True)
                await asyncio.sleep(60)
            return grpc.unary_unary_rpc_method_handler(upload)

    async def main():
        options = [(name, int(value)) for name, value in
                   (option.split("=") for option in sys.argv[1:])]
        server = grpc.aio.server(options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.add_generic_rpc_handlers([Handler()])
        await server.start()
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await server.stop(0)

    asyncio.run(main())
"""


class ServerProcess:
    """A server of its own, since it is to be killed or frozen."""

    def __init__(self, *options):
        self._options = options

    async def __aenter__(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            textwrap.dedent(SERVER),
            *self._options,
            stdin=pipe,
            stdout=pipe,
        )
        self.port = int(await self.process.stdout.readline())
        return self

    async def __aexit__(self, *exc):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def received(self):
        assert await self.process.stdout.readline() == b"received\n"


async def test_a_server_that_is_killed_after_the_body():
    """Fault 15."""
    async with ServerProcess() as server:
        upload = asyncio.create_task(failure(plain(server.port)))
        await server.received()
        server.process.kill()
        error = await upload
    assert type(error) is InDoubt
    assert error.code == "UNAVAILABLE"
    assert "Stream removed (" in str(error)


async def test_a_server_that_is_shut_down_under_its_handler():
    async with ServerProcess() as server:
        upload = asyncio.create_task(failure(plain(server.port)))
        await server.received()
        server.process.stdin.write(b"stop\n")
        error = await upload
    assert type(error) is InDoubt
    assert error.code == "UNAVAILABLE"
    assert "Cancelling all calls" in str(error)


async def test_a_server_that_limits_the_age_of_connections():
    """Fault 18."""
    options = ("grpc.max_connection_age_ms=500", "grpc.max_connection_age_grace_ms=300")
    async with ServerProcess(*options) as server:
        error = await failure(plain(server.port))
    assert type(error) is InDoubt
    assert error.code == "UNAVAILABLE"
    assert "max connection age" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
async def test_a_server_that_freezes_is_noticed_by_keepalive(monkeypatch):
    monkeypatch.setattr("batch_uploader.sinks.speechsense.channel._KEEPALIVE_MS", 1000)
    monkeypatch.setattr("batch_uploader.sinks.speechsense.channel._KEEPALIVE_TIMEOUT_MS", 500)
    async with ServerProcess() as server:
        upload = asyncio.create_task(failure(plain(server.port), seconds=15))
        await server.received()
        os.kill(server.process.pid, signal.SIGSTOP)
        error = await upload
    assert type(error) is InDoubt
    assert error.code == "UNAVAILABLE"
    assert "ping timeout" in str(error)


# --- the service's word, as a gRPC server sends it


async def test_silence_ends_with_the_deadline():
    """Fault 21."""
    async with TalkServer() as server:
        server.troubles.append(Trouble(hang=True))
        error = await failure(server.endpoint, seconds=0.5)
        assert type(error) is InDoubt
        assert error.code == "DEADLINE_EXCEEDED"
        server.troubles.append(Trouble(hang=True, moment=Moment.START))
        error = await failure(server.endpoint, seconds=0.5, whole=False)
        assert type(error) is InDoubt  # it all fitted into the buffers on the way


@pytest.mark.parametrize("answer", [b"", b"\xff\xff"], ids=["empty", "nonsense"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_ok_without_a_talk_id(whole, answer):
    """Fault 30."""
    async with TalkServer() as server:
        trailing = (("x-request-id", "req-7"),)
        server.troubles.append(Trouble(answer=answer, trailing=trailing))
        error = await failure(server.endpoint, whole=whole)
    assert type(error) is InDoubt
    assert (error.code, error.request_id) == ("OK", "req-7")


async def test_pushback_and_request_id_arrive():
    """Fault 23."""
    async with TalkServer() as server:
        trailing = (("grpc-retry-pushback-ms", "5000"), ("x-server-trace-id", "t-1"))
        server.troubles.append(Trouble(StatusCode.UNAVAILABLE, "busy", trailing))
        error = await failure(server.endpoint)
    assert (type(error), error.retry_after, error.request_id) == (NotSent, 5.0, "t-1")


async def test_a_message_that_is_larger_than_the_server_takes(tmp_path):
    """Fault 24: rejected, and a run makes one attempt."""
    options = (("grpc.max_receive_message_length", 1000),)
    attempts = []

    def hear(event):
        if isinstance(event, AttemptEnded):
            attempts.append(event)

    write_recording(tmp_path)
    async with TalkServer(options=options) as server:
        error = await failure(server.endpoint)
        where = {"connection_id": "calls", "endpoint": server.endpoint}
        summary = await upload_directory(
            tmp_path,
            **where,
            credentials=ApiKey("k"),
            options=RunOptions(min_age=0),
            listeners=[hear],
        )
        assert server.talks == []
    assert type(error) is Rejected
    assert "SERVER: Received message larger than max" in str(error)
    assert summary.counts == {Status.REJECTED: 1}
    assert len(attempts) == 1


async def test_a_message_that_is_larger_than_our_own_channel_takes():
    """Fault 24: our channel has no limit, so the text is provoked on one that has."""
    async with TalkServer() as server:
        options = (("grpc.max_send_message_length", 1000),)
        async with grpc.aio.insecure_channel(str(server.endpoint), options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/x/y")(bytes(2000))
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert "CLIENT: Sent message larger than max" in caught.value.details()


async def test_an_answer_that_is_larger_than_our_channel_takes_is_in_doubt(monkeypatch):
    monkeypatch.setattr("batch_uploader.sinks.speechsense.channel._LARGEST_ANSWER", 1000)
    async with TalkServer() as server:
        server.troubles.append(Trouble(answer=bytes(2000), moment=Moment.STORED))
        error = await failure(server.endpoint)
        assert len(server.talks) == 1
    assert type(error) is InDoubt
    assert error.code == "RESOURCE_EXHAUSTED"
    assert "CLIENT: Received message larger than max" in str(error)


async def test_a_service_that_does_not_know_the_method():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    error = await failure(plain(port))
    await server.stop(0)
    assert type(error) is Unauthorized
    assert error.code == "UNIMPLEMENTED"
    assert f"127.0.0.1:{port}" in str(error)


async def test_grpc_makes_no_attempts_of_its_own():
    async with TalkServer() as server:
        server.troubles.extend([Trouble(StatusCode.UNAVAILABLE, "busy")] * 3)
        await failure(server.endpoint)
        assert len(server.calls) == 1


async def test_a_channel_says_who_it_is():
    async with TalkServer() as server, open_channel(server.endpoint) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/yandex.cloud.speechsense.v1.TalkService/Upload")(b"\xff")
        assert server.calls[0]["user-agent"].startswith("batch-uploader/")
