"""Text that was broken before it was written to a sidecar: it is not to be sent.

Some of it can be restored where it comes from, since it was only read in the wrong encoding on the
way; what was replaced by question marks or by U+FFFD is lost.
"""

import re
from typing import Final

from batch_uploader.prepare.sidecar.encoding import CYRILLIC, FLUENT, Encoding, likelihood

_UTF_8: Final = "UTF-8"
_READ_AS: Final = (*CYRILLIC, Encoding("cp1252", "Latin-1", "CP1252"))
_ENOUGH: Final = 4
"""So many letters are judged; fewer make sense in any encoding."""
_JUDGED: Final = 80
"""So many letters are enough, and a sidecar may hold a mebibyte of them."""
_BETTER: Final = 1.5
"""The right reading must be this much more likely, as a logarithm, for each letter."""
_LOST: Final = -6.0
_MOST: Final = 0.75
"""This share of the letters must be explained; the others may be lost."""

_UNUSUAL: Final = re.compile(r"[^\x00-\x7fА-яёЁ№«»—–]|[а-яё][А-ЯЁ]")  # noqa: RUF001 - these are Cyrillic
_ROW: Final = re.compile(r"(?<!\S)[(\"'«]?\?{3,}[)\"'».,:;]?(?!\S)")
_LIKELY: Final = re.compile("[\xa1-\u024f\u0400-\u04ff\u2000-\uffff]")
_LETTER: Final = re.compile(r"[^\W\d_]")


def cause_of(text: str) -> str | None:
    """What was done to the text; None if nothing is seen."""
    if "???" in text and _is_row(text):
        return "it has rows of question marks in place of letters"
    if text.isascii() or not _UNUSUAL.search(text):
        return None
    if cause := _misread(text[:_JUDGED]):
        return cause
    if "\ufffd" in text:
        return "it contains U+FFFD, the sign for a letter that was lost"
    return None


def _is_row(text: str) -> bool:
    rows = _ROW.findall(text)
    # A question may end with three of them.
    return bool(rows) and not (_LETTER.search(text) and text.endswith(rows[-1]) and len(rows) == 1)


def _misread(text: str) -> str | None:
    high = sum(char > "\x7f" for char in text)
    bytes_of = [(wrong, text.encode(wrong.codec, "ignore")) for wrong in _READ_AS]
    for wrong, data in bytes_of:
        if _is_utf8(data, high, least=1 if wrong.codec == "cp1252" else 2):
            return f"it is {_UTF_8} that was read as {wrong.name}"
    here = likelihood(text)
    if high < _ENOUGH or here > FLUENT * high:
        return None
    found = here + _BETTER * high
    cause = None
    for wrong, data in bytes_of:
        kept = len(data) - (len(text) - high)
        for right in CYRILLIC if kept > _MOST * high else ():
            sense = likelihood(data.decode(right.codec, "replace")) + _LOST * (high - kept)
            if right != wrong and sense > max(found, FLUENT * kept):
                found, cause = sense, f"it is {right.name} that was read as {wrong.name}"
    return cause


def _is_utf8(data: bytes, high: int, least: int) -> bool:
    """Whether these bytes, of a text with ``high`` letters beyond ASCII, are letters in UTF-8."""
    letters = [char for char in data.decode(errors="ignore") if _LIKELY.match(char)]
    return len(letters) >= least and len("".join(letters).encode()) >= _MOST * high
