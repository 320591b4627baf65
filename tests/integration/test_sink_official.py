"""A server made of the vendor's own SDK understands what we send."""

import asyncio
import hashlib
import json
import sys
import textwrap

import pytest
from support.sink_samples import METADATA, Sound, Tries, sample

from batch_uploader.core.model import Container
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

# In a process of its own: the SDK's generated code fills protobuf's default pool.
SERVER = """
    import asyncio, hashlib, json, sys
    import grpc
    from google.protobuf.json_format import MessageToDict
    from yandex.cloud.speechsense.v1 import talk_service_pb2 as messages
    from yandex.cloud.speechsense.v1 import talk_service_pb2_grpc as services

    class Talks(services.TalkServiceServicer):
        async def Upload(self, request, context):
            audio = request.audio
            return self.store("Upload", request.metadata, audio.audio_metadata,
                              audio.audio_data.data, request.talk_id)

        async def UploadAsStream(self, requests, context):
            kinds, content = [], b""
            async for request in requests:
                kind = request.WhichOneof("Event")
                if kind == "metadata":
                    metadata = request.metadata
                else:
                    kind = request.audio.WhichOneof("AudioEvent")
                    if kind == "audio_metadata":
                        audio = request.audio.audio_metadata
                    else:
                        content += request.audio.chunk.data
                kinds.append(kind)
            assert kinds[:3] == ["metadata", "audio_metadata", "chunk"], kinds
            assert set(kinds[3:]) <= {"chunk"}, kinds
            return self.store("UploadAsStream", metadata, audio, content, "")

        def store(self, method, metadata, audio, content, talk_id):
            print(json.dumps({
                "method": method,
                "metadata": MessageToDict(metadata),
                "audio": MessageToDict(audio),
                "sha256": hashlib.sha256(content).hexdigest(),
                "talk_id": talk_id,
            }), flush=True)
            return messages.UploadTalkResponse(talk_id="official")

    async def main():
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
        services.add_TalkServiceServicer_to_server(Talks(), server)
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        await server.start()
        await asyncio.to_thread(sys.stdin.read)
        await server.stop(0)

    asyncio.run(main())
"""


class Official:
    async def __aenter__(self):
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(SERVER), stdin=pipe, stdout=pipe
        )
        port = int(await self._process.stdout.readline())
        self.endpoint = Endpoint("127.0.0.1", port, Security.PLAINTEXT)
        return self

    async def __aexit__(self, *exc):
        self._process.stdin.close()
        await self._process.wait()
        assert self._process.returncode == 0

    async def talk(self):
        return json.loads(await self._process.stdout.readline())


METADATA_JSON = {
    "connectionId": "conn-1",
    "fields": dict(METADATA.fields),
    "users": [
        {"id": "u-1", "role": "USER_ROLE_OPERATOR", "fields": {"team": "north"}},
        {"id": "u-2", "role": "USER_ROLE_CLIENT"},
    ],
}
AUDIO_JSON = {
    Container.WAV: {"containerAudio": {"containerAudioType": "CONTAINER_AUDIO_TYPE_WAV"}},
    Container.OGG_OPUS: {"containerAudio": {"containerAudioType": "CONTAINER_AUDIO_TYPE_OGG_OPUS"}},
    Container.MP3: {"containerAudio": {"containerAudioType": "CONTAINER_AUDIO_TYPE_MP3"}},
    Container.RAW: {
        "rawAudio": {
            "audioEncoding": "AUDIO_ENCODING_LINEAR16_PCM",
            "sampleRateHertz": "8000",
            "audioChannelCount": "2",
        }
    },
}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_the_vendors_stubs_read_what_we_send(whole):
    async with (
        Official() as official,
        SpeechSenseSink(official.endpoint, ApiKey("k"), chunk_size=256 * 1024) as sink,
    ):
        for number, container in enumerate(Container):
            content = bytes([number]) + bytes(range(256)) * 8192
            recording = sample(content, container=container)
            receipt = await sink.upload(recording, Sound(content, whole=whole), Tries()())
            assert receipt.talk_id == "official"
            talk = await official.talk()
            assert talk["method"] == ("Upload" if whole else "UploadAsStream")
            assert talk["metadata"] == METADATA_JSON
            assert talk["audio"] == AUDIO_JSON[container]
            assert talk["sha256"] == hashlib.sha256(content).hexdigest()
            assert talk["talk_id"] == ""
