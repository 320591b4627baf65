"""MP3: where its frames begin and end, and how long they play.

A file has no header of its own, only frames, each with a header of four bytes that gives its
length. Encoders put a header into the first one (Xing, Info or VBRI: the number of frames and of
bytes). It is used if it agrees with the size of the file. Without one, a stream of constant bitrate
is recognised by samples at a few places and its end; any other is read from frame to frame.

The duration includes the padding that encoders add, less than 0.2 s. If a few frames of a stream
that seems to have a constant bitrate differ, it may be off by about 1 %.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache

from msgspec import Struct

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.refusal import STRAY, DefectKind, Refusal, salvage

_MPEG_1, _MPEG_2, _MPEG_2_5 = 3, 2, 0  # as in the headers
_HEADER = 4
_FULL = 0xFF  # the first byte of each header
TAG = b"ID3"
_SYNCSAFE = 0x7F
"""The greatest byte of a size in an ID3v2 tag."""
_LONGEST_LYRICS = 5200
"""Bytes of a Lyrics3 tag of the first version."""

_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_SAMPLES_1, _SAMPLES_2 = 1152, 576  # in a frame of MPEG-1, of MPEG-2 and 2.5
_RATES = (44_100, 48_000, 32_000)
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_SHORTEST_FRAME, _LONGEST_FRAME = 24, 1441

_WINDOW = 65_536
_SEARCH = 16_384
_SAMPLE = 32_768
_RUN = 4
"""This many consecutive frames are not a coincidence."""

_PLACES = 16
_LARGE = 2 * _PLACES * _SAMPLE
"""Below this size reading from frame to frame is as fast as sampling a few places."""

_MOST_GAPS = 64


class _Stream(Struct, frozen=True):
    """The properties that all frames of a stream share.

    ``second`` is the second byte of their headers with its lowest bit set, ``lengths`` gives the
    length of a frame by the third byte, 0 if it is not a frame of this stream.
    """

    second: int
    rate: int
    channels: int
    samples: int
    lengths: tuple[int, ...]


class _Announced(Struct, frozen=True):
    frames: int
    nbytes: int


class _Walk(Struct):
    """The result of reading frames: whole frames, stray bytes, bytes missing in the last frame."""

    frames: int = 0
    stray: int = 0
    gaps: int = 0
    cut: int = 0


def after_tags(content: Content, offset: int = 0) -> int:
    """The offset of the content after any ID3v2 tags."""
    for _ in range(_RUN):
        head = content.at(offset, 10)
        if head[:3] != TAG or len(head) < 10 or max(head[6:]) > _SYNCSAFE:  # noqa: PLR2004 - ID3v2
            break
        offset += 10 + syncsafe(head[6:]) + (10 if head[5] & 0x10 else 0)
    return offset


def has_tags_alone(content: Content, start: int) -> bool:
    """Whether there is nothing between the tags, of which those in front end at ``start``."""
    return _end_of_audio(content) <= start <= content.size


def read(content: Content, start: int, enough: float) -> AudioInfo | None:
    """What is in the MP3 that begins near ``start``, None if there is none. Raises Refusal.

    Frames are counted little further than to ``enough`` seconds.
    """
    end = _end_of_audio(content)
    found = _find(content, start, end, _WINDOW)
    if found is None:
        return None
    first, stream = found
    seconds = _seconds(content, stream, first, end, enough)
    return AudioInfo(Container.MP3, stream.channels, stream.rate, seconds, shows_end=False)


def begins(content: Content, start: int) -> bool:
    """Whether consecutive frames begin near ``start``."""
    return _find(content, start, content.size, _SEARCH) is not None


def _seconds(content: Content, stream: _Stream, first: int, end: int, enough: float) -> float:
    per_frame = stream.samples / stream.rate
    announced = _announced(content, stream, first)
    told = announced.frames if announced else 0
    if announced and told and 0 <= end - first - announced.nbytes <= STRAY < announced.nbytes:
        return told * per_frame
    if not told and end - first > _LARGE:
        constant = _constant(content, stream, first, end)
        if constant:
            return constant
    walk = _walk(content, stream, first, end, int(enough / per_frame) + 2)
    if walk.frames < told and walk.frames * per_frame <= enough:
        raise _truncated(f"{(told - walk.frames) * per_frame:.2f} s before its announced end")
    if walk.cut and not told:
        # It is unknown how much is missing after a cut frame.
        raise _truncated("in the middle of a frame")
    return (walk.frames - (1 if announced else 0)) * per_frame


def frames(content: Content) -> tuple[int, int] | None:
    """Where the audio begins and ends: without tags, an encoder's header and a frame cut off."""
    end = _end_of_audio(content)
    found = _find(content, after_tags(content), end, _WINDOW)
    if found is None:
        return None
    first, stream = found
    for _ in range(_RUN):
        if not _announced(content, stream, first):
            break
        first += _length(stream, content.at(first, _HEADER))
    end = _end_of_frames(content, stream, first, end)
    return (first, end) if first < end else None


