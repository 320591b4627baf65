"""The ledger that a run writes."""

import ctypes
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Self, TypeVar

from anyio import CancelScope

from batch_uploader.core.changes import Answer, Change, Release, Settle
from batch_uploader.core.errors import LedgerError, LedgerGone, LedgerLocked
from batch_uploader.core.model import Entry, Outcome, Timestamp
from batch_uploader.core.records import Canary, Likeness, Record
from batch_uploader.core.runs import Run
from batch_uploader.core.states import FOUND_AGAIN, Status
from batch_uploader.host.clock import boot_time
from batch_uploader.ledgers import rules
from batch_uploader.ledgers.sqlite.commits import CommitRequest, GroupCommit, Worker, failure
from batch_uploader.ledgers.sqlite.file import (
    Unwritable,
    committing,
    gone,
    locked,
    make_folder,
    not_open,
    translated,
)
from batch_uploader.ledgers.sqlite.hold import Hold, remains, taken_over
from batch_uploader.ledgers.sqlite.identity import open_held, owner_of, take_over
from batch_uploader.ledgers.sqlite.journal import Journal, SpilledWrite, journal_path
from batch_uploader.ledgers.sqlite.mark import Mark
from batch_uploader.ledgers.sqlite.place import require_ledger_or_none
from batch_uploader.ledgers.sqlite.reader import LedgerReader
from batch_uploader.ledgers.sqlite.store import SqliteStore
from batch_uploader.ledgers.store import Store

T = TypeVar("T")


