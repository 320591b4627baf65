"""Measures, shortens and wraps text in cells of a screen; formats numbers."""

import re
import unicodedata

from batch_uploader.core.units import format_duration
from batch_uploader.ui.stream import Line, Span

ELLIPSIS = "…"

_OURS = r"\bbatch-uploader (?:upload|check|status|resolve|manifest|doctor|emulator|demo)\b"
_COMMAND = re.compile(rf"`[^`]+`|{_OURS}")
_TOKEN = re.compile(rf"{_OURS}.*|(?:`[^`]+`|\S)+")
"""A command or a word, with all that is joined to it."""

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


def has_command(text: str) -> bool:
    """Whether there is a command to paste in the text: ours, or one between backticks."""
    return _COMMAND.search(text) is not None


def wrap(text: str, width: int, lines: int, ellipsis: str = ELLIPSIS) -> list[str]:
    """The words of a sentence in lines of at most ``width`` cells, cut after ``lines`` of them.

    A command is neither broken nor cut, so that it can be pasted: it is left out as a whole, or
    its line may be longer, and counts as the lines that a terminal makes of it.
    """
    wrapped: list[str] = []
    line = ""
    used = 0
    for piece in _pieces(text, width):
        if not line or cell_width(line) + 1 + cell_width(piece) <= width:
            line = f"{line} {piece}" if line else piece
            continue
        wrapped.append(line)
        used += _height(line, width)
        line = piece
        if used + _height(piece, width) > lines:
            return [*wrapped[:-1], _ended(wrapped[-1], width, ellipsis)]
    return [*wrapped, line] if line else wrapped


def fold(line: Line, width: int) -> list[Line]:
    """A line in rows of at most ``width`` cells, broken between words and never in a command."""
    text = "".join(span.text for span in line)
    if cell_width(text) <= width:
        return [line]
    rows: list[Line] = []
    start = end = 0
    for token in _TOKEN.finditer(text):
        if end > start and cell_width(text[start : token.end()]) > width:
            rows.append(_slice(line, start, end))
            start = token.start()
        end = token.end()
    return [*rows, _slice(line, start, end)]


def _slice(line: Line, start: int, end: int) -> Line:
    spans = []
    for span in line:
        spans.append(Span(span.text[max(0, start) : max(0, end)], span.style))
        start -= len(span.text)
        end -= len(span.text)
    return [span for span in spans if span.text]


def _ended(line: str, width: int, ellipsis: str) -> str:
    """The last line of a text that is cut."""
    if has_command(line):
        return line
    return leading(line, width - cell_width(ellipsis)).rstrip(" ,;:.") + ellipsis


def _height(line: str, width: int) -> int:
    return -(-cell_width(line) // width)


def _pieces(text: str, width: int) -> list[str]:
    """The commands, and the words, with those that are longer than a line shortened."""
    return [
        token[0] if has_command(token[0]) else shorten(token[0], width)
        for token in _TOKEN.finditer(text)
    ]


def format_hours(seconds: float) -> str:
    """A length of audio: ``1,234.5h``, or minutes and seconds below an hour."""
    if seconds < _HOUR:
        return format_duration(round(seconds) if seconds >= 1 else seconds)
    return f"{seconds / _HOUR:,.1f}h"


def format_left(seconds: float) -> str:
    """The time of a countdown, in whole seconds, so that it does not flicker."""
    return format_duration(max(1, round(seconds)))
