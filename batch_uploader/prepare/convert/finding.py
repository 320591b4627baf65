"""Which audio that the service refuses can be sent as 16-bit PCM or MP3, and how to read it.

Completeness is decided here, by the headers: libsndfile reads what is cut off without an error.
"""

import struct
from pathlib import PurePosixPath
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.prepare.audio import VOX, AudioRules, RawFormat, foreign, ogg, riff
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.audio.refusal import FASTEST, SLOWEST, DefectKind, Refusal, empty
from batch_uploader.prepare.convert import webm
from batch_uploader.prepare.convert.decoding import Headerless

_AU, _FLAC, _RF64 = b".snd", b"fLaC", b"RF64"
_W64: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA: Final = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_ASF: Final = bytes.fromhex("3026b2758e66cf11")
_UNKNOWN_SIZE = 0xFFFF_FFFF
_MOST_CHUNKS = 1000
_GSM_FRAME = 33

GSM: Final = Headerless("GSM610", 8_000)
HEADERLESS: Final = {
    ".gsm": GSM,
    ".al": Headerless("ALAW", 8_000),
    ".alaw": Headerless("ALAW", 8_000),
    ".ul": Headerless("ULAW", 8_000),
    ".ulaw": Headerless("ULAW", 8_000),
}
"""Codecs without a header, by the extensions that say them; G.711 unless it is declared."""
_MP3 = 0x0055
_G711: Final = {0x0006: "ALAW", 0x0007: "ULAW"}
_ADPCM: Final = {0x0002: "MS_ADPCM", 0x0011: "IMA_ADPCM"}
"""Codecs in WAV that need no library, by their tags: libsndfile's names."""
_BITS_OF_G711, _BITS_OF_ADPCM = 8, 4
_LARGEST_BLOCK = 8192
"""Encoders make 256 to 4096. The larger a block, the less of a file is decoded at once."""
_BY_FFMPEG: Final = {".g722": "g722", ".g729": "g729"}
"""FFmpeg's names of others."""


class Way(Struct, frozen=True):
    """How to read the audio: the bytes from ``start`` on, ``size`` of them.

    ``patches`` are bytes that are read in place of others, by offset from ``start``. ``headerless``
    is None if the bytes have a header. With ``copied`` they are an MP3 already. What is ``foreign``
    to libsndfile is read by FFmpeg, as this ``form`` if it has no header. ``shows_end`` is as in
    ``AudioInfo``.
    """

    start: int
    size: int
    patches: tuple[tuple[int, bytes], ...] = ()
    headerless: Headerless | None = None
    copied: bool = False
    form: str | None = None
    foreign: bool = False
    shows_end: bool = True


def find(content: Content, path: str, rules: AudioRules) -> Way | None:
    """How to read a file that the service refuses as it is; None if it cannot be read.

    Raises Refusal for a file that is not complete.
    """
    head = content.at(0, 16)
    if riff.matches(head):
        return _wav(content)
    if head.startswith(ogg.MAGIC):
        return _ogg(content, require_end=rules.needs_end_mark)
    readers = (each for at, magic, each in _BY_MAGIC if head.startswith(magic, at))
    reader = next(readers, None)
    return _headerless(content, path, rules.raw) if reader is None else reader(content)


def _headerless(content: Content, path: str, raw: RawFormat | None) -> Way | None:
    extension = PurePosixPath(path).suffix.lower()
    form = GSM if foreign.is_gsm(content) else HEADERLESS.get(extension)
    if raw is not None and extension == VOX:
        form = Headerless("VOX_ADPCM", raw.sample_rate)
    elif raw is not None and form is not None and form is not GSM:
        form = Headerless(form.subtype, raw.sample_rate, raw.channels, raw.channels)
    if form is GSM and content.size % _GSM_FRAME:
        raise cut_off("the GSM file", "in the middle of a frame")
    if form is not None:
        return Way(0, content.size, headerless=form, shows_end=False)
    named = "aac" if foreign.is_adts(content, 0) else _BY_FFMPEG.get(extension)
    return Way(0, content.size, form=named, foreign=True, shows_end=False) if named else None


def _wav(content: Content) -> Way:
    found = riff.any_codec(content)
    audio = Way(found.start, found.end - found.start, shows_end=found.shows_end)
    if found.tag == _MP3:
        return replace(audio, copied=True)
    form = _decoded_here(found)
    if form is not None:
        return replace(audio, headerless=form)
    return Way(0, content.size, found.patches, shows_end=found.shows_end)


