"""Tells what a run would do, without sending."""

import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Protocol

from anyio import to_thread
from msgspec import Struct, field

from batch_uploader.app.agreement import require_agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.converting import choose_conversion
from batch_uploader.app.duplicates import DuplicateGroup, groups_of
from batch_uploader.app.emptiness import require_recordings
from batch_uploader.app.foretelling import Foretelling, Foretold, unreadable, unsent, waits
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
    preparer_of,
    sidecar_patterns,
)
from batch_uploader.app.roots import Roots
from batch_uploader.core.checks import require_texts, require_type
from batch_uploader.core.errors import SourceError
from batch_uploader.core.events import DefaultIdsOff, Event, Judged
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import AudioInfo, Defect, Outcome, PassedOver
from batch_uploader.core.records import Likeness
from batch_uploader.core.states import NEEDS_ATTENTION, POSSIBLE, Action, Decision, Status
from batch_uploader.ledgers.places import LEDGER_FOLDER
from batch_uploader.ledgers.sqlite import LedgerReader, is_running, require_last
from batch_uploader.plan.batch import Batch, Job, orphaned
from batch_uploader.plan.decide import filter_of
from batch_uploader.plan.folders import FolderPlanner, Remembers
from batch_uploader.prepare.convert import Conversion
from batch_uploader.prepare.describer import Refreshed, UnusableRows
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.prepare.rules import Rules
from batch_uploader.run.filtering import Filtering
from batch_uploader.run.options import RunOptions
from batch_uploader.sources.directory import DirectorySource

_ELSEWHERE = POSSIBLE | {Status.CLAIMED}
"""What is held in these states is told of in other numbers."""
_AT_ONCE = 64
"""Inspecting a file takes less time than a thread hop, so a hop is shared by many."""


class Finding(Struct, frozen=True):
    """The result of inspecting one recording: audio that would be sent, or defects.

    ``converts`` if its file is converted first.
    """

    path: str
    size: int
    audio: AudioInfo | None
    defects: tuple[Defect, ...] = ()
    converts: bool = False


class Inspection(Struct, frozen=True):
    """A folder as a run would find it, or the next part of a large one.

    ``findings`` are the inspected recordings, ``defects`` all defects, including those of other
    files, ``defective`` the number of files with defects. ``waiting`` are left to the next run,
    ``carried_over`` are what earlier runs left for a human, ``duplicates`` recordings whose
    call is on record, ``decisions`` all decisions if they were requested. The others count
    recordings, and ``read_bytes`` what was read of them; ``on_record`` are there and on record,
    which counts if the folder was ``listed``, and ``copies`` may be others that are.
    ``left_out_by`` counts what filters leave out, by filter.
    """

    folder: str
    findings: tuple[Finding, ...] = ()
    defects: tuple[Defect, ...] = ()
    defective: int = 0
    carried_over: tuple[Outcome, ...] = ()
    decisions: tuple[tuple[str, Decision], ...] = ()
    already_there: int = 0
    to_compare: int = 0
    waiting: tuple[Outcome, ...] = ()
    in_flight: int = 0
    duplicates: tuple[Outcome, ...] = ()
    read_bytes: int = 0
    on_record: int = 0
    listed: bool = True
    copies: int = 0
    left_out_by: Mapping[str, int] = field(default_factory=dict)


