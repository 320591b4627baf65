"""``upload``: a run with display, log and signals."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from batch_uploader.app.adopting import Adopted
from batch_uploader.app.attention import AttentionKind, attention_of_last_run
from batch_uploader.app.directory import directory_uploader
from batch_uploader.app.duplicates import possible_duplicates
from batch_uploader.app.emptiness import MOUNT, ON_PURPOSE
from batch_uploader.app.history import Unrecorded, on_record_if_refused, record_refusal
from batch_uploader.app.passed_over import ways_to_take
from batch_uploader.app.places import Places, require_replaceable, risks_of
from batch_uploader.app.rebuild import Rebuilt, rebuild_ledger
from batch_uploader.app.uploader import Uploader, within_descriptors
from batch_uploader.cli import output
from batch_uploader.cli.again import (
    again,
    flags_again,
    held_groups,
    naming_other_roots,
    settings_of,
    spelled,
)
from batch_uploader.cli.output import ExitCode
from batch_uploader.cli.reporting import Report
from batch_uploader.cli.signals import Interruption, ignoring_hangups, listening
from batch_uploader.core.errors import ConfigError, UploaderError
from batch_uploader.core.events import Listener
from batch_uploader.core.model import Ending, Summary
from batch_uploader.core.states import Status
from batch_uploader.core.text import plural, printable
from batch_uploader.core.units import format_duration
from batch_uploader.host.resources import keep_one_heap
from batch_uploader.host.systemd import ServiceManager
from batch_uploader.run.options import RunOptions
from batch_uploader.run.stats import RunStats
from batch_uploader.settings import Settings, settings_by_flags
from batch_uploader.settings.files import own_files, require_places, secrets_told
from batch_uploader.sinks.speechsense.channel import proxy_in_use
from batch_uploader.sinks.speechsense.resources import require_resources
from batch_uploader.ui.attemptlog import AttemptLog, Warn, warn_on_stderr
from batch_uploader.ui.duplicates import ShownGroup
from batch_uploader.ui.heartbeat import Heartbeat
from batch_uploader.ui.printing import show
from batch_uploader.ui.progress import Progress, make_renderer
from batch_uploader.ui.stream import Span
from batch_uploader.ui.summary import (
    print_summary,
    unconverted_lines,
)
from batch_uploader.ui.troubles import Commands, trouble_lines

_COLLECT_AFTER = 10_000
"""The number of new objects before Python's garbage collector runs."""


def upload(
    directory: Path,
    flags: Mapping[str, object],
    *,
    rebuilding: bool = False,
    adopting: bool = False,
) -> int:
    """Upload the directory. Returns the exit code.

    ``rebuilding`` makes a new ledger first, ``adopting`` adopts those of other directories.
    """
    keep_one_heap()
    # Imported objects stay for ever, and most new ones are freed without the collector.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    with ignoring_hangups(), Report(directory, flags) as report:
        try:
            settings = _configured(directory, flags, report)
            with naming_other_roots(settings):
                report.exit_code = anyio.run(upload_as_told, settings, report, rebuilding, adopting)
        except KeyboardInterrupt as interrupt:
            report.exit_code, report.error = 128 + signal.SIGINT, interrupt
            raise
        except Exception as error:  # noqa: BLE001 - told before the report, which may take a while
            report.exit_code, report.error = output.explain_failure(error), error
        return report.exit_code


def _configured(directory: Path, flags: Mapping[str, object], report: Report) -> Settings:
    """The settings, also of the report. If they are refused, that is on record. Blocking."""
    known = None
    try:
        known = settings_of(directory, flags)
        report.configure(known)
    except ConfigError as error:
        with suppress(ConfigError):  # then it may be anywhere
            places = (known or settings_by_flags(directory, flags)).places()
            record_refusal(places, error, output.exit_code_of(error))
        raise
    return known


async def upload_as_told(
    settings: Settings,
    report: Report | None = None,
    rebuilding: bool = False,
    adopting: bool = False,
) -> int:
    """Upload according to the settings, and print the result. Returns the exit code."""
    report = report or Report(settings.directory, {})
    with on_record_if_refused(settings.places(), output.exit_code_of) as run:
        return await _upload(settings, report, run, rebuilding, adopting)


