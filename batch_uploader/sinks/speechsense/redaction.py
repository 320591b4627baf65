"""Redacts secrets in texts of a peer; all of them pass through ``shown``.

A peer may repeat what it was sent: a key, a token, a JWT, whole or in part, in another case, split
or encoded, also in another call's answer. So a process remembers all credentials that it has used,
and shows no part of them.
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import unquote_to_bytes

_HIDDEN: Final = "[...]"
_PART: Final = 8
"""The number of consecutive letters and digits that counts as a part of a secret."""
_WITH_PARTS: Final = 12
"""A shorter secret is only redacted as a whole, since its parts may be words."""
_SHORTEST: Final = 3
"""Characters of the shortest text that is redacted."""
_LONGEST: Final = 4096
"""Characters of a text that are examined; the rest is not shown."""
_REMEMBERED: Final = 32
"""A run of days has a new token every few hours; older ones have expired."""

_GAPS: Final = re.compile(r"[^0-9A-Za-z]+")
_ENCODED: Final = re.compile(r"[0-9A-Za-z+/_=%-]{11,}")
_HEX: Final = re.compile(r"[0-9a-f]{14,}")
_NUMBERS: Final = re.compile(
    r"(?:[0-9a-f]{2,4}[^0-9a-z]{1,4}(?:0?x|u)?){6,}[0-9a-f]{2,4}", re.IGNORECASE
)
"""Bytes as numbers, as in dumps and escapes: ``41:51``, ``\\x41``, ``0x41, 0x51``."""
_NUMBER: Final = re.compile(r"[0-9a-f]{2,4}", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""In nearly every answer, and not an encoded secret."""

_KNOWN: Final = re.compile(
    r"\b(?:AQVN|t1\.|y[0-3]_|ajc[0-9a-z]{17}:|eyJ)[\w.=-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END|\Z)",
    re.DOTALL,
)
"""Secrets of the vendor that this process has not used: API keys, tokens, JWTs, private keys."""

_parts: dict[str, frozenset[str]] = {}
_all: frozenset[str] = frozenset()
_sizes: frozenset[int] = frozenset()


def remember(secret: str) -> None:
    """Redact any part of this from now on."""
    global _all, _sizes  # noqa: PLW0603 - the secrets of the whole process
    if secret in _parts:
        return
    bare = _bare(secret)
    if len(bare) < _PART:
        # Too short to be a secret, and part of many words.
        return
    while len(_parts) >= _REMEMBERED:
        del _parts[next(iter(_parts))]
    size = _PART if len(bare) >= _WITH_PARTS else len(bare)
    _parts[secret] = frozenset(bare[at : at + size] for at in range(len(bare) - size + 1))
    _all = frozenset().union(*_parts.values())
    _sizes = frozenset(map(len, _all))


def reveals(text: str) -> bool:
    """Whether a text contains a part of a secret."""
    if _found(_bare(text)):
        return True
    # A UUID, as most IDs are, encodes nothing and has too few numbers to spell a secret.
    return not _UUID.fullmatch(text) and (
        any(map(_decodes_to_a_secret, _ENCODED.findall(text)))
        or any(map(_spells_a_secret, _NUMBERS.findall(text)))
    )


def shown(text: str, limit: int, private: Iterable[str] = ()) -> str:
    """The text without secrets and control characters, in one line of ``limit`` characters at most.

    ``private`` are texts that are redacted as a whole.
    """
    text = text[:_LONGEST]
    # All matches are found first: redacting one could break up another.
    spans = [*_coded(text), *_values(text, private), *_parts_in(text)]
    while spans:
        text = _hide(text, spans)
        # The text on both sides of a redaction may form a part.
        spans = _parts_in(text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _coded(text: str) -> Iterator[tuple[int, int]]:
    """The spans that look like a secret, or contain a part of one when decoded."""
    if _UUID.fullmatch(text):
        return
    yield from (run.span() for run in _KNOWN.finditer(text))
    yield from (run.span() for run in _ENCODED.finditer(text) if _decodes_to_a_secret(run[0]))
    yield from (run.span() for run in _NUMBERS.finditer(text) if _spells_a_secret(run[0]))


def _values(text: str, values: Iterable[str]) -> Iterator[tuple[int, int]]:
    for value in values:
        # Not a pattern: each recording has values of its own, and to compile one takes long.
        at = text.find(value) if len(value) >= _SHORTEST else -1
        while at >= 0:
            yield at, at + len(value)
            at = text.find(value, at + len(value))


def _parts_in(text: str) -> list[tuple[int, int]]:
    found = _found(_bare(text))
    if not found:
        return []
    # The positions of the letters and digits in the text.
    places = [place for place, c in enumerate(text) if c.isascii() and c.isalnum()]
    return [(places[first], places[last - 1] + 1) for first, last in found]


def _hide(text: str, spans: Iterable[tuple[int, int]]) -> str:
    kept, end = [], 0
    for first, last in _together(spans):
        kept += [text[end:first], _HIDDEN]
        end = last
    return "".join((*kept, text[end:]))


def _found(bare: str) -> list[tuple[int, int]]:
    """The spans of parts of secrets among the letters and digits."""
    if not _sizes:
        return []
    found = [
        (start, start + size)
        for size in _sizes
        for start in range(len(bare) - size + 1)
        if bare[start : start + size] in _all
    ]
    return _together(found)


def _together(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans sorted, with adjacent ones merged."""
    together: list[tuple[int, int]] = []
    for start, end in sorted(spans):
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
    """The words that are numbers."""
    for number in numbers:
        with suppress(ValueError):
            yield int(number, base)


def _decoded(run: str) -> Iterator[bytes]:
    """The possible decodings of a run of characters, which may be cut off at any character."""
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
