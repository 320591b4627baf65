"""Ogg Opus: its length, and whether its last page exists and is marked as the last.

A page is a header of 27 bytes, a table of up to 255 segment lengths, and the segments; the format
is RFC 3533, the mapping of Opus RFC 7845. Only the first pages and the last one are read, and of a
long file a few in between, since one wrong position makes a day of a call.
"""

import struct

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.core.text import format_count, plural
from batch_uploader.core.units import format_duration
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.refusal import (
    STRAY,
    WAIT,
    CureCommand,
    DefectKind,
    Refusal,
    salvage,
    to_pcm,
)

MAGIC = b"OggS"

_HEADER = struct.Struct("<4sBBqIIIB")
_LONGEST_PAGE = _HEADER.size + 255 + 255 * 255
_BEGIN, _END = 0x02, 0x04
_RATE = 48_000
_MOST_HEADER_PAGES = 1000
_MOST_STREAMS = 16

_CODECS = {
    b"\x01vorbis": "Vorbis",
    b"\x7fFLAC": "FLAC",
    b"Speex   ": "Speex",
    b"fishead\0": "a Skeleton",
    b"\x80theora": "Theora video",
}


_JUMP = 3600
"""Seconds between the positions of two pages that are too long for a pause of a recorder."""


class OggPage(Struct, frozen=True):
    """The header of a page, and where it is."""

    flags: int
    position: int
    serial: int
    lacing: bytes
    start: int

    @property
    def body(self) -> int:
        """The offset of its first packet."""
        return self.start + _HEADER.size + len(self.lacing)

    @property
    def end(self) -> int:
        """The offset of the byte after it."""
        return self.body + sum(self.lacing)


def read(content: Content, *, require_end: bool) -> AudioInfo:
    """What is in the Ogg, which must have its end mark if ``require_end``. Raises Refusal."""
    first = _page(content, 0)
    head = content.at(first.body, 19)
    if not head.startswith(b"OpusHead"):
        codec = next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)
        raise Refusal(
            DefectKind.CODEC,
            f"this Ogg file contains {codec or 'an unknown codec'}, and the service accepts only"
            " Opus in Ogg",
            to_pcm(),
        )
    if len(head) < 19 or not head[9] or sum(first.lacing) < 19:  # noqa: PLR2004 - RFC 7845, 5.1
        raise _damaged("its Opus header is cut off or names no channels")
    audio = _first_audio_page(content, first)
    last, position = _last_page(content, first.serial)
    marked = bool(last.flags & _END)
    if require_end and not marked:
        raise no_end_mark()
    pre_skip = int.from_bytes(head[10:12], "little")
    seconds = (position - _start_of_audio(content, audio) - pre_skip) / _RATE
    if seconds <= 0 and last.start > audio.start:
        # By their number alone: all packets of an encoder play for the same time.
        samples = _packet_samples(content.at(audio.body, 2))
        times = f" -bsf:a setts=ts=N*{samples}" if samples else ""
        raise _untimed("do not advance, so its length is unknown", times)
    if seconds > _JUMP:
        _refuse_jump(content, audio, replace(last, position=position))
    return AudioInfo(Container.OGG_OPUS, head[9], _RATE, max(seconds, 0), shows_end=marked)


def shows_end(content: Content) -> bool:
    """Whether this is an Ogg with a last page that is marked as the last."""
    if not content.at(0, 4).startswith(MAGIC):
        return False
    try:
        return is_marked(content)
    except Refusal:
        return False


def is_marked(content: Content) -> bool:
    """Whether the last page is marked as the last. Raises Refusal if there is no whole one."""
    last, _ = _last_page(content, _page(content, 0).serial)
    return bool(last.flags & _END)


def _page(content: Content, offset: int) -> OggPage:
    """The page at this offset, which must be one."""
    page = whole_page(content, offset)
    if page is None:
        head = content.at(offset, _HEADER.size)
        if len(head) < _HEADER.size or head.startswith(MAGIC + b"\0"):
            raise _cut()
        raise _damaged(f"the page that should begin at byte {offset} is not there")
    return page


def whole_page(content: Content, offset: int) -> OggPage | None:
    """The page at this offset, None if none begins there or it is cut off."""
    raw = content.at(offset, _HEADER.size + 255)
    if len(raw) < _HEADER.size:
        return None
    magic, version, flags, position, serial, _, _, segments = _HEADER.unpack_from(raw)
    lacing = raw[_HEADER.size : _HEADER.size + segments]
    page = OggPage(flags, position, serial, lacing, offset)
    whole = len(lacing) == segments and page.end <= content.size
    return page if whole and magic == MAGIC and not version else None


def _first_audio_page(content: Content, first: OggPage) -> OggPage:
    """The page after the comment header, which may be megabytes of pictures."""
    page, complete = first, False
    for _ in range(_MOST_HEADER_PAGES):
        if page.end == content.size:
            raise Refusal(
                DefectKind.EMPTY if page.flags & _END else DefectKind.TRUNCATED,
                "the Ogg file ends after its headers, before any audio",
                "copy it again from where it was recorded",
            )
        page = _page(content, page.end)
        if page.flags & _BEGIN:
            raise _side_by_side(content, first)
        if page.serial != first.serial:
            raise _several()
        if complete:
            return page
        complete = page.lacing[-1:] < b"\xff"  # the comment ends on this page
    raise _damaged("its headers do not end")


