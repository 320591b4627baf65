"""One upload as the server sees it, and as it ends when it is disturbed."""

import asyncio
import gc
import uuid
from types import SimpleNamespace

import anyio
import grpc
import pytest
from grpc import StatusCode
from grpc._cython import cygrpc
from support.engine_harness import Harness, recordings
from support.sink_samples import METADATA, Sound, Tries, sample
from support.sink_servers import Moment, TalkServer, Trouble

from batch_uploader.core.errors import (
    ConfigError,
    InDoubt,
    NotSent,
    Rejected,
    SinkError,
    SourceChanged,
    Unauthorized,
)
from batch_uploader.core.model import Metadata, Role, User
from batch_uploader.sinks.speechsense import exchange, wire
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.channel_pool import ChannelPool
from batch_uploader.sinks.speechsense.credentials import ApiKey, IamToken
from batch_uploader.sinks.speechsense.exchange import Exchange
from batch_uploader.sinks.speechsense.reply import Reply
from batch_uploader.sinks.speechsense.sink import LARGEST_CHUNK, LARGEST_WHOLE, SpeechSenseSink

pytestmark = pytest.mark.usefixtures("way")

SMALL = b"RIFF" + bytes(1000)
LARGE = b"RIFF" + bytes(300_000)
CANARY = "AQVN-canary-7"


@pytest.fixture
async def server():
    async with TalkServer() as server:
        yield server


@pytest.fixture
async def sink(server):
    async with open_sink(server) as sink:
        yield sink


def open_sink(server, **kwargs):
    return SpeechSenseSink(server.endpoint, ApiKey(CANARY), chunk_size=10_000, **kwargs)


def send(sink, content, *, whole, seconds=20.0, tries=None, metadata=METADATA, error=None):
    audio = Sound(content, whole=whole, error=error)
    attempt = (tries or Tries())(seconds)
    return sink.upload(sample(content, metadata=metadata), audio, attempt)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_what_goes_along_with_a_request(server, sink, whole):
    recording = sample(SMALL)
    attempt = Tries()()
    await sink.upload(recording, Sound(SMALL, whole=whole), attempt)
    (headers,) = server.calls
    assert headers["authorization"] == f"Api-Key {CANARY}"
    assert headers["x-client-request-id"] == attempt.client_request_id
    assert uuid.UUID(headers["idempotency-key"]) == uuid.UUID(recording.key)
    assert "x-data-logging-enabled" not in headers


async def test_the_method_goes_by_whether_the_whole_is_in_memory(server, sink):
    await send(sink, LARGE, whole=True)
    await send(sink, LARGE, whole=False)
    await send(sink, LARGE[:10_000], whole=False)
    assert [(talk.method, talk.messages) for talk in server.talks] == [
        ("Upload", 1),
        ("UploadAsStream", 2 + 31),
        ("UploadAsStream", 2 + 1),
    ]


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_the_stamp_field_carries_the_key(server, whole):
    recording = sample(SMALL)
    async with open_sink(server, stamp_field="upload_key") as sink:
        await sink.upload(recording, Sound(SMALL, whole=whole), Tries()())
    fields = dict(server.talks[0].metadata.fields)
    assert fields.pop("upload_key") == recording.key
    assert fields == METADATA.fields
    assert "upload_key" not in recording.metadata.fields


async def test_progress_of_a_stream_comes_as_it_goes_and_of_one_message_at_its_end(server, sink):
    tries = Tries()
    await send(sink, LARGE, whole=False, tries=tries)
    assert tries.nbytes == [10_000] * 30 + [4]
    tries = Tries()
    await send(sink, LARGE, whole=True, tries=tries)
    assert tries.nbytes == [len(LARGE)]
    server.troubles.append(Trouble(StatusCode.INVALID_ARGUMENT))
    tries = Tries()
    with pytest.raises(Rejected):
        await send(sink, LARGE, whole=True, tries=tries)
    assert tries.nbytes == [len(LARGE)]