def _end_of_frames(content: Content, stream: _Stream, first: int, end: int) -> int:
    """Where the last whole frame ends: at the end of the audio, or before a few stray bytes."""
    last = None
    for window in (STRAY, 4 * STRAY):
        place = max(end - window, first)
        while found := _find(content, place, end, window, stream):
            data = content.at(found[0], end - found[0])
            at = 0
            while (length := _length(stream, data[at : at + _HEADER])) and at + length <= len(data):
                at += length
            place = last = found[0] + at
        if last == end:
            break
    return last or end


def _end_of_audio(content: Content) -> int:
    """The end of the audio, before the tags behind it."""
    end = content.size
    for _ in range(_RUN):
        length = _tag_before(content, end)
        if not 0 < length <= end:
            break
        end -= length
    return end


def _tag_before(content: Content, end: int) -> int:
    """The length of the tag that ends here: ID3v1, APE, Lyrics3 or an appended ID3v2."""
    tail = content.at(max(end - 128, 0), min(end, 128)).rjust(128, b"\0")
    if tail[:3] == b"TAG":
        return 128
    if tail[-32:-24] == b"APETAGEX":
        size, _, flags = struct.unpack_from("<III", tail, 128 - 20)
        return int(size) + (32 if flags & 0x8000_0000 else 0)
    if tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
        return int(tail[-15:-9]) + 15
    if tail[-9:] == b"LYRICSEND":
        text = content.at(max(end - _LONGEST_LYRICS, 0), min(end, _LONGEST_LYRICS))
        begin = text.rfind(b"LYRICSBEGIN")
        return len(text) - begin if begin >= 0 else 0
    if tail[-10:-7] == b"3DI" and max(tail[-4:]) <= _SYNCSAFE:
        return syncsafe(tail[-4:]) + 20
    return 0


def syncsafe(raw: bytes) -> int:
    """The number in four bytes of ID3v2, each of which has seven bits of it."""
    return raw[0] << 21 | raw[1] << 14 | raw[2] << 7 | raw[3]


def _find(
    content: Content, start: int, end: int, within: int, stream: _Stream | None = None
) -> tuple[int, _Stream] | None:
    """The first offset from ``start`` on with consecutive frames, and what they share."""
    data = content.at(start, min(within, end - start))
    last = start + len(data) == end
    for match in _SYNC.finditer(data):
        at = match.start()
        candidate = _stream(data[at : at + _HEADER])
        if candidate and stream in (None, candidate) and _runs(candidate, data, at, last=last):
            return start + at, candidate
    return None


def _runs(stream: _Stream, data: bytes, at: int, *, last: bool) -> bool:
    """Whether there are consecutive frames from here: four, or up to the end of the last data."""
    for frames in range(_RUN):
        length = _length(stream, data[at : at + _HEADER])
        if not length:
            return (
                last
                and (frames > 1 or (frames == 1 and at == len(data)))
                and at + _HEADER > len(data)
            )
        at += length
    return True


def _length(stream: _Stream, header: bytes) -> int:
    """The length of the frame, 0 if the header is not of this stream."""
    return _follow(stream, header)[1]


def _stream(header: bytes) -> _Stream | None:
    rate_index = header[2] >> 2 & 3 if len(header) == _HEADER else len(_RATES)
    if rate_index == len(_RATES):
        return None
    mono = header[3] >> 6 == 3  # noqa: PLR2004 - the channel mode
    stream = _stream_like(header[1] | 1, rate_index, 1 if mono else 2)
    return stream if _length(stream, header) else None


@cache
def _stream_like(second: int, rate_index: int, channels: int) -> _Stream:
    version = second >> 3 & 3
    rate = _RATES[rate_index] >> {_MPEG_1: 0, _MPEG_2: 1, _MPEG_2_5: 2}[version]
    samples, kbits = (_SAMPLES_1, _KBITS_1) if version == _MPEG_1 else (_SAMPLES_2, _KBITS_2)
    lengths = [0] * 256
    for third in range(256):
        if kbits[third >> 4] and third >> 2 & 3 == rate_index:
            lengths[third] = samples * kbits[third >> 4] * 125 // rate + (third >> 1 & 1)
    return _Stream(second, rate, channels, samples, tuple(lengths))


