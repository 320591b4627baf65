"""ID3: version 2.2 to 2.4 at the beginning of an MP3, version 1 at its end.

Frames that are compressed or encrypted, and those that hold no text, are passed over.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Final, NamedTuple

from batch_uploader.prepare.about.foreign.tags.charset import text_of
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.mpeg import TAG, syncsafe

_HEAD: Final = 10
_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40
_MOST_FRAMES: Final = 1000
_LONGEST_FRAME: Final = 64 * 1024
_LONGEST_REWRITTEN: Final = 1024 * 1024
"""Bytes of a tag that has to be rewritten in memory before it is read."""

_NAMES: Final = {
    "TIT2": "title",
    "TPE1": "artist",
    "TPE2": "albumartist",
    "TALB": "album",
    "TCOM": "composer",
    "TCON": "genre",
    "TRCK": "tracknumber",
    "TCOP": "copyright",
    "TENC": "encoded-by",
    "TSSE": "encoder",
    "TDRC": "date",
    "TYER": "date",
    "TLAN": "language",
    "TT2": "title",
    "TP1": "artist",
    "TAL": "album",
    "TYE": "date",
    "TCO": "genre",
    "TRK": "tracknumber",
    "TEN": "encoded-by",
    "TSS": "encoder",
    "TLA": "language",
}
_COMMENTS: Final = frozenset({"COMM", "COM"})
_INVENTED: Final = frozenset({"TXXX", "TXX"})
_CODECS: Final = {1: "utf-16", 2: "utf-16-be", 3: "utf-8"}

_V1_SIZE: Final = 128
_V1: Final = (("title", 3, 33), ("artist", 33, 63), ("album", 63, 93), ("date", 93, 97))
_V1_COMMENT: Final = slice(97, 127)


class _Frame(NamedTuple):
    id: str
    body: bytes


def tags(content: Content) -> Iterator[tuple[str, str]]:
    """The names and values of both versions; the first version only for what the second lacks."""
    named: set[str] = set()
    for name, value in tags_at(content, 0):
        named.add(name)
        yield name, value
    last = content.at(content.size - _V1_SIZE, _V1_SIZE)
    if len(last) == _V1_SIZE and last.startswith(b"TAG"):
        fields = [(name, last[start:end]) for name, start, end in _V1]
        for name, raw in [*fields, ("comment", last[_V1_COMMENT])]:
            if name not in named:
                yield name, text_of(raw.partition(b"\0")[0])


def tags_at(content: Content, offset: int) -> Iterator[tuple[str, str]]:
    """The names and values of the second version's tag at this offset, if one is there."""
    for frame in _frames(content, offset):
        if not frame.body:
            continue
        texts = _texts(frame.body[0], frame.body[1:], skip=3 if frame.id in _COMMENTS else 0)
        if frame.id in _INVENTED or frame.id in _COMMENTS:
            described, *rest = texts
            name = "comment" if frame.id in _COMMENTS and not described else described
            yield from ((name, text) for text in rest)
        elif frame.id.startswith("T"):
            name = _NAMES.get(frame.id, frame.id)
            yield from ((name, text) for text in texts)


def _frames(content: Content, offset: int) -> Iterator[_Frame]:
    head = content.at(offset, _HEAD)
    if len(head) < _HEAD or head[:3] != TAG or head[3] not in {2, 3, 4}:
        return
    version, flags = head[3], head[5]
    at, end = offset + _HEAD, min(offset + _HEAD + syncsafe(head[6:]), content.size)
    if flags & _UNSYNCHRONISED and version < 4:  # noqa: PLR2004 - later it is each frame's
        whole = _synchronised(content.at(at, min(end - at, _LONGEST_REWRITTEN)))
        content, at, end = Content(BytesIO(whole), len(whole)), 0, len(whole)
    if flags & _EXTENDED and version > 2:  # noqa: PLR2004 - there it means something else
        more = content.at(at, 4).rjust(4, b"\0")
        at += syncsafe(more) if version == 4 else 4 + int.from_bytes(more)  # noqa: PLR2004
    for _ in range(_MOST_FRAMES):
        raw = content.at(at, 6 if version == 2 else _HEAD)  # noqa: PLR2004 - shorter in 2.2
        if len(raw) < 6 or not raw[:3].isalnum():  # noqa: PLR2004 - else padding
            return
        start, size = at + len(raw), _size(content, raw, at, end, version)
        at = start + size
        if not size or at > end:
            return
        name = raw[: 3 if version == 2 else 4].decode("latin-1")  # noqa: PLR2004
        wanted = name.startswith("T") or name in _COMMENTS
        if wanted and size <= _LONGEST_FRAME:
            body = _body(content.at(start, size), raw[8:], version)
            if body is not None:
                yield _Frame(name, body)


def _size(content: Content, raw: bytes, at: int, end: int, version: int) -> int:
    if version == 2:  # noqa: PLR2004
        return int.from_bytes(raw[3:6])
    plain = int.from_bytes(raw[4:8])
    if version == 3 or max(raw[4:8]) > 0x7F:  # noqa: PLR2004 - not syncsafe, whatever it should be
        return plain
    safe = syncsafe(raw[4:8])
    # Some programs write the numbers of 2.3 into tags of 2.4: then the next frame is there.
    return plain if plain != safe and _begins(content, at + _HEAD + plain, end) else safe


def _begins(content: Content, at: int, end: int) -> bool:
    """Whether a frame begins here, or the tag ends."""
    name = content.at(at, 4)
    return at == end or (at < end and len(name) == 4 and name.isalnum() and name.isupper())  # noqa: PLR2004


def _body(data: bytes, flags: bytes, version: int) -> bytes | None:
    """What a frame holds, None if it cannot be read."""
    if version == 2:  # noqa: PLR2004 - has no flags
        return data
    more = flags[1] if len(flags) > 1 else 0
    if version == 3:  # noqa: PLR2004
        return None if more & 0xC0 else data[1 if more & 0x20 else 0 :]
    if more & 0x0C:
        return None
    data = data[(1 if more & 0x40 else 0) + (4 if more & 0x01 else 0) :]
    return _synchronised(data) if more & 0x02 else data


def _synchronised(data: bytes) -> bytes:
    return data.replace(b"\xff\0", b"\xff")


def _texts(code: int, data: bytes, skip: int) -> list[str]:
    """The texts of a frame, which zeros part; at least one."""
    data = data[skip:]
    codec = _CODECS.get(code)
    if codec is None:
        return [text_of(part) for part in data.split(b"\0")] or [""]
    # Each text of UTF-16 may have a mark of its own.
    big = data[:2] == b"\xfe\xff" or code == 2  # noqa: PLR2004
    if codec == "utf-16":
        codec = "utf-16-be" if big else "utf-16-le"
    text = data.decode(codec, "replace").replace("\ufeff", "")
    return text.split("\0")