async def test_nothing_counts_as_sent_without_a_connection(server):
    await server.stop()
    async with open_sink(server) as sink:
        for whole in (True, False):
            tries = Tries()
            with pytest.raises(NotSent):
                await send(sink, SMALL, whole=whole, tries=tries)
            assert tries.nbytes == []


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_what_the_service_repeats_of_us_stays_out_of_errors(server, sink, whole):
    """Faults 66 and 70."""
    metadata = Metadata(
        {"client_name": "Mr Private"}, (User("id-4711", Role.CLIENT, {"phone": "+7-900"}),)
    )
    text = f"key {CANARY} may not send Mr Private, id-4711, +7-900"
    server.troubles.append(Trouble(StatusCode.PERMISSION_DENIED, text))
    with pytest.raises(Unauthorized) as caught:
        await send(sink, SMALL, whole=whole, metadata=metadata)
    assert '("key [...] may not send [...], [...], [...]")' in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("code", [StatusCode.INVALID_ARGUMENT, StatusCode.UNAUTHENTICATED])
async def test_an_early_abort_is_never_in_doubt(server, sink, code):
    """Fault 19."""
    content = LARGE * 40
    for _ in range(20):
        server.troubles.append(Trouble(code, "early", moment=Moment.START))
        with pytest.raises((Rejected, Unauthorized)):
            await send(sink, content, whole=False)
    assert server.talks == []


async def test_early_aborts_under_load_are_never_in_doubt(server, sink):
    """Fault 19: of 32 at once gRPC's own ``write`` loses the status of every fourth."""
    content = LARGE * 40
    early = Trouble(StatusCode.INVALID_ARGUMENT, "early", moment=Moment.START)
    server.troubles.extend([early] * 64)

    async def aborted():
        with pytest.raises(Rejected):
            await send(sink, content, whole=False)

    for _ in range(2):
        await asyncio.gather(*(aborted() for _ in range(32)))
    assert server.talks == []


