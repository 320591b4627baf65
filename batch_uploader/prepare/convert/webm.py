"""WebM and Matroska: where the file must end.

All is elements: an ID, a size, and as many bytes (RFC 8794). What is written live, as by a browser,
has a segment without a size, and perhaps clusters without one; blocks always have theirs.
"""

from typing import Final

from batch_uploader.prepare.audio.content import Content

MAGIC: Final = bytes.fromhex("1a45dfa3")
LIVE: Final = -1
"""The end of a file that does not say where it ends."""

_SEGMENT: Final = bytes.fromhex("18538067")
_CLUSTER: Final = bytes.fromhex("1f43b675")
_TAIL = 4 * 1024 * 1024
"""The last cluster begins in the last bytes: its times of 16 bits end after 33 seconds."""
_MOST_ELEMENTS = 50_000


def end(content: Content) -> int | None:
    """The offset at which the file ends by its header, LIVE, or None if it is damaged."""
    header = _size(content, len(MAGIC))
    if header is None or header[0] is None:
        return None
    at = header[1] + header[0]
    segment = _size(content, at + len(_SEGMENT))
    if content.at(at, len(_SEGMENT)) != _SEGMENT or segment is None:
        return None
    size, body = segment
    return LIVE if size is None else body + size


def ends_whole(content: Content) -> bool:
    """Whether a live file ends where an element does, by its last cluster."""
    begins = max(content.size - _TAIL, 0)
    tail = content.at(begins, content.size - begins)
    at = tail.rfind(_CLUSTER)
    while at >= 0:
        if _walk(content, begins + at) == content.size:
            return True
        # These bytes may also be in a block by chance.
        at = tail.rfind(_CLUSTER, 0, at)
    return False


def _walk(content: Content, at: int) -> int | None:
    """Where the last of the elements from here on ends; None if they cannot be followed."""
    for _ in range(_MOST_ELEMENTS):
        if at >= content.size:
            return at
        name = content.at(at, 4)
        width = _width(name)
        if not 0 < width <= 4:  # noqa: PLR2004 - the longest ID
            return None
        found = _size(content, at + width)
        if found is None:
            return None
        size, body = found
        if size is None and name != _CLUSTER:
            return None
        # The elements in a cluster without a size are followed.
        at = body + (size or 0)
    return None


def _size(content: Content, at: int) -> tuple[int | None, int] | None:
    """The size that is written here, None if unknown, and the offset behind it."""
    raw = content.at(at, 8)
    width = _width(raw)
    if not width or len(raw) < width:
        return None
    most = (1 << 7 * width) - 1
    size = int.from_bytes(raw[:width], "big") & most
    return (None if size == most else size), at + width


def _width(raw: bytes) -> int:
    """How many bytes a number has that begins so; 0 if none does."""
    return 9 - raw[0].bit_length() if raw and raw[0] else 0
