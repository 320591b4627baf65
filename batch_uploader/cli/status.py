"""``status``: the counts of the ledger, how its runs ended, and what needs a human."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import anyio
from msgspec import Struct

from batch_uploader.app.duplicates import MOST_EXAMPLES, possible_duplicates
from batch_uploader.app.emptiness import MOUNT, ON_PURPOSE
from batch_uploader.app.history import refused_runs
from batch_uploader.app.passed_over import looks_like_audio, ways_to_take
from batch_uploader.app.status import ConnectionStatus, DirectoryStatus, directory_status
from batch_uploader.cli import output
from batch_uploader.cli.again import again, held_groups, settings_of
from batch_uploader.cli.findable import NOT_FOUND, Findable
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.core.errors import UploaderError
from batch_uploader.core.model import Timestamp
from batch_uploader.core.records import Record
from batch_uploader.core.states import (
    NEEDS_ATTENTION,
    POSSIBLE,
    UNDECIDED,
    WAITS,
    Status,
    Verdict,
)
from batch_uploader.core.text import format_count, plural, printable, quote, sentence
from batch_uploader.core.units import format_size, parse_duration
from batch_uploader.settings import RawSetting, Settings
from batch_uploader.settings.files import require_places
from batch_uploader.ui.duplicates import duplicate_lines
from batch_uploader.ui.fields import (
    error_fields,
    finite,
    kind_fields,
    moment,
    passed_over_fields,
    run_fields,
)
from batch_uploader.ui.printing import show
from batch_uploader.ui.runs import how_it_ended, new_and_known
from batch_uploader.ui.stream import Line, Span, hint, warning
from batch_uploader.ui.summary import left_out_words, most_gone
from batch_uploader.ui.text import format_hours

_SHOWN = 20
_LABEL = 11  # "being sent" and a gap; wider where a longer one is shown

_DECIDED = UNDECIDED | POSSIBLE

# First what only a human or a search can decide.
_TOLD = sorted(NEEDS_ATTENTION, key=lambda each: (each not in UNDECIDED, [*Status].index(each)))


class _Report(Struct, frozen=True):
    """The status, the settings for commands on the same ledger, and what tells of doubts."""

    status: DirectoryStatus
    settings: Settings
    findable: Findable


def status(
    directory: Path, flags: Mapping[str, object], *, as_json: bool, since: str | None = None
) -> int:
    """Print the status of the directory's ledger. Returns the exit code.

    ``since`` is the duration to which the runs and the news are limited.
    """
    return anyio.run(_status, settings_of(directory, flags), as_json, since)


async def _status(settings: Settings, as_json: bool, since: str | None) -> int:
    within = None if since is None else RawSetting(since, "--since", Path()).limit(parse_duration)
    try:
        places = require_places(settings)
        found = await directory_status(places, since=within)
    except UploaderError as error:
        await note_refused_run(error, settings)
        raise
    tell_of_kept(found.kept_aside, settings)
    report = _Report(found, settings, await Findable.of(settings, places, await _doubts(found)))
    if as_json:
        await _print_json(report)
    else:
        await _print_text(report)
    _tell_of_runs(found, since)
    if found.refusal is not None:
        show([warning(sentence(f"upload is refused: {found.refusal.problem}"))], sys.stderr)
        output.cures(found.refusal)
    if found.passed_over:
        show([warning(printable(looks_like_audio(found.passed_over)))], sys.stderr)
        output.hint(*ways_to_take(found.passed_over, os.fspath(places.directory)))
    if found.gone:
        show([warning(sentence(most_gone(found.gone)))], sys.stderr)
        output.hint(MOUNT, ON_PURPOSE)
    return ExitCode.FINE if found.is_fine else ExitCode.ATTENTION


async def _doubts(found: DirectoryStatus) -> set[str]:
    """The paths about which somebody has to ask the service's console."""
    return {row.path for state in UNDECIDED async for row in found.records(state)}


def _tell_of_runs(found: DirectoryStatus, since: str | None) -> None:
    """Warn if there was no run, or none that ended well."""
    if found.never_ran:
        when = f"in the last {since}" if since else "is on record yet"
        show([warning(f"no run {when}")], sys.stderr)
        output.hint("see whether it is still started, by cron or a timer, and with this ledger")
    for each in found.by_connection:
        if each.last_success is None and each.ended_badly:
            to = f" to the connection {printable(each.connection_id)}" if each.connection_id else ""
            show([warning(f"no run{to} on record has succeeded")], sys.stderr)
            if to and len(found.by_connection) > 1:
                output.hint("if its ID was a typing error, name yours: --connection-id ID")


