"""A copy of a ledger in which changes can be tried: what a run would do, without doing it."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from batch_uploader.core.changes import Answer, Change, Claim, Settle
from batch_uploader.core.model import Outcome, Timestamp
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Record, Sight
from batch_uploader.core.states import Status
from batch_uploader.ledgers import rules
from batch_uploader.ledgers.claims import claim
from batch_uploader.ledgers.sqlite.file import (
    committing,
    connect_reading,
    connect_writing,
    not_open,
    translated,
)
from batch_uploader.ledgers.sqlite.place import connect
from batch_uploader.ledgers.sqlite.reader import LedgerReader
from batch_uploader.ledgers.sqlite.store import SqliteStore
from batch_uploader.ledgers.store import Store

_OWNER = 1
_FORETOLD = "foretold:"
Look = Callable[[Record], Sight]


class ScratchLedger(LedgerReader):
    """A ledger in a temporary file, a copy of the one at ``origin``; empty if that is None.

    Entering blocks for some seconds if that has millions of records. Raises LedgerError.
    """

    def __init__(self, origin: Path | None, connection_id: str) -> None:
        import tempfile  # only check needs it

        self._folder = tempfile.TemporaryDirectory(prefix="batch-uploader-")
        path = Path(self._folder.name) / "ledger.db"
        super().__init__(path, connection_id)
        self.connection_id = connection_id
        self._origin = origin
        self._copy_path = path
        self._written: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        """Make the copy."""
        try:
            return await super().__aenter__()
        except BaseException:
            self._folder.cleanup()
            raise

    async def __aexit__(self, *exc: object) -> None:
        """Remove the copy."""
        await super().__aexit__(*exc)
        self._folder.cleanup()

    async def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """Apply these changes to the copy."""
        return await self._run(lambda _: self._applied(changes))

    async def recover(self) -> None:
        """Turn all claims into doubts, as the next run does."""
        await self._run(lambda _: self._recovered())

    async def send(self, claims: Sequence[Claim], look: Look) -> list[ClaimAnswer]:
        """Claim these one by one, each of them uploaded at once if that is granted.

        ``look`` is called in a thread.
        """
        return await self._run(lambda _: self._send(claims, look))

    # In the worker's thread, and nowhere else

    def _open(self) -> None:
        if self._origin is not None:
            with (
                translated(self._origin),
                closing(connect_reading(self._origin)) as origin,
                closing(connect(self._copy_path, "mode=rwc")) as copy,
            ):
                origin.backup(copy)
            self._copy_path.chmod(0o600)
        with translated(self._copy_path):
            self._written = connect_writing(self._copy_path)
            self._written.execute("PRAGMA synchronous = OFF").close()
        super()._open()

    def _close(self) -> None:
        written, self._written = self._written, None
        super()._close()
        if written is not None:
            written.close()

    def _applied(self, changes: Sequence[Change]) -> list[Answer]:
        with self._transaction() as store:
            return rules.answers(store, changes, _now(), _OWNER)

    def _recovered(self) -> None:
        with self._transaction() as store:
            rules.recover(store, _now(), ())

    def _send(self, claims: Sequence[Claim], look: Look) -> list[ClaimAnswer]:
        with self._transaction() as store:
            return [_sent(store, each, look, _now()) for each in claims]

    @contextmanager
    def _transaction(self) -> Iterator[SqliteStore]:
        connection = self._written
        if connection is None:
            raise not_open(self._copy_path)
        with translated(self._copy_path), committing(connection):
            yield SqliteStore(connection, self.connection_id)


def _sent(store: Store, asked: Claim, look: Look, now: Timestamp) -> ClaimAnswer:
    sights = dict(asked.sights)
    while True:
        answer = claim(store, replace(asked, sights=sights), now.wall_ns, _OWNER)
        if answer.claim is not ClaimResult.LOOK:
            break
        sights |= {each.path: look(each) for each in answer.look}
    if answer.claim is ClaimResult.GRANTED:
        path = asked.recording.path
        talk_id = f"{_FORETOLD}{path}"
        uploaded = Outcome(path, Status.UPLOADED, asked.recording.stat, talk_id=talk_id)
        rules.settle(store, Settle(uploaded), now, _OWNER)
    return answer


def _now() -> Timestamp:
    return Timestamp(time.time_ns())


def is_foretold(record: Record) -> bool:
    """Whether a talk is not there yet, but would be uploaded."""
    return record.talk_id is not None and record.talk_id.startswith(_FORETOLD)
