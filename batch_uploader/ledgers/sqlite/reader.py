"""Reading a ledger, also while a run writes it."""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from msgspec import Struct

from batch_uploader.core.model import Entry
from batch_uploader.core.records import Canary, Likeness, Record
from batch_uploader.core.runs import Run
from batch_uploader.core.states import Status
from batch_uploader.host.beneath import identity
from batch_uploader.ledgers.sqlite import encoding, queries, runs
from batch_uploader.ledgers.sqlite.commits import Worker
from batch_uploader.ledgers.sqlite.file import connect_reading, not_open, translated
from batch_uploader.ledgers.sqlite.news import fact_of, unheard_of

T = TypeVar("T")

_ROWS_AT_ONCE: Final = 1000


class Totals(Struct, frozen=True):
    """The sums of the rows of one status: number, bytes, seconds of audio."""

    recordings: int
    nbytes: int
    duration: float


class LedgerReader:
    """Reads a ledger without its lock, also while a run writes it; changes nothing.

    Reads one connection, or all of the file; with ``alone`` without the log beside it, which may be
    another ledger's. The claims of a killed run are still ``claimed``; ``is_running`` tells whether
    a run goes on. Entering raises LedgerError without a usable ledger at ``path``.
    """

    def __init__(
        self, path: Path, connection_id: str | None = None, *, alone: bool = False
    ) -> None:
        self._path = path
        self._connect = partial(connect_reading, path, alone=alone)
        self._connection_id = connection_id
        self._connection: sqlite3.Connection | None = None
        self._worker: Worker | None = None
        self._identity = (0, 0)

    async def __aenter__(self) -> Self:
        """Open the file for reading."""
        worker = self._worker = Worker("ledger-read")
        try:
            await worker.run(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the file."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.finish(self._close)

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder (not of those below), by path.

        For a reader of one connection.
        """
        lines = await self._fetch(queries.SELECT_FOLDER, (self._connection_id, folder))
        return {record.path: record for record in map(encoding.decode, lines)}

    async def get(self, paths: Iterable[str]) -> dict[str, Record]:
        """What is recorded of these paths, as far as anything is.

        For a reader of one connection.
        """
        wanted = [(path, self._connection_id) for path in paths]
        lines = await self._run(
            lambda connection: [
                line for each in wanted for line in connection.execute(queries.SELECT_CURRENT, each)
            ]
        )
        return {record.path: record for record in map(encoding.decode, lines)}

    async def stored(self, connection_id: str, path: str) -> Record | None:
        """The latest record of a path that the service holds, or may hold, superseded or not."""
        asked = {"path": path, "connection_id": connection_id}
        lines = await self._run(
            lambda connection: connection.execute(queries.SELECT_STORED, asked).fetchall()
        )
        return next(map(encoding.decode, lines), None)

    async def unchanged(
        self,
        folder: str,
        entries: Sequence[Entry],
        by: Likeness = Likeness.INODE,
        left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """The number of recordings in a folder if a run can skip them all, else 0.

        For a reader of one connection.
        """
        asked = (self._connection_id, folder)
        ranges = [*left_out, *[queries.NO_RANGE] * queries.RANGES][: queries.RANGES]
        digests = tuple(chain.from_iterable(ranges))
        left: set[tuple[object, ...]] = set(map(itemgetter(slice(by)), entries))
        return await self._run(lambda connection: _unchanged(connection, asked, left, by, digests))

    async def left_out(self, folder: str) -> dict[str, int]:
        """How many recordings of a folder are left out, by filter.

        For a reader of one connection.
        """
        return dict(await self._fetch(queries.COUNT_LEFT_OUT, (self._connection_id, folder)))

    async def all_left_out(self) -> dict[str, int]:
        """How many recordings are left out in all, by filter."""
        return dict(await self._fetch(*queries.select_left_out(self._connection_id)))

    async def fact(self, name: str) -> str | None:
        """The fact of that name about the file; one of an older version has none."""
        return await self._run(lambda connection: fact_of(connection, name))

    async def unheard(self, rows: Sequence[Record]) -> list[Record]:
        """Those of these lines that the ledger lacks, for any connection."""
        lines = tuple(rows)
        return await self._run(lambda connection: unheard_of(connection, lines))

    async def counts(self) -> dict[Status, Totals]:
        """The sums over all rows by status; those of ``uploaded`` count talks."""
        lines = await self._fetch(*queries.select_counts(self._connection_id))
        return {Status(status): Totals(*sums) for status, *sums in lines}

    async def attention(self, since_ns: int) -> list[tuple[Status, str, int, int]]:
        """What needs a human: status, code of the error or cause, number, and how many are new.

        New are those of which it is on record that they arose since then. For a reader of one
        connection.
        """
        asked = (since_ns, self._connection_id)
        lines = await self._fetch(queries.COUNT_NEW_ATTENTION, asked)
        return [(Status(status), code, number, new) for status, code, number, new in lines]

    async def count(self) -> int:
        """The number of paths that are on record, without those that wait.

        For a reader of one connection.
        """
        ((number,),) = await self._fetch(queries.COUNT, (self._connection_id,))
        return int(number)

    async def doubts(self) -> list[Record]:
        """Every recording in doubt, sorted by path. For a reader of one connection."""
        lines = await self._fetch(queries.SELECT_DOUBTS, (self._connection_id,))
        return [encoding.decode(values) for values in lines]

    async def lacks_ids(self) -> bool:
        """Whether recordings that the service may hold are on record without IDs."""
        return bool(await self._fetch(queries.SELECT_LACKING_IDS, (self._connection_id,)))

    async def canaries(self, stamp_field: str, limit: int) -> list[Canary]:
        """The latest claims with that stamp that the service answered with a talk, latest first.

        For a reader of one connection.
        """
        asked = (self._connection_id, stamp_field, limit)
        return [Canary(*values) for values in await self._fetch(queries.SELECT_CANARIES, asked)]

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs, the latest first; one that goes on or was just killed has no end."""
        wanted = self._connection_id
        return await self._run(lambda connection: runs.latest(connection, wanted, limit))

    async def connections(self) -> list[str]:
        """The connections that the file holds recordings of, sorted."""
        return [identifier for (identifier,) in await self._fetch(queries.SELECT_CONNECTIONS)]

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record, None]:
        """Every record (in these states), sorted by path, as of the moment of the first.

        The superseded talks of a path come first, the oldest before the others.
        """
        return self._rows(self._connection_id, statuses)

    def everything(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record, None]:
        """The same of all connections of the file."""
        return self._rows(None, statuses)

    async def _rows(
        self, connection_id: str | None, statuses: frozenset[Status] | None
    ) -> AsyncGenerator[Record, None]:
        if self._worker is None:
            raise not_open(self._path)
        worker = Worker("ledger-rows")
        query = queries.select_rows(connection_id, statuses)
        lines = _Lines(self._path, self._connect, query, self._identity, self._connection)
        try:
            while batch := await worker.run(lines.fetch):
                for row in batch:
                    yield row
        finally:
            await worker.finish(lines.close)

    async def _fetch(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        return await self._run(lambda connection: connection.execute(query, values).fetchall())

    async def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._worker is None:
            raise not_open(self._path)
        return await self._worker.run(lambda: self._translated(read))

    # In the worker's thread, and nowhere else

    def _open(self) -> None:
        with translated(self._path):
            self._connection = self._connect()
            self._identity = identity(self._path)

    def _translated(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise not_open(self._path)
        with translated(self._path):
            return read(self._connection)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _unchanged(
    connection: sqlite3.Connection,
    asked: Sequence[object],
    left: set[tuple[object, ...]],
    by: Likeness,
    digests: tuple[bytes, ...],
) -> int:
    # Rows are compared as they come, without decoding: for an unchanged folder this is all that a
    # run does, a million times.
    there = len(left)
    counts = []
    for query, values in (
        (queries.SELECT_AUDIO[by], (*digests, *asked)),
        (queries.SELECT_SIDECARS[by], asked),
    ):
        rows = connection.execute(query, values)
        counts.append(0)
        while some := rows.fetchmany(_ROWS_AT_ONCE):
            counts[-1] += len(some)
            left.difference_update(some)
    return 0 if left or sum(counts) != there else counts[0]


class _Lines:
    """A running query with a connection of its own, so that it reads one snapshot.

    If the file at the path is not the one that was ``opened``, it uses the connection that is
    ``held``.
    """

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        query: tuple[str, Sequence[object]],
        opened: tuple[int, int],
        held: sqlite3.Connection | None,
    ) -> None:
        self._path = path
        self._connect = connect
        self._query = query
        self._opened = opened
        self._held = held
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None

    def fetch(self) -> list[Record]:
        """The next rows, none at the end."""
        with translated(self._path):
            if self._cursor is None:
                self._cursor = self._connected().execute(*self._query)
            return [encoding.decode(values) for values in self._cursor.fetchmany(_ROWS_AT_ONCE)]

    def close(self) -> None:
        """End the query."""
        if self._cursor is not None:
            self._cursor.close()
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> sqlite3.Connection:
        with suppress(FileNotFoundError, NotADirectoryError):
            if self._held is None or identity(self._path) == self._opened:
                self._connection = self._connect()
        return self._connection or self._held or self._connect()