def _decoded_here(found: riff.AnyCodec) -> Headerless | None:
    sound = 0 < found.channels <= found.block and SLOWEST <= found.rate <= FASTEST
    if sound and found.bits == _BITS_OF_G711 and found.tag in _G711:
        return Headerless(_G711[found.tag], found.rate, found.channels, found.channels, "WAV")
    usual = found.bits == _BITS_OF_ADPCM and found.block <= _LARGEST_BLOCK
    if sound and usual and found.tag in _ADPCM:
        return Headerless(_ADPCM[found.tag], found.rate, found.channels, found.block, "WAV")
    return None


def _ogg(content: Content, *, require_end: bool) -> Way:
    if not (marked := ogg.is_marked(content)) and require_end:
        raise ogg.no_end_mark()
    return Way(0, content.size, shows_end=marked)


def _au(content: Content) -> Way:
    start, size = struct.unpack(">II", content.at(4, 8).rjust(8, b"\0"))
    if size != _UNKNOWN_SIZE:
        _require_whole(content, start + size, "AU")
    return Way(0, content.size, shows_end=size != _UNKNOWN_SIZE)


def _rf64(content: Content) -> Way | None:
    if content.at(12, 4) != b"ds64":
        return None
    size = int.from_bytes(content.at(28, 8), "little")
    offset = 20 + int.from_bytes(content.at(16, 4), "little")
    for _step in range(_MOST_CHUNKS):
        length = int.from_bytes(content.at(offset + 4, 4), "little")
        if (name := content.at(offset, 4)) == b"data":
            _require_whole(content, offset + 8 + size, "RF64")
            if offset + 8 >= content.size:
                raise empty()
            return Way(0, content.size) if size else None
        if len(name) < 4:  # noqa: PLR2004 - the file ends
            break
        offset += 8 + length + length % 2
    return None


def _flac(content: Content) -> Way | None:
    # Its length is in its header, and decoding shows whether all of it is there.
    samples = int.from_bytes(content.at(21, 5), "big") & (1 << 36) - 1
    offset, last = 4, 0
    while not samples and not last and offset < content.size:
        head = content.at(offset, 4)
        offset += 4 + int.from_bytes(head[1:], "big")
        last = head[0] & 0x80
    if last and offset == content.size:
        raise empty()
    return Way(0, content.size) if samples else None


def _w64(content: Content) -> Way | None:
    offset = 40
    for _step in range(_MOST_CHUNKS):
        length = int.from_bytes(content.at(offset + 16, 8), "little")
        if (guid := content.at(offset, 16)) == _W64_DATA:
            _require_whole(content, offset + length, "W64")
            if offset + 24 >= content.size:
                raise empty()
            return Way(0, content.size) if length > 24 else None  # noqa: PLR2004 - its own header
        if len(guid) < 16 or length < 24:  # noqa: PLR2004 - the file ends, or is damaged
            break
        offset += length + -length % 8
    return None


def _webm(content: Content) -> Way | None:
    end = webm.end(content)
    if end is None:
        return None
    _require_whole(content, end, "WebM")
    live = end == webm.LIVE
    if live and not webm.ends_whole(content):
        raise cut_off("the WebM file", "in the middle of a block")
    return Way(0, content.size, foreign=True, shows_end=not live)


def _mp4(content: Content) -> Way | None:
    offset = 0
    for _box in range(_MOST_CHUNKS):
        size = int.from_bytes(content.at(offset, 4), "big")
        if size == 1:
            size = int.from_bytes(content.at(offset + 8, 8), "big")
        if size < 8:  # noqa: PLR2004 - the file ends, or the last box has no size
            break
        offset += size
    _require_whole(content, offset, "MP4")
    return Way(0, content.size, foreign=True, shows_end=offset == content.size)


def _foreign(content: Content) -> Way:
    return Way(0, content.size, foreign=True, shows_end=False)


_BY_MAGIC: Final = (
    (0, _AU, _au),
    (0, _FLAC, _flac),
    (0, _RF64, _rf64),
    (0, _W64, _w64),
    (0, webm.MAGIC, _webm),
    (4, b"ftyp", _mp4),
    (0, b"#!AMR", _foreign),
    (0, b"ADIF", _foreign),
    (0, _ASF, _foreign),
)


def _require_whole(content: Content, end: int, name: str) -> None:
    if end > content.size:
        raise cut_off(f"the {name} file", f"{end - content.size} bytes before its announced end")


def cut_off(what: str, where: str) -> Refusal:
    """The refusal of a file that lacks its end."""
    return Refusal(
        DefectKind.TRUNCATED,
        f"{what} ends {where}",
        "it may still be being written; if not, copy it again from where it was recorded",
    )
