"""Tells what a run would do, without sending."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Protocol

from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.agreement import require_agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.converting import choose_conversion
from batch_uploader.app.duplicates import groups_of, held_back
from batch_uploader.app.emptiness import require_recordings
from batch_uploader.app.foretelling import Foretelling, Foretold, unreadable, unsent, waits
from batch_uploader.app.inspection import CheckSummary, Inspection, inspection_of
from batch_uploader.app.newsettings import new_settings
from batch_uploader.app.onrecord import NoLedger, OnRecord, Presence
from batch_uploader.app.places import (
    Places,
    Where,
    find_connection,
    find_places,
    require_none_lost,
)
from batch_uploader.app.preparing import (
    described_fact,
    describer_of,
    indexes_of,
    joined_by,
    preparer_of,
    sidecar_patterns,
)
from batch_uploader.app.roots import Roots
from batch_uploader.core.checks import require_texts, require_type
from batch_uploader.core.errors import SourceError
from batch_uploader.core.events import DefaultIdsOff, Event, Judged
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import AudioInfo, Outcome
from batch_uploader.core.records import Likeness
from batch_uploader.core.states import Action, Status
from batch_uploader.ledgers.places import LEDGER_FOLDER
from batch_uploader.ledgers.sqlite import LedgerReader, is_running, require_last
from batch_uploader.plan.batch import Batch, Job, orphaned
from batch_uploader.plan.folders import FolderPlanner, Remembers
from batch_uploader.prepare.convert import Conversion
from batch_uploader.prepare.describer import Refreshed
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.prepare.rules import Rules
from batch_uploader.run.filtering import Filtering
from batch_uploader.run.options import RunOptions
from batch_uploader.sources.directory import DirectorySource

_AT_ONCE = 64
"""Inspecting a file takes less time than a thread hop, so a hop is shared by many."""


async def check_directory(  # noqa: PLR0913 - all parameters of a check in one call
    directory: Where,
    *,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignore: Sequence[Path] = (),
    rules: Rules | None = None,
    options: RunOptions | None = None,
    listeners: Sequence[Callable[[Inspection], None]] = (),
    fast: bool = False,
) -> CheckSummary:
    """Check what an upload would send, and report every defect with its cure; sends nothing.

    The parameters are those of ``upload_directory``; of ``options`` only ``min_age``,
    ``min_age_open``, ``sidecar_wait``, ``trust_times``, ``allow_empty`` and ``explain`` have an
    effect. ``ignore`` are files in the directory that are not recordings. ``listeners`` receive
    the details, folder by folder. With ``fast`` only headers are read, so that no copies are
    found. Needs no network, changes nothing, and works during a run. Raises ConfigError,
    SourceError or LedgerError.
    """
    rules, options = rules or Rules(), options or RunOptions()
    require_type("rules", rules, Rules)
    require_type("options", options, RunOptions)
    require_texts("include", include)
    require_texts("exclude", exclude)
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id, include=include
    )
    await to_thread.run_sync(require_none_lost, places)
    summary = CheckSummary()
    async with AsyncExitStack() as stack:
        known, connection = await _known(places, stack)
        roots = Roots(places, connection or None)
        source = DirectorySource(
            places.directory,
            include=include,
            exclude=exclude,
            ignore=(places.ledger, places.manifest, *ignore),
            sidecars=sidecar_patterns(rules),
            leads_to=places.root,
            watch={LEDGER_FOLDER: roots.require_none_in},
        )
        await require_recordings(places, source, allowed=options.allow_empty)
        stack.enter_context(source)
        await to_thread.run_sync(roots.require_none, source)
        reader = known.reader if isinstance(known, OnRecord) else None
        choice = await choose_conversion(reader, rules)
        rules, summary.unconverted = choice.rules, choice.waiting
        describer = describer_of(source, rules, indexes_of(places.ledger), keep=False)
        joined = joined_by(source, rules.legs, describer)
        preparer = preparer_of(joined, connection, rules, describer)
        if isinstance(describer, Refreshed):
            stack.callback(describer.close)
            before = None if reader is None else await reader.fact(described_fact(connection))
            await to_thread.run_sync(describer.refresh, before or "")
            summary.faults = describer.faults()
        planner = FolderPlanner(
            joined,
            known,
            preparer.describer,
            rules.digest(),
            options.ages,
            options.explain,
            by=Likeness.MTIME if options.trust_times else Likeness.CTIME,
            filters=rules.filters,
        )
        planner = await planner.with_sample()
        presence = Presence(known, preparer, allowed=options.allow_empty)
        teller = (
            _Fast(preparer, Filtering.of(preparer), places, summary)
            if fast
            else _Exact(preparer, places, summary, stack, presence)
        )
        inspections = _inspections(planner, teller)
        async for seen in await stack.enter_async_context(aclosing(inspections)):
            summary.add(seen)
            presence.add(seen.on_record, seen.copies, listed=seen.listed)
            for listener in listeners:
                listener(seen)
        summary.passed_over = planner.others.found()
        if rules.legs is None:
            summary.lookalikes = await to_thread.run_sync(planner.lookalikes.look, source)
        if isinstance(known, OnRecord):
            other = await new_settings(known.reader, preparer)
            summary.surprises = () if other is None else other.lines(summary.to_send)
        if presence.listed:
            gone = await presence.find_gone(presence.copies)
            summary.gone = gone.recordings if gone else 0
        await to_thread.run_sync(source.require_same)
    return summary


async def _known(places: Places, stack: AsyncExitStack) -> tuple[Remembers, str]:
    """The ledger's records of the connection, and its ID; empty without a ledger."""
    connection_id = await find_connection(places)
    if not places.ledger.exists():
        return NoLedger(), connection_id or ""
    await to_thread.run_sync(require_last, places.ledger)
    async with LedgerReader(places.ledger) as reader:
        belonging = Belonging(places.ledger, places.root)
        await require_agreement(reader, places.manifest, belonging)
    if connection_id is None:
        return NoLedger(), ""
    reader = await stack.enter_async_context(LedgerReader(places.ledger, connection_id))
    return OnRecord(reader, places.ledger), connection_id


