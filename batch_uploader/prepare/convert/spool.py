"""Where converted audio is kept until it is sent: in memory, or in a temporary file."""

import hashlib
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, Final, Self

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.convert.decoding import FRAME_BYTES, OpusEncoder, Undecodable

_WAV_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST: Final = 0xFFFF_FFFF - _WAV_HEADER.size
_IN_MEMORY = 256 * 1024
_BLOCK = 256 * 1024


def wav_header(info: AudioInfo, nbytes: int) -> bytes:
    """The header of a WAV with ``nbytes`` of 16-bit PCM."""
    frame = info.channels * FRAME_BYTES
    return _WAV_HEADER.pack(
        b"RIFF", nbytes + _WAV_HEADER.size - 8, b"WAVE",
        b"fmt ", 16, 1, info.channels, info.sample_rate, info.sample_rate * frame, frame, 16,
        b"data", nbytes,
    )  # fmt: skip


class Spool:
    """Takes 16-bit samples, or the file that is made; ``shrinks`` makes Opus of the samples."""

    def __init__(self, path: str, info: AudioInfo, *, shrinks: bool = False) -> None:
        self._path = path
        self._info = info
        self._shrinks = shrinks
        self._header = self._info.container is Container.WAV and not self._shrinks
        self._file: BinaryIO = BytesIO()
        self._taken = False
        self.size = 0
        if self._header:
            self.write(bytes(_WAV_HEADER.size))

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
        with self._explaining():
            if self.size > _IN_MEMORY and isinstance(self._file, BytesIO):
                import tempfile  # only what is large needs it

                before = self._file.getvalue()
                self._file = tempfile.TemporaryFile(prefix="batch-uploader-")  # noqa: SIM115 - the payload closes it
                self._file.write(before)
            self._file.write(block)

    def finish(self) -> BinaryIO:
        """What was made, with its header. Raises SourceError."""
        with self._explaining():
            if self._header:
                self._file.seek(0)
                self._file.write(wav_header(self._info, self.size - _WAV_HEADER.size))
            self._file.flush()
        return self._file

    def digest(self) -> bytes:
        """The SHA-256 of what was made."""
        digest = hashlib.sha256()
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            digest.update(block)
        return digest.digest()

    def take(self) -> tuple[bytes | None, BinaryIO | None]:
        """The content, or the file, which is the caller's from now on."""
        if isinstance(self._file, BytesIO):
            return self._file.getvalue(), None
        self._taken = True
        return None, self._file

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
