"""Names for formats that the service does not accept, so that the user knows what to convert.

libsndfile recognises most containers and codecs; the tables here have the others. It only sees
files that are refused anyway or have no known header: what is sent was checked by the readers
beside this module, so a bug of the library cannot refuse a valid recording.
"""

import os

from msgspec import Struct

from batch_uploader.prepare.audio.content import Content, TakesLonger
from batch_uploader.prepare.audio.refusal import CureCommand, to_pcm


class Foreign(Struct, frozen=True):
    """A recognised format: its name for the user, and how to convert it."""

    name: str
    cure: CureCommand


# Offset, magic number and format: formats that libsndfile does not know, that may hold consecutive
# MP3 frames and be taken for an MP3, or that may follow an ID3 tag.
_MAGICS = (
    (4, b"ftyp", "MPEG-4 audio (M4A)"),
    (8, b"AVI ", "AVI"),
    (0, b"RF64", "RF64 (WAV with 64-bit sizes)"),
    (0, b"BW64", "BW64 (WAV with 64-bit sizes)"),
    (0, b"RIFX", "RIFX (big-endian WAV)"),
    (0, b"caff", "CAF (Apple Core Audio File)"),
    (0, b"fLaC", "FLAC"),
    (0, b"#!AMR", "AMR"),
    (0, b"ADIF", "AAC"),
    (0, bytes.fromhex("3026b2758e66cf11"), "Windows Media Audio"),
    (0, bytes.fromhex("1a45dfa3"), "WebM or Matroska"),
)

# What libsndfile names, and what may hold bytes that look like frames of MP3 as well.
_NAMED_BY_LIBRARY = ((0, b"riff\x2e\x91\xcf\x11"), (0, b".snd"), (8, b"AIFF"), (8, b"AIFC"))

# Codecs without a header, by extension: their content cannot be told from raw PCM.
HEADERLESS = {
    ".al": ("A-law", "-f alaw -ar 8000"),
    ".alaw": ("A-law", "-f alaw -ar 8000"),
    ".ul": ("mu-law", "-f mulaw -ar 8000"),
    ".ulaw": ("mu-law", "-f mulaw -ar 8000"),
    ".g722": ("G.722", "-f g722"),
    ".g729": ("G.729", "-f g729"),
    ".gsm": ("GSM 06.10", "-f gsm"),
}

_GSM_FRAME, _GSM_MARK = 33, "d"
_GSM_LOOKS = 16
_ADTS_HEADER, _ADTS_SYNC, _ADTS_MASK = 7, 0xFFF0, 0xFFF6

# Formats that libsndfile recognises by two bytes or by plausible numbers: raw PCM can match.
_UNSURE = frozenset({"HTK", "MAT4", "MPC2K", "SD2", "WVE"})


def by_magic(content: Content, start: int) -> Foreign | None:
    """The format with this magic number, if libsndfile does not know it."""
    head = content.at(start, 12)
    for at, magic, name in _MAGICS:
        if head[at : at + len(magic)] == magic:
            return Foreign(name, to_pcm())
    return None


def is_known(content: Content, start: int) -> bool:
    """Whether libsndfile knows the format by its magic number, so that it is no MP3."""
    head = content.at(start, 12)
    return any(head.startswith(magic, at) for at, magic in _NAMED_BY_LIBRARY)


def by_frames(content: Content, start: int, extension: str) -> Foreign | None:
    """AAC and GSM by the sync words of their frames, others by the extension alone."""
    if is_adts(content, start):
        return Foreign("AAC", to_pcm())
    if is_gsm(content):
        extension = ".gsm"
    if extension in HEADERLESS:
        name, options = HEADERLESS[extension]
        return Foreign(f"{name} without a header", to_pcm(before=options))
    return None


def is_adts(content: Content, start: int) -> bool:
    """Whether AAC frames begin here."""
    for _ in range(3):
        head = content.at(start, _ADTS_HEADER)
        sync = int.from_bytes(head[:2], "big") & _ADTS_MASK
        if len(head) < _ADTS_HEADER or sync != _ADTS_SYNC:
            return False
        start += max((head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5, _ADTS_HEADER)
    return True


def is_gsm(content: Content) -> bool:
    """Whether this is GSM 06.10 without a header: each of its frames begins with one mark."""
    frames, rest = divmod(content.size, _GSM_FRAME)
    if rest or frames < 4:  # noqa: PLR2004 - fewer may be an accident
        return False
    looks = {frames * look // _GSM_LOOKS for look in range(_GSM_LOOKS)}
    marks = {content.at(look * _GSM_FRAME, 1).hex()[:1] for look in looks}
    return marks == {_GSM_MARK}


def by_library(content: Content, *, only_sure: bool) -> Foreign | None:
    """The format by libsndfile; ``only_sure`` if it may as well be raw PCM.

    Not for a file with an ID3 tag: libsndfile passes these and MPEG frames to libmpg123, which
    prints warnings to the terminal.
    """
    head = content.at(0, 3)
    if head[:1] == b"\xff" and head[1:] >= b"\xe0":
        layer = {2: "II", 3: "I"}.get(head[1] >> 1 & 3)
        sure = layer and head[2:] < b"\xf0" and not only_sure
        return Foreign(f"MPEG audio Layer {layer}", to_pcm()) if sure else None
    found = _ask(content)
    if found is None or (only_sure and found.format in _UNSURE):
        return None
    name = f"{found.format_info} with {found.subtype_info}"
    return Foreign(name, to_pcm(found.samplerate))


def codec(content: Content) -> str | None:
    """The name of the codec in this WAV, if libsndfile knows it."""
    found = _ask(content)
    return found.subtype_info if found else None


class _Answer(Struct, frozen=True):
    format: str
    format_info: str
    subtype: str
    subtype_info: str
    samplerate: int


def _ask(content: Content) -> _Answer | None:
    if content.at_once:
        raise TakesLonger
    reader = _Reader(content)
    answer = None
    try:
        import soundfile  # takes 0.1 s, and valid recordings do not need it

        with soundfile.SoundFile(reader) as file:
            answer = _Answer(
                file.format, file.format_info, file.subtype, file.subtype_info, file.samplerate
            )
    except Exception:  # noqa: BLE001, S110 - it has no name for it, or cannot be loaded here
        pass
    if reader.error is not None:
        raise reader.error
    return answer


class _Reader:
    """The content as a file for libsndfile, which may read a limited amount.

    An error of the disk is kept for later, since exceptions must not pass through libsndfile.
    """

    def __init__(self, content: Content) -> None:
        self.error: OSError | None = None
        self._content = content
        self._position = 0
        self._left = 1024 * 1024
        self._reads_left = 1000

    def read(self, count: int) -> bytes:
        """As of any file; empty when the limit is used up."""
        if self._reads_left <= 0 or self.error is not None:
            return b""
        try:
            data = self._content.at(self._position, min(count, self._left))
        except OSError as error:
            self.error = error
            return b""
        self._reads_left -= 1
        self._left -= len(data)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file; a position before the start is the start."""
        base = {os.SEEK_CUR: self._position, os.SEEK_END: self._content.size}.get(whence, 0)
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """As of any file."""
        return self._position
