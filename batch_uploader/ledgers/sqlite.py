"""The ledger in a SQLite file: one run writes it, anybody may read it meanwhile.

The only import of sqlite3 besides the emulator's. Write-ahead log, every commit synced; all that
SQLite and the file system say is translated to LedgerError in ``_translated``.
"""

import errno
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from batch_uploader.errors import LedgerError, LedgerLocked
from batch_uploader.ledgers import rules, schema
from batch_uploader.ledgers.commits import GroupCommit, Worker
from batch_uploader.ledgers.rules import Record
from batch_uploader.model import Fingerprint, Outcome, Recording, Status
from batch_uploader.ports import ClaimAnswer, Known, Row
from batch_uploader.system import FileLock, create_private, sync_directory

_BUSY_TIMEOUT = 10.0
_LOCK_TRIES = 10
_LOCK_PAUSE = 0.05
_BATCH = 1000


class SqliteLedger:
    """``ports.Ledger`` in a file of its own, for one connection; the file may hold several.

    ``clock`` gives UTC nanoseconds since the epoch. Nothing but ``async with`` touches the file;
    a ledger may be entered again after it was left.
    """

    def __init__(
        self, path: Path, connection_id: str, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._path = path
        self._connection_id = connection_id
        self._clock = clock
        self._writer: _Writer | None = None

    async def __aenter__(self) -> Self:
        """Take the lock, then open the file or, if there is none, make it.

        Raises LedgerLocked if another run holds it, LedgerError if it cannot be used.
        """
        if self._writer is not None:
            raise LedgerLocked(_in_use(self._path))
        worker = Worker("ledger-write")
        writer = _Writer(self._path, self._connection_id, worker)
        self._writer = writer
        try:
            await worker.run(writer.open)
            await writer.reader.__aenter__()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Finish what is under way, close the file and let the lock go."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                await writer.reader.__aexit__()
            finally:
                await writer.worker.finish(writer.close)

    async def recover(self) -> int:
        return await self._opened.commits.run(lambda store: rules.recover(store, self._clock()))
