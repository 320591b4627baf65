"""WAV: which codec, and whether the audio has the length that the header says.

Service and header must agree on where the audio ends, or the end of a call may be lost or noise be
billed. So a header that a recorder never finished (its data size is 0, 0xFFFFFFFF or another
placeholder) is refused, though many players guess right: what the service does is unknown, and
``ffmpeg -c copy`` writes the true size without changing the audio. A size that counts the header in
is accepted if the size of the whole file is right: all of the audio is there.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.core.text import format_count, plural
from batch_uploader.prepare.audio import foreign
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.refusal import (
    STRAY,
    WAIT,
    CureCommand,
    DefectKind,
    Refusal,
    empty,
    salvage,
    to_pcm,
)

_PCM, _MP3, _EXTENSIBLE = 0x0001, 0x0055, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_SAMPLE_BYTES = 2

_PLACEHOLDER = 0x7FFF_0000
"""Recorders that write to a pipe put about 2 or 4 GiB: SoX 0x7FFFF000, ffmpeg 0xFFFFFFFF."""

_MOST_CHUNKS = 1000
_IDS = frozenset({b"fmt ", b"data", b"LIST", b"fact"})
_TAGS = (b"TAG", b"ID3", b"APE")
_INAUDIBLE = 0.02
"""Seconds; what is shorter is told in bytes, and stray bytes of this length are not speech."""

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


class Chunk(NamedTuple):
    """Where the body of a chunk is."""

    id: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the byte after its body."""
        return self.start + self.size


class _Layout(NamedTuple):
    """What the header says.

    ``unpadded`` is a chunk before the audio whose pad byte is missing, ``announced`` the size of
    the file.
    """

    form: Chunk
    data: Chunk
    unpadded: Chunk | None
    announced: int


class _Pcm(NamedTuple):
    """The numbers of the header, of which ``block`` and ``per_second`` may be wrong."""

    channels: int
    rate: int
    block: int
    per_second: int

    @property
    def frame(self) -> int:
        return self.channels * _SAMPLE_BYTES


def read(content: Content) -> AudioInfo:
    """What is in the WAV. Raises Refusal."""
    layout = _layout(content)
    if _has_no_audio(content, layout):
        raise empty()
    pcm = _format(content, layout.form)
    if layout.unpadded or pcm.block != pcm.frame:
        raise _misleading(content, layout, pcm)
    end, stray = _end_of_audio(content, layout, pcm)
    samples = (end - layout.data.start) // pcm.frame
    complete = _fits(content, layout, stray)
    return AudioInfo(Container.WAV, pcm.channels, pcm.rate, samples / pcm.rate, shows_end=complete)


def _has_no_audio(content: Content, layout: _Layout) -> bool:
    """Whether the header is all there is, whatever the codec."""
    data = layout.data
    alone = content.size == data.start
    complete = layout.announced == content.size == _last_end(content, data)
    return not data.size and (alone or complete)


def shows_end(content: Content) -> bool:
    """Whether this is a WAV of any codec whose sizes say that it is complete."""
    if not matches(content.at(0, 12)):
        return False
    try:
        layout = _layout(content)
    except Refusal:
        return False
    return _fits(content, layout, content.size - _last_end(content, layout.data))


class AnyCodec(NamedTuple):
    """What a WAV of any codec has, by its header.

    ``block`` are the bytes that are decoded together. The audio is from ``start`` to ``end``;
    ``patches`` complete the header, by offset.
    """

    tag: int
    channels: int
    rate: int
    block: int
    bits: int
    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...]
    shows_end: bool


def any_codec(content: Content) -> AnyCodec:
    """Where the audio is, in a WAV of any codec. Raises Refusal if that is not all of it.

    If the recorder never completed the header, the audio ends with the file.
    """
    layout = _layout(content)
    data = layout.data
    there = content.size - data.start
    form = _any_form(content, layout.form)
    unfinished = not data.size and layout.announced != content.size and there
    if unfinished or (data.size > there and data.size >= _PLACEHOLDER):
        sizes = struct.pack("<I", content.size - 8), struct.pack("<I", there)
        patches = (4, sizes[0]), (data.start - 4, sizes[1])
        return AnyCodec(*form, data.start, content.size, patches, shows_end=False)
    missing = data.size - there
    if missing > 0:
        if not _counts_header_in(content, layout, missing):
            raise Refusal(
                DefectKind.TRUNCATED,
                f"the WAV file ends {format_count(missing)} bytes before its announced end",
                salvage(".wav"),
            )
        patch = data.start - 4, struct.pack("<I", there)
        return AnyCodec(*form, data.start, content.size, (patch,), shows_end=False)
    stray = content.size - _last_end(content, data)
    if stray > STRAY:
        raise _unfinished(
            f"announces {format_count(data.size)} bytes of audio, and {format_count(stray)} bytes"
            " more follow",
            "-ignore_length 1",
        )
    return AnyCodec(*form, data.start, data.end, (), _fits(content, layout, stray))


