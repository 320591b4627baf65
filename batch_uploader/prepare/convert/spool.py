"""Where converted audio is kept until it is sent: in memory, or in a temporary file."""

import hashlib
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, Final, Self, TypeAlias

from msgspec import Struct

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio.content import Readable
from batch_uploader.prepare.convert.decoding import FRAME_BYTES, OpusEncoder, Region, Undecodable

_WAV_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST: Final = 0xFFFF_FFFF - _WAV_HEADER.size
_BLOCK = 256 * 1024


class Space(Struct, frozen=True):
    """What may be kept in memory: up to ``most`` bytes, behind ``room`` ones for their message."""

    most: int = 256 * 1024
    room: int = 0


SpaceFor: TypeAlias = Callable[[int], Space]
"""Where a WAV of this many bytes is kept; 0 if its size is not known."""


def little_space(_size: int) -> Space:
    """Little memory, and a temporary file for more."""
    return Space()


def wav_size(info: AudioInfo, seconds: float) -> int:
    """The bytes of a WAV with 16-bit PCM of this length."""
    return _WAV_HEADER.size + round(seconds * info.sample_rate) * info.channels * FRAME_BYTES


def wav_header(info: AudioInfo, nbytes: int) -> bytes:
    """The header of a WAV of ``nbytes`` with 16-bit PCM."""
    frame = info.channels * FRAME_BYTES
    return _WAV_HEADER.pack(
        b"RIFF", nbytes - 8, b"WAVE",
        b"fmt ", 16, 1, info.channels, info.sample_rate, info.sample_rate * frame, frame, 16,
        b"data", nbytes - _WAV_HEADER.size,
    )  # fmt: skip


class Spool:
    """Takes 16-bit samples, or the file that is made; ``shrinks`` makes Opus of the samples.

    ``expected`` is the size that a WAV will have, if that is known: then nothing is copied in
    memory, nor read again for the digest.
    """

    def __init__(
        self,
        path: str,
        info: AudioInfo,
        *,
        shrinks: bool = False,
        expected: int = 0,
        space: Space = Space(),  # noqa: B008 - it is frozen
    ) -> None:
        self._path = path
        self._info = info
        self._shrinks = shrinks
        self._header = self._info.container is Container.WAV and not self._shrinks
        self._expected = expected if self._header else 0
        self._space = space
        self._digest = hashlib.sha256()
        self._start = space.room
        whole = self._expected if self._expected <= space.most else 0
        self._file: BinaryIO = BytesIO(bytes(self._start + whole))
        self._file.seek(self._start)
        self._taken = False
        self.size = 0
        if self._header:
            self.write(wav_header(info, min(self._expected or _LARGEST, _LARGEST)))

    @property
    def sample_rate(self) -> int:
        """Of the samples that it takes."""
        return self._info.sample_rate

    @contextmanager
    def keeping(self) -> Iterator[Callable[[bytes], None]]:
        """What takes the audio."""
        if not self._shrinks:
            yield self.write
            return
        with OpusEncoder(self.write, self._info) as encoder:
            yield encoder.encode

    def write(self, block: bytes) -> None:
        """Append. Raises SourceError, and Undecodable for more than a WAV can hold."""
        self.size += len(block)
        if self.size > _LARGEST:
            raise Undecodable("it is larger than a WAV file can be")
        self._digest.update(block)
        with self._explaining():
            if self.size > self._space.most and isinstance(self._file, BytesIO):
                self._move(self._file, self.size - len(block))
            self._file.write(block)

    def _move(self, memory: BytesIO, size: int) -> None:
        import tempfile  # only what is large needs it

        with memory.getbuffer() as before:
            self._file = tempfile.TemporaryFile(prefix="batch-uploader-")  # noqa: SIM115 - the payload closes it
            self._file.write(before[self._start : self._start + size])
        self._start = 0

    def finish(self) -> Readable:
        """What was made, with its header. Raises SourceError."""
        with self._explaining():
            self._file.truncate()
            if self._header and self.size != self._expected:
                self._file.seek(self._start)
                self._file.write(wav_header(self._info, self.size))
            self._file.flush()
        return self._made()

    def _made(self) -> Region:
        return Region(self._file, self.size, self._start)

    def digest(self) -> bytes:
        """The SHA-256 of what was made."""
        if not self._header or self.size == self._expected:
            return self._digest.digest()
        digest = hashlib.sha256()
        made = self._made()
        while block := made.read(_BLOCK):
            digest.update(block)
        return digest.digest()

    def take(self) -> tuple[BytesIO | None, BinaryIO | None]:
        """The content behind its room, or the file, which is the caller's from now on."""
        self._taken = True
        return (self._file, None) if isinstance(self._file, BytesIO) else (None, self._file)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            import tempfile

            raise SourceError(
                f"{self._path} cannot be converted: no temporary file can be written in"
                f" {tempfile.gettempdir()} ({error.strerror})",
                hint="free some space there, or name another directory in the variable TMPDIR",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._taken:
            self._file.close()
