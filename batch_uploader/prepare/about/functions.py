"""The functions of expressions, beside those of Jinja.

Each takes what tables, names and sidecars hold (text, numbers, true and false, null, lists) and
returns a value like these, or raises Unfit; None and "" stay what they are, so that a field that is
empty stays empty through them. docs/metadata.md has an example of each.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from batch_uploader.core.directions import FALSE, IN, OUT, TRUE
from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.about import times
from batch_uploader.prepare.about.patterns import compiled
from batch_uploader.prepare.about.phones import without_extension
from batch_uploader.prepare.about.values import Unfit

TEXT_LIMIT: Final = 64 * 1024
"""The most characters that a function takes or returns."""

Lookup = Callable[[str], object]
"""A second table: the value of a key, None if it lacks that."""

_SPACE = re.compile(r"\s+")
_SIP = re.compile(
    r"(?:.*<)?(?:sips?:|tel:)?(?P<user>[^@;>]*)(?:[@;>].*)?", re.DOTALL | re.IGNORECASE
)
_DIAL = re.compile(r"\+?[\d\s().\-/\u2010-\u2015\xa0]+")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d*)?[eE][+-]?\d+")
_CHANNEL = re.compile(
    r"(?:PJSIP|SIP|IAX2|SCCP|DAHDI|Agent|Local)/(?:FM(?:PR|GL)-)?(?P<extension>\d{2,8})"
    r"(?:[@-].*|;.*|/.*)?",
    re.DOTALL | re.IGNORECASE,
)
_HIDDEN: Final = {
    *("anonymous", "hidden", "private", "restricted", "unavailable", "unknown", "withheld"),
    *("скрыт", "скрытый", "неизвестный", "неизвестно"),
}
_FULL: Final = 10
_MOST_DIGITS: Final = 20
_INTERNAL: Final = {
    *("internal", "local", "intern", "внутренний", "внутренняя", "внутренние", "внутр", "внутр."),
}
_MISSED: Final = {"missed", "verpasst", "пропущенный", "пропущенная", "пропущенные"}
_SYNONYMS: Final = (IN, OUT, _INTERNAL, _MISSED)


def is_empty(value: object) -> bool:
    """Whether a value says nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def phone(value: object, plus: object = None) -> object:
    """A phone number in digits: ``8 (900) 123-45-67`` becomes ``79001234567``.

    ``phone(plus=true)`` writes ``+79001234567``. An extension stays one, but is cut off where it
    follows a number; a hidden number becomes empty, a SIP user without a number stays as it is.
    """
    if is_empty(value):
        return value
    text = _text(value).strip()
    if _SCIENTIFIC.fullmatch(text):
        text = _written_out(text)
    found = _SIP.fullmatch(text)
    user = (found["user"] if found else text).strip()
    if user.casefold() in _HIDDEN:
        return ""
    number = without_extension(user)
    if not _DIAL.fullmatch(number):
        return user
    return _international(number, "+" if plus else "")


def extension(value: object) -> object:
    """The extension in the name of an Asterisk channel: ``PJSIP/204-0000001a`` has ``204``."""
    if is_empty(value):
        return value
    text = _text(value)
    found = _CHANNEL.fullmatch(text.strip())
    if found is not None:
        return found["extension"]
    return text.strip() if re.fullmatch(r"\d{2,8}", text.strip(), re.ASCII) else None


def choose(value: object, words: object, other: object = None) -> object:
    """The value that stands for a word in ``{'in': false, 'out': true}``.

    Letters of any case. ``in``, ``out``, ``internal`` and ``missed`` know their synonyms:
    ``Входящий`` and ``inbound`` are ``in``. What is unknown is ``other`` or, without it, a defect.
    """
    if not isinstance(words, Mapping):
        raise Unfit("choose has no list of words", "write choose({'in': false, 'out': true})")
    if is_empty(value):
        return value
    word = _word(value)
    known = {_word(key): result for key, result in words.items()}
    if word in known:
        return known[word]
    for key, result in known.items():
        if any(word in group and key in group for group in _SYNONYMS):
            return result
    if other is not None:
        return other
    raise Unfit(
        f"{_quoted(word)} is not among its words",
        f"add it to {', '.join(sorted(known))}, or say what all others mean with other=",
    )


