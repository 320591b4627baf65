"""File -> AudioInfo | Defect: does the service accept it, and is it complete?

The content decides, never the name. The service accepts WAV with 16-bit linear PCM, MP3, Ogg Opus,
and raw PCM if its format is declared. ``DefectKind`` has the kinds of defects.

RF64 and BW64 (WAV with 64-bit sizes) are refused. The API has a type WAV and does not mention them,
and recordings do not need them: four hours of two channels at 48 kHz are 2.8 GB, and a plain WAV
holds 4.

Only headers and ends of a file are read, whatever its size, except for an MP3 without a plausible
header of its length (see ``mpeg``). Each defect that ffmpeg can fix has the command.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import PurePosixPath

from msgspec import Struct

from batch_uploader.core.checks import require_number, require_type, require_whole
from batch_uploader.core.model import AudioInfo, Container, Defect
from batch_uploader.core.text import plural
from batch_uploader.core.units import format_duration
from batch_uploader.prepare.audio import foreign, mpeg, ogg, riff
from batch_uploader.prepare.audio.content import Content, Readable, TakesLonger
from batch_uploader.prepare.audio.refusal import (
    FASTEST,
    SLOWEST,
    CureCommand,
    DefectKind,
    Refusal,
    empty,
    to_pcm,
)

__all__ = [
    "AudioRules",
    "Convert",
    "DefectKind",
    "EndMark",
    "RawFormat",
    "TakesLonger",
    "probe",
    "require_fit",
]

_SAMPLE_BYTES = 2
_TAKEN = "the service accepts only WAV, MP3 and Ogg Opus"
_EXTENSIONS_WITH_HEADER = frozenset({".wav", ".mp3", ".ogg", ".oga", ".opus"})
_NAMED_RATES = {
    ".sln12": 12_000,
    ".sln16": 16_000,
    ".sln24": 24_000,
    ".sln32": 32_000,
    ".sln44": 44_100,
    ".sln48": 48_000,
}
"""Asterisk's names for raw PCM of one channel that say its sample rate."""
VOX = ".vox"
"""Dialogic's name for ADPCM of one channel, which says nothing of its sample rate."""
_EXTENSIONS_OF_RAW = {".raw", ".pcm", ".lpcm", ".s16", ".s16le", ".sln", *_NAMED_RATES}


_OF_WHOLE_FILES = frozenset(
    {
        DefectKind.CODEC,
        DefectKind.STREAMS,
        DefectKind.SAMPLE_RATE,
        DefectKind.CHANNELS,
        DefectKind.TOO_LONG,
    }
)
"""What is wrong with a file that may be complete, so it is looked whether it shows its end."""


class RawFormat(Struct, frozen=True):
    """The format of files without a header: 16-bit signed little-endian samples."""

    sample_rate: int
    channels: int

    def __post_init__(self) -> None:
        require_whole("sample_rate", self.sample_rate, least=1)
        require_whole("channels", self.channels, least=1)


class EndMark(StrEnum):
    """Whether an Ogg must be marked as complete on its last page."""

    REQUIRED = "required"
    """One without the mark is invalid: it may be cut off between two pages."""
    OPTIONAL = "optional"
    """One without the mark is sent as it is: some recorders never write it."""


class Convert(StrEnum):
    """Whether audio that the service refuses is converted."""

    NEEDED = "needed"
    """What the service refuses is decoded to 16-bit PCM, if it is complete."""
    OPUS = "opus"
    """The same, and all linear PCM is sent as Opus, in a tenth of its size."""
    OFF = "off"
    """What the service refuses is invalid."""


class AudioRules(Struct, frozen=True):
    """What audio the connection accepts.

    ``channels`` is the required number of channels, None for any. ``raw`` describes files that have
    no header, by extension and content. ``max_duration`` is in seconds. ``convert`` None is left to
    the ledger: ``app.converting``.
    """

    channels: int | None = None
    raw: RawFormat | None = None
    max_duration: float = 4 * 3600
    ogg_end: EndMark = EndMark.REQUIRED
    convert: Convert | None = None

    def __post_init__(self) -> None:
        require_whole("channels", self.channels, least=1, optional=True)
        require_type("raw", self.raw, RawFormat, optional=True)
        require_number("max_duration", self.max_duration, above=0)
        require_type("ogg_end", self.ogg_end, EndMark)
        require_type("convert", self.convert, Convert, optional=True)

    @property
    def needs_end_mark(self) -> bool:
        """Whether an Ogg without an end mark is invalid."""
        return self.ogg_end is EndMark.REQUIRED


def probe(
    handle: Readable,
    path: str,
    size: int,
    rules: AudioRules,
    *,
    at_once: bool = False,
    user_path: Callable[[str], str] = str,
) -> AudioInfo | Defect:
    """What is in the file, or why it is not to be sent.

    ``handle`` must be seekable; it is left open, at any position. ``path`` names the file in the
    defect, ``user_path(path)`` in the commands of its cure; ``size`` is its length in bytes.
    Blocking: call it in a thread. Raises OSError if the handle does, and no error for any content,
    except that with ``at_once`` it raises TakesLonger for content that needs libsndfile, which has
    to be loaded.
    """
    content = Content(handle, size, at_once=at_once)
    try:
        info = _look(content, path, rules)
        require_fit(info, rules)
    except Refusal as refusal:
        complete = refusal.kind in _OF_WHOLE_FILES and (
            riff.shows_end(content) or ogg.shows_end(content)
        )
        return refusal.defect(path, user_path(path), may_grow=not complete)
    return info


