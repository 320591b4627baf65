"""Converts a value as the user gave it; errors name where it was given."""

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar

from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.units import parse_duration, parse_rate, parse_size

_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""Python's surrogates for bytes that are not UTF-8."""


class RawSetting:
    """A value before conversion. Its repr does not show it: it may be a secret.

    ``origin`` names where it was given, ``base`` is the directory of relative paths.
    """

    def __init__(self, value: object, origin: str, base: Path) -> None:
        self.value = value
        self.origin = origin
        self.base = base

    def refuse(self, problem: str, hint: str | Iterable[str]) -> NoReturn:
        """Raise a ConfigError that names where the value was given."""
        raise ConfigError(f"{self.origin}: {problem}", hint=hint)

    def unseen(self) -> str:
        """A text that is not empty, with any characters: a secret, which has its own rules."""
        if not isinstance(self.value, str):
            self.refuse("not a text", 'write it in quotes, like "..."')
        text = self.value.strip()
        if not text:
            self.refuse("it is empty", "give it a value or leave it out")
        return text

    def text(self) -> str:
        """A text that is not empty and fully printable."""
        text = self.unseen()
        if not text.isprintable():
            self.refuse("it contains invisible characters", "type it again")
        return text

    def word(self) -> str:
        """A text without spaces: an identifier, or the name of a field."""
        text = self.text()
        if " " in text:
            self.refuse(f"{self._shown()} contains a space", "copy only the one word")
        return text

    def texts(self) -> tuple[str, ...]:
        """A list of texts, each of them valid Unicode."""
        if not isinstance(self.value, list) or not all(isinstance(v, str) for v in self.value):
            self.refuse("not a list of texts", 'write it like ["...", "..."]')
        for text in self.value:
            if _HALF_CHARACTER.search(text):
                self.refuse(f"{text!r} is not UTF-8", "write it in UTF-8")
        return tuple(self.value)

    def entries(self, hint: str, known: Collection[str] = ()) -> dict[str, "RawSetting"]:
        """The settings of a table by name; only those that are ``known``, if any are named."""
        if not isinstance(self.value, Mapping):
            self.refuse("not a table", hint)
        found = {
            name: RawSetting(value, f"{name} in {self.origin}", self.base)
            for name, value in self.value.items()
        }
        for name, each in found.items():
            if known and name not in known:
                each.refuse("unknown setting", closest(name, known, "settings there"))
        return found

    def words(self) -> tuple[str, ...]:
        """The words of a command, split as a shell would; the command needs no shell."""
        try:
            words = tuple(shlex.split(self.text()))
        except ValueError:
            self.refuse("a quote is not closed", "close it")
        if not words[0]:
            self.refuse("the program has no name", "begin with the program to run")
        return words

    def path(self) -> Path:
        """A path, absolute relative to where it was given."""
        # A file's name may have any bytes.
        path = self.value if isinstance(self.value, Path) else Path(self.unseen())
        if "\0" in str(path):
            self.refuse("a path cannot contain a zero byte", "remove it")
        try:
            return self.base / path.expanduser()
        except RuntimeError:
            self.refuse("cannot expand ~: unknown user", "write the path without the ~")

    def switch(self) -> bool:
        """On or off."""
        if not isinstance(self.value, bool):
            self.refuse("neither true nor false", "write true or false, without quotes")
        return self.value

    def count(self, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``."""
        number = self.value
        if isinstance(number, str) and number.strip().isascii() and number.strip().isdigit():
            number = int(number) if len(number) <= len(str(most)) else most + 1
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            self.refuse(
                f"{self._shown()} is not a whole number from {least:,} to {most:,}",
                f"write it like {least}",
            )
        return number

    def duration(self) -> float:
        """Seconds."""
        return self.read(parse_duration)

    def size(self) -> int:
        """Bytes."""
        return self.read(parse_size)

    def limit(self, parse: Callable[[str], float]) -> float:
        """A parsed value, which must be greater than zero."""
        amount = self.read(parse)
        if not amount:
            self.refuse(f"{self._shown()} allows nothing", "leave it out for no limit")
        return amount

    def rate(self) -> float:
        """Times a second."""
        return self.read(parse_rate)

    def read(self, parse: Callable[[str], _T]) -> _T:
        """The value as parsed by ``parse``."""
        try:
            return parse(self._measure())
        except BadValue as error:
            self.refuse(error.problem, error.hints)

    def one_of(self, kind: type[_E]) -> _E:
        """A value of an enumeration."""
        words = [each.value for each in kind]
        if self.value not in words:
            self.refuse(f"unknown value {self._shown()}", closest(str(self.value), words, "values"))
        return kind(self.value)

    def _measure(self) -> str:
        # Numbers need no quotes in a file.
        if isinstance(self.value, int | Decimal) and not isinstance(self.value, bool):
            return format(self.value, "f")
        return self.text()

    def _shown(self) -> str:
        return repr(self.value)


def closest(name: str, known: Iterable[str], what: str) -> str:
    """The hint for an unknown word."""
    words = sorted(known)
    close = difflib.get_close_matches(name, words, 1, 0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    listing = f"the {what} are {', '.join(words)}" if words else f"there are no {what}"
    return guess + listing
