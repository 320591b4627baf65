"""The fields of a connection, and checks of their names and values."""

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from msgspec import Struct, field

from batch_uploader.core.checks import require_texts, require_type, require_word
from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.sidecar.tree import (
    Problem,
    bad_key,
    bad_text,
    broken_text,
    is_json,
    shown,
)


class FieldType(StrEnum):
    """The types that a connection can declare for a field; all are sent as strings."""

    STRING = "string"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    JSON = "json"


class Kind(StrEnum):
    """The kinds of connections for which the service's guide prescribes fields."""

    TWO_CHANNEL = "two-channel"
    ONE_CHANNEL = "one-channel"

    @property
    def channels(self) -> int:
        """The number of channels that such a connection accepts."""
        return 2 if self is Kind.TWO_CHANNEL else 1


_ONE_CHANNEL: Final = {
    "operator_name": FieldType.STRING,
    "operator_id": FieldType.STRING,
    "date": FieldType.DATE,
    "language": FieldType.STRING,
}
_PRESETS: Final = {
    Kind.ONE_CHANNEL: _ONE_CHANNEL,
    Kind.TWO_CHANNEL: {
        **_ONE_CHANNEL,
        "client_name": FieldType.STRING,
        "client_id": FieldType.STRING,
        "direction_outgoing": FieldType.BOOLEAN,
    },
}


_MISSPELT: Final = {"direction_outgoung": "direction_outgoing"}


class Schema(Struct, frozen=True):
    """The fields of a connection. Raises ConfigError if the defaults do not fit the rest.

    ``defaults`` are the values of fields that a sidecar lacks. ``required`` fields must be in the
    sidecar or the defaults. ``types`` has the fields whose values are checked. ``declared`` has all
    fields that a sidecar may set, None for any. ``stamp_field`` is set by the upload alone.
    """

    defaults: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    types: Mapping[str, FieldType] = field(default_factory=dict)
    declared: frozenset[str] | None = None
    stamp_field: str | None = None

    def __post_init__(self) -> None:
        require_texts("required", self.required)
        require_texts("declared", self.declared or ())
        require_word("stamp_field", self.stamp_field, optional=True)
        for wanted in self.types.values():
            require_type("types", wanted, FieldType)
        for name, value in self.defaults.items():
            require_type(f"the default {name!r}", value, str)
            problem = self.check_name(name) or self.check_value(name, value) or broken_text(value)
            if problem is not None:
                raise ConfigError(f"the default {name!r}: {problem.message}", hint=problem.cure)
        if self.declared is not None and (stray := self.required - self.declared):
            names = ", ".join(sorted(stray))
            raise ConfigError(
                f"required but not declared: {names}", hint="declare it, or do not require it"
            )

    @classmethod
    def for_kind(
        cls,
        kind: Kind,
        *,
        defaults: Mapping[str, str] | None = None,
        required: Iterable[str] = (),
        types: Mapping[str, FieldType] | None = None,
        declared: Iterable[str] | None = None,
        stamp_field: str | None = None,
    ) -> Self:
        """The fields that the guide prescribes, all of them required, and the given ones."""
        require_type("kind", kind, Kind)
        require_texts("required", required)
        require_texts("declared", declared or ())
        preset = _PRESETS[kind]
        return cls(
            defaults=defaults or {},
            required=frozenset(preset) | frozenset(required),
            types={**preset, **(types or {})},
            declared=None if declared is None else frozenset(preset) | frozenset(declared),
            stamp_field=stamp_field,
        )

    def check_name(self, name: str) -> Problem | None:
        """The problem with a field of this name, whatever its value."""
        if problem := bad_key(name):
            return problem
        if name == self.stamp_field:
            return Problem(
                "sidecar-stamp",
                "this is the stamp field, which is written for every recording",
                "remove it, or choose another stamp field",
            )
        if name in _MISSPELT and not self._knows(name):
            return Problem(
                "sidecar-misspelt",
                "a sample of the service misspells the field so",
                f"rename it to {_MISSPELT[name]}, or declare it if the connection has it:"
                f' [connection.fields] {name} = "string"',
            )
        if self.declared is not None and name not in self.declared:
            return unknown_name("sidecar-undeclared", name, self.declared, "declared fields")
        return None

    def check_value(self, name: str, value: str) -> Problem | None:
        """The problem with a value of this field, as it would be sent."""
        if name == "language" and name in self.required and value.upper() == "RU":
            # As a sample of the service has it.
            return Problem("sidecar-type", "it has a language without its country", "write ru-RU")
        return bad_text(value) or _ill_typed(value, self.types.get(name, FieldType.STRING))

    def _knows(self, name: str) -> bool:
        return name in (self.declared or self.types) or name in self.required | self.defaults.keys()

    def missing(self, present: Iterable[str]) -> list[str]:
        """The required fields that neither a sidecar with these fields nor a default sets."""
        # A misspelt one has a defect of its own.
        there = {*present, *(_MISSPELT[name] for name in present if name in _MISSPELT)}
        return sorted(self.required.difference(there, self.defaults, {self.stamp_field}))


def unknown_name(kind: str, name: str, known: Iterable[str], what: str) -> Problem:
    """The problem of an unknown name; the cure suggests the closest known one."""
    names = tuple(sorted(known))
    close = _closest(shown(name), names)
    hint = f"did you mean {close}? The {what}" if close else f"the {what}"
    return Problem(kind, "unknown name", f"{hint} are {', '.join(names)}")


@functools.lru_cache(maxsize=1000)
def _closest(name: str, known: tuple[str, ...]) -> str | None:
    # Cached: it takes milliseconds, and the next sidecars have the same fault.
    return next(iter(difflib.get_close_matches(name, known, 1)), None)


_INTEGER = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_TYPES: Final[Mapping[FieldType, tuple[Callable[[str], object], str]]] = {
    FieldType.NUMBER: (_INTEGER.fullmatch, "a whole number like 42"),
    FieldType.DECIMAL: (_DECIMAL.fullmatch, "a number like 42 or 3.14"),
    FieldType.BOOLEAN: (frozenset({"true", "false"}).__contains__, "true or false"),
    FieldType.DATE: (
        _is_date,
        (
            "a date and time with Z or an offset like 2025-04-24T14:34:19+03:00, or specify the"
            " zone of its clock with --timezone"
        ),
    ),
    FieldType.JSON: (is_json, "JSON in a string"),
}


def _ill_typed(text: str, wanted: FieldType) -> Problem | None:
    if wanted is FieldType.STRING:
        return None
    fits, example = _TYPES[wanted]
    if fits(text):
        return None
    return Problem("sidecar-type", f"its value does not fit its type, {wanted}", f"write {example}")
