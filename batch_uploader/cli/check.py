"""``check``: everything but sending, told to people or to programs."""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO

import anyio
from anyio import to_thread
from msgspec import Struct, field
from msgspec.structs import replace

from batch_uploader.app.agreement import require_agreement
from batch_uploader.app.belonging import Belonging, require_no_other_ledger
from batch_uploader.app.check import Finding, survey
from batch_uploader.app.places import require_no_trace, risks_of, the_connection
from batch_uploader.cli import output
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.core.model import Defect, Entry
from batch_uploader.core.records import Likeness, Record
from batch_uploader.core.states import Action, Status
from batch_uploader.core.text import plural, printable, quote, sentence
from batch_uploader.core.units import format_size
from batch_uploader.ledgers.places import require_no_lost_ledger
from batch_uploader.ledgers.sqlite import LedgerReader, is_running, require_last
from batch_uploader.plan.folders import Batch, FolderPlanner, Remembers
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.settings import Settings
from batch_uploader.settings.files import own_files, require_places
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.ui.fields import finite, outcome_fields
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Line, Span, hint, warning
from batch_uploader.ui.summary import warn_of_nothing
from batch_uploader.ui.text import format_hours

_SHOWN = 3
_IN_MEMORY = 4 * 1024 * 1024


def check(directory: Path, flags: Mapping[str, object], *, as_json: bool) -> int:
    """Survey the directory; the exit code."""
    return anyio.run(_check, Settings(directory, flags), as_json)


async def _check(settings: Settings, as_json: bool) -> int:
    places, reading = require_places(settings), settings.reading()
    require_no_other_ledger(places.root, places.ledger)
    require_no_lost_ledger(places.root, places.ledger, places.manifest)
    require_no_trace(places)
    show([warning(risk) for risk in risks_of(places.ledger)], sys.stderr)
    source = DirectorySource(
        places.directory,
        include=reading.include,
        exclude=reading.exclude,
        ignore=own_files(settings),
        leads_to=places.root,
    )
    connection_id = await the_connection(places)
    explains = settings.switch("verbose")
    preparer = Preparer(source, connection_id or "", reading.rules)
    account = _JsonAccount() if as_json else _TextAccount(os.fspath(places.directory))
    ledger = places.ledger if places.ledger.exists() else None
    if ledger is not None:
        await to_thread.run_sync(require_last, ledger)
        async with LedgerReader(ledger) as reader:
            belonging = Belonging(places.ledger, places.root)
            await require_agreement(reader, places.manifest, belonging)
    async with AsyncExitStack() as stack:
        stack.enter_context(source)
        memory = await stack.enter_async_context(_memory(ledger, connection_id))
        by = Likeness.MTIME if settings.switch("trust-times") else Likeness.CTIME
        policy = reading.rules.digest()
        planner = FolderPlanner(source, memory, policy, reading.min_age, explains, by=by)
        async for batch, findings in survey(planner, preparer):
            _explain(batch)
            account.take(batch, findings)
    account.print()
    if account.sum.found_nothing:
        warn_of_nothing(os.fspath(places.directory))
    source.require_same()
    return ExitCode.ATTENTION if account.sum.attention else ExitCode.FINE


class _Blank:
    """A ledger that was never written."""

    async def known(self, _folder: str) -> dict[str, Record]:
        return {}

    async def unchanged(
        self, _folder: str, _entries: Sequence[Entry], _by: Likeness = Likeness.INODE
    ) -> int:
        return 0


class _Afresh(Struct, frozen=True):
    """A ledger that has forgotten what was invalid: it is looked into anew, to tell all of it.

    Without a run that is going on a claim is a doubt, as the next run will find.
    """

    reader: LedgerReader
    path: Path

    async def known(self, folder: str) -> dict[str, Record]:
        known = await self.reader.known(folder)
        claimed = any(each.status is Status.CLAIMED for each in known.values())
        if claimed and not await to_thread.run_sync(is_running, self.path):
            # Read once more: a run that has just ended left no claim behind.
            again = await self.reader.known(folder)
            known = {path: _doubted(each) for path, each in again.items()}
        return {path: each for path, each in known.items() if each.status is not Status.INVALID}

    async def unchanged(
        self, folder: str, entries: Sequence[Entry], by: Likeness = Likeness.INODE
    ) -> int:
        return await self.reader.unchanged(folder, entries, by)


def _doubted(known: Record) -> Record:
    if known.status is not Status.CLAIMED:
        return known
    return replace(known, status=Status.IN_DOUBT)


@asynccontextmanager
async def _memory(ledger: Path | None, connection_id: str | None) -> AsyncIterator[Remembers]:
    async with AsyncExitStack() as stack:
        if connection_id is None or ledger is None:
            yield _Blank()
        else:
            reader = await stack.enter_async_context(LedgerReader(ledger, connection_id))
            yield _Afresh(reader, ledger)


def _explain(batch: Batch) -> None:
    lines = (
        [Span(f"{decision.action} {printable(path)}: {decision.reason}")]
        for path, decision in batch.decisions
    )
    show(lines, sys.stderr)


def _defects(batch: Batch, findings: list[Finding]) -> Iterator[Defect]:
    for orphan in batch.orphans:
        yield orphan.defect
    yield from batch.unreadable
    for finding in findings:
        yield from finding.defects


