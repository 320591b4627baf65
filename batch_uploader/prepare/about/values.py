"""What one source says about a recording, before it is mapped to metadata."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from msgspec import Struct

VERSION_SIZE: Final = 16
"""Bytes of the digest over all that describes a recording."""


class Unfit(Exception):  # noqa: N818 - the state of a value, not a mistake
    """A value that a function does not take; ``cure`` says what to do. Quotes no personal data."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class Values(Struct, frozen=True):
    """What one source says about a recording.

    ``source`` is its name in expressions: ``sidecar``, ``table``, ``name``, ``tags``, ``file``, or
    the name that a table was given. ``fields`` are as JSON has them, nested ones included.
    ``origin`` says to people where that is: ``cdr.csv, line 1203``.
    """

    source: str
    fields: Mapping[str, object]
    origin: str


def version(described: Iterable[Values]) -> bytes:
    """The digest of what all sources say, whatever their order and wherever it stands.

    Equal for a row that moved to another line, so that a table may grow or be written again.
    """
    forms = sorted(_CANONICAL.encode([values.source, values.fields]) for values in described)
    return blake2b("\n".join(forms).encode("ascii"), digest_size=VERSION_SIZE).digest()


def _plain(value: object) -> str:
    """What databases return and JSON does not have."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=True, default=_plain)
