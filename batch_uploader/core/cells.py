"""Escapes untrusted text for terminals and spreadsheet cells."""

import re
from typing import Final

_UNSAFE_CHARS: Final = (
    "\u007f-\u009f"  # DEL and the C1 controls, which terminals obey
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u2028\u2029"  # line separators for some programs
    "\ud800-\udfff"  # surrogates, which UTF-8 cannot encode
)
_JSON_ESCAPED: Final = re.compile(f"[{_UNSAFE_CHARS}]")
_ESCAPED: Final = re.compile(f"[\0-\x1f{_UNSAFE_CHARS}]")
_FORMULA: Final = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""The first character of a formula. The last four are full-width; some spreadsheets accept them."""
_WITHIN_WORDS: Final = "_./-"
"""The characters that separate no cells, besides letters and digits."""


def escape_json(text: str) -> str:
    """JSON with these characters as JSON escapes; its meaning is the same."""
    return _JSON_ESCAPED.sub(_escape, text)


def escape(text: str) -> str:
    r"""Text with each of these characters as ``\u0009``."""
    return _ESCAPED.sub(_escape, text)


def keep(text: str) -> str:
    """Text as it is."""
    return text


def defuse(text: str) -> str:
    """Text that no spreadsheet reads as a formula, whatever its cell separator is.

    A Russian Excel separates cells by ``;``, others by a tab, a bar, a space or the separator used
    last, so a part of a cell may become a cell. An apostrophe marks what follows as text.
    """
    harmless = escape(text)
    if not _FORMULA.search(harmless):
        return harmless
    return _FORMULA.sub(lambda found: _quoted(harmless, found), harmless)


def _quoted(text: str, found: re.Match[str]) -> str:
    before = text[: found.start()].rstrip(" ")
    apart = found.start() > len(before) and text[found.end() : found.end() + 1] != " "
    within = before[-1:].isalnum() or before[-1:] in _WITHIN_WORDS
    return found[0] if before and within and not apart else f"'{found[0]}"


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
