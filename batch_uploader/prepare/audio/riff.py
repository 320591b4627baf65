"""WAV: which codec, and whether the audio has the length that the header says.

Service and header must agree on where the audio ends, or the end of a call may be lost or noise be
billed. So a header that a recorder never finished (its data size is 0, 0xFFFFFFFF or another
placeholder) is refused, though many players guess right: what the service does is unknown, and
``ffmpeg -c copy`` writes the true size without changing the audio.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio import foreign
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.refusal import (
    STRAY,
    CureCommand,
    DefectKind,
    Refusal,
    salvage,
    to_pcm,
)

_PCM, _MP3, _EXTENSIBLE = 0x0001, 0x0055, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_SAMPLE_BYTES = 2

_PLACEHOLDER = 0x7FFF_0000
"""Recorders that write to a pipe put about 2 or 4 GiB: SoX 0x7FFFF000, ffmpeg 0xFFFFFFFF."""

_MOST_CHUNKS = 1000

# Codecs found in WAV that libsndfile does not name.
_CODECS = {
    0x0014: "G.723",
    0x0022: "TrueSpeech",
    0x0040: "G.721",
    0x0042: "G.723.1",
    0x0045: "G.726",
    0x0050: "MPEG audio Layer II",
    0x0064: "G.726",
    0x0065: "G.722",
    0x0083: "G.729",
    0x00FF: "AAC",
    0x0111: "G.723.1",
    0x0133: "G.729",
    0x0160: "Windows Media Audio",
    0x0161: "Windows Media Audio",
    0x028F: "G.722",
    0x704F: "Opus",
    0xA109: "Speex",
}


def matches(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is a plain WAV."""
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


class _Chunk(NamedTuple):
    id: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def read(content: Content) -> AudioInfo:
    """What is in the WAV. Raises Refusal."""
    form: _Chunk | None = None
    for chunk in _chunks(content, 12):
        if chunk.id == b"fmt ":
            form = chunk
        elif chunk.id == b"data":
            if form is None:
                break
            channels, rate = _format(content, form)
            _require_whole(content, chunk, channels * rate * _SAMPLE_BYTES)
            samples = chunk.size // (channels * _SAMPLE_BYTES)
            return AudioInfo(Container.WAV, channels, rate, samples / rate)
        elif chunk.end > content.size:
            raise Refusal(
                DefectKind.TRUNCATED, "the WAV file ends before its audio", salvage(".wav")
            )
    raise Refusal(
        DefectKind.DAMAGED,
        "the WAV file has no format or no audio",
        "copy it again from where it was recorded",
    )


def _chunks(content: Content, offset: int) -> Iterator[_Chunk]:
    for _ in range(_MOST_CHUNKS):
        head = content.at(offset, 8)
        if len(head) < 8:  # noqa: PLR2004 - an id and a size
            return
        chunk = _Chunk(head[:4], offset + 8, int.from_bytes(head[4:], "little"))
        yield chunk
        offset = chunk.end + chunk.size % 2


def _format(content: Content, chunk: _Chunk) -> tuple[int, int]:
    """Channels and sample rate of 16-bit PCM; anything else is refused by name."""
    body = content.at(chunk.start, min(chunk.size, 40)).ljust(40, b"\0")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and body[26:40] == _SUBFORMAT_TAIL:
        tag = int.from_bytes(body[24:26], "little")
    if tag == _MP3:
        raise Refusal(
            DefectKind.CODEC, "this WAV file contains MP3 audio", CureCommand("-c:a copy", ".mp3")
        )
    if tag != _PCM or bits != 8 * _SAMPLE_BYTES:
        codec = _CODECS.get(tag) or foreign.codec(content) or f"codec 0x{tag:04X}"
        raise Refusal(
            DefectKind.CODEC,
            f"this WAV file contains {codec}, and the service accepts only 16-bit linear PCM in"
            " WAV",
            to_pcm(rate),
        )
    if not channels or not rate or block != channels * _SAMPLE_BYTES:
        raise Refusal(
            DefectKind.DAMAGED,
            "the WAV header contradicts itself",
            "copy it again from where it was recorded",
        )
    return channels, rate


def _require_whole(content: Content, data: _Chunk, per_second: int) -> None:
    there = content.size - data.start
    announced = int.from_bytes(content.at(4, 4), "little") + 8
    finished = data.size or announced == content.size or not there
    if not finished or (data.size > there and data.size >= _PLACEHOLDER):
        raise _unfinished(f"{data.size} bytes of audio", there / per_second)
    if data.size > there:
        missing = (data.size - there) / per_second
        raise Refusal(
            DefectKind.TRUNCATED,
            f"the WAV file ends {missing:.2f} s before its announced end",
            salvage(".wav"),
        )
    stray = content.size - _last_end(content, data)
    if stray > STRAY:
        raise _unfinished(f"{data.size} bytes of audio", there / per_second)


def _last_end(content: Content, data: _Chunk) -> int:
    """The end of the last valid chunk after the audio."""
    end = data.end + data.size % 2
    for chunk in _chunks(content, end):
        sensible = chunk.id.isascii() and chunk.id.decode("ascii").isprintable()
        # A second recording appended to the first is not a chunk of the first.
        if not sensible or chunk.id in {b"data", b"RIFF"} or chunk.end > content.size:
            break
        end = chunk.end + chunk.size % 2
    return end


def _unfinished(announced: str, seconds: float) -> Refusal:
    return Refusal(
        DefectKind.UNFINISHED,
        f"the WAV header was never completed: it announces {announced}, and {seconds:.2f} s of"
        " audio follow",
        CureCommand(
            "-c copy",
            ".wav",
            text="write the true length with `{command}`",
        ),
    )
