"""Text from strangers, harmless where it is shown: on terminals, in the cells of spreadsheets."""

import re
from typing import Final

_UNSAFE_CHARS: Final = (
    "\u007f-\u009f"  # DEL and the C1 controls, which terminals obey
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of text around
    "\u2028\u2029"  # line ends to some programs
    "\ud800-\udfff"  # halves of characters, which are not UTF-8
)
_JSON_ESCAPED: Final = re.compile(f"[{_UNSAFE_CHARS}]")
_ESCAPED: Final = re.compile(f"[\0-\x1f{_UNSAFE_CHARS}]")
_FORMULA: Final = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""What a formula begins with. The last four are full-width forms, which some spreadsheets take."""
_WITHIN_WORDS: Final = "_./-"
"""What separates no cells, beside letters and digits."""


def escape_json(text: str) -> str:
    """JSON with all of this in the form that JSON has for it: it says the same."""
    return _JSON_ESCAPED.sub(_escape, text)


def escape(text: str) -> str:
    r"""Text with each control and the like as ``\u0009``."""
    return _ESCAPED.sub(_escape, text)


def keep(text: str) -> str:
    """Text as it is."""
    return text


def defuse(text: str) -> str:
    """Text of which no spreadsheet makes a formula, whatever separates its cells.

    A Russian Excel takes ``;`` for that, others a tab, a bar, a space or what they were told last;
    then a part of a cell is a cell. An apostrophe makes text of what follows.
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