async def _upload(
    settings: Settings, report: Report, run: Unrecorded, rebuilding: bool, adopting: bool
) -> int:
    # Fewer worker threads where the system does not allow the usual number.
    limiter = to_thread.current_default_thread_limiter()
    limiter.total_tokens = min(limiter.total_tokens, require_resources())
    places = require_places(settings)
    reading, sending = settings.reading(), settings.sending()
    progress = settings.one_of("progress", Progress.AUTO)
    connection_id = settings.connection_id()
    require_replaceable(places.manifest, "--manifest")
    wanted = settings.options()
    options = within_descriptors(wanted)
    if rebuilding:
        await _rebuild(settings, places, connection_id, sending.stamp_field)
    listeners: list[Listener] = []
    uploader = await directory_uploader(
        places,
        connection_id=connection_id,
        credentials=sending.credentials,
        endpoint=sending.endpoint,
        stamp_field=sending.stamp_field,
        unavailable=sending.unavailable,
        whole_limit=sending.whole_limit,
        include=reading.include,
        exclude=reading.exclude,
        ignore=own_files(settings),
        rules=reading.rules,
        options=options,
        adopt=adopting,
        listeners=listeners,
    )
    stop = Interruption(uploader.drain, uploader.cancel)
    uploader.exit_code = partial(_exit_code, stop)
    explains = settings.switch("verbose")
    renderer = make_renderer(progress, explain_decisions=explains, stats=uploader.stats)
    listeners += [renderer, *report.listeners(uploader.stats)]
    # Only events may be on their stream.
    say = warn_on_stderr if progress is Progress.JSON else renderer.say
    async with AsyncExitStack() as stack:
        # Before the ledger is created or locked: an unusable log is an error of the settings.
        listeners += stack.enter_context(_logged(settings.path("log-file"), stop, say))
        stack.enter_context(listening(stop))
        stack.enter_context(_limited(settings.limit("max-duration"), uploader))
        manager = stack.enter_context(ServiceManager(os.environ))
        if manager.listens:
            listeners.append(Heartbeat(manager.tell, manager.watchdog, stats=uploader.stats))
        await stack.enter_async_context(uploader)
        run.reserve()
        stack.enter_context(renderer)
        await stack.enter_async_context(report.kept_up(say))
        if settings.file and explains:
            say(f"settings from {printable(os.fspath(settings.file))}")
        if progress is not Progress.NONE:
            for text in (
                *_adoptions(uploader.adopted),
                *risks_of(places.ledger),
                *secrets_told(settings),
                *_limits(options, wanted),
                *unconverted_lines(uploader.unconverted),
                *map(printable, uploader.faults.lines()),
                *await uploader.surprises(),
            ):
                say(text)
        proxy = proxy_in_use(sending.endpoint)
        if proxy and (explains or progress is not Progress.NONE):
            say(f"using the proxy {printable(proxy)}; --ignore-proxy bypasses it")
        summary = await _run(uploader, settings, run)
    held = await _held(summary, settings, places)
    kinds = await _kinds(summary, places)
    if progress is Progress.NONE:
        _tell_troubles(summary, settings, uploader.stats, kinds, held)
    else:
        _tell(summary, settings, places, uploader.stats, kinds, held)
        if uploader.lookalikes is not None:
            output.hint(printable(str(uploader.lookalikes)))
    if summary.ending is Ending.UNAUTHORIZED:
        output.hint(settings.origins())
    return _exit_code(stop, summary)


@contextmanager
def _logged(path: Path | None, stop: Interruption, warn: Warn) -> Iterator[list[Listener]]:
    """``--log-file``, which is opened again after a hangup."""
    if path is None:
        yield []
        return
    with AttemptLog(path, warn=warn) as log:
        stop.on_hangup = log.reopen
        yield [log]


async def _held(summary: Summary, settings: Settings, places: Places) -> list[ShownGroup]:
    """The possible duplicates on record, if the run met any."""
    if not summary.counts.get(Status.POSSIBLE_DUPLICATE):
        return []
    try:
        groups = await possible_duplicates(places)
    except UploaderError:
        return []  # the run is on record, and the summary has them as other rows
    return held_groups(groups, settings, several=False)


async def _kinds(summary: Summary, places: Places) -> list[AttentionKind]:
    """What needs a human, and what of it is new, if there is anything."""
    if not summary.needs_attention:
        return []
    try:
        return await attention_of_last_run(places)
    except UploaderError:
        return []  # as above


