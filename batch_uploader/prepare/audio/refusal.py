"""Why a file is not sent, and the commands that repair it."""

from enum import StrEnum
from pathlib import PurePosixPath

from msgspec import Struct

from batch_uploader.core.model import Defect
from batch_uploader.core.text import quote

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


class CureCommand(Struct, frozen=True):
    """A cure: a sentence around a command for a shell that puts a new file in the old one's place.

    The old file keeps its content and gets ``.orig`` behind its name, by which it is not a
    recording. The new one gets the old name, so that its sidecar goes on being its own: the content
    decides what it is, never the name. Nothing is written over, and names do not differ by case
    alone. ``several`` new files are parts, in a folder of their own.

    ``suffix`` names the format to ffmpeg; ``before`` are the options that describe the old file.
    """

    options: str
    suffix: str
    before: str = ""
    several: bool = False
    text: str = "convert it with `{command}`"

    def __call__(self, path: str) -> str:
        """The sentence for this file, by the path that the user's shell knows."""
        if path.startswith("-") or (":" in path and not path.startswith("/")):
            # To ffmpeg a leading dash is an option and a word before a colon is a protocol.
            path = f"./{path}"
        aside = f"mv -n {quote(path)} {quote(path + '.orig')}"
        if self.several:
            name = PurePosixPath(path)
            folder = path.removesuffix(name.suffix) + ".parts"
            # The name of a part is a pattern to ffmpeg.
            part = f"{folder}/{name.stem}".replace("%", "%%") + f"-%03d{self.suffix}"
            steps = (f"mkdir {quote(folder)}", self._convert(path, part), aside)
        else:
            new = f"{path}.new"
            steps = (self._convert(path, new), aside, f"mv -n {quote(new)} {quote(path)}")
        return self.text.format(command=" && ".join(steps))

    def _convert(self, path: str, new: str) -> str:
        form = "" if self.several else f"-f {self.suffix.removeprefix('.')}"
        words = ("ffmpeg -y", self.before, "-i", quote(path), self.options, form, quote(new))
        return " ".join(filter(None, words))


def to_pcm(rate: int = SLOWEST, before: str = "") -> CureCommand:
    """Decode to what the service takes in any case; ``rate`` is the file's, if it is known."""
    allowed = min(max(rate, SLOWEST), FASTEST)
    resample = "" if allowed == rate else f" -ar {allowed}"
    return CureCommand(f"-c:a pcm_s16le{resample}", ".wav", before)


def salvage(suffix: str) -> CureCommand:
    """Make a whole file of what is left, where the rest cannot be had."""
    return CureCommand(
        "-c copy",
        suffix,
        text="copy it again from where it was recorded; if this is all there is, repair it with"
        " `{command}`",
    )


class Refusal(Exception):  # noqa: N818 - a verdict on its way out, not a mistake
    """The file is not to be sent. Never leaves this package: ``probe`` turns it into a Defect."""

    def __init__(self, kind: DefectKind, message: str, cure: CureCommand | str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.cure = cure

    def defect(self, path: str, user_path: str) -> Defect:
        """The same as a value, with the cure spelled out for this file."""
        cure = self.cure if isinstance(self.cure, str) else self.cure(user_path)
        return Defect(path, self.kind.value, self.message, cure)
