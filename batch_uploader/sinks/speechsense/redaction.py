"""What a peer says, fit to be shown: all of it passes through ``shown``.

A peer may repeat what it was sent: a key, a token, a JWT, whole or in part, in other letters, taken
apart or encoded, and it may repeat to one what it heard from another. So a process remembers all
credentials that it has used, and shows no part of any.
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import unquote_to_bytes

_HIDDEN: Final = "[...]"
_PART: Final = 8
"""So many letters and digits in a row are a part of a secret."""
_WITH_PARTS: Final = 12
"""A secret of fewer counts as a whole, since its parts may be words."""
_SHORTEST: Final = 3
"""Characters of what is looked for as it is."""
_LONGEST: Final = 4096
"""Characters of a text that are looked at; what is behind them is not shown."""
_REMEMBERED: Final = 32
"""A run of days has a token every few hours; what is older is good for nothing."""

_GAPS: Final = re.compile(r"[^0-9A-Za-z]+")
_ENCODED: Final = re.compile(r"[0-9A-Za-z+/_=%-]{11,}")
_HEX: Final = re.compile(r"[0-9a-f]{14,}")
_NUMBERS: Final = re.compile(
    r"(?:[0-9a-f]{2,4}[^0-9a-z]{1,4}(?:0?x|u)?){6,}[0-9a-f]{2,4}", re.IGNORECASE
)
"""One byte after the other, as dumps and escapes have it: ``41:51``, ``\\x41``, ``0x41, 0x51``."""
_NUMBER: Final = re.compile(r"[0-9a-f]{2,4}", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What nearly every answer names, and no code."""

_parts: dict[str, frozenset[str]] = {}
_all: frozenset[str] = frozenset()
_sizes: frozenset[int] = frozenset()


def remember(secret: str) -> None:
    """Never show any part of this from now on."""
    global _all, _sizes  # noqa: PLW0603 - all the secrets of the process, whoever uses them
    if secret in _parts:
        return
    bare = _bare(secret)
    if len(bare) < _PART:
        # Not worth the name, and part of many a word.
        return
    while len(_parts) >= _REMEMBERED:
        del _parts[next(iter(_parts))]
    size = _PART if len(bare) >= _WITH_PARTS else len(bare)
    _parts[secret] = frozenset(bare[at : at + size] for at in range(len(bare) - size + 1))
    _all = frozenset().union(*_parts.values())
    _sizes = frozenset(map(len, _all))


def reveals(text: str) -> bool:
    """Whether a text has a part of a secret in it."""
    return (
        bool(_found(_bare(text)))
        or any(map(_decodes_to_a_secret, _ENCODED.findall(text)))
        or any(map(_spells_a_secret, _NUMBERS.findall(text)))
    )


def shown(text: str, limit: int, private: Iterable[str] = ()) -> str:
    """The text without secrets, in one line without control characters, ``limit`` at most.

    ``private`` is what must not be repeated either, as a whole.
    """
    text = text[:_LONGEST]
    text = _ENCODED.sub(lambda run: _HIDDEN if _decodes_to_a_secret(run[0]) else run[0], text)
    text = _NUMBERS.sub(lambda run: _HIDDEN if _spells_a_secret(run[0]) else run[0], text)
    text = _without_parts(text)
    for value in sorted(private, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, _HIDDEN)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _without_parts(text: str) -> str:
    # Once more, since what is left on both sides may make up a part.
    while found := _found(_bare(text)):
        # Where in the text the letters stand that count.
        places = [place for place, c in enumerate(text) if c.isascii() and c.isalnum()]
        kept, end = [], 0
        for first, last in found:
            kept += [text[end : places[first]], _HIDDEN]
            end = places[last - 1] + 1
        text = "".join((*kept, text[end:]))
    return text


def _found(bare: str) -> list[tuple[int, int]]:
    """Where parts of secrets begin and end, those that touch together."""
    if not _sizes:
        return []
    found = [
        (start, start + size)
        for size in _sizes
        for start in range(len(bare) - size + 1)
        if bare[start : start + size] in _all
    ]
    if not found:
        return found
    together: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if together and start <= together[-1][1]:
            together[-1] = (together[-1][0], max(end, together[-1][1]))
        else:
            together.append((start, end))
    return together


def _decodes_to_a_secret(run: str) -> bool:
    return not _UUID.fullmatch(run) and any(
        _found(_bare(text.decode("latin-1"))) for text in _decoded(run)
    )


def _spells_a_secret(run: str) -> bool:
    numbers = _NUMBER.findall(run)
    return any(_found(_bare("".join(map(chr, _read(numbers, base))))) for base in (16, 10, 8))


def _read(numbers: Iterable[str], base: int) -> Iterator[int]:
    """Those that are numbers; a word may stand beside them."""
    for number in numbers:
        with suppress(ValueError):
            yield int(number, base)


def _decoded(run: str) -> Iterator[bytes]:
    """What the run may stand for, from whichever letter it was cut off."""
    bare = _bare(run)
    for digits in _HEX.findall(bare):
        for start in (0, 1):
            yield bytes.fromhex(digits[start : start + (len(digits) - start) // 2 * 2])
    if "%" in run:
        yield unquote_to_bytes(run)
    letters = run.replace("-", "+").replace("_", "/").replace("%", "").rstrip("=")
    for start in range(4):
        whole = letters[start:].replace("=", "")
        yield b64decode(whole[: len(whole) // 4 * 4])


def _bare(text: str) -> str:
    return _GAPS.sub("", text).lower()
