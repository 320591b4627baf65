"""The vendor's way: the official SDK's stubs, one file, one process.

vendor.py ENDPOINT CA FILE
"""

import json
import sys
from pathlib import Path

import grpc
from yandex.cloud.speechsense.v1 import audio_pb2, talk_service_pb2, talk_service_pb2_grpc


def main():
    endpoint, ca, name = sys.argv[1:]
    file = Path(name)
    options = [("grpc.max_send_message_length", -1)]
    credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes())
    with grpc.secure_channel(endpoint, credentials, options) as channel:
        container = audio_pb2.ContainerAudio(container_audio_type="CONTAINER_AUDIO_TYPE_WAV")
        request = talk_service_pb2.UploadTalkRequest(
            metadata=talk_service_pb2.TalkMetadata(
                connection_id="bench",
                fields={
                    name: value if isinstance(value, str) else json.dumps(value)
                    for name, value in json.loads(file.with_suffix(".json").read_bytes()).items()
                },
            ),
            audio=audio_pb2.AudioRequest(
                audio_metadata=audio_pb2.AudioMetadata(container_audio=container),
                audio_data=audio_pb2.AudioChunk(data=file.read_bytes()),
            ),
        )
        stub = talk_service_pb2_grpc.TalkServiceStub(channel)
        stub.Upload(request, metadata=[("authorization", "Api-Key bench-key")], timeout=300)


main()
