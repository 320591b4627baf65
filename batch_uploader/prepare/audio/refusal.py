"""Why a file is not sent, and the commands that mend it."""

import shlex
from enum import StrEnum
from pathlib import PurePosixPath

from msgspec import Struct

from batch_uploader.core.model import Defect

SLOWEST, FASTEST = 8_000, 48_000
"""The sample rates in hertz between which the service takes linear PCM."""

STRAY = 4096
"""So many bytes that belong to nothing are borne with: tags, padding to a disk's sector."""


class DefectKind(StrEnum):
    """What can be wrong with an audio file; the values are stable."""

    EMPTY = "empty"
    """There is no sound in it."""
    TRUNCATED = "truncated"
    """It announces more than it holds, or breaks off in the middle of something."""
    UNFINISHED = "unfinished"
    """It holds more than it announces: the recorder never came back to fill in the header."""
    DAMAGED = "damaged"
    """Its structure makes no sense."""
    CODEC = "codec"
    """WAV or Ogg, but with a codec that the service does not take there."""
    FORMAT = "format"
    """Audio in a container that the service does not take."""
    STREAMS = "several-streams"
    """Several streams in one Ogg file, one after the other or side by side."""
    UNKNOWN = "unknown"
    """Nothing that can be recognised."""
    SAMPLE_RATE = "sample-rate"
    """Linear PCM slower than 8 kHz or faster than 48 kHz."""
    CHANNELS = "channels"
    """Not as many channels as the connection wants."""
    TOO_LONG = "too-long"
    """Longer than the service takes."""
    RAW_UNDECLARED = "raw-undeclared"
    """Headerless PCM, and nobody said how it is to be read."""
    RAW_SIZE = "raw-size"
    """Headerless PCM whose size does not fit the declared format."""


class Command(Struct, frozen=True):
    """A cure: a sentence around an ffmpeg command that makes a new file beside the old one.

    ``suffix`` is the new file's, with ``mark`` between stem and suffix where that alone would
    name the old file. ``before`` are the options that describe the old file to ffmpeg.
    """

    options: str
    suffix: str
    before: str = ""
    mark: str = ""
    text: str = "convert it with `{command}` and put the result in its place"

    def __call__(self, path: str) -> str:
        """The sentence for this file; the names in it are quoted for a shell."""
        stem = path.removesuffix(PurePosixPath(path).suffix)
        target = stem + self.mark + self.suffix
        if target == path:
            target = f"{stem}.fixed{self.suffix}"
        if "%" in self.mark:  # the target is a pattern to ffmpeg
            target = stem.replace("%", "%%") + self.mark + self.suffix
        words = ("ffmpeg", self.before, "-i", _quoted(path), self.options, _quoted(target))
        return self.text.format(command=" ".join(word for word in words if word))


def _quoted(path: str) -> str:
    # To ffmpeg a leading dash is an option and a word before a colon is a protocol.
    plain = not path.startswith("-") and ":" not in path
    return shlex.quote(path if plain else f"./{path}")


def to_pcm(rate: int = SLOWEST, before: str = "") -> Command:
    """Decode to what the service takes in any case; ``rate`` is the file's, if it is known."""
    allowed = min(max(rate, SLOWEST), FASTEST)
    resample = "" if allowed == rate else f" -ar {allowed}"
    return Command(f"-c:a pcm_s16le{resample}", ".wav", before)


def salvage(suffix: str) -> Command:
    """Make a whole file of what is left, where the rest cannot be had."""
    return Command(
        "-c copy",
        suffix,
        text="copy it again from where it was recorded; if this is all there is,"
        " `{command}` makes a sound file of it",
    )


class Refusal(Exception):  # noqa: N818 - a verdict on its way out, not a mistake
    """The file is not to be sent. Never leaves this package: ``probe`` turns it into a Defect."""

    def __init__(self, kind: DefectKind, message: str, cure: Command | str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.cure = cure

    def defect(self, path: str) -> Defect:
        """The same as a value, with the cure spelled out for this file."""
        cure = self.cure if isinstance(self.cure, str) else self.cure(path)
        return Defect(path, self.kind.value, self.message, cure)
