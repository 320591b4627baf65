"""The comments of an Ogg: the second packet of Opus, Vorbis and Speex (RFC 7845, 5.2)."""

from collections.abc import Iterator
from typing import Final

from batch_uploader.prepare.audio import ogg
from batch_uploader.prepare.audio.content import Content

_LONGEST: Final = 1024 * 1024
"""Bytes of comments that are read, pictures included."""
_MOST_PAGES: Final = 1000
_GOES_ON: Final = 255
_MAGICS: Final = (b"OpusTags", b"\x03vorbis")


def tags(content: Content) -> Iterator[tuple[str, str]]:
    """The names and values; none behind the first one that is cut off."""
    packet = _second_packet(content)
    magic = next((each for each in _MAGICS if packet.startswith(each)), b"")
    at = len(magic)
    vendor = int.from_bytes(packet[at : at + 4], "little")
    at += 4 + vendor
    count = int.from_bytes(packet[at : at + 4], "little")
    at += 4
    for _ in range(count):
        if at + 4 > len(packet):
            return
        end = at + 4 + int.from_bytes(packet[at : at + 4], "little")
        if end > len(packet):
            return
        name, equals, value = packet[at + 4 : end].partition(b"=")
        if equals:
            yield name.decode("ascii", "replace"), value.decode(errors="replace")
        at = end


def _second_packet(content: Content) -> bytes:
    """The packet after the first page, as far as it is read."""
    packet = bytearray()
    page = ogg.whole_page(content, 0)
    serial = page.serial if page else 0
    for _ in range(_MOST_PAGES):
        page = ogg.whole_page(content, page.end) if page else None
        if page is None or page.serial != serial or len(packet) > _LONGEST:
            break
        length = 0
        for segment in page.lacing:
            length += segment
            if segment < _GOES_ON:
                packet += content.at(page.body, length)
                return bytes(packet)
        packet += content.at(page.body, length)
    return bytes(packet)