def _last_page(content: Content, serial: int) -> tuple[OggPage, int]:
    """The last page, and the position in samples of the last page that has one."""
    offset = max(content.size - _LONGEST_PAGE - STRAY, 0)
    tail = content.at(offset, content.size - offset)
    last, last_at = None, -1
    at = tail.rfind(MAGIC)
    while at >= 0:
        page = whole_page(content, offset + at)
        # "OggS" also occurs by chance, in the middle of a page that ends after it.
        if page and content.size - page.end <= STRAY and page.end > offset + last_at:
            last, last_at = page, at
        if page and last and page.serial == last.serial == serial and page.position >= 0:
            if _begins_page(content, last.end):
                raise _cut()
            return last, page.position
        at = tail.rfind(MAGIC, 0, at)
    if last and last.serial != serial:
        raise _several()
    raise _cut()


def _begins_page(content: Content, offset: int) -> bool:
    """Whether the stray bytes at the end are the first ones of a page."""
    stray = content.at(offset, len(MAGIC))
    return bool(stray) and MAGIC.startswith(stray)


def _refuse_jump(content: Content, first: OggPage, last: OggPage) -> None:
    """Raise Refusal if the positions jump by hours from one page to the next.

    Each step looks into the half in which they advance more, so a jump longer than all the rest is
    found.
    """
    low, high, end = first, last, last.start
    while middle := _page_within(content, low.end, end, last.serial):
        if middle.position - low.position > high.position - middle.position:
            high, end = middle, middle.start
        else:
            low = middle
    gap = (high.position - low.position - _played(content, high)) / _RATE
    if gap > _JUMP:
        raise _untimed(f"jump by {format_duration(gap)} at byte {format_count(high.start)}")


def _page_within(content: Content, start: int, end: int, serial: int) -> OggPage | None:
    """A page with a position that begins between the offsets, near the middle if there is one."""
    while start < end:
        middle = (start + end) // 2
        data = content.at(middle, min(end - middle, _LONGEST_PAGE) + len(MAGIC) - 1)
        at = data.find(MAGIC)
        while at >= 0:
            page = whole_page(content, middle + at)
            if page and page.serial == serial and page.position >= 0 and page.start < end:
                return page
            at = data.find(MAGIC, at + 1)
        end = middle
    return None


def _start_of_audio(content: Content, page: OggPage) -> int:
    """The position before the first packet: not 0 if a stream was joined in the middle."""
    return max(page.position - _played(content, page), 0)


def _played(content: Content, page: OggPage) -> int:
    """The duration of the packets that end on this page, in samples."""
    samples, offset, length = 0, page.body, 0
    for segment in page.lacing:
        length += segment
        if segment < 255:  # noqa: PLR2004 - a packet ends here
            samples += _packet_samples(content.at(offset, min(length, 2)))
            offset, length = offset + length, 0
    return samples


def _packet_samples(packet: bytes) -> int:
    """The duration of a packet in samples at 48 kHz, by its first bytes (RFC 6716, 3.1)."""
    if not packet:
        return 0
    mode, code = packet[0] >> 3, packet[0] & 3
    if mode < 12:  # noqa: PLR2004 - SILK: 10, 20, 40, 60 ms
        frame = (480, 960, 1920, 2880)[mode & 3]
    elif mode < 16:  # noqa: PLR2004 - hybrid: 10, 20 ms
        frame = (480, 960)[mode & 1]
    else:  # CELT: 2.5, 5, 10, 20 ms
        frame = (120, 240, 480, 960)[mode & 3]
    several = packet[1] & 0x3F if len(packet) > 1 else 0
    return frame * (1, 2, 2, several)[code]


def no_end_mark() -> Refusal:
    """The refusal of an Ogg whose last page is not marked as the last."""
    return Refusal(
        DefectKind.NO_END_MARK,
        "the last page of this Ogg file is not marked as the last: it may be complete, or cut off"
        " between two pages",
        CureCommand(
            "-c copy",
            ".ogg",
            text=f"{WAIT}; if your recorder never marks the end, take all such files with"
            " --ogg-end optional; if only this one is complete, mark it with `{command}`",
        ),
    )


def _cut() -> Refusal:
    return Refusal(
        DefectKind.TRUNCATED, "the Ogg file is cut off in the middle of a page", salvage(".ogg")
    )


def _damaged(what: str) -> Refusal:
    return Refusal(
        DefectKind.DAMAGED,
        f"the Ogg file is damaged: {what}",
        "copy it again from where it was recorded",
    )


def _untimed(what: str, times: str = "") -> Refusal:
    return Refusal(
        DefectKind.DAMAGED,
        f"the Ogg file is damaged: the positions of its pages {what}",
        CureCommand(
            f"-c copy{times}", ".opus", text="give its pages other positions with `{command}`"
        ),
    )


def _side_by_side(content: Content, first: OggPage) -> Refusal:
    count, page = 1, _page(content, first.end)
    while page.flags & _BEGIN and count < _MOST_STREAMS:
        count, page = count + 1, _page(content, page.end)
    streams = "".join(f"[0:a:{number}]" for number in range(count))
    mix = f"{streams}amix=inputs={count}:duration=longest"
    return Refusal(
        DefectKind.STREAMS,
        f"the Ogg file contains {plural(count, 'stream')} side by side, of which the service may"
        " hear only one",
        CureCommand(
            f"-filter_complex '{mix}' -c:a pcm_s16le", ".wav", text="mix them with `{command}`"
        ),
    )


def _several() -> Refusal:
    # A decoder that stops after the first stream would lose the rest of the call.
    return Refusal(
        DefectKind.STREAMS,
        "the Ogg file contains several streams, of which the service may hear only one",
        CureCommand("-c:a pcm_s16le", ".wav"),
    )
