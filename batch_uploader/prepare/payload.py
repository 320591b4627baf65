"""The audio of a recording, as it goes to a sink."""

import hashlib
from collections.abc import AsyncIterator, Callable
from io import BufferedIOBase, BytesIO, RawIOBase
from typing import BinaryIO, TypeAlias

from anyio import to_thread

from batch_uploader.core.errors import SourceChanged
from batch_uploader.core.model import Entry
from batch_uploader.host.beneath import read_ahead, read_cached

_STEP = 1024 * 1024

Content: TypeAlias = bytes | BytesIO
"""A recording's whole audio; in a BytesIO, after space for the envelope of its message."""


class Payload:
    """What is sent of a recording, from its open file: the ``ports.Audio`` for a sink. Close it.

    If ``content`` has the whole audio, no file is needed. ``sha256`` is None for a file that nobody
    else can change.
    """

    def __init__(
        self,
        path: str,
        sha256: bytes | None,
        size: int,
        handle: BinaryIO | None,
        content: Content | None,
    ) -> None:
        self._path = path
        self._sha256 = sha256
        self._size = size
        self._content = content
        self._message: bytes | None = None
        memory = content if isinstance(content, BytesIO) else BytesIO(content or b"")
        self._handle = handle or memory
        self._start = 0 if handle else len(memory.getbuffer()) - size

    @property
    def size(self) -> int:
        """In bytes."""
        return self._size

    def close(self) -> None:
        """Close the file and free the content."""
        self._content = self._message = None
        self._handle.close()

    def framed(self, envelope: bytes) -> bytes | None:
        """``envelope`` and the content, which it replaces; None if that is not in memory."""
        if self._content is not None:
            self._message, self._content = _behind(envelope, self._content, self.size), None
        return self._message

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        """Pieces of ``size`` bytes; SourceChanged instead of the last one if they differ."""
        digest = hashlib.sha256()
        buffer = bytearray(min(size, self.size))
        for offset in range(0, self.size, size):
            length = min(size, self.size - offset)
            # A thread hop costs more than hashing a piece that is already in memory.
            with memoryview(buffer)[:length] as view:
                cached = read_cached(self._handle, self._start + offset, view)
                piece = bytes(view) if cached else None
            if piece is None:
                piece = await to_thread.run_sync(self._read, offset, length)
            if self._sha256 is not None:
                digest.update(piece)
                if offset + length == self.size and digest.digest() != self._sha256:
                    raise changed(self._path)
            yield piece

    def _read(self, offset: int, length: int) -> bytes:
        try:
            self._handle.seek(self._start + offset)
            piece = self._handle.read(length)
            read_ahead(self._handle, self._start + offset + length, length)
        except OSError as error:
            raise SourceChanged(
                f"{self._path} could not be read to its end ({error.strerror})",
                hint="the next run tries again",
            ) from error
        if len(piece) != length:
            raise changed(self._path)
        return piece


def read_behind(
    room: int, handle: BinaryIO, listed: Entry, update: Callable[[memoryview], None]
) -> BytesIO:
    """The content of a file after ``room`` bytes, told to ``update``; read once, never copied.

    Blocking. Raises OSError, and SourceChanged if it is shorter than it was listed.
    """
    whole = BytesIO(bytes(room + listed.size))
    handle.seek(0)
    with whole.getbuffer() as buffer, buffer[room:] as content:
        filled = 0
        while filled < listed.size:
            with content[filled:] as rest:
                filled += (count := _read_into(rest, handle))
            if not count:
                raise changed(listed.path)
        update(content)
    return whole


def changed(path: str) -> SourceChanged:
    """The error for a file that is not as it was listed."""
    return SourceChanged(
        f"{path} changed while it was read",
        hint="it is sent once it no longer changes",
    )


def _read_into(buffer: memoryview, handle: BinaryIO) -> int:
    if isinstance(handle, RawIOBase | BufferedIOBase):
        return handle.readinto(buffer) or 0
    piece = handle.read(min(len(buffer), _STEP))
    buffer[: len(piece)] = piece
    return len(piece)


def _behind(envelope: bytes, content: Content, size: int) -> bytes:
    if isinstance(content, bytes):
        return b"".join((envelope, content))
    with content.getbuffer() as buffer:
        room = len(buffer) - size
        if len(envelope) != room:
            return b"".join((envelope, buffer[room:]))
        buffer[:room] = envelope
    # Not copied, as long as its size is the buffer's and no view of it exists.
    return content.getvalue()
