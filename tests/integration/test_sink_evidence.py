"""Each text that evidence.py goes by, provoked on the locked grpcio, and what is made of it.

If an upgrade of grpcio or of Envoy changes a text, a test here fails, and evidence.py learns it.
"""

import asyncio
import os
import signal
import sys

import grpc
import pytest
from grpc import StatusCode
from support.http2_peers import (
    FrameServer,
    goes_away,
    hangs_up,
    http,
    keeps_silent,
    reset,
    resets_the_connection,
    says,
    talks_nonsense,
)
from support.sink_failures import ServerProcess, failure, plain
from support.sink_servers import Moment, TalkServer, Trouble

from batch_uploader.core.errors import (
    InDoubt,
    NoSuchService,
    NotSent,
    Rejected,
    Throttled,
    Unauthorized,
)
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.evidence import Unavailable

pytestmark = pytest.mark.usefixtures("way")

HTML = b"<html><h1>Sign in</h1></html>"


def peer(script):
    async def provoke(monkeypatch, **how):
        async with FrameServer(script) as server:
            return await failure(server.endpoint, **how)

    return provoke


def envoy(action, script=None, **cluster):
    """Envoy in front of a peer, or of nobody."""

    async def provoke(monkeypatch, **how):
        from support.load_balancer import Envoy  # not everywhere

        if script is None:
            async with Envoy(action, **cluster) as between:
                return await failure(between.endpoint, **how)
        async with (
            FrameServer(script) as server,
            Envoy(action, upstream=server.port, **cluster) as between,
        ):
            return await failure(between.endpoint, **how)

    return provoke


def forwards(**how):
    """The route through Envoy; ``how`` is a RouteAction."""
    return {"route": {"cluster": "service", "timeout": "0s", **how}}


def retries(reason):
    return forwards(retry_policy={"retry_on": reason, "num_retries": 1})


async def refused(monkeypatch, **how):
    return await failure(plain(1), **how)


async def no_such_name(monkeypatch, **how):
    return await failure(Endpoint("no-such-host.invalid", 443), **how)


def first_bytes(answer):
    """A server that answers the first bytes of a connection and hangs up."""

    async def provoke(monkeypatch, **how):
        async def serve(reader, writer):
            await reader.read(10)
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await failure(plain(server.sockets[0].getsockname()[1]), **how)

    return provoke


def process(end, *options, through=None, **settings):
    """A gRPC server of its own that has the whole request; then ``end`` befalls it."""

    async def provoke(monkeypatch, **how):
        for name, value in settings.items():
            monkeypatch.setattr(f"batch_uploader.sinks.speechsense.channel.{name}", value)
        async with ServerProcess(*options) as server:
            if through is None:
                return await _ended(server, end, plain(server.port), how)
            from support.load_balancer import Envoy

            async with Envoy(through, upstream=server.port) as between:
                return await _ended(server, end, between.endpoint, how)

    return provoke


async def _ended(server, end, endpoint, how):
    upload = asyncio.create_task(failure(endpoint, seconds=30, **how))
    await server.received()
    end(server.process)
    return await upload


def kill(process):
    process.kill()


def stop(process):
    process.stdin.write(b"stop\n")


def freeze(process):
    os.kill(process.pid, signal.SIGSTOP)


def nothing(process):
    pass


async def too_large(monkeypatch):
    async with TalkServer(options=(("grpc.max_receive_message_length", 1000),)) as server:
        error = await failure(server.endpoint)
        assert server.talks == []
    return error


async def answer_too_large(monkeypatch):
    monkeypatch.setattr("batch_uploader.sinks.speechsense.channel._LARGEST_ANSWER", 1000)
    async with TalkServer() as server:
        server.troubles.append(Trouble(answer=bytes(2000), moment=Moment.STORED))
        error = await failure(server.endpoint)
        assert len(server.talks) == 1
    return error


AGE = ("grpc.max_connection_age_ms=500", "grpc.max_connection_age_grace_ms=300")
PINGS = {"_KEEPALIVE_MS": 1000, "_KEEPALIVE_TIMEOUT_MS": 500}
ENVOY = "upstream connect error or disconnect/reset before headers. reset reason: "
AGAIN = ENVOY.replace("reset reason", "retried and the latest reset reason")

