"""Recordings, and their bytes as a sink gets them."""

import hashlib
import uuid
from collections.abc import AsyncIterator

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import (
    AudioInfo,
    Container,
    Fingerprint,
    Metadata,
    Recording,
    Role,
    User,
    Version,
    recording_key,
)
from batch_uploader.core.ports import Attempt

METADATA = Metadata(
    {"operator_name": "Ольга", "date": "2025-04-24T14:34:19+03:00", "empty": ""},
    (User("u-1", Role.OPERATOR, {"team": "north"}), User("u-2", Role.CLIENT)),
)


def sample(content, *, path="a.wav", container=Container.WAV, metadata=METADATA):
    """A recording of these bytes; no sink looks at whether they are audio."""
    sha256 = hashlib.sha256(content).digest()
    return Recording(
        connection_id="conn-1",
        path=path,
        stat=Version(len(content), 1),
        fingerprint=Fingerprint(sha256, metadata.digest()),
        metadata=metadata,
        audio=AudioInfo(container, 2, 8000, 1.5),
        key=recording_key("conn-1", path, sha256),
    )


class Sound:
    """Implements ports.Audio; ``error`` is raised in place of the last piece."""

    def __init__(self, content: bytes, *, whole: bool, error: Exception | None = None) -> None:
        self._content = content
        self._whole = whole
        self._error = error
        self.read = 0
        self.closed = 0

    @property
    def size(self) -> int:
        return len(self._content)

    def framed(self, envelope):
        return envelope + self._content if self._whole else None

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        try:
            for start in range(0, self.size, size):
                piece = self._content[start : start + size]
                if self._error and start + size >= self.size:
                    raise self._error
                self.read += len(piece)
                yield piece
        finally:
            self.closed += 1


class ShortSound(Sound):
    """Breaks the promise: ends early without a word."""

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        yield self._content[: self.size // 2]


GONE = SourceError("a.wav is gone")


class Tries:
    """Makes attempts and adds up what they sent."""

    def __init__(self):
        self.nbytes = []

    def __call__(self, timeout=20.0):
        return Attempt(1, str(uuid.uuid4()), timeout, self.nbytes.append, lambda: None)

    @property
    def sent(self):
        return sum(self.nbytes)
