"""What is heard in a file, as a digest: the same for all files that have the same audio.

Tags, headers, chunks, pages, serial numbers and comments are not heard. So a file has the same
essence after its header was repaired, a tag was written or it was remuxed, and another one once a
sample, a frame or a packet differs. It is made in the pass that makes the file's SHA-256.

An essence is a letter for what was hashed, and the XXH3 of that in 128 bits. Ledgers keep it, so
what is hashed under a letter never changes.
"""

import struct
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import xxhash

from batch_uploader.core.identity import CONSTANT
from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio import mpeg, ogg, riff
from batch_uploader.prepare.audio.content import Content, Readable
from batch_uploader.prepare.audio.refusal import STRAY

PCM, MP3, OPUS, VORBIS = b"p", b"m", b"o", b"v"
JOINED = b"j"
"""The essences of the parts, one after the other."""
PIECE = b"s"
"""The essence of the whole, and which samples of it."""
WHOLE = b"f"
"""The whole file: where its audio is could not be told."""

Block: TypeAlias = bytes | memoryview

_COMPARED = 4096
_ENDLESS = 1 << 62
_SAMPLE_BYTES = 2

_PAGE = struct.Struct("<4sB21xB")
_LONGEST_HEADER = _PAGE.size + 255
_GOES_ON = 255
"""The length of a segment after which the packet goes on."""
_VORBIS_HEAD = b"\x01vorbis"
_HEADERS = {OPUS: 2, VORBIS: 3}
"""How many packets come before the audio."""


class Essence(Protocol):
    """The essence of one file in the making."""

    def update(self, block: Block) -> None:
        """Take the next bytes of the file, from its first one on."""

    def digest(self) -> bytes:
        """The essence. Call it once, after all bytes of the file."""


def begin(handle: Readable, size: int, info: AudioInfo) -> Essence:
    """What makes the essence of this file, which was found to be ``info``.

    Reads little of the file and leaves it at any position. Blocks, and raises what the handle
    raises; no error for any content.
    """
    content = Content(handle, size)
    if info.container is Container.OGG_OPUS:
        return _Packets(VORBIS if _VORBIS_HEAD in content.at(0, _LONGEST_HEADER) else OPUS, size)
    if info.container is Container.MP3:
        region = mpeg.frames(content)
        return _Region(MP3, *region) if region else _Region(WHOLE, 0, size)
    samples = riff.samples(content) if info.container is Container.WAV else (0, size)
    if not samples:
        return _Region(WHOLE, 0, size)
    start, end = samples
    frame = info.channels * _SAMPLE_BYTES
    return _Region(PCM, start, end - (end - start) % frame, frame)


def of_made(info: AudioInfo) -> Essence:
    """What makes the essence of audio that is made of a file: samples, MP3 frames, or an Ogg."""
    if info.container is Container.OGG_OPUS:
        return _Packets(OPUS, _ENDLESS)
    if info.container is Container.MP3:
        return _Region(MP3, 0, _ENDLESS)
    return _Region(PCM, 0, _ENDLESS, info.channels * _SAMPLE_BYTES)


def of_parts(parts: Sequence[bytes]) -> bytes:
    """The essence of a recording that is joined of parts, by theirs."""
    whole = b"".join(parts)
    letter = CONSTANT if all(each[:1] == CONSTANT for each in parts) else JOINED
    return letter + xxhash.xxh3_128_digest(whole)


def of_piece(whole: bytes, begin: int, end: int) -> bytes:
    """The essence of a piece of audio that has this one, in samples."""
    letter = CONSTANT if whole[:1] == CONSTANT else PIECE
    return letter + xxhash.xxh3_128_digest(whole + f"{begin}-{end}".encode())


class _Region:
    """The bytes from ``start`` to ``end``; with ``frame``, PCM of this many bytes a frame."""

    def __init__(self, letter: bytes, start: int, end: int, frame: int = 0) -> None:
        self._letter = letter
        self._skip = start
        self._left = end - start
        self._constant = _Constant(frame) if frame else None
        self._hash = xxhash.xxh3_128()

    def update(self, block: Block) -> None:
        size = len(block)
        if self._skip or self._left < size:
            skip = min(self._skip, size)
            self._skip -= skip
            block = memoryview(block)[skip : skip + self._left]
        self._left -= len(block)
        self._hash.update(block)
        if self._constant and not self._constant.goes_on(block):
            self._constant = None

    def digest(self) -> bytes:
        letter = CONSTANT if self._constant else self._letter
        return letter + self._hash.digest()


