"""Inspects audio as the service does: is it what the request declares, and how long is it?

Independent of the uploader's own inspection, so that neither hides a bug of the other; only the
length of MP3 and Ogg Opus uses that one.
"""

import struct
from typing import BinaryIO, Final

from batch_uploader.core.model import Container, Defect
from batch_uploader.emulator.rules import DURATION_LIMIT, SAMPLE_RATES, RpcRefusal, invalid
from batch_uploader.prepare import audio
from batch_uploader.sinks.speechsense import wire

_PCM: Final = 1
_EXTENSIBLE: Final = 0xFFFE
_PCM_SUBFORMAT: Final = bytes.fromhex("0100000000001000800000aa00389b71")
_FORM: Final = struct.Struct("<HHIIHH")
_SAMPLE_BYTES: Final = 2
_SIZE_UNKNOWN: Final = (0, 0xFFFFFFFF)
_MOST_CHUNKS: Final = 1000
_HEAD: Final = 512
_DATA: Final = "audio.audio_data"
_METADATA: Final = "audio.audio_metadata"

_CONTAINERS: Final = {
    wire.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV: Container.WAV,
    wire.ContainerAudio.CONTAINER_AUDIO_TYPE_OGG_OPUS: Container.OGG_OPUS,
    wire.ContainerAudio.CONTAINER_AUDIO_TYPE_MP3: Container.MP3,
}


def check_declaration(declared: wire.AudioMetadata) -> Container:
    """The declared container. Raises RpcRefusal if the service does not accept it."""
    kind = declared.WhichOneof("AudioFormat")
    if kind == "container_audio":
        container = _CONTAINERS.get(declared.container_audio.container_audio_type)
        if container is None:
            raise invalid(f"{_METADATA}.container_audio", "is of no known type")
        return container
    if kind is None:
        raise invalid(_METADATA, "names neither raw_audio nor container_audio")
    raw, field = declared.raw_audio, f"{_METADATA}.raw_audio"
    if raw.audio_encoding != wire.RawAudio.AUDIO_ENCODING_LINEAR16_PCM:
        raise invalid(f"{field}.audio_encoding", "is not LINEAR16_PCM")
    _check_rate(raw.sample_rate_hertz, f"{field}.sample_rate_hertz")
    if raw.audio_channel_count < 1:
        raise invalid(f"{field}.audio_channel_count", "is not positive")
    return Container.RAW


def inspect(
    handle: BinaryIO, size: int, declared: wire.AudioMetadata, channels: int | None
) -> float:
    """The length in seconds of the audio in a seekable file of that size in bytes. Blocking.

    ``channels`` is what the connection requires, None for any number. Raises RpcRefusal.
    """
    container = check_declaration(declared)
    if not size:
        raise invalid(_DATA, "is empty")
    if container is Container.RAW:
        found, duration = _raw(size, declared.raw_audio)
    else:
        handle.seek(0)
        _check_kind(handle.read(_HEAD), container)
        found, duration = (
            _wav(handle, size) if container is Container.WAV else _other(handle, size, container)
        )
    if not duration:
        raise invalid(_DATA, "has a header and no audio")
    if duration > DURATION_LIMIT:
        raise invalid(_DATA, f"lasts {duration:.1f} s, {DURATION_LIMIT} s at most are allowed")
    if channels is not None and found != channels:
        raise invalid(_DATA, f"has {found} channels, the connection wants {channels}")
    return duration


def _check_kind(head: bytes, declared: Container) -> None:
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        actual: Container | None = Container.WAV
    elif head.startswith(b"OggS"):
        actual = Container.OGG_OPUS if b"OpusHead" in head else None
    elif head.startswith(b"ID3") or _is_layer_3(head):
        actual = Container.MP3
    else:
        # An MP3 may begin with other tags; its frames decide.
        actual = declared if declared is Container.MP3 else None
    if actual is not declared:
        raise _contradicted(declared, actual)


def _contradicted(declared: Container, actual: Container | None) -> RpcRefusal:
    found = "something else" if actual is None else actual.value
    return invalid(_DATA, f"is declared as {declared.value} and the bytes are {found}")


def _is_layer_3(head: bytes) -> bool:
    """Whether an MPEG audio frame of layer III begins here: sync, a version, the layer."""
    frame = int.from_bytes(head[:2], "big")
    return frame & 0xFFE6 == 0xFFE2 and frame & 0x18 != 0x08  # noqa: PLR2004 - bits of the header


def _raw(size: int, raw: wire.RawAudio) -> tuple[int, float]:
    frame = _SAMPLE_BYTES * raw.audio_channel_count
    if size % frame:
        raise invalid(_DATA, f"is {size} bytes, which are no whole samples of {frame} bytes")
    return raw.audio_channel_count, size / frame / raw.sample_rate_hertz


def _wav(handle: BinaryIO, size: int) -> tuple[int, float]:
    form: tuple[int, int] | None = None
    offset = 12
    for _ in range(_MOST_CHUNKS):
        handle.seek(offset)
        head = handle.read(8)
        if len(head) < 8:  # noqa: PLR2004 - an id and a size
            break
        offset += 8
        length = int.from_bytes(head[4:], "little")
        if head.startswith(b"fmt "):
            form = _wav_format(handle.read(min(length, 40)))
        elif head.startswith(b"data"):
            if form is None:
                break
            channels, rate = form
            rest = size - offset
            held = rest if length in _SIZE_UNKNOWN else min(length, rest)
            return channels, held // (channels * _SAMPLE_BYTES) / rate
        offset += length + length % 2
    raise invalid(_DATA, "is a WAV without a format or without audio")


def _wav_format(chunk: bytes) -> tuple[int, int]:
    if len(chunk) < _FORM.size:
        raise invalid(_DATA, "is a WAV whose format is cut off")
    tag, channels, rate, _, _, bits = _FORM.unpack_from(chunk)
    pcm = tag == _PCM or (tag == _EXTENSIBLE and chunk[24:40] == _PCM_SUBFORMAT)
    if not pcm or bits != 8 * _SAMPLE_BYTES:
        raise invalid(_DATA, f"is a WAV of format 0x{tag:04x} with {bits} bits, not 16-bit PCM")
    if not channels:
        raise invalid(_DATA, "is a WAV without channels")
    _check_rate(rate, _DATA)
    return channels, rate


def _check_rate(rate: int, field: str) -> None:
    if rate not in SAMPLE_RATES:
        low, high = SAMPLE_RATES[0], SAMPLE_RATES[-1]
        raise invalid(field, f"has {rate} samples a second, {low} to {high} are allowed")


def _other(handle: BinaryIO, size: int, declared: Container) -> tuple[int, float]:
    handle.seek(0)
    # Programs that play an Ogg do not miss its end mark; whether the service does is unknown.
    rules = audio.AudioRules(ogg_end=audio.EndMark.OPTIONAL)
    found = audio.probe(handle, "audio", size, rules)
    if isinstance(found, Defect):
        raise invalid(_DATA, f"cannot be read: {found.message}")
    if found.container is not declared:
        raise _contradicted(declared, found.container)
    return found.channels, found.duration


def length_of_truncated(handle: BinaryIO, size: int, declared: wire.AudioMetadata) -> float:
    """The length of the received part of a broken stream, 0 if unknown. Blocking."""
    try:
        return inspect(handle, size, declared, None)
    except RpcRefusal:
        return 0.0
