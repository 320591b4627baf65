"""A new ledger from the manifest, where the old one is gone or damaged.

The manifest may be older than what was lost, and nothing tells for sure: what it does not have on
record is therefore in doubt, if it lies in the source, and never sent before that is settled.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import groupby, islice
from pathlib import Path, PurePosixPath

from anyio import to_thread
from msgspec import Struct

from batch_uploader.errors import LedgerError, SourceError
from batch_uploader.ledgers.sqlite import LedgerReader, Replacement, SqliteLedger, Totals
from batch_uploader.manifest import read_manifest
from batch_uploader.model import Status
from batch_uploader.ports import Anchored, Row, Source
from batch_uploader.reconcile import SEARCHED

_AT_ONCE = 1_000
_NONE = Totals(0, 0, 0.0)


class Rebuilt(Struct, frozen=True):
    """How many talks the new ledger knows, and how many recordings in doubt.

    ``aside`` is where the damaged one is, None if there was none.
    """

    talks: int
    doubts: int
    aside: Path | None


async def rebuild(
    source_of: Callable[[Sequence[str]], Source],
    ledger: Path,
    manifest: Path,
    connection_id: str,
    stamp_field: str | None,
) -> Rebuilt:
    """Make the ledger anew, whole or not at all.

    ``source_of`` makes a source that lists all that any run may have sent; it is given patterns for
    the endings of what is in the manifest. ``stamp_field`` is taken for the one that went with
    whatever was sent after the manifest was written: by it a run finds out what that was. Raises
    ConfigError if the ledger is fine, LedgerLocked or LedgerError if it or the manifest cannot be
    used, SourceError if not all of the source can be listed.
    """
    async with Replacement(ledger) as replacement:
        connections, endings = await to_thread.run_sync(_look_through, manifest)
        source = source_of(sorted(endings))
        for each in sorted({connection_id, *connections}):
            async with SqliteLedger(replacement.new, each) as new:
                # A duplicate is one only of a talk that is on record.
                for wanted in (_is_no_duplicate, _is_duplicate):
                    async for rows in _listed(manifest, each, wanted):
                        for stamped, some in groupby(rows, _counts_as_stamped):
                            stamp = stamp_field if stamped else None
                            await new.adopt(tuple(some), stamp_field=stamp)
                async with aclosing(_unlisted(source, each)) as batches:
                    async for rows in batches:
                        await new.adopt(rows)
    async with LedgerReader(ledger) as reader:
        counts = await reader.counts()
    talks, doubts = (counts.get(each, _NONE) for each in (Status.UPLOADED, Status.IN_DOUBT))
    return Rebuilt(talks.count, doubts.count, replacement.aside)


def _look_through(manifest: Path) -> tuple[set[str], set[str]]:
    """The connections, and the patterns of the endings; the whole manifest can be read then."""
    if not manifest.exists():
        error = LedgerError(f"there is no manifest {manifest} to make the ledger of")
        error.add_note("name the right one with --manifest, or restore either from a backup")
        raise error
    connections, endings = set(), set()
    for row in read_manifest(manifest):
        connections.add(row.connection_id)
        endings.add(f"*{PurePosixPath(row.path).suffix}")
    return connections, endings - {"*", "*.json"}


async def _listed(
    manifest: Path, connection_id: str, wanted: Callable[[Row], bool]
) -> AsyncGenerator[Sequence[Row]]:
    mine = (
        row for row in read_manifest(manifest) if row.connection_id == connection_id and wanted(row)
    )
    while rows := await to_thread.run_sync(_take, mine):
        yield rows


def _is_duplicate(row: Row) -> bool:
    return row.status is Status.DUPLICATE


def _is_no_duplicate(row: Row) -> bool:
    return row.status is not Status.DUPLICATE


def _take(rows: Iterator[Row]) -> list[Row]:
    return list(islice(rows, _AT_ONCE))


def _counts_as_stamped(row: Row) -> bool:
    """Whether to take it for sent with the stamp field.

    A talk taken for it wrongly is not found by its stamp, so it bears no witness. A doubt taken for
    it wrongly would not be found either, and be sent again: only one that was searched for is.
    """
    return row.status is Status.UPLOADED or (
        row.failure is not None and row.failure.code in SEARCHED
    )


async def _unlisted(source: Source, connection_id: str) -> AsyncGenerator[Sequence[Row]]:
    """Whatever lies in the source; on record already are those that the manifest knows."""
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            for defect in listing.unreadable:
                if defect.kind == "unreadable":
                    raise SourceError(
                        f"{defect.path}: {defect.message}, and whether it may have been uploaded"
                        f" has to be known before the ledger is rebuilt; {defect.cure}"
                    )
            rows = [
                Row(entry.path, connection_id, Status.IN_DOUBT, entry.size, 0)
                for entry in listing.entries
                if source.is_audio(entry.path)
            ]
            if rows:
                yield rows
    if isinstance(source, Anchored):
        source.demand_same()