class _Constant:
    """Whether all frames are equal to the first; the first difference ends the comparison."""

    def __init__(self, frame: int) -> None:
        self._frame = frame
        self._step = max(_COMPARED // frame, 1) * frame
        self._first = b""
        self._offset = 0  # of the next byte in its frame

    def goes_on(self, block: Block) -> bool:
        """Whether the next bytes are as the ones before."""
        if len(self._first) < self._frame:
            self._first += bytes(block[: self._frame - len(self._first)])
            if len(self._first) < self._frame:
                self._offset = len(self._first)
                return True
        expected = self._first * (self._step // self._frame + 1)
        expected = expected[self._offset : self._offset + self._step]
        for at in range(0, len(block), self._step):
            piece = bytes(block[at : at + self._step])
            if piece != expected[: len(piece)]:
                return False
        self._offset = (self._offset + len(block)) % self._frame
        return True


class _Packets:
    """The packets of an Ogg after its headers, and their lengths.

    The lengths are the segment tables of all pages, one after the other: these are the same
    however the packets are divided into pages. Stray bytes and a page that is cut off are no part
    of it at the end of the file; one that has them elsewhere is hashed as a whole.
    """

    def __init__(self, letter: bytes, size: int) -> None:
        self._letter = letter
        self._left = size
        self._headers = _HEADERS[letter]
        self._whole = xxhash.xxh3_128()
        self._packets = xxhash.xxh3_128()
        self._lengths = xxhash.xxh3_128()
        self._head = b""  # the beginning of a page's header, from the blocks before
        self._skip = 0  # bytes of header packets that follow
        self._body = 0  # bytes of packets that follow
        self._heard = self._over = self._lost = False

    def update(self, block: Block) -> None:
        self._whole.update(block)
        view = memoryview(block)
        at = 0
        while at < len(view) and not self._over:
            if self._skip:
                step = min(self._skip, len(view) - at)
                self._skip -= step
            elif self._body:
                step = min(self._body, len(view) - at)
                self._packets.update(view[at : at + step])
                self._body -= step
            elif self._headers or self._head or not (step := self._whole_pages(view[at:])):
                step = self._page(view[at : at + _LONGEST_HEADER])
            self._left -= step
            at += step

    def digest(self) -> bytes:
        if self._lost or not self._heard:
            return WHOLE + self._whole.digest()
        both = self._packets.digest() + self._lengths.digest()
        return self._letter + xxhash.xxh3_128_digest(both)

    def _whole_pages(self, view: memoryview) -> int:
        """Take the pages that are whole in the view; their total length.

        ``_page`` and ``update`` would do the same, in twice the time.
        """
        at, lengths = 0, []
        while at + _LONGEST_HEADER <= len(view):
            magic, version, count = _PAGE.unpack_from(view, at)
            body = at + _PAGE.size + count
            lacing = view[at + _PAGE.size : body].tobytes()
            end = body + sum(lacing)
            if magic != ogg.MAGIC or version or end > len(view):
                break
            self._packets.update(view[body:end])
            lengths.append(lacing)
            at = end
        self._hear(b"".join(lengths))
        return at

    def _hear(self, lacing: bytes) -> None:
        self._lengths.update(lacing)
        self._heard |= bool(lacing)

    def _page(self, view: memoryview) -> int:
        """Read the header of a page; how many bytes of the view were its."""
        before = len(self._head)
        head = self._head + view[: _LONGEST_HEADER - before].tobytes()
        size = _PAGE.size + head[_PAGE.size - 1] if len(head) >= _PAGE.size else _LONGEST_HEADER
        if len(head) < size:
            self._head = head
            return len(head) - before
        self._head = b""
        magic, version, _ = _PAGE.unpack_from(head)
        lacing, left = head[_PAGE.size : size], self._left + before
        if magic != ogg.MAGIC or version or size + sum(lacing) > left:
            self._over, self._lost = True, left > STRAY
            return size - before
        if self._headers:
            lacing = self._after_headers(lacing)
        self._body = sum(lacing)
        self._hear(lacing)
        return size - before

    def _after_headers(self, lacing: bytes) -> bytes:
        for count, length in enumerate(lacing, 1):
            self._skip += length
            self._headers -= length < _GOES_ON
            if not self._headers:
                return lacing[count:]
        return b""
