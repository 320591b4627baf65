"""What a gRPC service says, as it really arrives: words, sizes, pauses, ids."""

import grpc
import pytest
from grpc import StatusCode
from support.audio_makers import write_recording
from support.sink_failures import failure, plain
from support.sink_servers import Moment, TalkServer, Trouble

from batch_uploader import upload_directory
from batch_uploader.core.errors import InDoubt, NotSent, Unauthorized
from batch_uploader.core.events import AttemptEnded
from batch_uploader.core.states import Status
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import open_channel
from batch_uploader.sinks.speechsense.credentials import ApiKey


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


async def test_a_message_that_is_larger_than_the_server_takes_is_sent_once(tmp_path):
    """Fault 24: rejected, and a run makes one attempt."""
    options = (("grpc.max_receive_message_length", 1000),)
    attempts = []

    def hear(event):
        if isinstance(event, AttemptEnded):
            attempts.append(event)

    write_recording(tmp_path)
    async with TalkServer(options=options) as server:
        summary = await upload_directory(
            tmp_path,
            connection_id="calls",
            endpoint=server.endpoint,
            credentials=ApiKey("k"),
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
            listeners=[hear],
        )
        assert server.talks == []
    assert summary.counts == {Status.REJECTED: 1}
    assert len(attempts) == 1


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