def _announced(content: Content, stream: _Stream, first: int) -> _Announced | None:
    """The Xing, Info or VBRI header in the first frame, all zeros if it cannot be true.

    Encoders that write to a pipe leave zeros as well.
    """
    frame = content.at(first, 64)
    side = {_SAMPLES_1: (17, 32), _SAMPLES_2: (9, 17)}[stream.samples][stream.channels - 1]
    xing = frame[_HEADER + side : _HEADER + side + 16].ljust(16, b"\0")
    vbri = frame[_HEADER + 32 : _HEADER + 32 + 18].ljust(18, b"\0")
    frames = nbytes = 0
    if xing[:4] in {b"Xing", b"Info"}:
        frames, nbytes = struct.unpack_from(">II", xing, 8) if xing[7] & 1 else (0, 0)
        nbytes = nbytes if xing[7] & 2 else 0
    elif vbri[:4] == b"VBRI":
        nbytes, frames = struct.unpack_from(">II", vbri, 10)
    else:
        return None
    possible = not nbytes or _SHORTEST_FRAME * frames <= nbytes <= _LONGEST_FRAME * (frames + 2)
    return _Announced(frames, nbytes) if possible else _Announced(0, 0)


def _constant(content: Content, stream: _Stream, first: int, end: int) -> float | None:
    """The seconds of a stream of constant bitrate; None if it is not."""
    place, seen = first, set[int]()
    for number in range(1, _PLACES + 1):
        # From the last place on, all frames are read to the end.
        place = first + (end - first - _SAMPLE) * number // _PLACES
        found = _find(content, place, end, _SAMPLE, stream)
        if found is None:
            return None
        place = found[0]
        seen.update(_bitrates(stream, content.at(place, min(_SAMPLE, end - place))))
        if len(seen) > 1:
            return None
    walk = _walk(content, stream, place, end, _WINDOW)
    if walk.cut:
        raise _truncated("in the middle of a frame")
    kbits = (_KBITS_1 if stream.samples == _SAMPLES_1 else _KBITS_2)[seen.pop()]
    return (end - first - walk.stray) / (kbits * 125)


def _bitrates(stream: _Stream, data: bytes) -> Iterator[int]:
    at = 0
    while length := _length(stream, data[at : at + _HEADER]):
        yield data[at + 2] >> 4
        at += length


def _walk(content: Content, stream: _Stream, start: int, end: int, most: int) -> _Walk:
    """Read at most about ``most`` frames. Raises Refusal if much of it is not frames."""
    walk = _Walk()
    place = start
    while place < end and walk.frames < most:
        frames, length = _follow(stream, content.at(place, min(_WINDOW, end - place)))
        walk.frames += frames
        place += length
        if place > end:
            walk.frames -= 1
            walk.cut = place - end
        elif not frames:
            place = _over_gap(content, stream, walk, place, end)
    return walk


def _follow(stream: _Stream, data: bytes) -> tuple[int, int]:
    """How many consecutive frames begin in the data, and their total length."""
    frames = at = 0
    lengths, second, last = stream.lengths, stream.second, len(data) - _HEADER
    while at <= last and data[at] == _FULL and data[at + 1] | 1 == second:
        length = lengths[data[at + 2]]
        if not length:
            break
        frames += 1
        at += length
    return frames, at


def _over_gap(content: Content, stream: _Stream, walk: _Walk, place: int, end: int) -> int:
    """Where the frames go on: after the tag of an appended file, or a few stray bytes."""
    old_tag = 128 if content.at(place, 3) == b"TAG" else 0
    onward = min(after_tags(content, place + old_tag), end)
    if onward == place:
        found = _find(content, place, end, _SEARCH, stream)
        onward = found[0] if found else min(place + _SEARCH, end)
        walk.stray += onward - place
    walk.gaps += 1
    if walk.stray > STRAY or walk.gaps > _MOST_GAPS:
        raise Refusal(
            DefectKind.DAMAGED,
            f"the MP3 file is damaged: from byte {place} on it contains something else",
            salvage(".mp3"),
        )
    return onward


def _truncated(where: str) -> Refusal:
    return Refusal(DefectKind.TRUNCATED, f"the MP3 file is cut off {where}", salvage(".mp3"))
