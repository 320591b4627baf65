"""Decodes, or takes out of their container, what libsndfile does not know: by FFmpeg, an extra."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Final, Self

from batch_uploader.core.model import Container
from batch_uploader.prepare.audio.refusal import FASTEST, SLOWEST
from batch_uploader.prepare.convert.decoding import (
    FRAME_BYTES,
    ExtraMissing,
    Region,
    Undecodable,
)

AVAILABLE: Final = find_spec("av") is not None
"""Whether the extra is installed."""
INSTALL: Final = "pip install 'batch-uploader[codecs]'"

_ESTIMATED: Final = frozenset({"aac", "amr", "g722", "g729"})
"""Formats without a length; FFmpeg estimates it from the size."""
_TAKEN_OUT: Final = {
    "opus": Container.OGG_OPUS,
    "mp3": Container.MP3,
    "mp3float": Container.MP3,
}
"""Codecs that the service accepts, in their own containers."""
_OPTIONS: Final = {
    Container.OGG_OPUS: ("ogg", {"fflags": "bitexact"}),
    Container.MP3: ("mp3", {"write_xing": "0", "id3v2_version": "0"}),
}
"""FFmpeg's names and options for these: without anything that is new at each run."""


class CodecDecoder(AbstractContextManager["CodecDecoder"]):
    """The first audio stream of a file; ``form`` is FFmpeg's name of its format, if that is known.

    ``seconds`` is its length by its header, None if it has none; ``container`` what it is made
    into. Raises Undecodable, also without the extra, and the OSError of the handle.
    """

    def __init__(self, region: Region, form: str | None = None) -> None:
        try:
            import av
        except ImportError as error:
            raise ExtraMissing(INSTALL) from error
        self._region = region
        try:
            self._file = av.open(region, "r", format=form)
            self._stream = self._file.streams.audio[0]
            self.codec: str = self._stream.codec_context.name
            self.format: str = self._file.format.name.partition(",")[0]
            self.channels: int = self._stream.channels
            rate: int = self._stream.rate
        except Exception as error:
            raise region.error or Undecodable(str(error)) from error
        self.container = _TAKEN_OUT.get(self.codec, Container.WAV)
        self.sample_rate = min(max(rate, SLOWEST), FASTEST)
        length, unit, whole = self._stream.duration, self._stream.time_base, self._file.duration
        self.seconds: float | None = None
        if self.format in _ESTIMATED:
            pass
        elif length is not None and unit is not None:
            self.seconds = float(length * unit)
        elif whole is not None:
            self.seconds = whole / av.time_base

    def blocks(self) -> Iterator[bytes]:
        """The samples of all channels in turn, or the file that they are taken out into.

        Raises Undecodable and OSError.
        """
        return (
            self._told(self._packets()) if self.container is not Container.WAV else self.samples()
        )

    def samples(self) -> Iterator[bytes]:
        """The samples of all channels in turn. Raises Undecodable and OSError."""
        return self._told(self._decoded())

    def _told(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            try:
                block = next(blocks, None)
            except Exception as error:
                raise self._region.error or Undecodable(str(error)) from error
            if self._region.error:
                raise self._region.error
            if block is None:
                return
            yield block

    def _decoded(self) -> Iterator[bytes]:
        import av

        stream = self._stream
        resampler = av.AudioResampler("s16", stream.layout.name, self.sample_rate)
        frame_bytes = FRAME_BYTES * self.channels
        for frame in self._file.decode(stream):
            for made in resampler.resample(frame):
                yield bytes(made.planes[0])[: made.samples * frame_bytes]
        for made in resampler.resample(None):
            yield bytes(made.planes[0])[: made.samples * frame_bytes]

    def _packets(self) -> Iterator[bytes]:
        import av

        form, options = _OPTIONS[self.container]
        taken = _Taken()
        with av.open(taken, "w", format=form, container_options=options) as made:
            stream = made.add_stream_from_template(self._stream)
            for packet in self._file.demux(self._stream):
                if packet.dts is not None:
                    packet.stream = stream
                    made.mux(packet)
                    yield taken.take()
        yield taken.take()

    def __enter__(self) -> Self:
        """Itself, open."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it; the handle stays open."""
        self._file.close()


class _Taken:
    """What FFmpeg wrote since it was taken the last time."""

    def __init__(self) -> None:
        self._content = bytearray()

    def write(self, data: bytes) -> int:
        """Keep it."""
        self._content += data
        return len(data)

    def take(self) -> bytes:
        """Take it."""
        taken = bytes(self._content)
        self._content.clear()
        return taken
