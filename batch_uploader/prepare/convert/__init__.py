"""Audio that the service refuses, made into what it takes: 16-bit PCM in WAV, or the MP3 inside.

The file is examined before, and decoded once, block by block, to memory or a temporary file. The
same file makes the same bytes at each run. The recording stays what its file is: identity and
digest are the file's.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import BinaryIO, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import AudioInfo, Container, Defect, Entry, Sent
from batch_uploader.core.ports import Source
from batch_uploader.prepare import audio
from batch_uploader.prepare.audio import AudioRules, Convert, essence, mpeg, require_fit, riff
from batch_uploader.prepare.audio.content import Content, Readable
from batch_uploader.prepare.audio.refusal import FASTEST, SLOWEST, DefectKind, Refusal
from batch_uploader.prepare.convert.blockwise import CODECS, BlockDecoder
from batch_uploader.prepare.convert.codecs import CodecDecoder
from batch_uploader.prepare.convert.decoding import (
    OPUS_RATES,
    Decoder,
    ExtraMissing,
    Headerless,
    Region,
    Undecodable,
)
from batch_uploader.prepare.convert.finding import Way, cut_off, find
from batch_uploader.prepare.convert.resampling import Resampled
from batch_uploader.prepare.convert.spool import Space, Spool, wav_size
from batch_uploader.prepare.reading import probe, read, require_rest, user_path

_CONVERTED: Final = frozenset(
    {DefectKind.CODEC, DefectKind.FORMAT, DefectKind.SAMPLE_RATE, DefectKind.UNFINISHED}
)
AnyDecoder: TypeAlias = Decoder | BlockDecoder | CodecDecoder | Resampled

_ROUNDED = 0.1
"""Seconds that a header may announce too many: encoders count padding, or round."""
_BLOCK = 256 * 1024


class Conversion(Struct, frozen=True):
    """How a file becomes what the service takes.

    ``info`` is what goes up; its duration may be a little wrong, or 0, where only decoding tells.
    ``codec`` is what the file has, ``seconds`` its length by its header, None if it tells none.
    With ``shrinks`` the PCM that ``info`` says is made Opus.
    """

    way: Way
    info: AudioInfo
    codec: str
    seconds: float | None
    shrinks: bool = False

    @property
    def made_size(self) -> int:
        """The bytes of what is made, 0 if only decoding tells."""
        if self.shrinks or self.seconds is None or self.info.container is not Container.WAV:
            return 0
        return wav_size(self.info, self.seconds)


class Converted(Struct, frozen=True):
    """What goes up: in ``content``, behind the room for its message, or in a temporary ``file``.

    ``sha256`` and ``heard`` are the digest and the essence of the file that it was made of.
    """

    sent: Sent
    info: AudioInfo
    sha256: bytes
    heard: bytes
    content: BytesIO | None
    file: BinaryIO | None

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def may_help(defect: Defect, rules: AudioRules) -> bool:
    """Whether a file with this defect may be sent if it is converted."""
    return rules.convert in {Convert.NEEDED, Convert.OPUS} and defect.kind in _CONVERTED


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
        way = find(Content(handle, entry.size), entry.path, rules)
        found = None if way is None else _look(handle, way, rules)
        if found is None:
            return defect
        if found.seconds is not None:
            require_fit(found.info, rules)
    except ExtraMissing as extra:
        return _installable(defect, extra.install)
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
        return shrunk(handle, entry, info, rules)
    found = instead(handle, entry, info, rules, partial(user_path, source))
    require_rest(source, handle, entry)
    return found


def may_shrink(info: AudioInfo, rules: AudioRules) -> bool:
    """Whether sound audio is made Opus."""
    linear = info.container in {Container.WAV, Container.RAW}
    return rules.convert is Convert.OPUS and linear and info.sample_rate in OPUS_RATES


def shrunk(
    handle: BinaryIO, entry: Entry, info: AudioInfo, rules: AudioRules
) -> AudioInfo | Conversion:
    """How sound PCM is made Opus, if that is wanted. Blocking. Raises OSError."""
    if not may_shrink(info, rules):
        return info
    way = way_of(handle, entry, info)
    info = replace(info, container=Container.WAV)
    return Conversion(way, info, "16-bit PCM", info.duration, shrinks=True)


def way_of(handle: BinaryIO, entry: Entry, info: AudioInfo) -> Way:
    """How to decode a file that the service takes as it is. Blocking. Raises OSError."""
    content, whole = Content(handle, entry.size), Way(0, entry.size, shows_end=info.shows_end)
    if info.container is Container.RAW:
        form = Headerless("PCM_16", info.sample_rate, info.channels)
        return replace(whole, headerless=form)
    if info.container is Container.WAV:
        return replace(whole, patches=riff.any_codec(content).patches)
    start = mpeg.after_tags(content) if info.container is Container.MP3 else 0
    return replace(whole, start=start, size=entry.size - start)


def _installable(defect: Defect, install: str) -> Defect:
    return replace(defect, cure=f"install what decodes it with `{install}`, or {defect.cure}")


def _look(handle: BinaryIO, way: Way, rules: AudioRules) -> Conversion | None:
    if way.copied:
        content = Content(Region(handle, way.size, way.start), way.size)
        info = mpeg.read(content, mpeg.after_tags(content), rules.max_duration)
        return None if info is None else Conversion(way, info, "MP3 in WAV", info.duration)
    if not way.foreign:
        try:
            with decoder_of(handle, way) as decoder:
                if SLOWEST <= decoder.sample_rate <= FASTEST:
                    return _found(way, decoder, rules)
        except ExtraMissing:
            raise
        except Undecodable:
            pass
        way = replace(way, foreign=True)
    with decoder_of(handle, way) as decoder:
        return _found(way, decoder, rules)


def _found(way: Way, decoder: AnyDecoder, rules: AudioRules) -> Conversion:
    info = AudioInfo(
        decoder.container,
        decoder.channels,
        decoder.sample_rate,
        decoder.seconds or 0,
        way.shows_end,
    )
    shrinks = may_shrink(info, rules)
    codec = f"{decoder.codec} in {decoder.format}"
    return Conversion(way, info, codec, decoder.seconds, shrinks)


def decoder_of(handle: BinaryIO, way: Way) -> AnyDecoder:
    """What decodes an open file. Raises Undecodable, and the OSError of the handle."""
    region = Region(handle, way.size, way.start, way.patches)
    if way.foreign:
        return CodecDecoder(region, way.form)
    if way.headerless is not None and way.headerless.subtype in CODECS:
        return BlockDecoder(region, way.headerless)
    if way.headerless is not None and way.headerless.sample_rate < SLOWEST:
        return Resampled(Decoder(region, way.headerless), SLOWEST)
    return Decoder(region, way.headerless)


def convert(
    handle: BinaryIO,
    entry: Entry,
    conversion: Conversion,
    rules: AudioRules,
    space: Space = Space(),  # noqa: B008 - it is frozen
) -> Converted | Defect:
    """Convert a file; a defect if it ends before its header says, or does not fit the rules.

    Blocking: it takes as long as decoding does. Raises OSError, SourceChanged if the file is
    shorter than it was listed, and SourceError if there is no space for what is made.
    """
    with Spool(
        entry.path,
        conversion.info,
        shrinks=conversion.shrinks,
        expected=conversion.made_size,
        space=space,
    ) as spool:
        with spool.keeping() as keep:
            digests = decode(handle, entry, conversion, keep)
        if isinstance(digests, Defect):
            return digests
        info = _probe_made(spool.finish(), spool.size, entry, conversion, rules)
        if isinstance(info, Defect):
            return info
        sent = Sent(info.container, spool.size, spool.digest(), conversion.codec)
        content, file = spool.take()
    return Converted(sent, info, *digests, content, file)


def _probe_made(
    file: Readable, size: int, entry: Entry, conversion: Conversion, rules: AudioRules
) -> AudioInfo | Defect:
    """What was made, if it is what was promised."""
    info = audio.probe(file, entry.path, size, rules)
    if isinstance(info, Defect):
        return info
    if (short := require_length(entry, conversion, info.duration)) is not None:
        return short
    return replace(info, shows_end=conversion.info.shows_end)


def require_length(entry: Entry, conversion: Conversion, decoded: float) -> Defect | None:
    """The defect of a file that ended before its header says, by the seconds that were decoded."""
    missing = (conversion.seconds or 0) - decoded
    return (
        cut_short(entry, f"{missing:.2f} s before its announced end")
        if missing > _ROUNDED
        else None
    )


def decode(
    handle: BinaryIO, entry: Entry, conversion: Conversion, keep: Callable[[bytes], None]
) -> tuple[bytes, bytes] | Defect:
    """Tell ``keep`` the audio that goes up. Returns SHA-256 and essence of the file.

    Raises as ``convert`` does.
    """
    digest = hashlib.sha256()
    read(handle, entry, digest.update)
    heard = essence.of_made(conversion.info)
    try:
        for block in _blocks(handle, conversion.way):
            heard.update(block)
            keep(block)
    except Undecodable as error:
        return undecodable(entry, error)
    return digest.digest(), heard.digest()


def undecodable(entry: Entry, error: Undecodable) -> Defect:
    """The defect of a file whose decoder gave up."""
    return cut_short(entry, f"where it cannot be decoded any further ({error})")


def cut_short(entry: Entry, where: str) -> Defect:
    """The defect of a file that turned out to lack its end."""
    return cut_off("the audio", where).defect(entry.path, entry.path, may_grow=True)


def _blocks(handle: BinaryIO, way: Way) -> Iterator[bytes]:
    if way.copied:
        region = Region(handle, way.size, way.start)
        while block := region.read(_BLOCK):
            yield block
        if region.error:
            raise region.error
        return
    with decoder_of(handle, way) as decoder:
        yield from decoder.blocks()