class SqliteLedger:
    """``ports.Ledger`` in a file, for one of the connections in it.

    ``clock`` gives UTC nanoseconds since the epoch, ``boot`` is ``clock.boot_time``. The file is
    used only between entering and leaving; a ledger may be entered again.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        connection_id: str,
        *,
        clock: Callable[[], int] = time.time_ns,
        boot: Callable[[], tuple[str, int] | None] = boot_time,
    ) -> None:
        self._path = path = Path(path)
        self._connection_id = connection_id
        self._clock = clock
        self._boot = boot
        self._hold = Hold(path)
        self._lost: LedgerError | None = None
        self._entered = False
        self._owner = 0
        self._mark = Mark(path)
        self._journal = Journal(journal_path(path))
        self._connection: sqlite3.Connection | None = None
        self._store: SqliteStore | None = None
        self._worker: Worker | None = None
        self._commits: GroupCommit | None = None
        self._reader = LedgerReader(path, connection_id)

    @property
    def connection_id(self) -> str:
        """The connection of this ledger."""
        return self._connection_id

    async def __aenter__(self) -> Self:
        """Take the lock, then open the file, which is created if it is missing.

        Answers in the journal are recorded. Raises LedgerLocked if another run holds it,
        LedgerError if it cannot be used.
        """
        if self._worker is not None:
            raise locked(self._path)
        worker = self._worker = Worker("ledger-write")
        try:
            await worker.run(self._open)
            await self._reader.__aenter__()
        except BaseException as error:
            await self.__aexit__(error)
            raise
        self._commits = GroupCommit(worker, self._commit)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Commit what was submitted, close the file and release the lock.

        Raises LedgerGone or LedgerLocked if it was lost meanwhile, unless an exception is being
        handled.
        """
        worker, self._worker = self._worker, None
        commits, self._commits = self._commits, None
        if worker is not None:
            try:
                with CancelScope(shield=True):
                    if commits is not None:
                        await commits.finish()
                    await self._reader.__aexit__()
            finally:
                await worker.finish(self._close)
        if not any(exc):
            self._require_here()

    async def check(self) -> None:
        """Raise LedgerGone if the file is gone or replaced, LedgerLocked if another run has it."""
        if self._worker is None:
            raise not_open(self._path)
        await self._worker.run(self._look)
        self._require_here()

    async def recover(self, *, ours: bool = False) -> int:
        """Turn the claims of owners that are gone into doubts. Returns how many there were.

        While this opening has the lock and the owner's record, all other owners are gone.
        """
        if self._worker is None:
            raise not_open(self._path)
        return await self._worker.run(lambda: self._recover(ours=ours))

    async def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """Apply these changes in order, in one transaction, perhaps with those of other callers.

        If the disk is at fault, the end of a claim is written to the journal, and recorded in the
        next transaction that succeeds; if that fails, too, the error names the talk ID.
        """
        if self._commits is None:
            raise not_open(self._path)
        return await self._commits.apply(tuple(changes), self._now())

    async def fact(self, name: str) -> str | None:
        """The fact of that name about the file."""
        return await self._reader.fact(name)

    async def unheard(self, rows: Sequence[Record]) -> list[Record]:
        """Those of these lines that the ledger lacks."""
        return await self._reader.unheard(rows)

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder (not of those below), by path."""
        return await self._reader.known(folder)

    async def unchanged(
        self,
        folder: str,
        entries: Sequence[Entry],
        by: Likeness = Likeness.INODE,
        left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """The number of recordings in a folder if a run can skip them all, else 0."""
        return await self._reader.unchanged(folder, entries, by, left_out)

    async def left_out(self, folder: str) -> dict[str, int]:
        """How many recordings of a folder are left out, by filter."""
        return await self._reader.left_out(folder)

    async def count(self) -> int:
        """The number of paths that are on record."""
        return await self._reader.count()

    async def doubts(self) -> list[Record]:
        """Every recording in doubt, sorted by path."""
        return await self._reader.doubts()

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs of this connection, the latest first."""
        return await self._reader.runs(limit)

    async def lacks_ids(self) -> bool:
        """Whether recordings that the service may hold are on record without IDs."""
        return await self._reader.lacks_ids()

    async def canaries(self, stamp_field: str, limit: int) -> list[Canary]:
        """The latest claims with that stamp that the service answered with a talk, latest first."""
        return await self._reader.canaries(stamp_field, limit)

    async def get(self, paths: Iterable[str]) -> dict[str, Record]:
        """What is recorded of these paths, as far as anything is."""
        return await self._reader.get(paths)

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record, None]:
        """Every record (in these states), sorted by path, as of the moment of the first."""
        return self._reader.rows(statuses)

    def everything(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record, None]:
        """The same, of all connections of the file: a manifest has all."""
        return self._reader.everything(statuses)

    def _now(self) -> Timestamp:
        return Timestamp(self._clock(), *(self._boot() or ()))

    # In the worker's thread, and nowhere else

    def _open(self) -> None:
        with translated(self._path):
            require_ledger_or_none(self._path)
            left = None if self._path.exists() else remains(self._path)
            make_folder(self._path.parent)
            self._hold.take()
            if left is not None and not self._path.exists():
                raise gone(self._path, left.name)
            self._journal.open()
            if self._journal.kept and not self._path.exists():
                raise gone(self._path, self._journal.path.name)
            self._lost, self._entered = None, False
            self._begin()
            try:
                self._connection = open_held(self._path, self._hold)
            except BaseException:
                self._mark.withdraw()
                raise
            self._mark.set(self._connection)
        if self._journal.kept:
            with self._transaction():
                pass

    def _begin(self) -> None:
        try:
            self._mark.begin()
        except LedgerError as error:
            for answer in self._journal.kept:
                _note(error, answer.outcome)
            raise

    def _commit(self, batches: Sequence[CommitRequest]) -> list[list[Answer]]:
        """Apply the changes of these batches in one transaction. Returns the answers."""
        try:
            with self._transaction() as store:
                made = [
                    rules.answers(store, each.changes, each.at, self._owner, no_claims=self._lost)
                    for each in batches
                ]
        except Exception as error:  # noqa: BLE001 - all callers need an answer
            # One for each: an error raised by several callers would collect their tracebacks.
            made = [[failure(error) for _ in each.changes] for each in batches]
        return [
            [self._rescued(*pair, each.at) for pair in zip(each.changes, answers, strict=True)]
            for each, answers in zip(batches, made, strict=True)
        ]

    def _recover(self, *, ours: bool) -> int:
        with self._transaction() as store:
            return rules.recover(store, self._now(), (self._owner,), ours=ours)

    @contextmanager
    def _transaction(self) -> Iterator[Store]:
        connection = self._connection
        if connection is None:
            raise not_open(self._path)
        store, self._store = self._store, None  # a failed transaction invalidates it
        self._look()
        if isinstance(self._lost, LedgerLocked):
            self._require_here()
        with translated(self._path):
            with committing(connection):
                store = store or SqliteStore(connection, self._connection_id)
                self._enter(connection, store)
                if self._journal.kept:
                    for answer in self._journal.kept:
                        self._replay(answer, connection)
                    # Its cache is outdated, and its sequence numbers precede those of the answers.
                    store = SqliteStore(connection, self._connection_id)
                yield store
            self._store, self._entered = store, True
            if self._journal.kept:
                self._journal.clear()

    def _look(self) -> None:
        """Raise unless the ledger is where it was opened, and ours."""
        if self._lost is None:
            try:
                self._hold.require_ledger()
            except (LedgerGone, LedgerLocked) as error:
                self._lost = error

    def _enter(self, connection: sqlite3.Connection, store: Store) -> None:
        """Record in the ledger itself that it is ours, and later check that it still is."""
        if not self._entered:
            take_over(connection, self._hold.token)
            self._owner = store.tick()
        elif owner_of(connection) != self._hold.token:
            self._lost = taken_over(self._path)
            self._require_here()

    def _require_here(self) -> None:
        if self._lost is not None:
            raise copy(self._lost)

    def _replay(self, answer: SpilledWrite, connection: sqlite3.Connection) -> None:
        try:
            answer.apply(SqliteStore(connection, answer.connection_id))
        except LedgerError as error:
            refusal = LedgerError(
                f"the answers in {self._journal.path} belong to another ledger than {self._path}"
                f" ({error.problem})",
                hint="put that ledger back, or move the answers away: what they are about may then"
                " be sent again",
            )
            _note(refusal, answer.outcome)
            raise refusal from error

    def _rescued(self, change: Change, answer: Answer, at: Timestamp) -> Answer:
        """The answer to a change that failed: the end of a claim may be kept in the journal."""
        if not isinstance(answer, LedgerError) or not isinstance(change, Settle | Release):
            return answer
        outcome = change.outcome if isinstance(change, Settle) else None
        if isinstance(answer.__cause__, Unwritable) and (
            outcome is None or outcome.status not in FOUND_AGAIN
        ):
            path = change.path if isinstance(change, Release) else change.outcome.path
            with suppress(OSError):
                self._journal.keep(SpilledWrite(self._connection_id, path, at, outcome))
                kept = LedgerError(answer.problem, hint=answer.hints)
                kept.add_note(
                    f"what the service answered is kept in {self._journal.path}, and the next run"
                    " records it"
                )
                return kept
        # A new error, since copies share their notes.
        told = type(answer)(answer.problem, hint=answer.hints)
        _note(told, outcome)
        return told

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._store = None
        if connection is not None and self._lost is not None:
            # SQLite would remove the log by name, which is another ledger's by now, or in use. So
            # the connection stays open as long as this process.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        elif connection is not None:
            # Closing only tidies up; every commit is already durable.
            with suppress(sqlite3.Error, OSError):
                self._mark.clear(connection)
            with suppress(sqlite3.Error, OSError):
                connection.close()
                self._mark.end()
        self._journal.close()
        self._hold.release()


def _note(error: LedgerError, outcome: Outcome | None) -> None:
    """Add to an error the talk that the ledger could not record."""
    if outcome is not None and outcome.talk_id is not None:
        error.add_note(f"{outcome.path} is stored as talk {outcome.talk_id}")
