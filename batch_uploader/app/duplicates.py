"""What is held as a possible duplicate, grouped by cause, beside what it may be."""

import os
from contextlib import aclosing

from msgspec import Struct

from batch_uploader.app.places import Where, find_places, require_ledger
from batch_uploader.core.identity import Cause
from batch_uploader.core.records import Record
from batch_uploader.core.states import POSSIBLE
from batch_uploader.ledgers.sqlite import LedgerReader

MOST_EXAMPLES = 3


class DuplicateExample(Struct, frozen=True):
    """A possible duplicate, and the recording that it may be, None if that left the ledger."""

    held: Record
    other: Record | None


class DuplicateGroup(Struct, frozen=True):
    """Possible duplicates of one connection with the same cause; ``duration`` is in seconds.

    ``examples`` are the first few.
    """

    connection_id: str
    cause: Cause
    recordings: int
    duration: float
    examples: tuple[DuplicateExample, ...]


class _Sum(Struct):
    """A group while it is counted."""

    first: list[Record]
    recordings: int = 0
    duration: float = 0.0

    def add(self, held: Record) -> None:
        self.recordings += 1
        self.duration += held.duration or 0.0
        if len(self.first) < MOST_EXAMPLES:
            self.first.append(held)


async def possible_duplicates(
    directory: Where,
    *,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> list[DuplicateGroup]:
    """The possible duplicates of a directory by cause, the largest group first.

    Of all connections or the given one. Changes nothing, and works during a run. Raises
    ConfigError, SourceError or LedgerError.
    """
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    require_ledger(places)
    async with LedgerReader(places.ledger, places.connection_id) as reader:
        return await groups_of(reader)


async def groups_of(reader: LedgerReader) -> list[DuplicateGroup]:
    """The possible duplicates of a ledger by cause, the largest group first."""
    sums: dict[tuple[str, Cause], _Sum] = {}
    async with aclosing(reader.rows(POSSIBLE)) as rows:
        async for row in rows:
            if row.cause is not None:
                sums.setdefault((row.connection_id, row.cause), _Sum([])).add(row)
    groups = [
        DuplicateGroup(
            connection,
            cause,
            some.recordings,
            some.duration,
            tuple([await _beside(reader, held) for held in some.first]),
        )
        for (connection, cause), some in sums.items()
    ]
    return sorted(groups, key=lambda group: -group.recordings)


async def held_back(reader: LedgerReader) -> tuple[Record, ...]:
    """The possible duplicates one by one, sorted by path."""
    async with aclosing(reader.rows(POSSIBLE)) as rows:
        return tuple([row async for row in rows])


async def _beside(reader: LedgerReader, held: Record) -> DuplicateExample:
    path = held.duplicate_of
    other = None if path is None else await reader.stored(held.connection_id, path)
    return DuplicateExample(held, other)
