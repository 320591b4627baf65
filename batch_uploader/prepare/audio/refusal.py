"""Why a file is not sent, and the commands that repair it."""

from enum import StrEnum
from pathlib import PurePosixPath

from msgspec import Struct

from batch_uploader.core.model import Defect
from batch_uploader.core.text import quote

SLOWEST, FASTEST = 8_000, 48_000
"""The lowest and highest sample rate, in hertz, at which the service accepts linear PCM."""

WAIT = "it may still be being written"

STRAY = 4096
"""The most stray bytes that are tolerated: tags, padding to a disk's sector."""


class DefectKind(StrEnum):
    """What can be wrong with an audio file; the values are stable."""

    EMPTY = "empty"
    """It has no audio."""
    TRUNCATED = "truncated"
    """It has less than its header says, or ends in the middle of a structure."""
    UNFINISHED = "unfinished"
    """It has more than its header says: the recorder did not update the header at the end."""
    NO_END_MARK = "no-end-mark"
    """An Ogg whose last page is not marked as the last: it may be complete or not."""
    DAMAGED = "damaged"
    """Its structure is invalid."""
    CODEC = "codec"
    """WAV or Ogg with a codec that the service does not accept there."""
    FORMAT = "format"
    """Audio in a container that the service does not accept."""
    STREAMS = "several-streams"
    """Several streams in one Ogg file, one after the other or side by side."""
    UNKNOWN = "unknown"
    """Its format is not recognised."""
    SAMPLE_RATE = "sample-rate"
    """Linear PCM slower than 8 kHz or faster than 48 kHz."""
    CHANNELS = "channels"
    """Not the number of channels that the connection requires."""
    TOO_LONG = "too-long"
    """Longer than the service accepts."""
    RAW_UNDECLARED = "raw-undeclared"
    """Headerless PCM without a declared format."""
    RAW_SIZE = "raw-size"
    """Headerless PCM whose size does not fit the declared format."""
    LEGS = "legs"
    """Two legs of a call whose lengths differ."""


class CureCommand(Struct, frozen=True):
    """A cure: a sentence with a shell command that replaces the file by a new one.

    The old file keeps its content and is renamed by appending ``.orig``, so that it does not count
    as a recording. The new one gets the old name, so that it keeps its sidecar: the content decides
    what it is, never the name. Files are never overwritten, and names do not differ only by case.
    ``several`` new files are parts, in a folder of their own.

    ``suffix`` names the format to ffmpeg; ``before`` are the options that describe the old file.
    """

    options: str
    suffix: str
    before: str = ""
    several: bool = False
    text: str = "convert it with `{command}`"

    def __call__(self, path: str) -> str:
        """The sentence for this file, by its path for the user's shell."""
        if path.startswith("-") or (":" in path and not path.startswith("/")):
            # ffmpeg reads a leading dash as an option and a word before a colon as a protocol.
            path = f"./{path}"
        aside = f"mv -n {quote(path)} {quote(path + '.orig')}"
        if self.several:
            name = PurePosixPath(path)
            folder = path.removesuffix(name.suffix) + ".parts"
            # ffmpeg reads the name of a part as a pattern.
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
    """Decode to a format that the service always accepts; ``rate`` is the file's, if known."""
    allowed = min(max(rate, SLOWEST), FASTEST)
    resample = "" if allowed == rate else f" -ar {allowed}"
    return CureCommand(f"-c:a pcm_s16le{resample}", ".wav", before)


def salvage(suffix: str) -> CureCommand:
    """Make a valid file of what is left, if the rest is lost."""
    return CureCommand(
        "-c copy",
        suffix,
        text=f"{WAIT}; if not, copy it again from where it was recorded; if this is all there is,"
        " repair it with `{command}`",
    )


class Refusal(Exception):  # noqa: N818 - a verdict, not a mistake
    """The file is not to be sent. Never leaves this package: ``probe`` turns it into a Defect."""

    def __init__(self, kind: DefectKind, message: str, cure: CureCommand | str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.cure = cure

    def defect(self, path: str, user_path: str, *, may_grow: bool) -> Defect:
        """The defect, with the cure for this file."""
        cure = self.cure if isinstance(self.cure, str) else self.cure(user_path)
        return Defect(path, self.kind.value, self.message, cure, may_grow=may_grow)


def empty() -> Refusal:
    """The refusal of a file without any audio."""
    return Refusal(
        DefectKind.EMPTY,
        "it contains no audio",
        "copy it again if it should have some; a call that nobody answered is left out with"
        " --skip-empty, or acknowledged once with resolve --acknowledge",
    )
