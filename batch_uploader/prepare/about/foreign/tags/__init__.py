"""What the tags inside a recording say: ID3 of MP3, comments of Ogg, INFO of WAV, WebM's own.

The names are in lower case, and those that ID3 and INFO abbreviate are written out as Ogg's are:
``title``, ``artist``, ``album``, ``date``, ``comment``. A tag that a program invented (ID3's TXXX)
has the name that it was given. What occurs several times is a list.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import BinaryIO, Final

from batch_uploader.prepare.about.foreign.tags import id3, info, vorbis, webm
from batch_uploader.prepare.about.values import Values
from batch_uploader.prepare.audio import ogg, riff
from batch_uploader.prepare.audio.content import Content

SOURCE: Final = "tags"
"""The name in expressions of what tags say."""

_MOST: Final = 500
_LONGEST: Final = 16 * 1024


def read(handle: BinaryIO, size: int) -> Values | None:
    """What the tags in a file of this size say, None if there are none.

    Reads only the tags, and of these no pictures. Leaves the handle at any position. Blocking;
    raises what the handle raises, and no error for any content.
    """
    content = Content(handle, size)
    fields = _collected(_tags(content))
    return Values(SOURCE, fields, "its tags") if fields else None


def _tags(content: Content) -> Iterable[tuple[str, str]]:
    head = content.at(0, 12)
    if riff.matches(head):
        return info.tags(content)
    if head.startswith(ogg.MAGIC):
        return vorbis.tags(content)
    if head.startswith(webm.MAGIC):
        return webm.tags(content)
    return id3.tags(content)


def _collected(tags: Iterable[tuple[str, str]]) -> Mapping[str, object]:
    fields: dict[str, list[str]] = {}
    for written, padded in islice(tags, _MOST):
        name, value = written.strip().lower(), padded.strip("\0 \t\r\n")
        known = fields.get(name, [])
        if name and value and len(value) <= _LONGEST and value not in known:
            fields[name] = [*known, value]
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in fields.items()}
