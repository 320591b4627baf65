"""Turns bytes into a tree of values, and a value into the text that is sent."""

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from batch_uploader.core.text import quote
from batch_uploader.prepare.sidecar import encoding, mojibake

SIZE_LIMIT: Final = 1024 * 1024
"""The largest sidecar, in bytes."""
VALUE_LIMIT: Final = 1024
"""The longest metadata value, in bytes of UTF-8: the service's own limit."""
DEPTH_LIMIT: Final = 64
"""The most levels of nesting; any beyond those of the full form is a defect anyway."""

_SHOWN = 64


class Problem(NamedTuple):
    """A defect without its path and field."""

    kind: str
    message: str
    cure: str


class MalformedSidecar(Exception):  # noqa: N818 - internal
    """The sidecar cannot be parsed: ``problem`` says why."""

    def __init__(self, kind: str, message: str, cure: str) -> None:
        super().__init__(message)
        self.problem = Problem(kind, message, cure)


class Object(list[tuple[str, object]]):
    """A JSON object with all of its keys, including repeated ones."""


class Number(str):
    """A number as it is written, with all digits."""

    __slots__ = ()


class NoNumber(str):
    """NaN or infinity."""

    __slots__ = ()


def decode(data: bytes, user_path: Callable[[], str], limit: int = SIZE_LIMIT) -> str:
    """The text of a sidecar; ``user_path`` is its path for commands. Raises MalformedSidecar."""
    if len(data) > limit:
        raise MalformedSidecar(
            "sidecar-too-large",
            f"it is larger than {limit:,} bytes",
            "keep only the fields of this recording in it",
        )
    if found := encoding.wide(data):
        raise _encoded(found, user_path())
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(data, error.start, user_path()) from None
    if not text.strip():
        raise MalformedSidecar("sidecar-empty", "it is empty", 'write {"name": "value"}')
    return text


def _not_utf8(data: bytes, offset: int, path: str) -> MalformedSidecar:
    where = f"it is not UTF-8: invalid byte at offset {offset:,}"
    if encoding.is_damaged_utf8(data):
        cure = "write it again: it is UTF-8 that is damaged, or cut off there"
        return MalformedSidecar("sidecar-encoding", where, cure)
    if found := encoding.of(data):
        return _encoded(found, path)
    cure = "save it as UTF-8"
    if possible := encoding.possible(data):
        first, *others = (each.iconv for each in possible)
        cure += (
            "; which encoding it is in is unclear: look at"
            f" `iconv -f {first} -t UTF-8 < {quote(path)}`"
        )
        cure += f", and the same with {' or '.join(others)}" if others else ""
    return MalformedSidecar("sidecar-encoding", where, cure)


def _encoded(found: encoding.Encoding, path: str) -> MalformedSidecar:
    file, new, old = (quote(f"{path}{end}") for end in ("", ".utf8", ".orig"))
    return MalformedSidecar(
        "sidecar-encoding",
        f"it is {found.name}, not UTF-8",
        f"save it as UTF-8; if it is {found.name}: `iconv -f {found.iconv} -t UTF-8 < {file}"
        f" > {new} && mv -n {file} {old} && mv -n {new} {file}`",
    )


_DECODER = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=NoNumber
)


def load(text: str) -> object:
    """The tree of a JSON text, made of the classes above. Raises MalformedSidecar."""
    if _is_deep(text):
        # The parser's own limit of depth differs between versions of Python.
        raise MalformedSidecar(
            "sidecar-nesting",
            f"it is nested more than {DEPTH_LIMIT} levels deep",
            "write each field's value as a string",
        )
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedSidecar(
            "sidecar-json",
            f"invalid JSON at line {error.lineno}, column {error.colno} ({error.msg})",
            "remove what follows the object" if error.msg == "Extra data" else "fix it there",
        ) from None


def is_json(text: str) -> bool:
    """Whether a text is strictly JSON, and not nested too deep."""
    if _is_deep(text):
        return False
    try:
        json.loads(text, parse_int=str, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(constant: str) -> object:
    raise ValueError(constant)


# Matches an unterminated string, too; otherwise the search would restart at each quote in it.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return False
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                return True
        elif first in "]}":
            depth -= 1
    return False


def canonical(value: object) -> str | Problem:
    """A value as it is sent."""
    if type(value) is str:
        return value  # nearly all of them
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            cure = 'leave the field out, or write ""'
            return Problem("sidecar-null", "null is not allowed", cure)
        case NoNumber():
            cure = "leave the field out, or write a number"
            return Problem("sidecar-not-a-number", "NaN and Infinity are not allowed", cure)
        case Number():
            return _plain(value)
    return Problem(
        "sidecar-nesting",
        "a list or an object is not allowed here",
        'write it as a string; the full form is {"fields": {...}, "users": [...]}',
    )


def _plain(literal: str) -> str | Problem:
    try:
        number = Decimal(literal if len(literal) <= VALUE_LIMIT else "")
    except InvalidOperation:
        return _TOO_LONG
    if not number:
        return "0"
    if abs(number.adjusted()) > VALUE_LIMIT:
        return _TOO_LONG
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_TOO_LONG = Problem(
    "sidecar-value-too-long", f"it is longer than {VALUE_LIMIT:,} bytes in UTF-8", "shorten it"
)


def bad_key(name: str) -> Problem | None:
    """The problem with a field's name, whatever the field."""
    if not name.strip():
        return Problem("sidecar-empty-key", "a field has no name", "name it or remove it")
    return _lone_surrogate(name)


def bad_text(text: str) -> Problem | None:
    """The problem with a value, whatever the field."""
    if text.isascii() and len(text) <= VALUE_LIMIT:
        return None
    if problem := _lone_surrogate(text):
        return problem
    return _TOO_LONG if len(text.encode()) > VALUE_LIMIT else None


def broken_text(text: str) -> Problem | None:
    """The problem with a value that was broken on its way into the sidecar."""
    cause = mojibake.cause_of(text)
    if cause is None:
        return None
    cure = "write it again from where it is whole: the service keeps what is sent for good"
    return Problem("sidecar-broken-text", cause, cure)


def _lone_surrogate(text: str) -> Problem | None:
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return Problem(
            "sidecar-surrogate",
            r"it contains half of a character (\ud800 to \udfff)",
            "write the character itself, or both halves",
        )
    return None


def shown(name: str) -> str:
    """A name that can be printed: valid Unicode and not too long."""
    text = name.encode(errors="backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
