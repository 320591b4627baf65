"""Text for people: escaped names, one-line messages, shell quoting, counts.

Names of files and messages of a service are untrusted: what reaches a screen has passed
``printable``.
"""

import shlex
from itertools import chain

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BYTES = range(0xDC80, 0xDD00)
"""Python's surrogates for bytes of a name that are not UTF-8."""
# Python calls these printable although they are invisible: joiners, fillers, variation selectors,
# the blank Braille pattern.
_INVISIBLE = frozenset(
    chain(
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F),
        (0x2800, 0x3164, 0xFFA0),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
)


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
    """A message of one or several lines as one printable line."""
    return printable(" ".join(text.split()))


def quote(text: str) -> str:
    """The text quoted as one word for a shell, always printable.

    Surrogates stand for bytes of a file's name that are not UTF-8.
    """
    # A line of text keeps no run of spaces.
    if printable(text) == text and "  " not in text:
        return shlex.quote(text)
    # The $'…' notation of bash and zsh.
    return f"$'{''.join(map(_quoted, text))}'"


def _quoted(char: str) -> str:
    if printable(char) == char and char not in "'\\ ":
        return char
    code = ord(char)
    return f"\\x{code - 0xDC00:02x}" if code in _BYTES else f"\\U{code:08x}"


def format_count(number: int) -> str:
    """A count with separators: ``61,204``."""
    return f"{number:,}"


def plural(number: int, singular: str) -> str:
    """``1 recording``, ``2 recordings``."""
    return f"{format_count(number)} {singular}{'' if number == 1 else 's'}"
