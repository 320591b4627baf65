"""Draws a sample of a number of recordings: those with the smallest hashes of their paths.

Recordings that the service holds, or may hold, are part of it, so it never becomes larger when the
source grows. Any other one has its place, be it new, invalid or left out by another filter: so a
second run over the same files draws the same ones.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator
from contextlib import aclosing
from heapq import heappush, heappushpop
from typing import Protocol

from batch_uploader.core.model import Entry
from batch_uploader.core.ports import Source
from batch_uploader.core.records import Record
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.prepare.filters import path_hash


class HasRows(Protocol):
    """The part of a ledger, or of its reader, that lists its records."""

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """As ``ports.Ledger``."""


async def draw(count: int, source: Source, ledger: HasRows) -> frozenset[int]:
    """The hashes of the paths that are in the sample and that the service does not hold yet.

    Keeps no more than ``count`` of anything. Raises SourceError if the root cannot be read.
    """
    stored: set[str] = set()
    talks = 0
    async with aclosing(ledger.rows(MAYBE_STORED)) as rows:
        async for row in rows:
            talks += 1
            stored.add(row.path)
            if talks == count:
                return frozenset()
    # The largest of the smallest ones is first.
    smallest: list[int] = []
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            for entry in listing.entries:
                if entry.path in stored or not source.is_audio(entry.path):
                    continue
                if len(smallest) < count - talks:
                    heappush(smallest, -path_hash(entry.path))
                else:
                    heappushpop(smallest, -path_hash(entry.path))
    return frozenset(-each for each in smallest)


def is_drawn(drawn: Collection[int], entries: Iterable[Entry]) -> Iterator[bool]:
    """For each file whether it is drawn."""
    return (path_hash(entry.path) in drawn for entry in entries)
