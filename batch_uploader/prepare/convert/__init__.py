"""Audio that the service refuses, made into what it takes: 16-bit PCM in WAV, or the MP3 inside.

The file is examined before, and decoded once, block by block, to memory or a temporary file. The
same file makes the same bytes at each run. The recording stays what its file is: identity and
digest are the file's.
"""

import hashlib
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import BinaryIO, Final, Self

from msgspec import Struct

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Container, Defect, Entry, Sent
from batch_uploader.core.ports import Source
from batch_uploader.prepare.audio import AudioRules, Convert, essence, mpeg, require_fit
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.refusal import DefectKind, Refusal
from batch_uploader.prepare.convert.decoding import FRAME_BYTES, Decoder, Region, Undecodable
from batch_uploader.prepare.convert.finding import Way, cut_off, find
from batch_uploader.prepare.reading import probe, read, require_rest, user_path

_CONVERTED: Final = frozenset({DefectKind.CODEC, DefectKind.FORMAT})
_WAV_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST: Final = 0xFFFF_FFFF - _WAV_HEADER.size
_IN_MEMORY = 256 * 1024
_BLOCK = 256 * 1024


class Conversion(Struct, frozen=True):
    """How a file becomes what the service takes.

    ``info`` is what goes up, ``nbytes`` the size of its audio; ``codec`` is what the file has.
    """

    way: Way
    info: AudioInfo
    codec: str
    nbytes: int


class Converted(Struct, frozen=True):
    """What goes up: in ``content``, or in the open temporary ``file``.

    ``sha256`` and ``heard`` are the digest and the essence of the file that it was made of.
    """

    sent: Sent
    sha256: bytes
    heard: bytes
    content: bytes | None
    file: BinaryIO | None

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def may_help(defect: Defect, rules: AudioRules) -> bool:
    """Whether a file with this defect may be sent if it is converted."""
    return rules.convert is Convert.NEEDED and defect.kind in _CONVERTED


def instead(
    handle: BinaryIO,
    entry: Entry,
    defect: Defect,
    rules: AudioRules,
    user_path: Callable[[str], str] = str,
) -> Conversion | Defect:
    """How a file with this defect is converted; a defect if that cannot be done.

    Reads headers only. Blocking. Raises OSError.
    """
    if not may_help(defect, rules):
        return defect
    try:
        way = find(Content(handle, entry.size), entry.path, require_end=rules.needs_end_mark)
        # A header that was never finished may be of a file that is still being written.
        found = None if way is None or way.patches else _look(handle, way, rules)
        if found is None:
            return defect
        require_fit(found.info, rules)
    except Undecodable:
        return defect
    except Refusal as refusal:
        growing = refusal.kind in {DefectKind.TRUNCATED, DefectKind.NO_END_MARK}
        return refusal.defect(
            entry.path, user_path(entry.path), may_grow=growing or defect.may_grow
        )
    return found


def examine(
    source: Source, handle: BinaryIO, entry: Entry, rules: AudioRules
) -> AudioInfo | Conversion | Defect:
    """What is in the audio of an open file, and how it is converted if that is needed.

    Raises OSError, and SourceChanged if it is not as it was listed.
    """
    info = probe(source, handle, entry, rules)
    if not isinstance(info, Defect):
        return info
    found = instead(handle, entry, info, rules, partial(user_path, source))
    require_rest(source, handle, entry)
    return found


def _look(handle: BinaryIO, way: Way, rules: AudioRules) -> Conversion | None:
    region = Region(handle, way.size, way.start, way.patches)
    if way.copied:
        content = Content(region, way.size)
        info = mpeg.read(content, mpeg.after_tags(content), rules.max_duration)
        return None if info is None else Conversion(way, info, "MP3 in WAV", way.size)
    with Decoder(region, way.headerless) as decoder:
        nbytes = decoder.frames * decoder.channels * FRAME_BYTES
        if not 0 < nbytes <= _LARGEST:
            return None
        seconds = decoder.frames / decoder.sample_rate
        info = AudioInfo(
            Container.WAV, decoder.channels, decoder.sample_rate, seconds, way.shows_end
        )
        return Conversion(way, info, f"{decoder.codec} in {decoder.format}", nbytes)


