"""Measures, shortens and wraps text in cells of a screen; formats numbers."""

import unicodedata

from batch_uploader.core.units import format_duration

ELLIPSIS = "…"

# A Hangul vowel or final joins the syllable before it, as macOS decomposes Korean names.
_HANGUL_JOINING = range(0x1160, 0x1200)
_MINUTE, _HOUR = 60, 3600


def cell_width(text: str) -> int:
    """How many cells of a terminal the printable text takes: two for CJK, none for accents."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"} or ord(char) in _HANGUL_JOINING:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def shorten(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """The printable text in at most ``width`` cells, its middle left out if needed.

    More of the end is kept, which in a path is the name of the file.
    """
    if cell_width(text) <= width:
        return text
    left = width - cell_width(ellipsis)
    if left <= 0:
        return ellipsis if left == 0 else ""
    head = leading(text, left // 3)
    tail = leading(text[::-1], left - cell_width(head))[::-1]
    # An accent without its letter would combine with the ellipsis.
    while tail and not _cells(tail[0]):
        tail = tail[1:]
    return head + ellipsis + tail


def clip(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """The printable text in at most ``width`` cells, its end left out if needed."""
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
    """The words, with those that are longer than a line shortened."""
    return [shorten(word, width) for word in text.split()]


def format_hours(seconds: float) -> str:
    """A length of audio: ``1,234.5h``, or minutes and seconds below an hour."""
    if seconds < _HOUR:
        return format_duration(round(seconds) if seconds >= 1 else seconds)
    return f"{seconds / _HOUR:,.1f}h"


def format_left(seconds: float) -> str:
    """The time of a countdown, in whole seconds, so that it does not flicker."""
    return format_duration(max(1, round(seconds)))
