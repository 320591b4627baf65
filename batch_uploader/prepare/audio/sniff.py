"""Whether a file that is not taken looks like audio, by its extension and its first bytes.

Cheaper and surer of itself than ``probe``: for files of which it is not known that they are
recordings. What it does not recognise, it takes for something else.
"""

import re
from typing import BinaryIO, Final

from msgspec import Struct

from batch_uploader.prepare.audio import foreign, mpeg, ogg, riff
from batch_uploader.prepare.audio.content import Content


class Form(Struct, frozen=True):
    """A format: its name for people, and whether it is sent, as it is or converted.

    ``with_codecs``: it is converted if the extra for codecs is installed. ``decoder`` are ffmpeg's
    options to read it, None if ffmpeg needs to be told more.
    """

    name: str
    taken: bool = False
    with_codecs: bool = False
    decoder: str | None = ""


_CONVERTED: Final = frozenset({"A-law", "AU", "FLAC", "GSM 06.10", "RF64", "W64", "mu-law"})
_WITH_CODECS: Final = frozenset(
    {
        *("3GPP", "AAC", "AMR", "G.722", "G.729", "MPEG-4", "MPEG-4 audio"),
        *("Matroska", "WebM", "WebM or Matroska", "Windows Media Audio"),
    }
)


def _form(name: str, decoder: str = "") -> Form:
    """A format that the service does not accept."""
    return Form(name, name in _CONVERTED, name in _WITH_CODECS, decoder)


RAW: Final = Form("perhaps raw PCM", taken=True)
_NAMED: Final = {
    **{f".{each}": RAW for each in ("raw", "pcm", "lpcm", "s16", "s16le", "sln", "sln16")},
    ".m4a": _form("MPEG-4 audio"),
    ".m4b": _form("MPEG-4 audio"),
    ".mp4": _form("MPEG-4"),
    ".3gp": _form("3GPP"),
    ".3ga": _form("3GPP"),
    ".aac": _form("AAC"),
    ".amr": _form("AMR"),
    ".awb": _form("AMR"),
    ".webm": _form("WebM"),
    ".mka": _form("Matroska"),
    ".weba": _form("WebM"),
    ".wma": _form("Windows Media Audio"),
    ".flac": _form("FLAC"),
    ".au": _form("AU"),
    ".snd": _form("AU"),
    ".aif": _form("AIFF"),
    ".aiff": _form("AIFF"),
    ".caf": _form("CAF"),
    ".spx": _form("Speex"),
    ".mp2": _form("MPEG audio"),
    ".mpga": _form("MPEG audio"),
    ".wav49": Form("WAV", taken=True),
    ".wave": Form("WAV", taken=True),
    ".w64": _form("W64"),
    ".rf64": _form("RF64"),
    ".vox": Form("Dialogic ADPCM", taken=True),
    ".g723": Form("G.723.1", decoder=None),
    ".g726": Form("G.726", decoder=None),
    ".nmf": Form("a recording of NICE", decoder=None),
    **{kind: _form(name, options) for kind, (name, options) in foreign.HEADERLESS.items()},
}
"""What has one of these extensions is taken for audio, whatever is in it."""

_MAGICS = ((0, b".snd", "AU"), (0, b"riff", "W64"), (8, b"AIFF", "AIFF"), (8, b"AIFC", "AIFF"))
_NO_SOUND = re.compile(rb"....ftyp(?:hei|mif|msf|avi|jp)", re.DOTALL)
"""Pictures in the container of MPEG-4."""


def named(extension: str) -> Form | None:
    """The format that files with this extension have, if only audio has it."""
    return _NAMED.get(extension)


def sniff(handle: BinaryIO, extension: str) -> Form | None:
    """The format of the audio in a file, None if it does not look like audio.

    Blocking. Raises OSError if the handle does.
    """
    content = Content(handle, handle.seek(0, 2))
    head = content.at(0, 12)
    if _NO_SOUND.match(head):
        return None
    return _taken(content, head) or _foreign(content, head) or _NAMED.get(extension)


def _taken(content: Content, head: bytes) -> Form | None:
    if riff.matches(head):
        return Form("WAV", taken=True)
    if head.startswith(ogg.MAGIC):
        return Form("Ogg", taken=True)
    start = mpeg.after_tags(content)
    if foreign.by_magic(content, start) is None and mpeg.begins(content, start):
        return Form("MP3", taken=True)
    return None


def _foreign(content: Content, head: bytes) -> Form | None:
    for at, magic, name in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return _form(name)
    start = mpeg.after_tags(content)
    found = foreign.by_magic(content, start) or foreign.by_frames(content, start, "")
    if found is None:
        return None
    name = found.name.partition(" (")[0].removesuffix(" without a header")
    return _form(name, found.cure.before)