class CheckSummary(Struct):
    """The sums of a check; ``carried_over`` is what earlier runs left for a human, by status.

    ``to_send_bytes`` and ``to_send_duration``, in seconds, count the ``to_send`` recordings.
    ``to_compare`` of ``already_there`` have new change times, ``waiting`` may not be complete
    yet (``waiting_for`` has their numbers by what they wait for, as a ``Wait``), ``in_flight``
    are being sent by another run. ``defective`` counts files with at least one defect.
    ``duplicates`` are not sent, since their call is on record; ``converted`` of them are in
    another format. ``possible`` has the possible duplicates, those of earlier runs included, in
    groups. ``default_ids_off`` if the run would ignore default IDs. ``read_bytes`` were read.
    ``gone`` is how many recordings on record are gone, if these are most of them.
    ``left_out_by`` counts what filters leave out, by filter. ``passed_over`` are the files that
    look like audio and are not taken, by kind. ``to_convert`` of ``to_send`` are converted,
    ``to_convert_duration`` seconds; ``unconverted`` could be, but earlier versions refused
    them. ``faults`` are rows of tables that cannot be used, ``surprises`` what the run would do
    suddenly with other settings than those of the last one.
    """

    to_send: int = 0
    to_send_bytes: int = 0
    to_send_duration: float = 0.0
    already_there: int = 0
    to_compare: int = 0
    waiting: int = 0
    in_flight: int = 0
    carried_over: Counter[Status] = field(default_factory=Counter)
    defective: int = 0
    duplicates: int = 0
    converted: int = 0
    possible: tuple[DuplicateGroup, ...] = ()
    default_ids_off: DefaultIdsOff | None = None
    unconverted: int = 0
    to_convert: int = 0
    to_convert_duration: float = 0.0
    read_bytes: int = 0
    gone: int = 0
    left_out_by: Counter[str] = field(default_factory=Counter)
    passed_over: tuple[PassedOver, ...] = ()
    faults: UnusableRows = UnusableRows()
    surprises: tuple[str, ...] = ()
    waiting_for: Counter[str] = field(default_factory=Counter)

    def add(self, seen: Inspection) -> None:
        """Add a folder."""
        for finding in seen.findings:
            if finding.audio is not None:
                self.to_send += 1
                self.to_send_bytes += finding.size
                self.to_send_duration += finding.audio.duration
                self.to_convert += finding.converts
                self.to_convert_duration += finding.audio.duration * finding.converts
        self.already_there += seen.already_there
        self.to_compare += seen.to_compare
        self.waiting += len(seen.waiting)
        self.waiting_for.update(each.failure.code for each in seen.waiting if each.failure)
        self.in_flight += seen.in_flight
        self.carried_over.update(outcome.status for outcome in seen.carried_over)
        self.defective += seen.defective
        self.duplicates += len(seen.duplicates)
        self.converted += sum(each.cause is Cause.CONVERTED for each in seen.duplicates)
        self.read_bytes += seen.read_bytes
        self.left_out_by.update(seen.left_out_by)

    @property
    def found_nothing(self) -> bool:
        """Whether the directory has no recordings at all, as when a share is not mounted."""
        seen = self.to_send + self.already_there + self.waiting + self.in_flight
        seen += self.left_out_by.total()
        return not seen + self.duplicates + self.needs_attention

    @property
    def needs_attention(self) -> int:
        """How many recordings and files need a human."""
        held = sum(group.recordings for group in self.possible)
        left = sum(self.carried_over[status] for status in NEEDS_ATTENTION)
        return left + self.defective + held


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
        preparer = preparer_of(source, connection, rules, describer)
        if isinstance(describer, Refreshed):
            stack.callback(describer.close)
            before = None if reader is None else await reader.fact(described_fact(connection))
            await to_thread.run_sync(describer.refresh, before or "")
            summary.faults = describer.faults()
        planner = FolderPlanner(
            source,
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
    yield _inspection(batch, await teller.tell(batch, jobs[:_AT_ONCE]))
    for start in range(_AT_ONCE, len(jobs), _AT_ONCE):
        rest = Batch(batch.folder)
        yield _inspection(rest, await teller.tell(rest, jobs[start : start + _AT_ONCE]))


def _inspection(batch: Batch, told: Sequence[Foretold]) -> Inspection:
    defective = [each for each in told if each.defects]
    carried_over = [each for each in batch.held if each.status not in _ELSEWHERE]
    outcomes = [each.outcome for each in told if each.outcome is not None]
    outcomes += [each.outcome for each in batch.waits]
    duplicates = [each for each in outcomes if each.status is Status.DUPLICATE]
    left = [each for each in outcomes if each.status is Status.LEFT_OUT]
    waiting = [each for each in outcomes if each.status is Status.WAITING]
    told_apart = {id(each) for each in (*duplicates, *left, *waiting)}
    carried_over += [each for each in outcomes if id(each) not in told_apart]
    return Inspection(
        batch.folder,
        tuple(
            Finding(each.path, each.size, each.audio, each.defects, each.converts)
            for each in told
            if each.audio is not None or each.defects
        ),
        (
            *(orphan.defect for orphan in batch.orphans),
            *batch.unreadable,
            *(defect for each in defective for defect in each.defects),
        ),
        len(batch.orphans) + len(batch.unreadable) + len(defective),
        tuple(carried_over),
        tuple(batch.decisions),
        # These are uploaded; whether their sidecars have changed is for the run to find out.
        batch.already_there
        + sum(job.action is Action.COMPARE_METADATA for job in batch.jobs)
        + sum(each.already_there for each in told),
        len(batch.looks),
        tuple(waiting),
        # What is being sent needs no human.
        sum(each.status is Status.CLAIMED for each in batch.held),
        tuple(duplicates),
        sum(each.nbytes for each in told),
        batch.on_record,
        batch.listed,
        sum(each.duplicate_of is not None for each in outcomes),
        batch.left_out + Counter(map(filter_of, [*batch.outside, *left])),
    )
