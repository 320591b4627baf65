"""A bare gRPC client of the emulator, and the recordings that it sends."""

import asyncio
import contextlib
import io
import struct
import time
from pathlib import Path

import grpc
import soundfile

from batch_uploader.emulator import API_KEY, Emulator, EmulatorOptions
from batch_uploader.sinks.speechsense import wire

KEY = (("authorization", f"Api-Key {API_KEY}"),)
WAV = wire.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV
OGG = wire.ContainerAudio.CONTAINER_AUDIO_TYPE_OGG_OPUS
MP3 = wire.ContainerAudio.CONTAINER_AUDIO_TYPE_MP3


def wav(seconds=1.0, *, rate=8000, channels=1, tag=1, bits=16, extra=b"", length=None, fill=b"\1"):
    """A WAV; ``extra`` follows the 16 bytes of its format, ``length`` lies about its data."""
    frame = channels * bits // 8
    data = fill * (int(seconds * rate) * frame)
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + extra
    body = b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data) if length is None else length) + data
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def encoded(kind, subtype, seconds=1.0, rate=8000):
    """Silence as soundfile writes it."""
    buffer = io.BytesIO()
    frames = [0.0] * int(seconds * rate)
    soundfile.write(buffer, frames, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def container(kind=WAV):
    return wire.AudioMetadata(container_audio=wire.ContainerAudio(container_audio_type=kind))


def raw(rate=8000, channels=1, encoding=wire.RawAudio.AUDIO_ENCODING_LINEAR16_PCM):
    return wire.AudioMetadata(
        raw_audio=wire.RawAudio(
            audio_encoding=encoding, sample_rate_hertz=rate, audio_channel_count=channels
        )
    )


def metadata(connection="demo", fields=None, users=()):
    return wire.TalkMetadata(
        connection_id=connection, fields={"n": "1"} if fields is None else fields, users=users
    )


def upload(audio=None, declared=None, *, talk=None, talk_id=""):
    """A request with a whole recording; ``audio`` may be empty but not None to be left out."""
    return wire.UploadTalkRequest(
        metadata=talk or metadata(),
        audio=wire.AudioRequest(
            audio_metadata=declared or container(),
            audio_data=wire.AudioChunk(data=wav() if audio is None else audio),
        ),
        talk_id=talk_id,
    )


def stream(audio=None, declared=None, *, talk=None, piece=4096):
    """The messages of a stream in their order."""
    audio = wav() if audio is None else audio
    yield wire.StreamTalkRequest(metadata=talk or metadata())
    yield wire.StreamTalkRequest(
        audio=wire.AudioStreamingRequest(audio_metadata=declared or container())
    )
    for start in range(0, len(audio), piece):
        yield chunk(audio[start : start + piece])


def chunk(data):
    return wire.StreamTalkRequest(
        audio=wire.AudioStreamingRequest(chunk=wire.AudioChunk(data=data))
    )


class Client:
    """Every method by its name; the answer, or AioRpcError."""

    def __init__(self, channel, headers=KEY):
        self.headers = headers
        self._channel = channel

    async def upload(self, request=None, *, headers=(), deadline=20):
        request = upload() if request is None else request
        call = self._unary(wire.UPLOAD, wire.UploadTalkResponse)
        answer = await call(request, metadata=(*self.headers, *headers), timeout=deadline)
        return answer.talk_id

    async def upload_text(self, request):
        call = self._unary(wire.UPLOAD_TEXT, wire.UploadTextResponse)
        return (await call(request, metadata=self.headers, timeout=20)).talk_id

    async def search(self, **request):
        call = self._unary(wire.SEARCH, wire.SearchTalkResponse)
        request = wire.SearchTalkRequest(**request)
        return await call(request, metadata=self.headers, timeout=20)

    async def get(self, *talk_ids, **request):
        call = self._unary(wire.GET, wire.GetTalkResponse)
        request = wire.GetTalkRequest(talk_ids=talk_ids, **request)
        return (await call(request, metadata=self.headers, timeout=20)).talk

    async def create_token(self, jwt):
        call = self._unary(wire.CREATE_IAM_TOKEN, wire.CreateIamTokenResponse)
        return await call(wire.CreateIamTokenRequest(jwt=jwt), timeout=20)

    async def any(self, method, data=b""):
        return await self._channel.unary_unary(method)(data, metadata=self.headers, timeout=20)

    def open_stream(self, deadline=20):
        call = self._channel.stream_unary(
            wire.UPLOAD_AS_STREAM,
            request_serializer=wire.StreamTalkRequest.SerializeToString,
            response_deserializer=wire.UploadTalkResponse.FromString,
        )
        return call(metadata=self.headers, timeout=deadline)

    async def upload_as_stream(self, messages=None, *, deadline=20):
        messages = list(stream() if messages is None else messages)
        for _ in range(4):
            try:
                return await self._upload_as_stream(messages, deadline)
            except grpc.aio.AioRpcError as error:
                # A refusal that comes early may be lost on the way (grpc/grpc#36066).
                if error.details() != "Internal error from Core":
                    raise
        return await self._upload_as_stream(messages, deadline)

    async def _upload_as_stream(self, messages, deadline):
        call = self.open_stream(deadline)
        # A refusal may come before the end; the call itself tells it.
        with contextlib.suppress(grpc.aio.AioRpcError):
            for message in messages:
                await call.write(message)
            await call.done_writing()
        return (await call).talk_id

    def _unary(self, method, response):
        return self._channel.unary_unary(
            method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )


def trusting(ca_file):
    return grpc.ssl_channel_credentials(Path(ca_file).read_bytes())


@contextlib.asynccontextmanager
async def connected(emulator_or_address, ca_file=None, *, headers=KEY, options=()):
    """A client of an Emulator, or of one in another process."""
    if isinstance(emulator_or_address, Emulator):
        ca_file = emulator_or_address.ca_file
        address = emulator_or_address.address
    else:
        address = emulator_or_address
    options = [("grpc.enable_retries", 0), ("grpc.max_send_message_length", -1), *options]
    if ca_file is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, trusting(ca_file), options=options)
    async with channel:
        yield Client(channel, headers)


@contextlib.asynccontextmanager
async def running(folder, **options):
    """An emulator over TLS with its store in a folder, and a client of it."""
    options = {"store": folder / "talks.db", "tls_dir": folder / "tls", **options}
    async with Emulator(EmulatorOptions(**options)) as emulator, connected(emulator) as client:
        yield emulator, client


async def until(condition, seconds=10):
    """Wait for something that happens by itself, and fail if it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


async def refused(call):
    """The error that a call ends with: code(), details(), trailing_metadata()."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"not refused, but answered {answer!r}")


def violations(error):
    """The fields at fault that an error's details name."""
    trailers = dict(error.trailing_metadata())
    status = wire.Status.FromString(trailers["grpc-status-details-bin"])
    found = {}
    for detail in status.details:
        bad = wire.BadRequest()
        if detail.Unpack(bad):
            found |= {each.field: each.description for each in bad.field_violations}
    return found
