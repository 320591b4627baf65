"""``check``: inspects without sending, with output for people or programs."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, Protocol

import anyio
from msgspec import Struct

from batch_uploader.app.callids import lacking
from batch_uploader.app.check import check_directory
from batch_uploader.app.duplicates import MOST_EXAMPLES
from batch_uploader.app.emptiness import MOUNT, ON_PURPOSE
from batch_uploader.app.history import directory_runs
from batch_uploader.app.inspection import CheckSummary, Inspection
from batch_uploader.app.passed_over import looks_like_audio, ways_to_take
from batch_uploader.app.places import Places, risks_of
from batch_uploader.cli import output
from batch_uploader.cli.again import (
    again,
    command_line,
    held_groups,
    naming_other_roots,
    settings_of,
)
from batch_uploader.cli.checklist import TableAccount
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import SIDECAR_MISSING, Defect
from batch_uploader.core.price import Price, used_this_month
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.core.text import plural, printable, sentence
from batch_uploader.core.units import format_size
from batch_uploader.core.waiting import Wait
from batch_uploader.run.options import RunOptions
from batch_uploader.settings import Settings
from batch_uploader.settings.files import own_files, require_places
from batch_uploader.ui.duplicates import duplicate_lines, ids_off_lines
from batch_uploader.ui.fields import (
    cost_fields,
    finite,
    legs_fields,
    outcome_fields,
    passed_over_fields,
)
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Line, Span, hint, warning
from batch_uploader.ui.summary import (
    left_out_words,
    most_gone,
    unconverted_lines,
    warn_of_nothing,
)
from batch_uploader.ui.text import format_hours
from batch_uploader.ui.waiting import waiting_line

_SHOWN = 3
_IN_MEMORY = 4 * 1024 * 1024


def _of_these(total: CheckSummary) -> Iterator[Line]:
    """What is done with some of what goes up."""
    for count, seconds, words in (
        (total.pieces, total.pieces_duration, "pieces of long recordings"),
        (total.to_convert, total.to_convert_duration, "converted first"),
    ):
        if count:
            yield [Span(f"{count:,} of these, {format_hours(seconds)}, {words}")]


def check(
    directory: Path,
    flags: Mapping[str, object],
    *,
    as_json: bool = False,
    as_csv: bool = False,
    fast: bool = False,
) -> int:
    """Check the directory. Returns the exit code."""
    settings = settings_of(directory, flags)
    if as_json and as_csv:
        raise ConfigError("--json and --csv contradict each other", hint="leave one of them out")
    account: _Account = TableAccount() if as_csv else _TextAccount(settings)
    if as_json:
        account = _JsonAccount()
    with naming_other_roots(settings):
        return anyio.run(_check, settings, account, fast)


class _Account(Protocol):
    """One way to tell what a check finds."""

    def take(self, seen: Inspection) -> None:
        """Hear of some more."""

    def print(self, total: CheckSummary, price: Price | None, cost: Decimal | None) -> None:
        """Print it on stdout, all or the rest."""


async def _check(settings: Settings, account: _Account, fast: bool) -> int:
    places, reading = require_places(settings), settings.reading()
    summary = await check_directory(
        places,
        include=reading.include,
        exclude=reading.exclude,
        ignore=own_files(settings),
        rules=reading.rules,
        options=RunOptions(
            min_age=reading.ages.still,
            min_age_open=reading.ages.still_open,
            sidecar_wait=reading.ages.sidecar,
            trust_times=settings.switch("trust-times"),
            allow_empty=settings.switch("allow-empty"),
            explain=settings.switch("verbose"),
        ),
        listeners=[_explain, account.take],
        fast=fast,
    )
    risks = [*risks_of(places.ledger), *map(printable, summary.faults.lines()), *summary.surprises]
    if reading.rules.call_ids.named and summary.to_send and not (summary.named or fast):
        risks.append(lacking(reading.rules.call_ids.text))
    show([warning(risk) for risk in risks], sys.stderr)
    price = settings.price()
    cost = None if price is None else await _cost(price, places, summary)
    account.print(summary, price, cost)
    if summary.found_nothing:
        warn_of_nothing(os.fspath(places.directory))
    if summary.passed_over:
        show([warning(printable(looks_like_audio(summary.passed_over)))], sys.stderr)
        output.hint(*ways_to_take(summary.passed_over, os.fspath(places.directory)))
    if summary.lookalikes is not None:
        output.hint(printable(str(summary.lookalikes)))
    if summary.gone:
        show([warning(sentence(most_gone(summary.gone)))], sys.stderr)
        output.hint(MOUNT, ON_PURPOSE)
    return ExitCode.ATTENTION if summary.needs_attention or summary.gone else ExitCode.FINE


async def _cost(price: Price, places: Places, summary: CheckSummary) -> Decimal:
    """What is to be sent costs, after what was uploaded in this month."""
    runs = await directory_runs(places) if places.ledger.exists() else []
    return price.cost(summary.to_send_duration, used_this_month(runs, time.time_ns()))


def _all_in_all(total: CheckSummary) -> str:
    """What becomes of all recordings, in a sentence."""
    go = "goes" if total.to_send == 1 else "go"
    told = [f"{total.to_send:,} of {total.recordings:,} {go} up"]
    for number, one, many in (
        (total.already_there, "is there already", "are there already"),
        (total.duplicates, "is a copy", "are copies"),
        (total.left_out_by.total(), "is left out", "are left out"),
        (total.waiting, "waits", "wait"),
        (total.in_flight, "is being sent", "are being sent"),
        (total.decided, "is decided about", "are decided about"),
        (total.needs_attention - total.orphans, "needs attention", "need attention"),
    ):
        if number:
            told.append(f"{number:,} {one if number == 1 else many}")
    return ", ".join(told)


def _explain(seen: Inspection) -> None:
    lines = (
        [Span(f"{decision.action} {printable(path)}: {decision.reason}")]
        for path, decision in seen.decisions
    )
    show(lines, sys.stderr)


class _Group(Struct):
    """Defects of one kind: number, first few paths, the first, and in what all are like it."""

    first: Defect
    count: int
    paths: list[str]
    one_message: bool = True
    one_cure: bool = True


class _TextAccount:
    """Output for people: sums, and the defects by kind. Bounded in length."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: dict[str, _Group] = {}

    def take(self, seen: Inspection) -> None:
        """Hear of some more."""
        for defect in seen.defects:
            # A sidecar that lacks ten fields has ten defects with ten cures.
            group = self._groups.setdefault(
                f"{defect.kind} {defect.field or ''}".strip(), _Group(defect, 0, [])
            )
            group.count += 1
            group.one_message &= defect.message == group.first.message
            group.one_cure &= defect.cure == group.first.cure
            if len(group.paths) < _SHOWN:
                group.paths.append(defect.path)

    def print(self, total: CheckSummary, price: Price | None, cost: Decimal | None) -> None:
        """Print the result on stdout."""
        costs = f", for {price.shown(cost)}" if price and cost is not None else ""
        output.data(self._lines(total, costs))

    def _lines(self, total: CheckSummary, costs: str) -> Iterator[Line]:
        yield [Span(_all_in_all(total), "bold")]
        yield [
            Span(
                f"{plural(total.to_send, 'recording')},"
                f" {format_hours(total.to_send_duration)} of audio,"
                f" {format_size(total.to_send_bytes)} to upload{costs}",
                "bold",
            )
        ]
        yield from _of_these(total)
        for number, words in (
            (total.already_there, "already there"),
            (total.duplicates, "not to be sent: copies of calls that go up or are on record"),
            (total.converted, "of these in another format"),
            (total.to_compare, "of these with new change times (upload compares them last)"),
            (total.left_out_by.total(), left_out_words(total.left_out_by)),
            (total.in_flight, "in progress (another run)"),
        ):
            if number:
                yield [Span(f"{number:,} {words}")]
        if waits := waiting_line(total.waiting, total.waiting_for):
            yield [Span(waits)]
        for status, number in total.carried_over.items():
            held = "held: " if status in NEEDS_ATTENTION else ""
            yield [Span(f"{number:,} {held}{status.label}")]
        if total.carried_over.keys() & NEEDS_ATTENTION:
            yield hint(again(self._settings, "status"))
        if total.default_ids_off is not None:
            yield from ids_off_lines(total.default_ids_off)
        if total.read_bytes:
            read = format_size(total.read_bytes)
            yield [Span(f"to find copies {read} were read; --fast reads only headers", "dim")]
        yield from ([Span(line)] for line in unconverted_lines(total.unconverted))
        yield from duplicate_lines(
            held_groups(total.possible, self._settings, several=False),
            MOST_EXAMPLES,
            foretold=True,
        )
        yield from self._defects()
        if self._is_undescribed(total):
            command = command_line("init", os.fspath(self._settings.directory))
            yield hint(f"if another system made these, {command} finds out what describes them")

    def _is_undescribed(self, total: CheckSummary) -> bool:
        """Whether no recording has a sidecar, and nothing else is said to describe them."""
        lack = SIDECAR_MISSING in self._groups or total.waiting_for.get(Wait.SIDECAR)
        known = total.to_send or total.already_there or self._settings.reading().rules.about
        return bool(lack and not known)

    def _defects(self) -> Iterator[Line]:
        for name, group in sorted(self._groups.items(), key=lambda item: -item[1].count):
            yield []
            yield [Span(name, "yellow"), Span(f": {plural(group.count, 'file')}")]
            for path in group.paths:
                yield [Span(f"  {printable(path)}")]
            if group.count > len(group.paths):
                yield [Span(f"  and {group.count - len(group.paths):,} more")]
            message, cure = sentence(group.first.message), sentence(group.first.cure)
            if not group.one_message:
                message = f"{message} (for the first of them)"
            if not group.one_cure:
                # Before the cure, so that a command at its end can be copied.
                cure = f"for the first of them, --json has each file's own: {cure}"
            yield [Span(f"  {message}", "dim")]
            yield [Span(f"  {cure}", "dim")]


