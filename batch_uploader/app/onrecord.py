"""What a check reads of a ledger, and how much of that is still there."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from anyio import to_thread
from msgspec import Struct, field
from msgspec.structs import replace

from batch_uploader.core.model import Entry
from batch_uploader.core.records import Likeness, Record
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import LedgerReader, is_running
from batch_uploader.plan.folders import Remembers
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.run.absence import Gone, find_gone


class NoLedger:
    """The ledger of a directory that has none yet."""

    async def known(self, _folder: str) -> dict[str, Record]:
        """Nothing."""
        return {}

    async def unchanged(
        self,
        _folder: str,
        _entries: Sequence[Entry],
        _by: Likeness = Likeness.INODE,
        _left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """None."""
        return 0

    async def left_out(self, _folder: str) -> dict[str, int]:
        """Nothing."""
        return {}

    async def rows(self, _statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """Nothing."""
        nothing: tuple[Record, ...] = ()
        for row in nothing:
            yield row


class OnRecord(Struct, frozen=True):
    """A ledger that does not say what is wrong with invalid recordings: it is found out again.

    If no run goes on, a claim is shown as the doubt that the next run will make of it.
    """

    reader: LedgerReader
    path: Path
    freed: set[str] = field(default_factory=set)
    """The paths of possible duplicates that a run would find free, and so drop."""

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder, by path."""
        known = await self.reader.known(folder)
        claimed = any(each.status is Status.CLAIMED for each in known.values())
        if claimed and not await to_thread.run_sync(is_running, self.path):
            # Read again: a run may just have ended and settled its claims.
            again = await self.reader.known(folder)
            known = {path: _doubted(each) for path, each in again.items()}
        return {path: _unjudged(each) for path, each in known.items() if path not in self.freed}

    async def unchanged(
        self,
        folder: str,
        entries: Sequence[Entry],
        by: Likeness = Likeness.INODE,
        left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """As ``ports.Ledger``."""
        return await self.reader.unchanged(folder, entries, by, left_out)

    async def left_out(self, folder: str) -> dict[str, int]:
        """As ``ports.Ledger``."""
        return await self.reader.left_out(folder)

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """As ``ports.Ledger``."""
        return self.reader.rows(statuses)


def _unjudged(known: Record) -> Record:
    if known.status is not Status.INVALID:
        return known
    return replace(known, policy=None, failure=None, sha256=None)


def _doubted(known: Record) -> Record:
    if known.status is not Status.CLAIMED:
        return known
    return replace(known, status=Status.IN_DOUBT)


class Presence:
    """How much is there of what is on record, as far as the walk came."""

    def __init__(self, known: Remembers, preparer: Preparer, *, allowed: bool) -> None:
        self._known = known
        self._preparer = preparer
        self._allowed = allowed
        self._there = 0
        self.copies = 0
        self.listed = True

    def add(self, on_record: int, copies: int, *, listed: bool) -> None:
        """Take a folder into account."""
        self._there += on_record
        self.copies += copies
        self.listed &= listed

    async def find_gone(self, moved: int = 0) -> Gone | None:
        """What is gone, if it is most and not allowed; ``moved`` was found elsewhere."""
        if self._allowed or not isinstance(self._known, OnRecord):
            return None
        preparer, reader = self._preparer, self._known.reader
        return await find_gone(reader, preparer.connection_id, preparer.source, self._there, moved)
