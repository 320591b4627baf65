"""Adopts the ledgers of other directories: what they know of one connection, with its paths here.

An adopted ledger is marked, so that a run with it refuses; it is not adopted again. If it cannot be
written, as on a read-only snapshot, or is a copy of one that is in use, its last opening is noted
instead: what is written to it later is new. An adoption that was interrupted is repeated.
"""

import json
import os
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import asdict, replace

from batch_uploader.app.agreement import behind, find_news
from batch_uploader.app.roots import NewHome, Other, adopted, adopted_by
from batch_uploader.core.changes import Remember, TakeOver
from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.core.parts import as_json, from_json
from batch_uploader.core.ports import Ledger, apply_all, apply_one
from batch_uploader.core.records import Record
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.ledgers.places import manifest_path
from batch_uploader.ledgers.sqlite import (
    LedgerReader,
    SqliteLedger,
    is_copy,
    is_running,
    require_last,
)
from batch_uploader.run.absence import ABSENT

_AT_ONCE = 1_000


class Adopted(Struct, frozen=True):
    """The ledger that was adopted, and how many of its records."""

    other: Other
    records: int


class _Rows(Protocol):
    """A ledger as adoption reads it."""

    def rows(self) -> AsyncGenerator[Record]:
        """As ``ports.Ledger``."""

    async def get(self, paths: Iterable[str]) -> Mapping[str, Record]:
        """As ``ports.Ledger``."""


async def adopt(ledger: Ledger, own: NewHome, other: Other) -> Adopted:
    """Adopt what another ledger has of the connection, into one that is open.

    ``own`` is where that is. Raises LedgerLocked if the other is in use, LedgerError if it is not
    the newest one or cannot be read.
    """
    connection_id = ledger.connection_id
    async with AsyncExitStack() as stack:
        if await to_thread.run_sync(_is_fixed, other):
            await to_thread.run_sync(_require_idle, other)
            reader = LedgerReader(other.ledger, connection_id)
            await stack.enter_async_context(reader)
            await _require_newest(reader, other)
            records = await _copy(ledger, reader, other)
            await _learn(ledger, str(other.glance.last))
        else:
            opened = SqliteLedger(other.ledger, connection_id)
            await stack.enter_async_context(opened)
            await _require_newest(opened, other)
            await opened.recover()
            records = await _copy(ledger, opened, other)
            # First here: an adopted ledger of which nobody knows must not seem to be adopted.
            own = replace(own, word=uuid.uuid4().hex)
            await _learn(ledger, own.word)
            await apply_one(opened, Remember(adopted_by(connection_id), json.dumps(asdict(own))))
    return Adopted(other, records)


async def return_home(ledger: Ledger) -> None:
    """Record that a ledger is no longer adopted, since it adopted the one that did."""
    await apply_one(ledger, Remember(adopted_by(ledger.connection_id), ""))


def _is_fixed(other: Other) -> bool:
    """Whether a ledger is to be read only. Raises LedgerError if its state has no name then."""
    ledger = other.ledger
    if all(os.access(each, os.W_OK) for each in (ledger, ledger.parent)) and not is_copy(ledger):
        return False
    if other.glance.last is None:
        raise LedgerError(
            f"the ledger {ledger} cannot be adopted: it is of an old version and cannot be written",
            hint="grant this user write access to it and its folder",
        )
    return True


def _require_idle(other: Other) -> None:
    if is_running(other.ledger):
        raise LedgerLocked(
            f"another run is using the ledger {other.ledger}, so it cannot be adopted",
            hint="wait for its end, or stop it",
        )
    require_last(other.ledger)


async def _require_newest(ledger: SqliteLedger | LedgerReader, other: Other) -> None:
    manifest = manifest_path(other.root)
    news, _ = await find_news(ledger, manifest)
    if news is not None:
        raise behind(manifest, news)


async def _copy(ledger: Ledger, source: _Rows, other: Other) -> int:
    count = 0
    async with aclosing(_batches(source.rows())) as batches:
        async for batch in batches:
            rows = await _moved(batch, source, other.here)
            await apply_all(ledger, [TakeOver(row) for row in rows])
            count += len(rows)
    return count


async def _batches(rows: AsyncGenerator[Record]) -> AsyncGenerator[list[Record]]:
    async with aclosing(rows):
        batch: list[Record] = []
        async for row in rows:
            batch.append(row)
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
        yield batch


async def _moved(
    batch: Sequence[Record], source: _Rows, here: Callable[[str], str | None]
) -> list[Record]:
    """Those of these records that lie in this directory, with their paths in it."""
    found = [(row, path) for row in batch if (path := here(row.path)) is not None]
    outside = {
        row.duplicate_of for row, _ in found if row.duplicate_of and here(row.duplicate_of) is None
    }
    originals = await source.get(outside)
    moved = []
    for row, path in found:
        original = originals.get(row.duplicate_of or "")
        if original is not None and original.status in MAYBE_STORED:
            # Its talk is known here by this file alone, which is compared again if it may differ.
            stat = row.stat if row.status is Status.DUPLICATE else original.stat
            moved.append(replace(original, path=path, stat=stat))
        else:
            of = row.duplicate_of and (here(row.duplicate_of) or row.duplicate_of)
            moved.append(replace(row, path=path, duplicate_of=of))
        moved[-1] = replace(moved[-1], parts=_parts_here(moved[-1].parts, here))
    return moved


def _parts_here(parts: str | None, here: Callable[[str], str | None]) -> str | None:
    return as_json(replace(each, path=here(each.path) or each.path) for each in from_json(parts))


async def _learn(ledger: Ledger, word: str) -> None:
    name = adopted(ledger.connection_id)
    words = json.loads(await ledger.fact(name) or "[]")
    await apply_one(ledger, Remember(name, json.dumps(sorted({*words, word}))))
    # What was adopted may have been gone long before.
    await apply_one(ledger, Remember(ABSENT, "{}"))