def _any_form(content: Content, form: Chunk) -> tuple[int, int, int, int, int]:
    """Tag, channels, rate, block and bits; the tag is that of the extended form, if it is one."""
    body = content.at(form.start, min(form.size, 40)).ljust(40, b"\0")
    tag, channels, rate, _per_second, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(body[24:26], "little")
    return tag, channels, rate, block, bits


def _fits(content: Content, layout: _Layout, stray: int) -> bool:
    data, announced = layout.data, layout.announced
    return (
        data.end <= content.size
        and bool(data.size or announced == content.size)
        and stray <= STRAY
        and abs(content.size - announced) <= STRAY
    )


def _layout(content: Content) -> _Layout:
    announced = int.from_bytes(content.at(4, 4), "little") + 8
    form = unpadded = None
    for chunk in chunks(content, 12):
        if chunk.id == b"fmt ":
            form = chunk
        elif chunk.id == b"data":
            if form is None:
                break
            return _Layout(form, chunk, unpadded, announced)
        elif chunk.end > content.size:
            raise Refusal(
                DefectKind.TRUNCATED, "the WAV file ends before its audio", salvage(".wav")
            )
        if chunk.size % 2 and _next(content, chunk) == chunk.end:
            unpadded = chunk
    raise Refusal(
        DefectKind.DAMAGED,
        "the WAV file has no format or no audio",
        f"{WAIT}; if not, copy it again from where it was recorded",
    )


def samples(content: Content) -> tuple[int, int] | None:
    """Where the audio begins and ends, None if there is none.

    If the header announces no audio or more than there is, it ends with the file.
    """
    for chunk in chunks(content, 12):
        if chunk.id == b"data":
            whole = chunk.size and chunk.end <= content.size
            return chunk.start, chunk.end if whole else content.size
    return None


def chunks(content: Content, offset: int) -> Iterator[Chunk]:
    """The chunks from this offset on, the last of which may end after the file."""
    for _ in range(_MOST_CHUNKS):
        head = content.at(offset, 8)
        if len(head) < 8:  # noqa: PLR2004 - an id and a size
            return
        chunk = Chunk(head[:4], offset + 8, int.from_bytes(head[4:], "little"))
        yield chunk
        offset = _next(content, chunk)


def _next(content: Content, chunk: Chunk) -> int:
    """Where the next chunk begins: after the byte that pads this one, if it is there."""
    if not chunk.size % 2:
        return chunk.end
    here, padded = content.at(chunk.end, 8), content.at(chunk.end + 1, 4)
    fits = chunk.end + 8 + int.from_bytes(here[4:], "little") <= content.size
    missing = here[:4] in _IDS or (padded not in _IDS and _is_id(here[:4]) and fits)
    return chunk.end if missing else chunk.end + 1


def _is_id(name: bytes) -> bool:
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()  # noqa: PLR2004


def _format(content: Content, chunk: Chunk) -> _Pcm:
    """The numbers of 16-bit PCM; anything else is refused by name."""
    body = content.at(chunk.start, min(chunk.size, 40)).ljust(40, b"\0")
    tag, channels, rate, per_second, block, bits = struct.unpack_from("<HHIIHH", body)
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
    if not channels or not rate:
        raise Refusal(
            DefectKind.DAMAGED,
            "the WAV header names no channels or no sample rate",
            "copy it again from where it was recorded",
        )
    return _Pcm(channels, rate, block, per_second)


