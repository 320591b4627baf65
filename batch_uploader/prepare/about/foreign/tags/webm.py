"""The tags of a WebM or Matroska file (RFC 9559): ``CALL_SRC_NUM`` as a PBX writes it."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from batch_uploader.prepare.audio.content import Content

MAGIC: Final = b"\x1a\x45\xdf\xa3"

_SEGMENT, _TAGS, _TAG, _SIMPLE = 0x18538067, 0x1254C367, 0x7373, 0x67C8
_INFO, _TITLE = 0x1549A966, 0x7BA9
_NAME, _STRING = 0x45A3, 0x4487
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_CLUSTER: Final = 0x1F43B675
_MOST_ELEMENTS: Final = 4_000
_LONGEST: Final = 64 * 1024


class _Element(NamedTuple):
    """Where the body of an element is."""

    id: int
    start: int
    end: int


def tags(content: Content) -> Iterator[tuple[str, str]]:
    """The names and values of all tags, of the whole file and of its tracks."""
    for top in _elements(content, 0, content.size):
        if top.id == _SEGMENT:
            yield from _title(content, top)
            place = _place(content, top)
            if place is not None:
                yield from _within(content, place)
            return


def _title(content: Content, segment: _Element) -> Iterator[tuple[str, str]]:
    """The title, which is none of the tags."""
    for element in _elements(content, segment.start, segment.end):
        if element.id == _CLUSTER:
            return
        if element.id == _INFO:
            for part in _elements(content, element.start, element.end):
                if part.id == _TITLE:
                    yield "title", _text(content, part)


def _place(content: Content, segment: _Element) -> _Element | None:
    """Where the tags are: before the audio, or where the file says, which may be at its end."""
    for element in _elements(content, segment.start, segment.end):
        if element.id == _TAGS:
            return element
        if element.id == _CLUSTER:
            return None
        if element.id == _SEEK_HEAD:
            for seek in _elements(content, element.start, element.end):
                parts = {part.id: part for part in _elements(content, seek.start, seek.end)}
                if seek.id == _SEEK and _number(content, parts.get(_SEEK_ID)) == _TAGS:
                    at = segment.start + _number(content, parts.get(_SEEK_POSITION))
                    found = next(_elements(content, at, segment.end), None)
                    if found is not None and found.id == _TAGS:
                        return found
    return None


def _within(content: Content, tags_: _Element) -> Iterator[tuple[str, str]]:
    for tag in _elements(content, tags_.start, tags_.end):
        for simple in _elements(content, tag.start, tag.end) if tag.id == _TAG else ():
            if simple.id == _SIMPLE:
                parts = {part.id: part for part in _elements(content, simple.start, simple.end)}
                if _NAME in parts and _STRING in parts:
                    yield _text(content, parts[_NAME]), _text(content, parts[_STRING])


def _elements(content: Content, start: int, end: int) -> Iterator[_Element]:
    """The elements between two offsets; one of unknown size reaches to the end."""
    for _ in range(_MOST_ELEMENTS):
        head = content.at(start, min(12, end - start))
        ident, used = _variable(head, keeps_mark=True)
        size, more = _variable(head[used:], keeps_mark=False)
        if not used or not more:
            return
        body = start + used + more
        unknown = size == (1 << 7 * more) - 1
        element = _Element(ident, body, end if unknown else min(body + size, end))
        yield element
        start = element.end


def _variable(raw: bytes, *, keeps_mark: bool) -> tuple[int, int]:
    """A number of variable length, and its length; 0 if it is none."""
    length = 9 - raw[0].bit_length() if raw and raw[0] else 0
    if not length or len(raw) < length:
        return 0, 0
    number = int.from_bytes(raw[:length])
    return number if keeps_mark else number & ((1 << 7 * length) - 1), length


def _number(content: Content, element: _Element | None) -> int:
    if element is None or element.end - element.start > 8:  # noqa: PLR2004 - bytes
        return 0
    return int.from_bytes(content.at(element.start, element.end - element.start))


def _text(content: Content, element: _Element) -> str:
    if element.end - element.start > _LONGEST:
        return ""
    return content.at(element.start, element.end - element.start).decode(errors="replace")