async def _run(uploader: Uploader, settings: Settings, run: Unrecorded) -> Summary:
    """The run; an error that blames a setting says where that was given."""
    try:
        return await uploader.run()
    except ConfigError as error:
        error.hints = (*error.hints, settings.origins())
        raise
    finally:
        run.run_id, run.is_recorded = uploader.record.run_id, uploader.record.has_ended


async def _rebuild(
    settings: Settings, places: Places, connection_id: str, stamp_field: str | None
) -> None:
    rules = settings.reading().rules
    rebuilt = await rebuild_ledger(
        places,
        connection_id=connection_id,
        stamp_field=stamp_field,
        include=settings.reading().include,
        ignore=own_files(settings),
        legs=rules.legs,
        pieces=rules.audio if rules.split_long else None,
        allow_empty=settings.switch("allow-empty"),
    )
    _tell_rebuilt(rebuilt, places, stamp_field)


def _adoptions(adopted: Sequence[Adopted]) -> Iterator[str]:
    for each in adopted:
        root = printable(os.fspath(each.other.root))
        yield (
            f"adopted the ledger of {root}: {plural(each.records, 'record')}; uploads of {root} by"
            " itself are refused from now on"
        )


def _limits(options: RunOptions, wanted: RunOptions) -> Iterator[str]:
    if options.concurrency < wanted.concurrency:
        yield f"at most {options.concurrency} uploads in flight, as ulimit -n limits open files"


def _tell_rebuilt(rebuilt: Rebuilt, places: Places, stamp_field: str | None) -> None:
    lines = [
        f"a new ledger was made from {places.manifest}: {plural(rebuilt.talks, 'talk')}",
    ]
    if rebuilt.aside is not None:
        lines.append(
            f"the files of the old ledger are kept; their names begin with {rebuilt.aside}"
        )
    if rebuilt.doubts:
        until = f"Search finds them by {stamp_field} or " if stamp_field else ""
        lines.append(
            f"{plural(rebuilt.doubts, 'recording')} may have been uploaded after the manifest"
            f" was written: they are in doubt, and not sent until {until}you decide (resolve)"
        )
    show([[Span(printable(line))] for line in lines], sys.stderr)


@contextmanager
def _limited(seconds: float | None, uploader: Uploader) -> Iterator[None]:
    """``--max-duration``."""
    if seconds is None:
        yield
        return
    reason = f"--max-duration is reached ({format_duration(seconds)})"
    timer = asyncio.get_running_loop().call_later(seconds, uploader.drain, reason, Ending.LIMIT)
    try:
        yield
    finally:
        timer.cancel()


def _tell_troubles(
    summary: Summary,
    settings: Settings,
    stats: RunStats,
    kinds: Sequence[AttentionKind],
    held: Sequence[ShownGroup],
) -> None:
    """The output with ``--progress none``: what needs action."""
    commands = Commands(
        os.fspath(settings.directory),
        again(settings, "status"),
        again(settings, "check"),
        spelled,
    )
    show(trouble_lines(summary, stats, commands, kinds, held), sys.stderr)


def _tell(
    summary: Summary,
    settings: Settings,
    places: Places,
    stats: RunStats,
    kinds: Sequence[AttentionKind],
    held: Sequence[ShownGroup],
) -> None:
    print_summary(
        summary,
        manifest=places.manifest,
        directory=os.fspath(places.directory),
        flags=flags_again(settings, "status"),
        stats=stats,
        held=held,
        kinds=kinds,
    )
    if summary.gone:
        output.hint(MOUNT, ON_PURPOSE)
    output.hint(*ways_to_take(summary.passed_over, os.fspath(places.directory)))
    if stats.unreadable:
        output.hint(
            f"{stats.unreadable:,} of these cannot be listed, so status does not know them:"
            f" {again(settings, 'check')}"
        )
    if elsewhere := places.elsewhere():
        output.hint(f"status, resolve and manifest also need{elsewhere}")


def _exit_code(stop: Interruption, how: Summary | Exception) -> int:
    if isinstance(how, Exception):
        return output.exit_code_of(how)
    match how.ending:
        case Ending.UNAUTHORIZED:
            return ExitCode.UNAUTHORIZED
        case Ending.LIMIT | Ending.UNREACHABLE:
            return ExitCode.LIMIT
        case Ending.INTERRUPTED:
            return 128 + (stop.signal or 0)
        case Ending.COMPLETED:
            attention = how.needs_attention or how.gone
            return ExitCode.ATTENTION if attention else ExitCode.FINE