def _misleading(content: Content, layout: _Layout, pcm: _Pcm) -> Refusal:
    """The audio is whole, but a header misleads its readers: ffmpeg is told where it is."""
    channels, text = pcm.channels, "correct its header with `{command}`"
    if layout.unpadded:
        name = layout.unpadded.id.decode("ascii", "replace")
        what = (
            f"its {name} chunk has {plural(layout.unpadded.size, 'byte')} and lacks the one that"
            " makes the number even, so most programs find no audio behind it"
        )
    else:
        what = (
            f"its header contradicts itself: a sample of {plural(channels, 'channel')} has"
            f" {pcm.frame} bytes, and the header says {pcm.block} (BlockAlign)"
        )
        others, odd = divmod(pcm.block, _SAMPLE_BYTES)
        if others in {1, 2} and not odd and pcm.per_second == pcm.rate * pcm.block:
            channels = others
            text += f" if it has {plural(others, 'channel')}, and listen to it"
    data = layout.data
    end = min(data.end, content.size) if data.size else content.size
    samples = (end - data.start) // (channels * _SAMPLE_BYTES)
    exact = content.size - end < _SAMPLE_BYTES
    return Refusal(
        DefectKind.DAMAGED,
        f"the WAV file is damaged: {what}",
        CureCommand(
            "-c copy" if exact else f"-c:a pcm_s16le -af atrim=end_sample={samples}",
            ".wav",
            f"-f s16le -ar {pcm.rate} -ac {channels} -skip_initial_bytes {data.start}",
            text=text,
        ),
    )


def _end_of_audio(content: Content, layout: _Layout, pcm: _Pcm) -> tuple[int, int]:
    """Where the audio ends, if the header agrees with the file, and the stray bytes behind it.

    Raises Refusal.
    """
    data = layout.data
    there = content.size - data.start
    finished = data.size or layout.announced == content.size or not there
    if not finished or (data.size > there and data.size >= _PLACEHOLDER):
        raise _unfinished(
            f"was never completed: it announces {data.size} bytes of audio, and"
            f" {there / pcm.frame / pcm.rate:.2f} s of audio follow"
        )
    missing = data.size - there
    if missing > 0:
        if _counts_header_in(content, layout, missing):
            return content.size, 0
        like = ", as if the size counted the header in" if missing == data.start else ""
        raise Refusal(
            DefectKind.TRUNCATED,
            f"the WAV file ends {_amount(missing, pcm)} before its announced end{like}",
            salvage(".wav"),
        )
    end = _last_end(content, data)
    stray = content.size - end
    if stray > STRAY or _may_be_speech(content, end, pcm):
        raise _unfinished(
            f"announces {_amount(data.size, pcm)} of audio, and {_amount(stray, pcm)} more follow",
            "-ignore_length 1",
        )
    return data.end, stray


def _counts_header_in(content: Content, layout: _Layout, missing: int) -> bool:
    """Whether the audio's size is wrong and all of it there, by the size of the whole file."""
    beyond, header = layout.announced - content.size, layout.data.start
    return (beyond == 0 and missing <= header) or (beyond == 8 and missing == header)  # noqa: PLR2004 - the size counts its own chunk in, too


def _may_be_speech(content: Content, start: int, pcm: _Pcm) -> bool:
    rest = content.at(start, STRAY)
    if len(rest) / pcm.frame / pcm.rate <= _INAUDIBLE or _is_id(rest[:4]):
        return False
    return not rest.startswith(_TAGS) and bool(rest.strip(b"\0"))


def _amount(nbytes: int, pcm: _Pcm) -> str:
    seconds = nbytes / pcm.frame / pcm.rate
    short = seconds < _INAUDIBLE
    return f"{format_count(nbytes)} bytes" if short else f"{seconds:.2f} s"


def _last_end(content: Content, data: Chunk) -> int:
    """The end of the last valid chunk after the audio."""
    end = _next(content, data)
    for chunk in chunks(content, end):
        # A second recording appended to the first is not a chunk of the first.
        if not _is_id(chunk.id) or chunk.id in {b"data", b"RIFF"} or chunk.end > content.size:
            break
        end = _next(content, chunk)
    return end


def _unfinished(what: str, before: str = "") -> Refusal:
    return Refusal(
        DefectKind.UNFINISHED,
        f"the WAV header {what}",
        CureCommand(
            "-c copy",
            ".wav",
            before,
            text=f"{WAIT}; if not, write the true length with `{{command}}`",
        ),
    )