class Door(grpc.GenericRpcHandler):
    """Refuses a call before it has read anything of it, as proxies do."""

    def service(self, handler_call_details):
        async def refuse(requests, context):
            await context.abort(StatusCode.UNAVAILABLE, "busy")

        return grpc.stream_unary_rpc_method_handler(refuse)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_a_refusal_at_the_door_is_heard(whole):
    """Fault 19: it comes while the message is being written, and leaves nothing in doubt."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Door()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    heard = []
    async with SpeechSenseSink(
        Endpoint("127.0.0.1", port, Security.PLAINTEXT), ApiKey("k")
    ) as sink:

        async def refused():
            with pytest.raises(SinkError) as caught:
                await send(sink, LARGE, whole=whole)
            heard.append((type(caught.value), caught.value.code))

        for _ in range(4):
            await asyncio.gather(*(refused() for _ in range(32)))
    await server.stop(0)
    assert set(heard) == {(NotSent, "UNAVAILABLE")}


async def test_an_early_ok_is_accepted(server, sink):
    """Fault 20."""
    early = wire.UploadTalkResponse(talk_id="early").SerializeToString()
    for _ in range(5):
        server.troubles.append(Trouble(moment=Moment.START, answer=early))
        receipt = await send(sink, LARGE * 40, whole=False)
        assert receipt.talk_id == "early"


async def test_a_changed_source_never_leaves_a_truncated_talk(server, sink):
    """Fault 33: a cancelled stream looks complete to a careless server such as this one."""
    for _ in range(30):
        with pytest.raises(SourceChanged):
            await send(sink, LARGE, whole=False, error=SourceChanged("it grew"))
    await asyncio.sleep(0.1)
    assert server.talks == []
    assert server.spoilt == len(server.calls) == 30


class LateSound(Sound):
    """Fails when the service has answered already."""

    async def chunks(self, size):
        await asyncio.sleep(0.3)
        async for piece in super().chunks(size):
            yield piece


async def test_a_service_that_took_what_had_come_of_a_changed_source(server, sink):
    early = wire.UploadTalkResponse(talk_id="early").SerializeToString()
    server.troubles.append(Trouble(moment=Moment.START, answer=early))
    audio = LateSound(SMALL, whole=False, error=SourceChanged("it grew"))
    with pytest.raises(InDoubt, match="talk early"):
        await sink.upload(sample(SMALL), audio, Tries()())


async def test_a_source_with_a_bug_ends_the_call(server, sink):
    with pytest.raises(ZeroDivisionError):
        await send(sink, LARGE, whole=False, error=ZeroDivisionError())
    assert (await send(sink, SMALL, whole=True)).talk_id


async def test_a_source_that_is_cancelled_from_within_ends_the_call(server, sink):
    with pytest.raises(NotSent):
        await send(sink, LARGE, whole=False, error=asyncio.CancelledError())


async def test_a_slow_reader_holds_the_source_back(server):
    """Fault 28: what is read ahead is bounded, however large the recording is."""
    server.reading.clear()
    content = bytes(64 * 1024 * 1024)
    audio = Sound(content, whole=False)
    async with open_sink(server) as sink:
        upload = asyncio.create_task(sink.upload(sample(content), audio, Tries()()))
        await asyncio.wait_for(server.busy.wait(), 10)
        before = -1
        while before != audio.read:
            before = audio.read
            await asyncio.sleep(0.3)
        assert 0 < audio.read < 10 * 1024 * 1024
        server.reading.set()
        await upload
    assert server.talks[0].size == len(content)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_a_cancellation_from_outside_goes_through(server, sink, whole):
    server.troubles.append(Trouble(hang=True))
    outcomes = []

    async def upload():
        try:
            await send(sink, LARGE, whole=whole)
        except BaseException as error:
            outcomes.append(type(error))
            raise

    async with anyio.create_task_group() as group:
        group.start_soon(upload)
        await server.busy.wait()
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert outcomes == [asyncio.CancelledError]


async def test_a_cancellation_from_outside_ends_a_stream_that_is_stuck(server, sink):
    server.reading.clear()
    content = bytes(32 * 1024 * 1024)
    audio = Sound(content, whole=False)
    upload = asyncio.create_task(sink.upload(sample(content), audio, Tries()()))
    await server.busy.wait()
    await anyio.sleep(0.3)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert audio.closed == 1


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_a_cancellation_that_nobody_asked_for_is_a_doubt_and_no_silent_end(server, whole):
    """grpc/grpc#25339: closing the channel cancels its calls, not the task that waits."""
    server.troubles.append(Trouble(hang=True))
    outcomes = []
    sink = open_sink(server)

    async def upload():
        try:
            await send(sink, LARGE, whole=whole)
        except SinkError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as group, sink:
        group.start_soon(upload)
        await server.busy.wait()
        await anyio.sleep(0.5)  # all of it has to be there
    (error,) = outcomes
    assert type(error) is InDoubt
    assert error.code == "CANCELLED"


async def test_closing_under_an_unfinished_stream_leaves_nothing_in_doubt(server):
    server.reading.clear()
    sink = open_sink(server)
    content = bytes(16 * 1024 * 1024)
    async with sink:
        upload = asyncio.create_task(send(sink, content, whole=False))
        await server.busy.wait()
        await anyio.sleep(0.2)
    server.reading.set()
    with pytest.raises(NotSent):
        await upload


async def test_an_answer_that_is_here_survives_a_cancellation(server):
    """grpc/grpc#31227."""
    line = ChannelPool(server.endpoint)
    async with line.call() as call:
        rpc = call.channel.stream_stream(wire.UPLOAD)()
        reply = Reply(rpc, tuple, call)
        await rpc.write(b"")
        await rpc.done_writing()
        # Cancelled after the answer came and before the one who waits for it runs again.
        task = asyncio.ensure_future(reply.end())
        reply._end.add_done_callback(lambda _: task.cancel())
        assert (await task).talk_id == "talk-1"
    await line.close()