async def note_refused_run(error: UploaderError, settings: Settings) -> None:
    """Add to the error how the last run ended that the ledger does not have.

    Nothing else tells of one that ended before there was a ledger, or without its mount.
    """
    for run in (await refused_runs(settings.places()))[:1]:
        error.add_note(how_it_ended(run))


def tell_of_kept(count: int, settings: Settings) -> None:
    """Print how many results are not in the ledger because the disk was full, if any."""
    if count:
        output.hint(
            f"the results of {plural(count, 'recording')} could not be recorded, and are kept"
            f" beside the ledger; to record them before you decide: {again(settings, 'upload')}"
        )


async def _print_text(report: _Report) -> None:
    lines = list(_run_lines(report.status))
    shown = [each for each in Status if report.status.totals[each].recordings]
    label = max([_LABEL, *(len(each.label) + 1 for each in shown)])
    for each in shown:
        totals = report.status.totals[each]
        style = "yellow" if each in NEEDS_ATTENTION else ""
        numbers = (
            f"{format_count(totals.recordings):>10}  {format_size(totals.nbytes):>7}"
            f"  {format_hours(totals.duration):>9}"
        )
        lines.append([Span(f"{each.label:{label}}", style), Span(numbers)])
    if report.status.left_out_by:
        lines += [[], [Span(left_out_words(report.status.left_out_by, many=True))]]
    if not shown:
        lines.append([Span(_nothing(report.status))])
    output.data(lines)
    for each in _TOLD:
        totals = report.status.totals[each]
        # What became of these is known, and only not recorded yet.
        known = each is Status.IN_DOUBT and report.status.kept_aside
        if totals.recordings and not known:
            await _print_state(report, each, totals.recordings)
    if waiting := report.status.totals[Status.WAITING].recordings:
        await _print_state(report, Status.WAITING, waiting)


def _run_lines(status: DirectoryStatus) -> Iterator[Line]:
    """What the last run of each connection did, or those of the time that was asked for."""
    for each in status.by_connection:
        to = _to(status, each)
        if each.going_on is not None:
            yield [Span(how_it_ended(each.going_on, to), "bold")]
        runs = each.runs if status.since_ns is not None else (each.latest,)
        for run in runs:
            if run is not None and run.end is not None:
                style = "bold yellow" if run.end.is_bad else "bold"
                yield [Span(how_it_ended(run, to), style)]
        if each.backlog:
            known = plural(each.backlog, "recording")
            yield [Span(f"the next run sends {known}{to}")]
    if status.by_connection:
        yield []


def _to(status: DirectoryStatus, each: ConnectionStatus) -> str:
    """Which connection is meant, if there are several."""
    if len(status.by_connection) < 2:  # noqa: PLR2004 - then there is no other
        return ""
    return f" to the connection {printable(each.connection_id)}"


def _nothing(status: DirectoryStatus) -> str:
    if not status.connections:
        return "no recording is on record yet"
    known = printable(", ".join(status.connections))
    return f"the ledger has no recordings of this connection, only of {known}"


async def _print_state(report: _Report, state: Status, count: int) -> None:
    style = "bold yellow" if state in NEEDS_ATTENTION else "bold"
    about = state.state.attention or f"the next run {state.state.then}"
    output.data([[], [Span(state.label, style), Span(f": {about}")], *_kinds(report.status, state)])
    if state is Status.POSSIBLE_DUPLICATE:
        several = len(report.status.connections) > 1
        groups = await possible_duplicates(report.status.places)
        held = held_groups(groups, report.settings, several=several)
        output.data(duplicate_lines(held, MOST_EXAMPLES))
        return
    rows = await _new_first(report.status, state)
    for row in rows:
        output.data(_row_lines(report, row, state))
    if count > len(rows):
        command = again(report.settings, "status", "--json")
        output.data([hint(f"and {format_count(count - len(rows))} more: {command}")])


async def _new_first(status: DirectoryStatus, state: Status) -> list[Record]:
    """The first recordings of a state, and those before that are new."""
    new: list[Record] = []
    others: list[Record] = []
    async with aclosing(status.records(state)) as rows:
        async for row in rows:
            some = new if status.is_new(row) else others
            if len(some) < _SHOWN:
                some.append(row)
            elif len(new) == _SHOWN:
                break
    return (new + others)[:_SHOWN]


def _kinds(status: DirectoryStatus, state: Status) -> Iterator[Line]:
    """How many recordings of a state there are of each kind, and how many of them are new."""
    for each in status.by_connection:
        for kind in each.attention:
            if kind.status is state:
                to = _to(status, each)
                yield [Span(f"  {kind.code}: {new_and_known(kind)}"), Span(to, "dim")]