UNREACHED = [
    ("refused", refused, NotSent, "failed to connect to all addresses"),
    ("no such name", no_such_name, NoSuchService, "errors resolving"),
    ("HTTP/1", first_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"), NotSent, "http1.x"),
    ("hangs up at once", first_bytes(b""), NotSent, "failed to connect to all addresses"),
]

AFTER_THE_BODY = [
    # A connection that breaks.
    ("FIN", peer(hangs_up), InDoubt, "Stream removed (Socket closed)"),
    ("RST", peer(resets_the_connection), InDoubt, "Stream removed (recvmsg:Connection reset"),
    ("nonsense", peer(talks_nonsense), InDoubt, "Stream removed (Failed parsing HTTP/2"),
    ("GOAWAY that spares it", peer(goes_away(1)), InDoubt, "Stream removed (Socket closed (GOAWAY"),
    ("GOAWAY", peer(goes_away(0)), InDoubt, "Stream removed (GOAWAY received; Error code: 0"),
    ("pings", peer(goes_away(1, 11, b"too_many_pings")), InDoubt, "Text: too_many_pings"),
    *(
        (f"RST_STREAM {code}", peer(reset(code)), InDoubt, f"RST_STREAM with error code {code}")
        for code in range(14)
    ),
    # A gRPC server that ends.
    ("killed", process(kill), InDoubt, "Stream removed ("),
    ("shut down", process(stop), InDoubt, "Cancelling all calls"),
    ("too old", process(nothing, *AGE), InDoubt, "max connection age"),
    # A proxy that does not speak gRPC.
    ("HTTP 400", peer(http(400)), InDoubt, "in the service's place: HTTP 400"),
    ("HTTP 401", peer(http(401)), Unauthorized, "in the service's place: HTTP 401"),
    ("HTTP 403", peer(http(403)), Unauthorized, "in the service's place: HTTP 403"),
    ("HTTP 404", peer(http(404)), Unauthorized, "in the service's place: HTTP 404"),
    ("HTTP 413", peer(http(413)), InDoubt, "in the service's place: HTTP 413"),
    ("HTTP 429", peer(http(429)), Throttled, "Received http2 header with status: 429"),
    ("HTTP 500", peer(http(500)), InDoubt, "in the service's place: HTTP 500"),
    ("HTTP 502", peer(http(502, HTML)), InDoubt, "Received http2 header with status: 502"),
    ("HTTP 503", peer(http(503)), InDoubt, "in the service's place: HTTP 503"),
    ("HTTP 504", peer(http(504)), InDoubt, "in the service's place: HTTP 504"),
    ("HTTP 302", peer(http(302)), InDoubt, "in the service's place: HTTP 302"),
    ("HTML", peer(http(200, HTML)), InDoubt, "END_STREAM flag received"),
    ("no trailers", peer(http(200, kind="application/grpc")), InDoubt, "No status received"),
    # Messages over a limit: fault 24.
    ("too large", too_large, Rejected, "SERVER: Received message larger than max"),
    ("answer", answer_too_large, InDoubt, "CLIENT: Received message larger than max"),
    # The service's own word.
    ("busy", peer(says(StatusCode.UNAVAILABLE, "busy")), NotSent, "busy"),
]

NO_ROOM = {"thresholds": [{"max_requests": 0}]}
# One failure, and the only host is out, so the retry finds nobody.
STRICT = {
    "outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100},
    "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
}

OF_ENVOY = [
    ("route", envoy(None), Unauthorized, "does not support uploads"),
    ("refused", envoy(forwards()), NotSent, ENVOY + "remote connection failure"),
    ("refused twice", envoy(retries("connect-failure")), InDoubt, AGAIN + "remote connection"),
    ("nobody", envoy(forwards(), upstream=None), InDoubt, "no healthy upstream"),
    ("killed", process(kill, through=forwards()), InDoubt, ENVOY + "connection termination"),
    ("FIN", envoy(forwards(), hangs_up), InDoubt, ENVOY + "connection termination"),
    ("FIN twice", envoy(retries("reset"), hangs_up), InDoubt, AGAIN + "connection termination"),
    (
        "FIN, then nobody",
        envoy(retries("reset"), hangs_up, **STRICT),
        InDoubt,
        "no healthy upstream",
    ),
    ("GOAWAY", envoy(forwards(), goes_away(0)), InDoubt, ENVOY + "remote refused stream reset"),
    ("RST_STREAM", envoy(forwards(), reset(2)), InDoubt, ENVOY + "remote reset"),
    ("nonsense", envoy(forwards(), talks_nonsense), InDoubt, ENVOY + "protocol error"),
    ("HTTP 502", envoy(forwards(), http(502)), InDoubt, "in the service's place: HTTP 502"),
    ("slow", envoy(forwards(timeout="0.3s"), keeps_silent), InDoubt, "upstream request timeout"),
    ("idle", envoy(forwards(idle_timeout="0.3s"), keeps_silent), InDoubt, "stream timeout"),
    (
        "full",
        envoy(forwards(), keeps_silent, circuit_breakers=NO_ROOM),
        InDoubt,
        ENVOY + "overflow",
    ),
]


def named(rows):
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


@pytest.mark.parametrize("unavailable", list(Unavailable))
@pytest.mark.parametrize(("provoke", "expected", "text"), named(UNREACHED))
async def test_without_a_connection_nothing_was_sent(
    monkeypatch, provoke, expected, text, unavailable
):
    """Fault 14: safe even for those who doubt."""
    error = await provoke(monkeypatch, unavailable=unavailable)
    assert type(error) is expected
    assert text in str(error)


@pytest.mark.parametrize(("provoke", "expected", "text"), named(AFTER_THE_BODY))
async def test_after_the_body(monkeypatch, provoke, expected, text):
    """Faults 15, 16, 18, 24 and 26."""
    error = await provoke(monkeypatch)
    assert type(error) is expected
    assert text in str(error)


@pytest.mark.parametrize("unavailable", list(Unavailable))
@pytest.mark.parametrize(("provoke", "expected", "text"), named(OF_ENVOY))
@pytest.mark.slow
async def test_behind_envoy(monkeypatch, provoke, expected, text, unavailable):
    """Faults 15, 16 and 26, in the words of a real Envoy."""
    pytest.importorskip("envoy", reason="there is no Envoy for this system")
    error = await provoke(monkeypatch, unavailable=unavailable)
    doubted = unavailable is Unavailable.DOUBTED and error.code == "UNAVAILABLE"
    assert type(error) is (InDoubt if doubted else expected)
    assert text in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
async def test_a_server_that_freezes_is_noticed_by_keepalive(monkeypatch):
    error = await process(freeze, **PINGS)(monkeypatch)
    assert type(error) is InDoubt
    assert "Stream removed (ping timeout" in str(error)


async def test_a_message_that_is_larger_than_our_own_channel_takes():
    """Fault 24: our channel has no limit, so the text is provoked on one that has."""
    async with TalkServer() as server:
        options = (("grpc.max_send_message_length", 1000),)
        async with grpc.aio.insecure_channel(str(server.endpoint), options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/x/y")(bytes(2000))
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert "CLIENT: Sent message larger than max" in caught.value.details()
