"""Decodes by libsndfile, as 16-bit samples, block by block."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import BufferedReader, FileIO
from types import TracebackType
from typing import BinaryIO, Self

from msgspec import Struct

from batch_uploader.core.model import AudioInfo, Container

FRAME_BYTES = 2
"""The bytes of one decoded sample of one channel."""

OPUS_RATES = frozenset({8_000, 12_000, 16_000, 24_000, 48_000})
"""The sample rates that Opus has."""

_BLOCK = 64 * 1024
_FULL_SCALE = 32768.0
_OF_FLOATS = frozenset({"FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III"})
"""Decoded to fractions, which libsndfile does not scale to integers as others do."""


class Headerless(Struct, frozen=True):
    """How to read audio without a header; ``subtype`` is libsndfile's word for its codec.

    ``block`` are the bytes that are decoded together, ``form`` is what it lies in.
    """

    subtype: str
    sample_rate: int
    channels: int = 1
    block: int = 1
    form: str = "RAW"


class Undecodable(Exception):  # noqa: N818 - a verdict, not a mistake
    """libsndfile cannot decode it; the message is its reason."""


class ExtraMissing(Undecodable):
    """What an extra of the program decodes, which ``install`` installs."""

    def __init__(self, install: str) -> None:
        super().__init__("the extra for it is not installed")
        self.install = install


class Decoder(AbstractContextManager["Decoder"]):
    """A sound that is decoded once, from its first sample to its last one.

    ``seconds`` is its length by the header. Raises Undecodable, and the OSError of the handle.
    """

    def __init__(self, region: "Region", headerless: Headerless | None = None) -> None:
        import soundfile  # takes 0.1 s, and most recordings do not need it

        self._region = region
        # By its descriptor libsndfile reads a file itself, in half the time.
        self._descriptor = descriptor = region.descriptor()
        if descriptor is not None:
            self._offset = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, 0, os.SEEK_SET)
        form = {}
        if headerless is not None:
            form = {
                "format": "RAW",
                "subtype": headerless.subtype,
                "samplerate": headerless.sample_rate,
                "channels": headerless.channels,
            }
        try:
            self._file = soundfile.SoundFile(
                region if descriptor is None else descriptor, closefd=False, **form
            )
        except Exception as error:
            raise region.error or Undecodable(str(error)) from error
        self.container = Container.WAV
        self.channels: int = self._file.channels
        self.sample_rate: int = self._file.samplerate
        self._frames: int = self._file.frames
        self.seconds = self._frames / self.sample_rate
        self.codec: str = self._file.subtype
        self.format: str = self._file.format

    def samples(self) -> Iterator[bytes]:
        """The samples of all channels in turn, little-endian.

        Ends early, without an error, where the file does. Raises Undecodable and OSError.
        """
        floats = self.codec in _OF_FLOATS
        left = self._frames
        while left > 0:
            try:
                block = self._file.read(
                    min(_BLOCK, left), dtype="float32" if floats else "int16", always_2d=True
                )
            except Exception as error:
                raise self._region.error or Undecodable(str(error)) from error
            if self._region.error:
                raise self._region.error
            if not len(block):
                return
            left -= len(block)
            if floats:
                import numpy as np

                # What is not a number is silence.
                block = np.clip(np.nan_to_num(block.astype("float64")), -1, 1)
                block = np.minimum(np.rint(block * _FULL_SCALE), _FULL_SCALE - 1)
            yield block.astype("<i2", copy=False).tobytes()

    blocks = samples
    """What goes up."""

    def __enter__(self) -> Self:
        """Itself, open."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it; the handle stays open, where it was."""
        self._file.close()
        if self._descriptor is not None:
            os.lseek(self._descriptor, self._offset, os.SEEK_SET)


class OpusEncoder(AbstractContextManager["OpusEncoder"]):
    """Makes an Ogg with Opus of 16-bit samples, and tells ``write`` its bytes."""

    def __init__(self, write: Callable[[bytes], None], info: AudioInfo) -> None:
        import soundfile

        self._channels = info.channels
        self._sink = _Sink(write)
        self._file = soundfile.SoundFile(
            self._sink, "w", info.sample_rate, info.channels, format="OGG", subtype="OPUS"
        )

    def encode(self, block: bytes) -> None:
        """Take whole samples of all channels. Raises what ``write`` does."""
        self._file.buffer_write(block, "int16")
        self._sink.check()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the end. Raises what ``write`` does."""
        self._file.close()
        if error is None:
            self._sink.check()


class _Sink:
    """A file that libsndfile writes; an error is kept, since none must pass through libsndfile."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._size = 0
        self._error: Exception | None = None

    def check(self) -> None:
        """Raise the error that was kept."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        """As of any file."""
        data = bytes(data)
        if self._error is None:
            try:
                self._write(data)
            except Exception as error:  # noqa: BLE001 - raised by check
                self._error = error
        self._size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: ARG002 - of an Ogg all is appended
        """Stay at the end."""
        return self._size

    def tell(self) -> int:
        """The end."""
        return self._size


class Region:
    """A part of a file as a file of its own, for libsndfile.

    ``patches`` are bytes that are read in place of those in the file, by offset. An error of the
    disk is kept in ``error``, since exceptions must not pass through libsndfile.
    """

    def __init__(
        self,
        handle: BinaryIO,
        size: int,
        start: int = 0,
        patches: tuple[tuple[int, bytes], ...] = (),
    ) -> None:
        self.error: OSError | None = None
        self._handle = handle
        self._start, self.size = start, size
        self._patches = patches
        self._position = 0

    def descriptor(self) -> int | None:
        """The descriptor of the file, if this is all of it, at its start; None if not."""
        if self._patches or self._start or not isinstance(self._handle, FileIO | BufferedReader):
            return None
        descriptor = self._handle.fileno()
        return descriptor if os.fstat(descriptor).st_size == self.size else None

    def readinto(self, buffer: memoryview) -> int:
        """As of any file; nothing once the disk failed."""
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
            return len(data)

    def read(self, count: int = -1) -> bytes:
        """As of any file; nothing once the disk failed."""
        left = max(self.size - self._position, 0)
        count = left if count < 0 else min(count, left)
        if self.error is not None or not count:
            return b""
        try:
            self._handle.seek(self._start + self._position)
            data = self._handle.read(count)
        except OSError as error:
            self.error = error
            return b""
        for offset, patch in self._patches:
            at = offset - self._position
            if -len(patch) < at < len(data):
                whole = bytearray(data)
                begin = max(-at, 0)
                end = min(len(patch), len(data) - at)
                whole[at + begin : at + end] = patch[begin:end]
                data = bytes(whole)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file; a position before the start is the start."""
        base = {os.SEEK_CUR: self._position, os.SEEK_END: self.size}.get(whence, 0)
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """As of any file."""
        return self._position
