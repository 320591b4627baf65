"""A bare grpc.aio loop: no scan, ledger, hash or retry; as fast as Python gets with gRPC.

loop.py FOLDER ENDPOINT CA protobuf|raw CONCURRENCY CHANNELS

``protobuf`` makes messages and lets gRPC serialise them; ``raw`` puts tags and lengths before the
audio by hand, so that it is copied once.
"""

import asyncio
import json
import sys
from pathlib import Path

import grpc
from yandex.cloud.speechsense.v1 import audio_pb2, talk_service_pb2

UPLOAD = "/yandex.cloud.speechsense.v1.TalkService/Upload"
HEADERS = (("authorization", "Api-Key bench-key"),)
CONTAINER = audio_pb2.ContainerAudio(container_audio_type="CONTAINER_AUDIO_TYPE_WAV")
FORMAT = audio_pb2.AudioMetadata(container_audio=CONTAINER)


def metadata(file):
    fields = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in json.loads(file.with_suffix(".json").read_bytes()).items()
    }
    return talk_service_pb2.TalkMetadata(connection_id="bench", fields=fields)


def protobuf_request(file):
    return talk_service_pb2.UploadTalkRequest(
        metadata=metadata(file),
        audio=audio_pb2.AudioRequest(
            audio_metadata=FORMAT, audio_data=audio_pb2.AudioChunk(data=file.read_bytes())
        ),
    )


def raw_request(file):
    audio = field(1, [FORMAT.SerializeToString()]) + field(2, field(1, [file.read_bytes()]))
    return b"".join(field(1, [metadata(file).SerializeToString()]) + field(2, audio))


def field(number, parts):
    """The parts of a field, its tag and its length before them."""
    head, left = bytearray([number << 3 | 2]), sum(map(len, parts))
    while left > 127:
        head.append(left & 127 | 128)
        left >>= 7
    return [bytes([*head, left]), *parts]


async def main(files, endpoint, ca, *, kind, concurrency, channels):
    credentials = grpc.ssl_channel_credentials(ca)
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    serializer, request = {
        "protobuf": (talk_service_pb2.UploadTalkRequest.SerializeToString, protobuf_request),
        "raw": (None, raw_request),
    }[kind]

    async def work(channel):
        upload = channel.unary_unary(UPLOAD, request_serializer=serializer)
        for file in files:
            await upload(request(file), metadata=HEADERS, timeout=300)

    open_channels = [
        grpc.aio.secure_channel(endpoint, credentials, options) for _ in range(int(channels))
    ]
    async with asyncio.TaskGroup() as group:
        for number in range(int(concurrency)):
            group.create_task(work(open_channels[number % len(open_channels)]))
    for channel in open_channels:
        await channel.close()


folder, endpoint, ca, kind, concurrency, channels = sys.argv[1:]
files = iter(sorted(Path(folder).rglob("*.wav")))
ca = Path(ca).read_bytes()
asyncio.run(main(files, endpoint, ca, kind=kind, concurrency=concurrency, channels=channels))