def convert(handle: BinaryIO, entry: Entry, conversion: Conversion) -> Converted | Defect:
    """Convert a file; a defect if it ends before its header says.

    Blocking: it takes as long as decoding does. Raises OSError, SourceChanged if the file is
    shorter than it was listed, and SourceError if there is no space for what is made.
    """
    info = conversion.info
    with _Spool(entry.path, conversion.nbytes) as spool:
        sent = hashlib.sha256()

        def keep(block: bytes) -> None:
            sent.update(block)
            spool.write(block)

        digests = decode(handle, entry, conversion, keep)
        if isinstance(digests, Defect):
            return digests
        content, file = spool.take()
    made = Sent(info.container, spool.size, sent.digest(), conversion.codec)
    return Converted(made, *digests, content, file)


def decode(
    handle: BinaryIO, entry: Entry, conversion: Conversion, keep: Callable[[bytes], None]
) -> tuple[bytes, bytes] | Defect:
    """Tell ``keep`` what goes up. Returns SHA-256 and essence of the file.

    Raises as ``convert`` does.
    """
    way, info, nbytes = conversion.way, conversion.info, conversion.nbytes
    if info.container is Container.MP3:
        heard = essence.begin(Region(handle, way.size, way.start), way.size, info)
    else:
        heard = essence.of_samples(nbytes, info.channels)
        keep(wav_header(info, nbytes))
    digest = hashlib.sha256()
    read(handle, entry, digest.update)
    written = 0
    try:
        for block in _blocks(handle, conversion):
            heard.update(block)
            keep(block)
            written += len(block)
    except Undecodable as error:
        return _cut_off(entry, f"where it cannot be decoded any further ({error})")
    if written != nbytes:
        seconds = (nbytes - written) / FRAME_BYTES / info.channels / info.sample_rate
        return _cut_off(entry, f"{seconds:.2f} s before its announced end")
    return digest.digest(), heard.digest()


def _cut_off(entry: Entry, where: str) -> Defect:
    return cut_off("the audio", where).defect(entry.path, entry.path, may_grow=True)


def _blocks(handle: BinaryIO, conversion: Conversion) -> Iterator[bytes]:
    way = conversion.way
    region = Region(handle, way.size, way.start, way.patches)
    if way.copied:
        while block := region.read(_BLOCK):
            yield block
        if region.error:
            raise region.error
        return
    with Decoder(region, way.headerless) as decoder:
        yield from decoder.blocks()


def wav_header(info: AudioInfo, nbytes: int) -> bytes:
    """The header of a WAV with so many bytes of 16-bit PCM."""
    frame = info.channels * FRAME_BYTES
    return _WAV_HEADER.pack(
        b"RIFF", nbytes + _WAV_HEADER.size - 8, b"WAVE",
        b"fmt ", 16, 1, info.channels, info.sample_rate, info.sample_rate * frame, frame, 16,
        b"data", nbytes,
    )  # fmt: skip


class _Spool:
    """Where converted audio is kept: in memory, or in a temporary file if it is large."""

    def __init__(self, path: str, nbytes: int) -> None:
        self._path = path
        self.size = 0
        self._taken = False
        with self._explaining():
            self._file: BinaryIO = (
                BytesIO()
                if nbytes <= _IN_MEMORY
                else tempfile.TemporaryFile(prefix="batch-uploader-")  # noqa: SIM115 - the payload closes it
            )

    def write(self, block: bytes) -> None:
        """Append. Raises SourceError."""
        with self._explaining():
            self._file.write(block)
        self.size += len(block)

    def take(self) -> tuple[bytes | None, BinaryIO | None]:
        """The content, or the file, which is the caller's from now on. Raises SourceError."""
        with self._explaining():
            self._file.flush()
        if isinstance(self._file, BytesIO):
            return self._file.getvalue(), None
        self._taken = True
        return None, self._file

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
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
