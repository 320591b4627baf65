"""Rebuilds a ledger from the manifest if it is gone, damaged, or behind the manifest.

The manifest may be older than what was lost, which cannot be excluded: recordings in the source
that it does not list are therefore in doubt, and not sent before that is settled.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from itertools import groupby, islice
from pathlib import Path, PurePosixPath

from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.agreement import find_news
from batch_uploader.app.belonging import Belonging, carry_over, known_source
from batch_uploader.app.emptiness import require_recordings
from batch_uploader.app.places import Where, find_places, require_none_lost
from batch_uploader.app.preparing import all_listed
from batch_uploader.core.calls import is_piece
from batch_uploader.core.changes import Adopt
from batch_uploader.core.checks import require_texts, require_word
from batch_uploader.core.errors import ConfigError, LedgerError, SourceError
from batch_uploader.core.model import UNKNOWN_MTIME, Entry, Version
from batch_uploader.core.parts import Part, as_json
from batch_uploader.core.ports import Anchored, Source, apply_all
from batch_uploader.core.records import Record
from batch_uploader.core.states import MAYBE_STORED, Status
from batch_uploader.doubts import SEARCHED
from batch_uploader.ledgers.manifest import look_at, read_manifest
from batch_uploader.ledgers.places import has_ledger, manifest_path
from batch_uploader.ledgers.sqlite import (
    LedgerReader,
    Replacement,
    SqliteLedger,
    Totals,
    require_place,
)
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.selection import literal

_AT_ONCE = 1_000
_NONE = Totals(0, 0, 0.0)

_Lines = Callable[[], AsyncGenerator[Sequence[Record]]]
"""Reads a set of records, from the start at each call."""


class Rebuilt(Struct, frozen=True):
    """How many talks the new ledger has, and how many recordings in doubt.

    ``aside`` is the path of the old ledger's remains, None if there were none.
    """

    talks: int
    doubts: int
    aside: Path | None


async def rebuild_ledger(  # noqa: PLR0913 - all that says which files were sent
    directory: Where,
    *,
    connection_id: str,
    stamp_field: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    include: Sequence[str] = (),
    ignore: Sequence[Path] = (),
    legs: LegRules | None = None,
    pieces: AudioRules | None = None,
    allow_empty: bool = False,
) -> Rebuilt:
    """Rebuild a directory's ledger, atomically, if it is gone, damaged or behind.

    It is made from the manifest and the one at the default path, if they exist, and from the old
    ledger, if that is behind them. ``stamp_field`` is assumed for what was sent after the manifest
    was written: a run searches for it by that. What ``include`` adds may have been sent, too, and
    what ``legs`` joins, and the ``pieces`` of what is too long by these rules. ``ignore`` are files
    in the directory that are not recordings; it may be empty only with ``allow_empty``, since what
    is behind a share that is not mounted would count as new later.
    Raises ConfigError if the ledger is fine or another directory's, or has pieces while this is
    without; LedgerLocked or LedgerError if it or a manifest cannot be used, SourceError if not all
    of the directory can be listed.
    """
    require_word("connection_id", connection_id)
    require_word("stamp_field", stamp_field, optional=True)
    require_texts("include", include)
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id, include=include
    )
    await to_thread.run_sync(partial(require_none_lost, places, rebuilding=True))

    def all_ever_sent(endings: Iterable[str]) -> DirectorySource:
        # Another run may have sent what this one excludes.
        return DirectorySource(
            places.directory,
            include=(*include, *sorted(endings)),
            ignore=(places.ledger, places.manifest, *ignore),
            leads_to=places.root,
        )

    await require_recordings(places, all_ever_sent(()), allowed=allow_empty)
    manifests = (places.manifest, manifest_path(places.root))
    if not has_ledger(places.ledger) and not await to_thread.run_sync(_sorted_by_age, manifests):
        await to_thread.run_sync(require_place, places.ledger)
        raise _nothing_left(places.manifest)
    belonging = Belonging(places.ledger, places.root)
    async with AsyncExitStack() as stack:
        replacement = await stack.enter_async_context(Replacement(places.ledger))
        found = await to_thread.run_sync(_sorted_by_age, manifests)
        records: list[_Lines] = [partial(_lines_of, each) for each in found]
        if replacement.whole:
            old = LedgerReader(places.ledger, alone=replacement.stray)
            await stack.enter_async_context(old)
            source_id = await belonging.require(old)
            if not replacement.stray:
                await _require_behind(old, places.ledger, found)
            records.insert(0, partial(_rows_of, old))
        elif not found:
            raise _nothing_left(places.manifest)
        else:
            source_id = await known_source(places.root)
        connections, endings = await _look_through(records, cuts=pieces is not None)
        for each in sorted({connection_id, *connections}):
            async with SqliteLedger(replacement.new, each) as new:
                await carry_over(new, source_id)
                # Talks first: duplicates need their talk on record.
                for wanted in (_is_no_duplicate, _is_duplicate):
                    for age, record in enumerate(records):
                        await _take_over(new, record, wanted, stamp_field, first=age == 0)
                listed = all_listed(all_ever_sent(endings), legs, pieces)
                async with aclosing(_unlisted(listed, each)) as batches:
                    async for rows in batches:
                        await apply_all(new, [Adopt(row) for row in rows])
    async with LedgerReader(places.ledger) as reader:
        counts = await reader.counts()
    talks, doubts = (counts.get(each, _NONE) for each in (Status.UPLOADED, Status.IN_DOUBT))
    return Rebuilt(talks.recordings, doubts.recordings, replacement.aside)


async def _require_behind(reader: LedgerReader, ledger: Path, manifests: Sequence[Path]) -> None:
    """Raise ConfigError if the ledger has all that the manifests list."""
    for manifest in manifests:
        news, _ = await find_news(reader, manifest)
        if news is not None:
            return
    raise ConfigError(
        f"the ledger {ledger} is fine: nothing needs to be rebuilt", hint="leave out --rebuild"
    )


def _nothing_left(manifest: Path) -> LedgerError:
    return LedgerError(
        f"the manifest {manifest} does not exist, so the ledger cannot be rebuilt from it",
        hint="specify the right one with --manifest, or restore either from a backup",
    )


def _sorted_by_age(manifests: Sequence[Path]) -> list[Path]:
    """The existing ones, the oldest first: a later one overrides an earlier one."""
    found = {each: found for each in manifests if (found := look_at(each)) is not None}
    return sorted(found, key=lambda each: found[each].st_mtime_ns)


async def _lines_of(manifest: Path) -> AsyncGenerator[Sequence[Record]]:
    lines = read_manifest(manifest)
    while rows := await to_thread.run_sync(_take, lines):
        yield rows


async def _rows_of(reader: LedgerReader) -> AsyncGenerator[Sequence[Record]]:
    batch: list[Record] = []
    async with aclosing(reader.rows()) as rows:
        async for row in rows:
            batch.append(row)
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
    if batch:
        yield batch


async def _look_through(records: Iterable[_Lines], *, cuts: bool) -> tuple[set[str], set[str]]:
    """The connections, and the patterns of extensions; reads all, so that errors come first.

    Where there are pieces, others may have been sent later: without ``cuts`` these are not listed.
    """
    connections: set[str] = set()
    endings: set[str] = set()
    for record in records:
        async with aclosing(record()) as batches:
            async for rows in batches:
                if not cuts and any(map(is_piece, rows)):
                    raise ConfigError(
                        "long recordings were sent in pieces, and these would not be in doubt",
                        hint="rebuild with --split-long as well",
                    )
                connections.update(row.connection_id for row in rows)
                endings.update(f"*{literal(PurePosixPath(row.path).suffix)}" for row in rows)
    return connections, endings - {"*", "*.json"}


async def _take_over(
    new: SqliteLedger,
    record: _Lines,
    wanted: Callable[[Record], bool],
    stamp_field: str | None,
    *,
    first: bool,
) -> None:
    async with aclosing(record()) as batches:
        async for batch in batches:
            rows = [row for row in batch if row.connection_id == new.connection_id and wanted(row)]
            if not first:
                # An older record that has more detail, or is further, stays.
                news = set(await new.unheard(rows))
                rows = [row for row in rows if row.status not in MAYBE_STORED or row in news]
            for stamped, some in groupby(rows, _counts_as_stamped):
                field = stamp_field if stamped else None
                await apply_all(new, [Adopt(row, field) for row in some])


def _is_duplicate(row: Record) -> bool:
    return row.status is Status.DUPLICATE


def _is_no_duplicate(row: Record) -> bool:
    return row.status is not Status.DUPLICATE


def _take(rows: Iterator[Record]) -> list[Record]:
    return list(islice(rows, _AT_ONCE))


def _range_of(entry: Entry) -> tuple[int, int] | None:
    """The first sample and the end of a piece; None for what is none."""
    return None if entry.cut is None else (entry.cut.begin, entry.cut.end)


def _counts_as_stamped(row: Record) -> bool:
    """Whether to assume that it was sent with the stamp field.

    A talk for which that is wrong is not found by its stamp, and so does no harm as a canary. A
    doubt for which that is wrong would not be found either, and sent again: only one that was
    searched for before is assumed so.
    """
    return row.status is Status.UPLOADED or (
        row.failure is not None and row.failure.code in SEARCHED
    )


async def _unlisted(source: Source, connection_id: str) -> AsyncGenerator[Sequence[Record]]:
    """All recordings in the source; those that the manifest lists are on record already."""
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            for defect in listing.unreadable:
                if defect.kind == "unreadable":
                    raise SourceError(
                        f"{defect.path}: {defect.message}, so the ledger cannot be rebuilt: what"
                        " is there may have been uploaded",
                        hint=defect.cure,
                    )
            rows = [
                Record(
                    connection_id,
                    entry.path,
                    Status.IN_DOUBT,
                    Version(entry.size, UNKNOWN_MTIME),
                    parts=as_json(Part(part.path, cut=_range_of(entry)) for part in entry.parts),
                )
                for entry in listing.entries
                if source.is_audio(entry.path)
            ]
            if rows:
                yield rows
    if isinstance(source, Anchored):
        source.require_same()
