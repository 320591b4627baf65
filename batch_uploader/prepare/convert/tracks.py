"""The samples of any file that can be decoded, also of one that the service takes as it is."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Self

from msgspec.structs import replace

from batch_uploader.core.model import AudioInfo, Container, Defect, Entry
from batch_uploader.prepare.audio import essence
from batch_uploader.prepare.convert import (
    AnyDecoder,
    Conversion,
    decode,
    decoder_of,
    require_length,
    way_of,
)
from batch_uploader.prepare.convert.decoding import FRAME_BYTES, Undecodable
from batch_uploader.prepare.convert.finding import Way
from batch_uploader.prepare.reading import ContentDigests, read


class Track(AbstractContextManager["Track"]):
    """An open file as ``examine`` found it. Take its samples, close it, then ask what it is.

    ``codec`` names what the file has, ``seconds`` its length by its header, None if it tells none.
    Raises Undecodable, and the OSError of the handle.
    """

    def __init__(self, handle: BinaryIO, entry: Entry, found: AudioInfo | Conversion) -> None:
        self._handle, self._entry, self._found = handle, entry, found
        if isinstance(found, Conversion):
            way, self.seconds, self.codec = found.way, found.seconds, found.codec
        else:
            way, self.seconds = way_of(handle, entry, found), found.duration
            self.codec = found.container.value
        self._decoder = _decoder(handle, way)
        self.sample_rate = self._decoder.sample_rate
        self.channels = self._decoder.channels
        self._heard = None
        if isinstance(found, Conversion) and found.info.container is Container.WAV:
            self._heard = essence.of_made(found.info)
        self._frames = 0

    def samples(self) -> Iterator[bytes]:
        """Of all channels in turn, 16-bit, little-endian. Raises Undecodable and OSError."""
        for block in self._decoder.samples():
            if self._heard is not None:
                self._heard.update(block)
            self._frames += len(block) // (FRAME_BYTES * self.channels)
            yield block

    @property
    def measured(self) -> float:
        """The seconds that were decoded."""
        return self._frames / self.sample_rate

    def defect(self) -> Defect | None:
        """Why it is not sent, if it ended before its header says."""
        if not isinstance(self._found, Conversion):
            return None  # its structure was followed to its end
        return require_length(self._entry, self._found, self.measured)

    def digests(self) -> tuple[bytes, bytes] | Defect:
        """SHA-256 and essence that the file has as a recording of its own.

        Raises OSError, and SourceChanged if it is shorter than it was listed.
        """
        if self._heard is not None:
            digest = hashlib.sha256()
            read(self._handle, self._entry, digest.update)
            return digest.digest(), self._heard.digest()
        if isinstance(self._found, Conversion):
            return decode(self._handle, self._entry, self._found, lambda _block: None)
        whole = ContentDigests(essence.begin(self._handle, self._entry.size, self._found))
        read(self._handle, self._entry, whole.update)
        return whole.digest()

    def __enter__(self) -> Self:
        """Itself, open."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the decoder; the handle stays open."""
        self._decoder.__exit__(None, None, None)


def _decoder(handle: BinaryIO, way: Way) -> AnyDecoder:
    try:
        return decoder_of(handle, way)
    except Undecodable:
        return decoder_of(handle, replace(way, foreign=True))
