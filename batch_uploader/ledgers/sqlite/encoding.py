"""Converts a record to a row of the ledger's tables, and back."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import astuple

from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Container, Failure, Timestamp, Version
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status

_HEAD: Final = Record.__struct_fields__.index("first_miss") + 1
"""The number of leading fields of a record, of which some need conversion; the others do not."""
NAMES: Final = (
    *("connection_id", "path", "status", "container", "cause"),
    *Version.__struct_fields__,
    *(f"failure_{field}" for field in Failure.__struct_fields__),
    *(f"doubt_{field}" for field in Timestamp.__struct_fields__),
    *(f"missed_{field}" for field in Timestamp.__struct_fields__),
    *("upload_key" if field == "key" else field for field in Record.__struct_fields__[_HEAD:]),
)
COLUMNS: Final = ", ".join(NAMES)


def _places(first: str, count: int) -> slice:
    return slice(start := NAMES.index(first), start + count)


_STAT: Final = _places("size", len(Version.__struct_fields__))
_FAILURE: Final = _places("failure_code", len(Failure.__struct_fields__))
_SINCE: Final = _places("doubt_wall_ns", len(Timestamp.__struct_fields__))
_MISSED: Final = _places("missed_wall_ns", len(Timestamp.__struct_fields__))
_REST: Final = slice(_MISSED.stop, len(NAMES))
_STATUSES: Final = {status.value: status for status in Status}
_CONTAINERS: Final[dict[str | None, Container | None]] = {
    None: None,
    **{container.value: container for container in Container},
}
_CAUSES: Final[dict[str | None, Cause | None]] = {
    None: None,
    **{cause.value: cause for cause in Cause},
}
_NO_FAILURE: Final = (None,) * len(Failure.__struct_fields__)
_NO_TIME: Final = (None,) * len(Timestamp.__struct_fields__)


def encode(record: Record) -> tuple[object, ...]:
    """The values of ``COLUMNS``."""
    fields = astuple(record)
    connection_id, path, status, stat, container, cause, failure, since, first_miss = fields[:_HEAD]
    return (
        connection_id,
        path,
        status.value,
        None if container is None else container.value,
        None if cause is None else cause.value,
        *astuple(stat),
        *(_NO_FAILURE if failure is None else map(_text, astuple(failure))),
        *(_NO_TIME if since is None else astuple(since)),
        *(_NO_TIME if first_miss is None else astuple(first_miss)),
        *fields[_HEAD:],
    )


def decode(values: Sequence[Any]) -> Record:
    """A record from the values of ``COLUMNS``; further values are ignored.

    By position, since a run calls it for every file.
    """
    return Record(
        values[0],
        values[1],
        _STATUSES[values[2]],
        Version(*values[_STAT]),
        _CONTAINERS[values[3]],
        _CAUSES[values[4]],
        None if values[_FAILURE.start] is None else Failure(*values[_FAILURE]),
        None if values[_SINCE.start] is None else Timestamp(*values[_SINCE]),
        None if values[_MISSED.start] is None else Timestamp(*values[_MISSED]),
        *values[_REST],
    )


def _text(words: str | None) -> str | None:
    # Messages of other libraries may have lone surrogates, from undecodable file names.
    return words and words.encode("utf-8", "backslashreplace").decode("utf-8")
