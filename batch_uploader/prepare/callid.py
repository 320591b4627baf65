"""The ids of a call, made of its metadata: equal ids say that two recordings are of one call."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from hashlib import blake2b
from typing import Final, NamedTuple, Self

from msgspec import Struct

from batch_uploader.core.checks import require_texts, require_type
from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.identity import DEFINITION_SIZE
from batch_uploader.core.model import Metadata

NO_ID: Final = b""
WHOLE: Final = "#"
"""Begins the names of what a piece has otherwise than its call, whose IDs it has: no field, column
or group has such a name."""
DEFAULT_FIELDS: Final = ("date", "operator_id", "client_id")
_NONE = "none"
_VALUES_SIZE = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"((?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2})?)(?:[.,]([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
)


class _Moment(NamedTuple):
    """A value that is a date and time with an offset.

    ``instant`` is the seconds since the epoch and their fraction: equal for all ways to write it,
    and unlike any text. ``midnight`` is whether it begins a day by its own offset.
    """

    instant: tuple[int, str]
    midnight: bool


class CallIds(Struct, frozen=True):
    """Which metadata fields tell one call from another. Raises ConfigError.

    ``named`` are the fields that together identify a call (``--call-id``); a recording that lacks
    one of them has no named id. ``default`` is whether date, operator_id and client_id together are
    taken for a sign of the same call (off with ``--call-id none``).
    """

    named: frozenset[str] = frozenset()
    default: bool = True

    def __post_init__(self) -> None:
        require_texts("named", self.named)
        require_type("default", self.default, bool)
        if not all(name.strip() for name in self.named):
            raise ConfigError("named: a field has no name", hint="name it or leave it out")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``FIELD[,FIELD…]`` or ``none``. Raises BadValue."""
        names = [name.strip() for name in text.split(",")]
        if names == [_NONE]:
            return cls(default=False)
        if _NONE in names:
            raise BadValue(f"{_NONE} and other fields contradict each other", hint="keep one")
        if not all(names):
            raise BadValue(f"{text!r}: a field has no name", hint="write it like FIELD or A,B")
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise BadValue(f"{', '.join(twice)}: named twice", hint="name it once")
        return cls(frozenset(names))

    @property
    def text(self) -> str:
        """What ``parse`` takes, "" for the default."""
        return ",".join(sorted(self.named)) or ("" if self.default else _NONE)

    def default_id(self, metadata: Metadata) -> bytes:
        """The digest of date, operator_id and client_id, ``NO_ID`` unless the sidecar has all.

        Only a moment counts as a date. Midnight is how many systems write a date without a time.
        """
        if not self.default or (values := _values(metadata, DEFAULT_FIELDS)) is None:
            return NO_ID
        moment = _moment(values[0])
        if moment is None or moment.midnight:
            return NO_ID
        return _digest([moment.instant, *values[1:]], _VALUES_SIZE)

    def named_id(self, metadata: Metadata) -> bytes:
        """The digests of the named fields and of their values, ``NO_ID`` unless all are there.

        Ids whose first ``DEFINITION_SIZE`` bytes differ are of other fields: not comparable.
        """
        names = sorted(self.named)
        if not names or (values := _values(metadata, names)) is None:
            return NO_ID
        comparable = [moment.instant if (moment := _moment(value)) else value for value in values]
        return _digest(names, DEFINITION_SIZE) + _digest(comparable, _VALUES_SIZE)


def _values(metadata: Metadata, names: Iterable[str]) -> list[str] | None:
    """The recording's own values of these fields, None unless it has them all.

    A value from the settings says nothing about this recording.
    """
    values = []
    for name in names:
        value = metadata.ids.get(WHOLE + name) or metadata.said(name)
        if not value or name in metadata.defaulted:
            return None
        values.append(value)
    return values


def _moment(text: str) -> _Moment | None:
    """A date and time with an offset, else None."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset.upper()}")
    except ValueError:
        return None
    rest = (fraction or "").rstrip("0")
    midnight = moment.time() == time.min and not rest
    return _Moment(((moment - _EPOCH) // _SECOND, rest), midnight)


def _digest(parts: object, size: int) -> bytes:
    return blake2b(json.dumps(parts).encode(), digest_size=size).digest()
