"""Serialised requests, made without copying the audio through protobuf.

The small parts are serialised by protobuf, the lengths before the audio by hand: otherwise protobuf
and gRPC make three copies of each recording on the event loop.
"""

from collections.abc import Mapping
from typing import Final

from batch_uploader.core.model import AudioInfo, Container, Recording, Role
from batch_uploader.sinks.speechsense import wire

OVERHEAD: Final = 64 * 1024
"""The most bytes by which a request is longer than its audio, with sane metadata."""

# Field numbers with the wire type "length-delimited", from talk_service.proto and audio.proto.
_REQUEST_METADATA: Final = b"\x0a"
_REQUEST_AUDIO: Final = b"\x12"
_AUDIO_METADATA: Final = b"\x0a"
_AUDIO_CHUNK: Final = b"\x12"
_CHUNK_DATA: Final = b"\x0a"

_ROLES: Final[Mapping[Role, "wire.UserRole"]] = {
    Role.UNSPECIFIED: wire.UserRole.USER_ROLE_UNSPECIFIED,
    Role.OPERATOR: wire.UserRole.USER_ROLE_OPERATOR,
    Role.CLIENT: wire.UserRole.USER_ROLE_CLIENT,
    Role.BOT: wire.UserRole.USER_ROLE_BOT,
}
_CONTAINERS: Final[Mapping[Container, "wire.ContainerAudio.ContainerAudioType"]] = {
    Container.WAV: wire.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV,
    Container.OGG_OPUS: wire.ContainerAudio.CONTAINER_AUDIO_TYPE_OGG_OPUS,
    Container.MP3: wire.ContainerAudio.CONTAINER_AUDIO_TYPE_MP3,
}


def talk_metadata(recording: Recording, stamp_field: str | None = None) -> bytes:
    """A TalkMetadata; with ``stamp_field``, that field has the recording's key."""
    fields = dict(recording.metadata.fields)
    if stamp_field is not None:
        fields[stamp_field] = recording.key
    users = [
        wire.UserMetadata(id=user.id, role=_ROLES[user.role], fields=dict(user.fields))
        for user in recording.metadata.users
    ]
    message = wire.TalkMetadata(connection_id=recording.connection_id, fields=fields, users=users)
    return message.SerializeToString()


def audio_metadata(audio: AudioInfo) -> bytes:
    """An AudioMetadata."""
    if audio.container is Container.RAW:
        raw = wire.RawAudio(
            audio_encoding=wire.RawAudio.AUDIO_ENCODING_LINEAR16_PCM,
            sample_rate_hertz=audio.sample_rate,
            audio_channel_count=audio.channels,
        )
        return wire.AudioMetadata(raw_audio=raw).SerializeToString()
    container = wire.ContainerAudio(container_audio_type=_CONTAINERS[audio.container])
    return wire.AudioMetadata(container_audio=container).SerializeToString()


def whole_start(metadata: bytes, audio: bytes, size: int) -> bytes:
    """An UploadTalkRequest with ``size`` bytes of audio, without the audio, which is at its end."""
    start = _field(_AUDIO_METADATA, audio) + _chunk_start(size)
    length = varint(len(start) + size)
    return b"".join((_field(_REQUEST_METADATA, metadata), _REQUEST_AUDIO, length, start))


def stream_start(metadata: bytes) -> bytes:
    """The first StreamTalkRequest of a stream: a TalkMetadata."""
    return _field(_REQUEST_METADATA, metadata)


def stream_format(audio: bytes) -> bytes:
    """The second StreamTalkRequest: an AudioMetadata."""
    return _field(_REQUEST_AUDIO, _field(_AUDIO_METADATA, audio))


def stream_chunk(content: bytes) -> bytes:
    """The further StreamTalkRequests: a piece of the audio each."""
    chunk = _chunk_start(len(content))
    return b"".join((_REQUEST_AUDIO, varint(len(chunk) + len(content)), chunk, content))


def varint(number: int) -> bytes:
    """A natural number as a protobuf varint: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: bytes, value: bytes) -> bytes:
    return b"".join((tag, varint(len(value)), value))


def _chunk_start(size: int) -> bytes:
    # The AudioChunk's field without its data; empty data are omitted, as in proto3.
    data = _CHUNK_DATA + varint(size) if size else b""
    return _AUDIO_CHUNK + varint(len(data) + size) + data
