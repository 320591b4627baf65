"""Which encoding bytes are in, and which one a text was wrongly read in.

CP1251, KOI8-R, CP866 and ISO-8859-5 cannot be told apart by validity: nearly all bytes are letters
in each of them. So a reading is judged by how often Russian has its letters, and by their case: a
wrong one has capitals within words, letters beside symbols, and rare letters. A sidecar has two or
three names, which is little; a guess that is not clearly the best is none.
"""

import codecs
import math
import re
from typing import Final, NamedTuple

_OFTEN: Final = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"
"""The letters of Russian, the most frequent first; the last one is frequent in names alone."""
_PER_MILLE: Final = (
    *(110, 85, 80, 74, 67, 63, 55, 47, 45, 44, 35, 32, 30, 28, 26, 20, 19, 17, 17, 16, 16, 14),
    *(12, 10, 9, 7, 6, 5, 4, 3, 3, 0.4, 4),
)
_LETTERS: Final = {
    **{letter: math.log(often / 1000) for letter, often in zip(_OFTEN, _PER_MILLE, strict=True)},
    **dict.fromkeys("іїєґўәғқңөұүһ", math.log(0.002)),  # Ukrainian, Belarusian and Kazakh
}
_ODD_CASE, _SYMBOL, _SHOUTED = -8.0, -9.0, -1.0
_UNSPOKEN: Final = -4.0
_UNSPEAKABLE: Final = re.compile(
    # A sign softens or parts consonants; and there are not so many of them in a row.
    r"^[ьъы]|(?<=[аеёиоуыэюяйьъ])[ьъ]|[бвгджзклмнпрстфхцчшщ]{4}|[аеёиоуыэюя]{3}"
)
_QUOTES: Final = "«»—–…“”„’‘\xa0‑•·"  # noqa: RUF001 - they are meant
_SIGNS: Final = "№°±©®"
_PUNCTUATION: Final = frozenset(_QUOTES + _SIGNS)
_KNOWN: Final = "".join(_LETTERS) + "".join(_LETTERS).upper()
_STRANGE: Final = re.compile(
    # Other letters and signs in a word: an encoding that is not among these (Mac, Kazakh, Greek,
    # and Japanese, where every second byte may be a Latin letter; but not the n of a line's end).
    rf"[{_KNOWN}][^\x00-\x7f{_KNOWN}{_QUOTES}]|[^\x00-\x7f{_KNOWN}{_QUOTES}{_SIGNS}][{_KNOWN}]"
    rf"|[{_KNOWN}][A-Za-z]|(?<!\\)[A-Za-z][{_KNOWN}]"
)
FLUENT: Final = -4.5
"""A reading whose letters are rarer on average is no Russian."""
_MOST: Final = 0.6
"""More than this share of what is no ASCII are letters, and not signs."""
_CLEAR: Final = 5.0
"""The best reading must be this much more likely than the next, as a logarithm."""

_WORD: Final = re.compile(r"[^\W\d_]+(?:[^\W\d_]|[^\x00-\x7f])*|[^\x00-\x7f\s]+")
_JSON_BEGINS: Final = ("{", "[", '"')
_HIGH: Final = bytes(range(0x80, 0x100))


class Encoding(NamedTuple):
    """An encoding: Python's name, the name for people, and iconv's."""

    codec: str
    name: str
    iconv: str


CYRILLIC: Final = (
    Encoding("cp1251", "Windows-1251", "CP1251"),
    Encoding("koi8_r", "KOI8-R", "KOI8-R"),
    Encoding("cp866", "CP866 (DOS)", "CP866"),
    Encoding("iso8859_5", "ISO 8859-5", "ISO-8859-5"),
)
_UTF_16: Final = Encoding("utf_16", "UTF-16", "UTF-16")
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, Encoding("utf_32", "UTF-32", "UTF-32")),
    (codecs.BOM_UTF16_LE, _UTF_16),
    (codecs.BOM_UTF16_BE, _UTF_16),
)
_WIDE: Final = (
    # How its first two characters, which are ASCII, look.
    (re.compile(rb"[^\x00]\x00\x00\x00", re.DOTALL), Encoding("utf_32_le", "UTF-32", "UTF-32LE")),
    (re.compile(rb"\x00\x00\x00[^\x00]", re.DOTALL), Encoding("utf_32_be", "UTF-32", "UTF-32BE")),
    (
        re.compile(rb"[^\x00]\x00[^\x00]", re.DOTALL),
        Encoding("utf_16_le", "UTF-16 without a byte-order mark", "UTF-16LE"),
    ),
    (
        re.compile(rb"\x00[^\x00]\x00", re.DOTALL),
        Encoding("utf_16_be", "UTF-16 without a byte-order mark", "UTF-16BE"),
    ),
)


def wide(data: bytes) -> Encoding | None:
    """UTF-16 or UTF-32, by its mark or by the zero bytes of a JSON text's first characters."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    for looks, encoding in _WIDE:
        if looks.match(data) and data.decode(encoding.codec, "ignore").lstrip()[:1] in _JSON_BEGINS:
            return encoding
    return None


def is_damaged_utf8(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 nearly are: cut off, or with a few bad bytes."""
    text = data.decode(errors="replace")
    lost = text.count("\ufffd")
    # In other encodings, two bytes that make a Cyrillic letter in UTF-8 are rarely neighbours.
    kept = sum("\u0400" <= char <= "\u04ff" for char in text)
    return kept >= 2 * lost


def of(data: bytes) -> Encoding | None:
    """The Cyrillic encoding of bytes that are not UTF-8, None if it is unclear."""
    readings = []
    for encoding in CYRILLIC:
        text = data.decode(encoding.codec, "replace")
        readings.append((likelihood(text), encoding))
    (best, encoding), (next_best, _) = sorted(readings, reverse=True)[:2]
    high = len(data) - len(data.translate(None, _HIGH))
    text = data.decode(encoding.codec, "replace")
    letters = sum(char in _KNOWN for char in text)
    russian = letters > _MOST * high and best > FLUENT * high and not _STRANGE.search(text)
    return encoding if russian and best - next_best >= _CLEAR else None


def possible(data: bytes) -> list[Encoding]:
    """The Cyrillic encodings in which all of these bytes mean something."""
    return [each for each in CYRILLIC if "\ufffd" not in data.decode(each.codec, "replace")]


def likelihood(text: str) -> float:
    """How likely the words with other letters than ASCII are as Russian: a logarithm."""
    return sum(_word(word) for word in set(_WORD.findall(text)) if not word.isascii())


def _word(word: str) -> float:
    total, capitals, before = 0.0, 0, ""
    lowered = word.lower()
    for char, lower in zip(word, lowered, strict=False):
        if char.isascii():
            # Letters of both alphabets in one word; digits and signs beside it are not in it.
            total += _SYMBOL / 2 if char.isalpha() else 0
        elif lower in _LETTERS:
            total += _LETTERS[lower]
            if char != lower:
                capitals += 1
                total += _ODD_CASE if before.islower() else 0
        else:
            total += -3 if char in _PUNCTUATION else _SYMBOL
        before = char
    return (
        total + (_SHOUTED if capitals > 1 else 0) + _UNSPOKEN * len(_UNSPEAKABLE.findall(lowered))
    )