def outgoing(value: object) -> object:
    """Whether a word says that a call went out: ``out``, ``Outbound``, ``Исходящий``."""
    return choose(value, {"out": True, "in": False})


def boolean(value: object) -> object:
    """A word or number as true or false: ``1``, ``yes``, ``Да`` and ``True`` are true."""
    if isinstance(value, bool) or is_empty(value):
        return value
    word = _word(value)
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise Unfit(
        f"{_quoted(word)} is neither true nor false",
        "say what it means with choose({'WORD': true, 'OTHER': false})",
    )


def find(value: object, pattern: object, group: object = None) -> object:
    """What a regular expression finds: its first group, or all of it; None if it finds nothing."""
    if is_empty(value):
        return None
    expression = _pattern(_text(pattern))
    found = expression.search(_text(value))
    if found is None:
        return None
    try:
        return found[group if isinstance(group, str | int) else min(1, expression.groups)]
    except IndexError:
        raise Unfit("the pattern of find lacks that group", "name one that it has") from None


def replace(value: object, old: object, new: object = "") -> object:
    """A text with all of ``old`` replaced."""
    if value is None:
        return None
    text, before, after = _text(value), _text(old), _text(new)
    _require_short(len(text) + text.count(before) * len(after))
    return text.replace(before, after)


def join(value: object, separator: object = ", ") -> object:
    """The values of a list in one text, without the empty ones."""
    if is_empty(value) or isinstance(value, str):
        return value
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise Unfit("it is not a list", "leave out join")
    between = _text(separator)
    texts: list[str] = []
    length = 0
    for each in value:
        if not is_empty(each):
            texts.append(_text(each))
            length += len(texts[-1]) + len(between)
            _require_short(length)
    return between.join(texts)


def split(value: object, separator: object = None) -> object:
    """The parts of a text as a list."""
    if value is None:
        return []
    if separator == "":
        raise Unfit("split has no separator", "write it like split('-')")
    return _text(value).split(None if separator is None else _text(separator))


def number(value: object) -> object:
    """A text as a number, also with a decimal comma."""
    if isinstance(value, bool) or is_empty(value):
        return value
    if isinstance(value, int | float | Decimal):
        return value
    text = _SPACE.sub("", _text(value))
    if not re.fullmatch(r"[+-]?\d{1,30}(?:[.,]\d{1,30})?", text, re.ASCII):
        raise Unfit("it is not a number", "leave out number, or find the number in it")
    try:
        exact = Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise Unfit("it is not a number", "leave out number") from None
    return int(exact) if exact == exact.to_integral_value() else exact


def round_to(value: object, digits: object = 0) -> object:
    """A number rounded to that many digits after the point."""
    exact = number(value)
    if is_empty(exact):
        return exact
    if not isinstance(digits, int) or not 0 <= digits <= 9:  # noqa: PLR2004 - nanoseconds
        raise Unfit("round takes 0 to 9 digits", "write it like round(2)")
    assert isinstance(exact, int | float | Decimal)  # noqa: S101 - number returns nothing else
    try:
        return round(exact, digits) if digits else round(exact)
    except (OverflowError, ValueError, InvalidOperation):
        raise Unfit("it is not a number that can be rounded", "leave out round") from None


class TimeFunctions:
    """The functions of times, for a clock in a zone if that is known."""

    def __init__(self, where: tzinfo | None) -> None:
        self._where = where

    def time(
        self,
        value: object,
        *formats: object,
        zone: object = None,
        fold: object = None,
        utc: object = None,
    ) -> object:
        """A time as ISO 8601 with its offset.

        Without a format it is recognised if it is unambiguous. ``zone`` is that of this clock.
        ``fold`` is ``first`` or ``second``, for times that were twice. ``utc`` is about the same
        moment in UTC seconds, like Asterisk's uniqueid, from which an unknown zone is derived.
        """
        if is_empty(value):
            return value
        written = [_text(each) for each in formats]
        return times.text_of(times.aware(value, written, self._zone(zone), fold=fold, utc=utc))

    def epoch(self, value: object, unit: object = None) -> object:
        """Seconds, milliseconds or microseconds since 1970 as ISO 8601."""
        if is_empty(value):
            return value
        return times.text_of(times.epoch(value, None if unit is None else _text(unit), self._where))

    def excel(self, value: object, zone: object = None, fold: object = None) -> object:
        """A day of Excel with its fraction as ISO 8601."""
        if is_empty(value):
            return value
        return times.text_of(times.excel(value, self._zone(zone), fold=fold))

    def _zone(self, name: object) -> tzinfo | None:
        try:
            return self._where if name is None else time_zone(_text(name))
        except BadValue as error:
            raise Unfit(error.problem, error.hints[0]) from None


