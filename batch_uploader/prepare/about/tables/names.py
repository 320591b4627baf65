"""How a row and a recording are compared: names of files, and numbers of telephones.

Tolerant of what happens to files: another extension after a conversion, ``%2D`` for a dash, another
case or Unicode form, a ``:`` that Windows refuses, folders of another machine before the name.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote
from zlib import crc32

from batch_uploader.prepare.about.phones import without_extension

_ENDINGS: Final = frozenset(
    (
        *("wav", "wave", "mp3", "ogg", "oga", "opus", "webm", "m4a", "mp4", "aac", "flac", "wma"),
        *("gsm", "wav49", "wav16", "wav48", "ulaw", "alaw", "ul", "al", "au", "g722", "g729"),
        *("g723", "spx", "amr", "3gp", "vox", "raw", "pcm", "sln", "sln16", "slin", "caf"),
    )
)
_ODD: Final = re.compile(r"[^A-Za-z0-9_./+=@,()-]")
_QUERY: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^?#]*", re.IGNORECASE)
_NUMBER: Final = 10
_SHORTEST: Final = 2


def parts(text: str) -> tuple[str, ...]:
    """The parts of a path as they are compared: folders, and the name without its extension."""
    if _ODD.search(text):
        text = text.strip()
        if url := _QUERY.match(text):
            text = url[0]
        text = unicodedata.normalize("NFC", unquote(text)).replace("\\", "/").replace(":", "_")
        text = text.casefold()
    else:
        text = text.lower()
    found = [part for part in text.split("/") if part not in {"", "."}]
    if found:
        found[-1] = _stem(found[-1])
    return tuple(found)


def base(text: str) -> str:
    """The name that a path ends with as it is compared; "" if it has none."""
    if not _ODD.search(text) and (last := text[text.rfind("/") + 1 :]) not in {"", "."}:
        return _stem(last.lower())
    found = parts(text)
    return found[-1] if found else ""


def _stem(name: str) -> str:
    while True:
        before, dot, ending = name.rpartition(".")
        if not dot or not before or ending not in _ENDINGS:
            return name
        name = before


def number(text: str) -> str:
    """The last ten digits of a telephone number; shorter ones, such as extensions, as they are.

    An extension behind a number is no part of it.
    """
    text = without_extension(text.strip())
    if "@" in text or text[:4].lower() == "sip:":
        text = text.partition("@")[0].rpartition(":")[2]
    digits = "".join(filter(str.isdigit, text))
    if len(digits) < _SHORTEST:
        return ""
    return digits[-_NUMBER:]


def key(text: str) -> int:
    """The number that a text is found by; a few others have it, too."""
    return crc32(text.encode(errors="surrogatepass"))


def in_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders before the name are the same."""
    count = 0
    for mine, theirs in zip(reversed(one[:-1]), reversed(other[:-1]), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
