"""A bare grpc.aio loop: no scan, no retry; as fast as Python gets with gRPC.

loop.py FOLDER ENDPOINT CA SCRATCH protobuf|raw|kept CONCURRENCY CHANNELS

``protobuf`` makes messages and lets gRPC serialise them; ``raw`` puts tags and lengths before the
audio by hand, so that it is copied once. ``kept`` is ``raw`` with the least that sending exactly
once takes: a digest of the audio, and a line in a ledger that is durable before a recording is sent
and another one when it is up.
"""

import asyncio
import hashlib
import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from yandex.cloud.speechsense.v1 import audio_pb2, talk_service_pb2

UPLOAD = "/yandex.cloud.speechsense.v1.TalkService/Upload"
HEADERS = (("authorization", "Api-Key bench-key"),)
CONTAINER = audio_pb2.ContainerAudio(container_audio_type="CONTAINER_AUDIO_TYPE_WAV")
FORMAT = audio_pb2.AudioMetadata(container_audio=CONTAINER)
LEDGER = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE recordings (path TEXT PRIMARY KEY, digest BLOB, talk TEXT) WITHOUT ROWID;
    CREATE INDEX contents ON recordings (digest);
"""
CLAIM = "INSERT INTO recordings VALUES (?, ?, NULL)"
SETTLE = "UPDATE recordings SET talk = ? WHERE path = ?"


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
    return framed(file, file.read_bytes())


def framed(file, content):
    audio = field(1, [FORMAT.SerializeToString()]) + field(2, field(1, [content]))
    return b"".join(field(1, [metadata(file).SerializeToString()]) + field(2, audio))


def field(number, parts):
    """The parts of a field, its tag and its length before them."""
    head, left = bytearray([number << 3 | 2]), sum(map(len, parts))
    while left > 127:
        head.append(left & 127 | 128)
        left >>= 7
    return [bytes([*head, left]), *parts]


class Ledger:
    """Lines that are durable when they are awaited; what comes meanwhile shares a transaction."""

    def __init__(self, path):
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(LEDGER)
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.get_running_loop()
        self._waiting = []
        self._busy = False

    async def write(self, statement, *values):
        written = self._loop.create_future()
        self._waiting.append((statement, values, written))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._begin)
        await written

    def _begin(self):
        batch, self._waiting = self._waiting, []
        self._busy = bool(batch)
        if batch:
            done = self._loop.run_in_executor(self._thread, self._commit, batch)
            done.add_done_callback(lambda done: self._ended(batch, done.exception()))

    def _ended(self, batch, error):
        for _, _, written in batch:
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)
        self._begin()

    def _commit(self, batch):
        self._connection.execute("BEGIN")
        for statement, values, _ in batch:
            self._connection.execute(statement, values)
        self._connection.execute("COMMIT")


async def send(upload, request):
    return await upload(request, metadata=HEADERS, timeout=300)


async def send_each(files, upload, request):
    for file in files:
        await send(upload, request(file))


async def send_kept(files, upload, ledger):
    for file in files:
        content = file.read_bytes()
        digest = hashlib.sha256(content).digest()
        await ledger.write(CLAIM, str(file), digest)
        answer = await send(upload, framed(file, content))
        talk = talk_service_pb2.UploadTalkResponse.FromString(answer).talk_id
        await ledger.write(SETTLE, talk, str(file))


async def main(files, endpoint, ca, scratch, *, kind, concurrency, channels):
    credentials = grpc.ssl_channel_credentials(ca)
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    serializer = None
    match kind:
        case "protobuf":
            serializer = talk_service_pb2.UploadTalkRequest.SerializeToString
            each, how = send_each, protobuf_request
        case "raw":
            each, how = send_each, raw_request
        case "kept":
            each, how = send_kept, Ledger(Path(scratch, "kept.db"))
    open_channels = [
        grpc.aio.secure_channel(endpoint, credentials, options) for _ in range(int(channels))
    ]
    async with asyncio.TaskGroup() as group:
        for number in range(int(concurrency)):
            channel = open_channels[number % len(open_channels)]
            upload = channel.unary_unary(UPLOAD, request_serializer=serializer)
            group.create_task(each(files, upload, how))
    for channel in open_channels:
        await channel.close()


folder, endpoint, ca, scratch, kind, concurrency, channels = sys.argv[1:]
files = iter(sorted(Path(folder).rglob("*.wav")))
ca = Path(ca).read_bytes()
how = {"kind": kind, "concurrency": concurrency, "channels": channels}
asyncio.run(main(files, endpoint, ca, scratch, **how))