class LookingUp:
    """The function ``lookup`` over second tables of these names."""

    def __init__(self, tables: Mapping[str, Lookup]) -> None:
        self._tables = tables

    def __call__(self, value: object, name: object) -> object:
        """The value of a key in a second table, None if the table lacks it."""
        table = self._tables.get(_text(name))
        if table is None:
            raise Unfit(f"there is no lookup table {_quoted(_text(name))}", self.cure(_text(name)))
        return value if is_empty(value) else table(_text(value).strip())

    def has(self, name: object) -> bool:
        """Whether there is a second table of this name."""
        return _text(name) in self._tables

    def cure(self, name: str) -> str:
        """What to do about a name that no second table has."""
        close = get_close_matches(name, self._tables, 1)
        guess = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(sorted(self._tables)) or "none yet"
        return f"{guess}declare it as [[metadata.lookup]]; known: {known}"


def of(where: tzinfo | None, lookups: Mapping[str, Lookup]) -> dict[str, Callable[..., object]]:
    """All functions by their names, with a time zone and the second tables."""
    clock = TimeFunctions(where)
    return {
        "boolean": boolean,
        "choose": choose,
        "epoch": clock.epoch,
        "excel": clock.excel,
        "extension": extension,
        "find": find,
        "join": join,
        "lookup": LookingUp(lookups),
        "number": number,
        "outgoing": outgoing,
        "phone": phone,
        "replace": replace,
        "round": round_to,
        "split": split,
        "time": clock.time,
    }


@lru_cache(maxsize=1000)
def _pattern(text: str) -> re.Pattern[str]:
    try:
        return compiled(text, "find")
    except ConfigError as error:
        raise Unfit(error.problem, error.hints[0]) from None


def _international(user: str, plus: str) -> str:
    """Russian numbers begin with 7, others with their own country."""
    digits = re.sub(r"\D", "", user)
    if user.startswith("+"):
        return plus + digits
    if digits.startswith(("00", "810")):
        rest = digits.removeprefix("810") if digits[0] == "8" else digits[2:]
        return plus + rest if len(rest) >= _FULL else digits
    if len(digits) == _FULL + 1 and digits[0] == "8":
        return f"{plus}7{digits[1:]}"
    if len(digits) == _FULL and digits[0] in "3489":
        return f"{plus}7{digits}"
    return plus + digits if len(digits) > _FULL else digits


def _written_out(text: str) -> str:
    """A whole number that was written with an exponent and all of its digits."""
    exact = Decimal(text.replace(",", "."))
    sign, digits, exponent = exact.as_tuple()
    if sign or exponent != 0 or len(digits) > _MOST_DIGITS:
        raise Unfit(
            "its number was rounded by a spreadsheet",
            "export it once more with the column formatted as text",
        )
    return format(exact, "f")


def _word(value: object) -> str:
    return _SPACE.sub(" ", _text(value)).strip().casefold()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float | Decimal):
        raise Unfit("it is not one value", "name the field within it")
    if isinstance(value, int) and abs(value) >= 10**300:
        raise Unfit("its number is too large", "correct it")
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**15:
        value = int(value)
    text = str(value)
    _require_short(len(text))
    return text


def _require_short(length: int) -> None:
    if length > TEXT_LIMIT:
        raise Unfit(f"it has more than {TEXT_LIMIT:,} characters", "shorten it")


def _quoted(word: str) -> str:
    """A short word; what looks like a number or a name of somebody is not shown."""
    shown = len(word) <= 20 and word.isprintable() and sum(map(str.isdigit, word)) < 5  # noqa: PLR2004
    return repr(word) if shown else "its value"
