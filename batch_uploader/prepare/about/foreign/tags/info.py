"""The chunks of a WAV that describe it: INFO, bext (Broadcast WAV), and an ID3 tag in a chunk."""

from collections.abc import Iterator
from io import BytesIO
from typing import Final

from batch_uploader.prepare.about.foreign.tags import id3
from batch_uploader.prepare.about.foreign.tags.charset import text_of
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.riff import chunks

_LONGEST: Final = 64 * 1024
_NAMES: Final = {
    "INAM": "title",
    "IART": "artist",
    "IPRD": "album",
    "ICRD": "date",
    "ICMT": "comment",
    "ICOP": "copyright",
    "IGNR": "genre",
    "ISFT": "encoder",
    "ILNG": "language",
    "ITRK": "tracknumber",
    "ITCH": "encoded-by",
}
_BEXT: Final = (
    ("description", 0, 256),
    ("originator", 256, 288),
    ("originator_reference", 288, 320),
    ("origination_date", 320, 330),
    ("origination_time", 330, 338),
)


def tags(content: Content) -> Iterator[tuple[str, str]]:
    """The names and values of all these chunks."""
    for chunk in chunks(content, 12):
        if chunk.end > content.size or chunk.id == b"data":
            continue
        if chunk.id == b"LIST" and content.at(chunk.start, 4) == b"INFO":
            body = content.at(chunk.start, min(chunk.size, _LONGEST))
            for part in chunks(Content(BytesIO(body), len(body)), 4):
                name = part.id.decode("latin-1")
                yield _NAMES.get(name, name), _text(body[part.start : part.end])
        elif chunk.id == b"bext":
            body = content.at(chunk.start, _BEXT[-1][2])
            yield from ((name, _text(body[start:end])) for name, start, end in _BEXT)
        elif chunk.id.lower() == b"id3 ":
            yield from id3.tags_at(content, chunk.start)


def _text(raw: bytes) -> str:
    return text_of(raw.partition(b"\0")[0])