def _row_lines(report: _Report, row: Record, state: Status) -> list[Line]:
    head = [Span(f"  {printable(row.path)}")]
    if len(report.status.connections) > 1:
        # A path may be in several of them, even in one whose ID was a typing error.
        head.append(Span(f"  connection {printable(row.connection_id)}", "dim"))
    lines: list[Line] = [head]
    if row.failure is not None:
        about = f" (request {printable(row.failure.request_id)})" if row.failure.request_id else ""
        reason = f"{printable(row.failure.code)}: {sentence(row.failure.message)}{about}"
        lines.append([Span(f"    {reason}", "dim")])
    if state in UNDECIDED and (about := report.findable.line(row)):
        lines.append([Span(f"    {about}")])
    if state in WAITS and row.since is not None:
        lines.append([Span(f"    since {_minute(row.since)}", "dim")])
    if state in UNDECIDED:
        lines.append([Span(f"    {_command(report, row)} --talk-id ID")])
        if state is Status.IN_DOUBT and row.stamp_field is not None:
            looks = f"a run with --stamp-field {printable(row.stamp_field)}, which searches for it"
            lines.append([Span(f"      or {looks}")])
        lines.append([Span("      or --give-up, or --resend (billed twice if it was stored)")])
    elif Verdict.RESEND in state.state.verdicts:
        lines.append([Span(f"    {_command(report, row)} --resend")])
    return lines


def _minute(since: Timestamp) -> str:
    return _moment(since).strftime("%Y-%m-%d %H:%M UTC")


def _moment(since: Timestamp) -> datetime:
    return datetime.fromtimestamp(since.wall_ns // 1_000_000_000, UTC)


async def _print_json(report: _Report) -> None:
    totals = {
        status.value: {
            "recordings": each.recordings,
            "bytes": each.nbytes,
            "duration": finite(each.duration),
        }
        for status, each in report.status.totals.items()
    }
    directory = os.fspath(report.status.places.directory)
    head = {
        "source": directory.encode(errors="backslashreplace").decode(),
        "running": report.status.running,
        "needs_attention": report.status.needs_attention,
        "kept_aside": report.status.kept_aside,
        "gone": report.status.gone,
        "left_out_by": dict(report.status.left_out_by),
        "passed_over": [passed_over_fields(each) for each in report.status.passed_over],
        "fine": report.status.is_fine,
        "never_ran": report.status.never_ran,
        "connections": [_connection_fields(each) for each in report.status.by_connection],
        "totals": totals,
    }
    with data_on_stdout():
        sys.stdout.write(json.dumps(head)[:-1] + ', "attention": [')
        await _write_rows(report, _TOLD)
        sys.stdout.write(f'], "{Status.WAITING.value}": [')
        await _write_rows(report, [Status.WAITING])
        sys.stdout.write("]}\n")


def _connection_fields(each: ConnectionStatus) -> dict[str, object]:
    return {
        "connection_id": each.connection_id or None,
        "last_run": each.latest and run_fields(each.latest),
        "last_success": each.last_success and run_fields(each.last_success),
        "going_on": each.going_on and run_fields(each.going_on),
        "ended_badly": bool(each.ended_badly),
        "backlog": each.backlog,
        "kinds": [kind_fields(kind) for kind in each.attention],
        "runs": [run_fields(run) for run in each.runs],
    }


async def _write_rows(report: _Report, states: Sequence[Status]) -> None:
    comma = ""
    for each in states:
        async with aclosing(report.status.records(each)) as rows:
            async for row in rows:
                sys.stdout.write(comma + json.dumps(_row_fields(report, row, each)))
                comma = ", "


def _row_fields(report: _Report, row: Record, state: Status) -> dict[str, object]:
    return {
        "path": row.path,
        "status": state.value,
        "connection_id": row.connection_id,
        "size": row.stat.size,
        "duration": finite(row.duration),
        "error": error_fields(row.failure),
        "new": report.status.is_new(row),
        **(report.findable.fields(row.path) if state in UNDECIDED else NOT_FOUND),
        "since": moment(_moment(row.since)) if state in WAITS and row.since else None,
        "duplicate_of": row.duplicate_of,
        "cause": row.cause,
        "stamp_field": row.stamp_field if state in UNDECIDED else None,
        "decide": _command(report, row) if state in _DECIDED else None,
    }


def _command(report: _Report, row: Record) -> str:
    """The command to decide about this recording, without the decision."""
    more = []
    if len(report.status.connections) > 1 and "connection-id" not in report.settings.flags:
        more += ["--connection-id", quote(row.connection_id)]
    # A path with a leading dash must not be read as a flag.
    path = f"./{row.path}" if row.path.startswith("-") else row.path
    return again(report.settings, "resolve", *more, quote(path))
