"""Text for a screen: names made harmless, measured in cells, shortened, wrapped; numbers.

A name comes from a disk that anybody may have written to, a message from a service. What of them
reaches a screen has passed ``printable``.
"""

import unicodedata
from itertools import chain

from batch_uploader.core.units import format_duration

ELLIPSIS = "…"

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Python calls these printable although nothing, or not they themselves, can be seen: joiners,
# fillers, variation selectors, the blank Braille pattern.
_INVISIBLE = frozenset(
    chain(
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F),
        (0x2800, 0x3164, 0xFFA0),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
)
# A vowel or final of Hangul joins the syllable before it: how macOS writes Korean names.
_HANGUL_JOINING = range(0x1160, 0x1200)
_MINUTE, _HOUR = 60, 3600


def printable(text: str) -> str:
    r"""The text in one line, with everything that is not plainly visible as an escape.

    Control characters, ESC, line ends, bidirectional controls, joiners, odd spaces and lone
    surrogates read ``\n``, ``\x1b``, ``\u202e``. Letters of every script stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(char: str) -> str:
    code = ord(char)
    if char.isprintable() and code not in _INVISIBLE:
        return char
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if code <= 0xFF:  # noqa: PLR2004 - what two hexadecimal digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def sentence(text: str) -> str:
    """A message that may have several lines, as a printable single one."""
    return printable(" ".join(text.split()))


def cell_width(text: str) -> int:
    """How many cells of a terminal the printable text takes: two for CJK, none for accents."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"} or ord(char) in _HANGUL_JOINING:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def shorten(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """The printable text in at most ``width`` cells, its middle left out if need be.

    Of a path more of the end is kept: that is the name of the file.
    """
    if cell_width(text) <= width:
        return text
    left = width - cell_width(ellipsis)
    if left <= 0:
        return ellipsis if left == 0 else ""
    head = leading(text, left // 3)
    tail = leading(text[::-1], left - cell_width(head))[::-1]
    # An accent whose letter is left out would settle on the ellipsis.
    while tail and not _cells(tail[0]):
        tail = tail[1:]
    return head + ellipsis + tail


def clip(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """The printable text in at most ``width`` cells, its end left out if need be."""
    if cell_width(text) <= width:
        return text
    return leading(text, max(0, width - cell_width(ellipsis))) + leading(ellipsis, max(0, width))


def leading(text: str, width: int) -> str:
    """As many characters from the start of the printable text as fit into ``width`` cells."""
    taken = 0
    for index, char in enumerate(text):
        taken += _cells(char)
        if taken > width:
            return text[:index]
    return text


def wrap(text: str, width: int, lines: int, ellipsis: str = ELLIPSIS) -> list[str]:
    """The words of a sentence in lines of at most ``width`` cells, cut after ``lines`` of them."""
    wrapped: list[str] = []
    line = ""
    for word in _pieces(text, width):
        if line and cell_width(line) + 1 + cell_width(word) > width:
            wrapped.append(line)
            line = word
            if len(wrapped) == lines:
                last = leading(wrapped[-1], width - cell_width(ellipsis))
                return [*wrapped[:-1], last.rstrip(" ,;:.") + ellipsis]
        else:
            line = f"{line} {word}" if line else word
    return [*wrapped, line] if line else wrapped


def _pieces(text: str, width: int) -> list[str]:
    """The words, those that are longer than a line shortened to one."""
    return [shorten(word, width) for word in text.split()]


def format_count(number: int) -> str:
    """Of files: ``61,204``."""
    return f"{number:,}"


def format_hours(seconds: float) -> str:
    """A length of audio: ``1,234.5h``, or minutes and seconds where there is not an hour of it."""
    if seconds < _HOUR:
        return format_duration(round(seconds) if seconds >= 1 else seconds)
    return f"{seconds / _HOUR:,.1f}h"


def format_left(seconds: float) -> str:
    """A time that counts down: whole seconds, so that it does not flicker."""
    return format_duration(max(1, round(seconds)))


def plural(number: int, singular: str) -> str:
    """``1 recording``, ``2 recordings``."""
    return f"{format_count(number)} {singular}{'' if number == 1 else 's'}"