def _look(content: Content, path: str, rules: AudioRules) -> AudioInfo:
    if not content.size:
        raise empty()
    head = content.at(0, 12)
    if riff.matches(head):
        return riff.read(content)
    if head.startswith(ogg.MAGIC):
        return ogg.read(content, require_end=rules.needs_end_mark)
    start = mpeg.after_tags(content)
    if mpeg.has_tags_alone(content, start):
        raise empty()
    found = foreign.by_magic(content, start)
    if found:
        raise _format(found)
    known = foreign.is_known(content, start)
    info = None if known else mpeg.read(content, start, rules.max_duration)
    return info or _without_header(content, start, path, rules.raw)


def _without_header(content: Content, start: int, path: str, raw: RawFormat | None) -> AudioInfo:
    extension = PurePosixPath(path).suffix.lower()
    if extension in _NAMED_RATES:
        raw = RawFormat(_NAMED_RATES[extension], 1)
    may_be_raw = extension in _EXTENSIONS_OF_RAW or (
        raw is not None and extension not in _EXTENSIONS_WITH_HEADER
    )
    found = foreign.by_frames(content, start, extension)
    if not found and content.at(0, 3) == mpeg.TAG:
        raise Refusal(
            DefectKind.DAMAGED,
            "it has an MP3 tag but no MP3 audio",
            "copy it again from where it was recorded",
        )
    found = found or foreign.by_library(content, only_sure=may_be_raw or extension == VOX)
    if found:
        raise _format(found)
    if extension == VOX:
        raise _vox(raw)
    if may_be_raw and raw:
        return _raw(content.size, raw)
    if may_be_raw:
        raise Refusal(
            DefectKind.RAW_UNDECLARED,
            "it has no audio header",
            "if it is raw PCM, declare it with --raw-rate and --raw-channels",
        )
    raise Refusal(
        DefectKind.UNKNOWN,
        f"its format is unknown, and {_TAKEN}",
        "check what wrote it; a recording must be a complete WAV, MP3 or Ogg Opus file",
    )


def _vox(raw: RawFormat | None) -> Refusal:
    if raw is None:
        return Refusal(
            DefectKind.RAW_UNDECLARED,
            "it has no audio header",
            "if it is Dialogic ADPCM, declare its rate, such as 6000 or 8000, with --raw-rate and"
            " --raw-channels 1",
        )
    return Refusal(
        DefectKind.FORMAT,
        f"it is Dialogic ADPCM without a header, and {_TAKEN}",
        "convert it with --convert needed",
    )


def _raw(size: int, raw: RawFormat) -> AudioInfo:
    frame = _SAMPLE_BYTES * raw.channels
    if size % frame:
        raise Refusal(
            DefectKind.RAW_SIZE,
            f"its size of {size} bytes is not a multiple of {frame}, the size of a sample of"
            f" {plural(raw.channels, 'channel')}",
            "check --raw-channels, and that the file is complete and 16-bit PCM",
        )
    seconds = size / frame / raw.sample_rate
    return AudioInfo(Container.RAW, raw.channels, raw.sample_rate, seconds, shows_end=False)


def require_fit(info: AudioInfo, rules: AudioRules) -> None:
    """Raise Refusal for complete audio that the service or the connection does not accept."""
    linear = info.container in {Container.WAV, Container.RAW}
    if info.duration <= 0:
        raise empty()
    if linear and not SLOWEST <= info.sample_rate <= FASTEST:
        raise Refusal(
            DefectKind.SAMPLE_RATE,
            f"its sample rate is {info.sample_rate} Hz, and the service accepts PCM from"
            f" {SLOWEST} to {FASTEST} Hz",
            to_pcm(info.sample_rate, _input_options(info)),
        )
    if rules.channels not in {None, info.channels}:
        raise _wrong_channels(info, rules.channels or 0)
    if info.duration > rules.max_duration:
        raise _too_long(info, rules.max_duration)


def _wrong_channels(info: AudioInfo, wanted: int) -> Refusal:
    message = f"it has {plural(info.channels, 'channel')}, and the connection expects {wanted}"
    if info.channels < wanted:
        return Refusal(
            DefectKind.CHANNELS,
            message,
            "record each speaker in a channel of their own,"
            f" or send it to a connection for {info.channels}",
        )
    return Refusal(
        DefectKind.CHANNELS,
        message,
        CureCommand(
            f"-ac {wanted}",
            _suffix(info),
            _input_options(info),
            text=f"mix it down with `{{command}}`, or send it to a connection for {info.channels}",
        ),
    )


def _too_long(info: AudioInfo, limit: float) -> Refusal:
    # Parts that ffmpeg cuts out of an Ogg without decoding lack the end-of-stream flag.
    opus = info.container is Container.OGG_OPUS
    codec, suffix = ("-c:a libmp3lame", ".mp3") if opus else ("-c copy", _suffix(info))
    return Refusal(
        DefectKind.TOO_LONG,
        f"it is {format_duration(info.duration)} long; the limit is {format_duration(limit)}",
        CureCommand(
            # A little less than the limit, since ffmpeg cuts after it, at the end of a frame.
            f"{codec} -f segment -segment_time {limit * 0.99:.0f}",
            suffix,
            _input_options(info),
            several=True,
            text="send it in pieces with --split-long, or split it with `{command}` and give each"
            " part a sidecar of its own",
        ),
    )


def _suffix(info: AudioInfo) -> str:
    return {Container.MP3: ".mp3", Container.OGG_OPUS: ".opus"}.get(info.container, ".wav")


def _input_options(info: AudioInfo) -> str:
    if info.container is not Container.RAW:
        return ""
    return f"-f s16le -ar {info.sample_rate} -ac {info.channels}"


def _format(found: foreign.Foreign) -> Refusal:
    return Refusal(DefectKind.FORMAT, f"it is {found.name}, and {_TAKEN}", found.cure)