async def test_an_answer_in_batches_that_is_here_survives_a_cancellation(server):
    line = ChannelPool(server.endpoint)
    async with line.call() as call:
        whole = Exchange(call, wire.UPLOAD, b"", (), timeout=10)
        task = asyncio.ensure_future(whole.end(tuple))
        whole._hearing.add_done_callback(lambda _: task.cancel())
        assert (await task).talk_id == "talk-1"
    await line.close()


@pytest.mark.parametrize("part", ["execute_batch", "SendMessageOperation"])
async def test_private_parts_of_grpc_that_take_other_arguments_are_done_without(
    monkeypatch, server, sink, part
):
    def other(self):
        """As of another version."""

    monkeypatch.setattr(exchange, "_core", SimpleNamespace(**vars(cygrpc) | {part: other}))
    await send(sink, SMALL, whole=True)
    assert [(talk.method, talk.messages) for talk in server.talks] == [("Upload", 1)]


async def test_a_sink_that_is_not_open_sends_nothing(server):
    sink = open_sink(server)
    with pytest.raises(NotSent, match="the sink is not open; open it"):
        await send(sink, SMALL, whole=True)
    async with sink:
        await send(sink, SMALL, whole=True)
    with pytest.raises(NotSent, match="the sink is not open; open it"):
        await send(sink, SMALL, whole=True)
    assert len(server.calls) == 1


class SlowCredentials:
    """Takes its time, and can be waited for."""

    def __init__(self, seconds):
        self._seconds = seconds
        self.asked = asyncio.Event()

    async def header(self):
        self.asked.set()
        await asyncio.sleep(self._seconds)
        return "Bearer slow"


async def test_the_time_that_credentials_take_counts(server):
    async with SpeechSenseSink(server.endpoint, SlowCredentials(0.2)) as sink:
        with pytest.raises(NotSent, match="credentials"):
            await send(sink, SMALL, whole=True, seconds=0.1)
    assert server.calls == []


async def test_credentials_with_a_bug_leave_nothing_in_doubt(server):
    class Broken:
        async def header(self):
            raise ZeroDivisionError

    harness = Harness(recordings(5))
    with pytest.raises(ZeroDivisionError):
        await harness.run(sink=SpeechSenseSink(server.endpoint, Broken()))
    assert await harness.statuses() == {}
    assert server.calls == []


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_a_sink_that_closes_before_the_call_began_sends_nothing(server, whole):
    credentials = SlowCredentials(0.1)
    async with SpeechSenseSink(server.endpoint, credentials) as sink:
        upload = asyncio.create_task(send(sink, SMALL, whole=whole))
        await credentials.asked.wait()
    with pytest.raises(NotSent, match="the sink is not open; open it"):
        await upload
    assert server.calls == []


@pytest.mark.parametrize(
    "sizes",
    [
        {"whole_limit": -1},
        {"whole_limit": LARGEST_WHOLE + 1},
        {"chunk_size": 0},
        {"chunk_size": LARGEST_CHUNK + 1},
    ],
)
async def test_sizes_that_no_service_takes_are_refused(server, sizes):
    with pytest.raises(ConfigError, match=r"; set it to (a value from 1 to )?\d+"):
        SpeechSenseSink(server.endpoint, ApiKey("k"), **sizes)


async def test_iam_tokens_are_bearers(server):
    async with SpeechSenseSink(server.endpoint, IamToken("t1.x")) as sink:
        await send(sink, SMALL, whole=True)
    assert server.calls[0]["authorization"] == "Bearer t1.x"


async def test_two_hundred_failures_leave_no_task_behind(server, sink):
    """A part of fault 31; the rest is a soak run."""
    server.troubles.extend([Trouble(StatusCode.INTERNAL, moment=Moment.START)] * 100)
    before = len(asyncio.all_tasks())
    for number in range(200):
        with pytest.raises((SinkError, SourceChanged)):
            await send(
                sink,
                LARGE,
                whole=False,
                error=None if number < 100 else SourceChanged("it grew"),
            )
    gc.collect()
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= before + 1
    assert not any(pooled.calls for pooled in sink._pool._channels)