class _Teller(Protocol):
    """What tells of recordings that are to be sent."""

    async def tell(self, batch: Batch, jobs: Sequence[Job]) -> list[Foretold]:
        """What becomes of these."""

    async def end(self) -> list[str]:
        """At the end of the scan: the paths that are to be told of again."""

    async def sum_up(self) -> None:
        """Complete the summary, when all was told."""


class _Fast(Struct, frozen=True):
    """Tells it by the headers alone; what may be held is only what is on record."""

    preparer: Preparer
    filtering: Filtering
    places: Places
    summary: CheckSummary

    async def tell(self, _batch: Batch, jobs: Sequence[Job]) -> list[Foretold]:
        return await to_thread.run_sync(lambda: list(map(self._inspected, jobs)))

    async def end(self) -> list[str]:
        return []

    async def sum_up(self) -> None:
        connection_id = self.preparer.connection_id
        if connection_id and self.places.ledger.exists():
            async with LedgerReader(self.places.ledger, connection_id) as reader:
                self.summary.possible = tuple(await groups_of(reader))
                self.summary.held = await held_back(reader)

    def _inspected(self, job: Job) -> Foretold:
        try:
            seen = self.filtering.preparer_for(job).inspect(job.bundle)
        except SourceError as error:
            return unreadable(job, error)
        found = seen.info if isinstance(seen, Conversion) else seen
        if (wait := job.due.wait(found)) is not None:
            return waits(job, wait)
        if isinstance(seen, Conversion):
            return Foretold(job.path, job.size, seen.info, converts=True)
        if isinstance(seen, AudioInfo):
            return Foretold(job.path, job.size, seen)
        return unsent(job, seen)


class _Exact:
    """Tells it by what a run would do; the ledger is copied once there is something to tell."""

    def __init__(
        self,
        preparer: Preparer,
        places: Places,
        summary: CheckSummary,
        stack: AsyncExitStack,
        presence: Presence,
    ) -> None:
        self._preparer = preparer
        self._places = places
        self._summary = summary
        self._stack = stack
        self._presence = presence
        self._gone: list[str] = []
        self._orphans: list[Outcome] = []
        self._touched: list[Job] = []
        self._foretelling: Foretelling | None = None

    async def tell(self, batch: Batch, jobs: Sequence[Job]) -> list[Foretold]:
        self._gone += batch.gone
        self._orphans += map(orphaned, batch.orphans)
        self._touched += (job for job in batch.jobs if job.action is Action.COMPARE_METADATA)
        held = [each for each in batch.held if each.status is Status.POSSIBLE_DUPLICATE]
        if not (jobs or batch.legs or held):
            return []
        foretelling = await self._begun()
        await foretelling.record(batch.legs)
        await foretelling.correct(self._touched)
        self._touched = []
        return await foretelling.foretell(jobs)

    async def end(self) -> list[str]:
        if self._foretelling is None:
            return []
        await self._foretelling.record(self._orphans)
        await self._foretelling.correct(self._touched)
        if await self._presence.find_gone() is None:
            await self._foretelling.forget(self._gone)
        self._orphans, self._gone, self._touched = [], [], []
        return await self._foretelling.judge()

    async def sum_up(self) -> None:
        if self._foretelling is not None:
            self._summary.possible = await self._foretelling.groups()
            self._summary.held = await held_back(self._foretelling.ledger)

    async def _begun(self) -> Foretelling:
        if self._foretelling is None:
            ledger = self._places.ledger if self._places.ledger.exists() else None
            running = ledger is not None and await to_thread.run_sync(is_running, ledger)
            made = Foretelling(ledger, self._preparer, self._hear, recover=not running)
            self._foretelling = await self._stack.enter_async_context(made)
        return self._foretelling

    def _hear(self, event: Event) -> None:
        match event:
            case DefaultIdsOff():
                self._summary.default_ids_off = event
            case Judged(outcome=Outcome(status=Status.DUPLICATE)):
                self._summary.duplicates += 1
                self._summary.converted += event.outcome.cause is Cause.CONVERTED


async def _inspections(planner: FolderPlanner, teller: _Teller) -> AsyncGenerator[Inspection]:
    """Each folder's decisions, with its recordings inspected, some at a time."""
    async with aclosing(planner.batches()) as batches:
        async for batch in batches:
            async for seen in _told(batch, teller):
                yield seen
    again = await teller.end()
    if again:
        if isinstance(planner.ledger, OnRecord):
            planner.ledger.freed.update(again)
        async for seen in _told(await planner.again(again), teller):
            yield seen
        await teller.end()
    await teller.sum_up()


async def _told(batch: Batch, teller: _Teller) -> AsyncGenerator[Inspection]:
    jobs = [job for job in batch.jobs if job.action is Action.UPLOAD]
    pieces = {job.path for job in jobs if job.bundle.audio.cut is not None}
    yield inspection_of(batch, await teller.tell(batch, jobs[:_AT_ONCE]), pieces)
    for start in range(_AT_ONCE, len(jobs), _AT_ONCE):
        rest = Batch(batch.folder)
        yield inspection_of(rest, await teller.tell(rest, jobs[start : start + _AT_ONCE]), pieces)
