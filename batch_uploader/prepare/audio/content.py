"""Random access to the bytes of a file of which only a little is read."""

from typing import Protocol

_BLOCK = 4096


class TakesLonger(Exception):  # noqa: N818 - control flow, not a mistake
    """The content cannot be identified without blocking for long."""


class Readable(Protocol):
    """What bytes are read from, at any position."""

    def seek(self, offset: int, /) -> int:
        """Go to this offset."""

    def read(self, count: int, /) -> bytes:
        """Up to this many bytes; none at the end."""


class Content:
    """A file's bytes by offset; the last block is cached, so near reads need no system call.

    ``at_once``: raise TakesLonger instead of waiting.
    """

    def __init__(self, handle: Readable, size: int, *, at_once: bool = False) -> None:
        self.size = size
        self.at_once = at_once
        self._handle = handle
        self._start = 0
        self._block = b""

    def at(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset``, fewer only at the end of the file.

        Raises what the handle raises.
        """
        count = min(count, self.size - offset)
        if offset < 0 or count <= 0:
            return b""
        skip = offset - self._start
        if skip < 0 or skip + count > len(self._block):
            self._handle.seek(offset)
            self._block = self._handle.read(max(count, min(_BLOCK, self.size - offset)))
            self._start, skip = offset, 0
        return self._block[skip : skip + count]