class _Sum(Struct):
    """All of it in numbers; ``carried_over`` is what earlier runs left for a human, by status."""

    to_send: int = 0
    to_send_bytes: int = 0
    to_send_duration: float = 0.0
    already_there: int = 0
    to_compare: int = 0
    waiting: int = 0
    in_flight: int = 0
    carried_over: Counter[Status] = field(default_factory=Counter)
    defective: int = 0

    def take(self, batch: Batch, findings: list[Finding]) -> None:
        """Count some more."""
        for finding in findings:
            if finding.audio is None:
                self.defective += 1
            else:
                self.to_send += 1
                self.to_send_duration += finding.audio.duration
                self.to_send_bytes += finding.size
        self.already_there += batch.already_there
        self.to_compare += len(batch.looks)
        # Their talks are up; whether their sidecars say something new is for the run to see.
        self.already_there += sum(job.action is Action.COMPARE_METADATA for job in batch.jobs)
        self.waiting += batch.waiting
        held = Counter(outcome.status for outcome in batch.held)
        # What is being sent needs nobody.
        self.in_flight += held.pop(Status.CLAIMED, 0)
        self.carried_over += held
        self.defective += len(batch.orphans) + len(batch.unreadable)

    @property
    def found_nothing(self) -> bool:
        """Whether there is no recording at all, as ``Summary.found_nothing`` has it."""
        return not (
            self.to_send + self.already_there + self.waiting + self.in_flight + self.attention
        )

    @property
    def attention(self) -> int:
        """How many need a human."""
        return self.carried_over.total() + self.defective


class _Group(Struct):
    """Defects of one kind: how many, the first few paths, the first cure and if all have it."""

    first: Defect
    count: int
    paths: list[str]
    alike: bool = True


class _TextAccount:
    """For people: sums, and the defects by their kinds. Bounded, however many there are."""

    def __init__(self, directory: str) -> None:
        self.sum = _Sum()
        self._directory = directory
        self._groups: dict[str, _Group] = {}

    def take(self, batch: Batch, findings: list[Finding]) -> None:
        """Hear of some more."""
        self.sum.take(batch, findings)
        for defect in _defects(batch, findings):
            # A sidecar that lacks ten fields has ten defects, and ten cures.
            group = self._groups.setdefault(
                f"{defect.kind} {defect.field or ''}".strip(), _Group(defect, 0, [])
            )
            group.count += 1
            group.alike &= (defect.message, defect.cure) == (group.first.message, group.first.cure)
            if len(group.paths) < _SHOWN:
                group.paths.append(defect.path)

    def print(self) -> None:
        """Tell all of it on stdout."""
        output.data(self._lines())

    def _lines(self) -> Iterator[Line]:
        total = self.sum
        yield [
            Span(
                f"{plural(total.to_send, 'recording')},"
                f" {format_hours(total.to_send_duration)} of audio,"
                f" {format_size(total.to_send_bytes)} would go up",
                "bold",
            )
        ]
        for number, words in (
            (total.already_there, "already there"),
            (total.to_compare, "of these with new change times: upload compares them last"),
            (total.waiting, "waiting: changed just now"),
            (total.in_flight, "being sent by the run that is going on"),
        ):
            if number:
                yield [Span(f"{number:,} {words}")]
        for status, number in total.carried_over.items():
            yield [Span(f"{number:,} held: {status.label}")]
        if total.carried_over:
            yield hint(f"batch-uploader status {quote(self._directory)}")
        for name, group in sorted(self._groups.items(), key=lambda item: -item[1].count):
            yield []
            yield [Span(name, "yellow"), Span(f": {plural(group.count, 'file')}")]
            for path in group.paths:
                yield [Span(f"  {printable(path)}")]
            if group.count > len(group.paths):
                yield [Span(f"  and {group.count - len(group.paths):,} more")]
            message, cure = sentence(group.first.message), sentence(group.first.cure)
            if not group.alike:
                message = f"{message} (for the first of them)"
                # Before it, so that a command at its end can be copied.
                cure = f"for the first of them, --json has each file's own: {cure}"
            yield [Span(f"  {message}", "dim")]
            yield [Span(f"  {cure}", "dim")]


class _JsonAccount:
    """For programs: one document. What may be long waits in files, not in memory."""

    def __init__(self) -> None:
        self.sum = _Sum()
        self._carried_over = _spool()
        self._defects = _spool()

    def take(self, batch: Batch, findings: list[Finding]) -> None:
        """Hear of some more."""
        self.sum.take(batch, findings)
        for outcome in batch.held:
            if outcome.status is not Status.CLAIMED:
                _add(self._carried_over, outcome_fields(outcome))
        for defect in _defects(batch, findings):
            _add(
                self._defects,
                {
                    "path": defect.path,
                    "code": defect.kind,
                    "field": defect.field,
                    "message": defect.message,
                    "cure": defect.cure,
                },
            )

    def print(self) -> None:
        """Write the document to stdout; a reader that is gone is no failure."""
        total = self.sum
        sums = {
            "to_send": total.to_send,
            "to_send_bytes": total.to_send_bytes,
            "to_send_duration": finite(total.to_send_duration),
            "already_there": total.already_there,
            "waiting": total.waiting,
            "in_flight": total.in_flight,
        }
        with data_on_stdout(), self._carried_over as carried_over, self._defects as defects:
            sys.stdout.write(json.dumps(sums)[:-1])
            for name, spool in (("carried_over", carried_over), ("defects", defects)):
                sys.stdout.write(f', "{name}": [')
                spool.seek(0)
                while piece := spool.read(_IN_MEMORY):
                    sys.stdout.write(piece)
                sys.stdout.write("]")
            sys.stdout.write("}\n")


def _spool() -> IO[str]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="ascii")


def _add(spool: IO[str], item: dict[str, object]) -> None:
    spool.write((", " if spool.tell() else "") + json.dumps(item))