class _JsonAccount:
    """Output for programs: one JSON document. Long lists are kept in files, not in memory."""

    def __init__(self) -> None:
        self._carried_over = _spool()
        self._defects = _spool()

    def take(self, seen: Inspection) -> None:
        """Hear of some more."""
        for outcome in seen.carried_over:
            _add(self._carried_over, outcome_fields(outcome))
        for defect in seen.defects:
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

    def print(self, total: CheckSummary, price: Price | None, cost: Decimal | None) -> None:
        """Write the document to stdout; a closed pipe is not an error."""
        sums = {
            "recordings": total.recordings,
            **cost_fields(price, cost),
            "to_send": total.to_send,
            "to_send_bytes": total.to_send_bytes,
            "to_send_duration": finite(total.to_send_duration),
            "already_there": total.already_there,
            Status.WAITING.value: total.waiting,
            "in_flight": total.in_flight,
            "duplicates": total.duplicates,
            "pieces": total.pieces,
            "pieces_duration": finite(total.pieces_duration),
            "to_convert": total.to_convert,
            "to_convert_duration": finite(total.to_convert_duration),
            "unconverted": total.unconverted,
            "converted": total.converted,
            "possible_duplicates": {
                group.cause.value: group.recordings for group in total.possible
            },
            "read_bytes": total.read_bytes,
            "gone": total.gone,
            "left_out_by": dict(total.left_out_by),
            "passed_over": [passed_over_fields(each) for each in total.passed_over],
            "looks_like_legs": legs_fields(total.lookalikes),
            "unusable_rows": total.faults.count,
            "waiting_for": dict(total.waiting_for),
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
