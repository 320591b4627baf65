"""``upload``: the run with its display, its log and its signals."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import anyio

from batch_uploader.attemptlog import AttemptLog, warn_on_stderr
from batch_uploader.cli.places import demand_directory, own_files
from batch_uploader.cli.signals import Stop, listening
from batch_uploader.cli.voice import ExitCode, advise, fail, quote
from batch_uploader.display import (
    Progress,
    Renderer,
    make_renderer,
    plural,
    print_summary,
    printable,
)
from batch_uploader.events import Listener
from batch_uploader.heartbeat import Heartbeat
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.model import Ending, Summary
from batch_uploader.settings import Places, Settings
from batch_uploader.sinks.speechsense.channel import proxy_in_use
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.system import ServiceManager
from batch_uploader.units import format_duration
from batch_uploader.uploader import Uploader, demand_memory, ledger_path, manifest_path


def upload(directory: Path, flags: Mapping[str, object]) -> int:
    """Upload the directory; the exit code."""
    return anyio.run(upload_as_told, Settings(directory, flags))


async def upload_as_told(settings: Settings) -> int:
    """Upload what the settings say, and say how it went; the exit code."""
    places, reading, sending = settings.places(), settings.reading(), settings.sending()
    progress = settings.one_of("progress", Progress.AUTO)
    log_file = settings.path("log-file")
    demand_directory(places.directory)
    demand_memory(places.ledger, places.manifest)
    listeners: list[Listener] = []
    uploader = Uploader(
        source=DirectorySource(
            places.directory,
            include=reading.include,
            exclude=reading.exclude,
            ignore=own_files(settings),
        ),
        sink=SpeechSenseSink(
            sending.endpoint,
            sending.credentials,
            whole_limit=sending.whole_limit,
            stamp_field=sending.stamp_field,
            unavailable=sending.unavailable,
        ),
        ledger=SqliteLedger(places.ledger, settings.connection_id()),
        rules=reading.rules,
        options=settings.options(),
        manifest=places.manifest,
        listeners=listeners,
    )
    stop = Stop(uploader.drain, uploader.cancel)
    explains = settings.switch("verbose")
    renderer = make_renderer(progress, explain_decisions=explains)
    listeners.append(renderer)
    # Events are the only text that may stand between them.
    say = warn_on_stderr if progress is Progress.JSON else renderer.say
    async with AsyncExitStack() as stack:
        stack.enter_context(listening(stop))
        stack.enter_context(_limited(settings.duration("max-duration", 0.0), uploader))
        manager = stack.enter_context(ServiceManager(os.environ))
        if manager.listens:
            listeners.append(Heartbeat(manager.tell, manager.watchdog))
        await stack.enter_async_context(uploader)
        stack.enter_context(renderer)
        if log_file:
            listeners.append(stack.enter_context(AttemptLog(log_file, warn=say)))
        if settings.file and explains:
            say(f"settings from {printable(os.fspath(settings.file))}")
        proxy = proxy_in_use(sending.endpoint)
        if proxy and (explains or progress is not Progress.NONE):
            say(f"going through the proxy {printable(proxy)}; --ignore-proxy goes without")
        summary = await uploader.run()
    _tell(summary, places, progress, renderer)
    return _exit_code(summary, stop)


@contextmanager
def _limited(seconds: float, uploader: Uploader) -> Iterator[None]:
    """``--max-duration``; 0 is no limit."""
    if not seconds:
        yield
        return
    reason = f"--max-duration is over ({format_duration(seconds)})"
    timer = asyncio.get_running_loop().call_later(seconds, uploader.drain, reason, Ending.LIMIT)
    try:
        yield
    finally:
        timer.cancel()


def _tell(summary: Summary, places: Places, progress: Progress, renderer: Renderer) -> None:
    directory = os.fspath(places.directory)
    if progress is Progress.NONE:
        if summary.ending is Ending.UNAUTHORIZED:
            fail(summary.reason or "the service refused the credentials")
        if summary.needs_attention:
            count = plural(summary.needs_attention, "recording")
            verb = "needs" if summary.needs_attention == 1 else "need"
            fail(f"{count} {verb} attention", f"batch-uploader status {quote(directory)}")
        return
    print_summary(summary, manifest=places.manifest, directory=directory, tally=renderer.tally)
    elsewhere = []
    if places.ledger != ledger_path(places.directory):
        elsewhere.append(f"--ledger {quote(os.fspath(places.ledger))}")
    if places.manifest != manifest_path(places.directory):
        elsewhere.append(f"--manifest {quote(os.fspath(places.manifest))}")
    if elsewhere:
        advise(f"status, resolve and manifest need {' '.join(elsewhere)} as well")


def _exit_code(summary: Summary, stop: Stop) -> int:
    match summary.ending:
        case Ending.UNAUTHORIZED:
            return ExitCode.UNAUTHORIZED
        case Ending.LIMIT:
            return ExitCode.LIMIT
        case Ending.INTERRUPTED:
            return 128 + (stop.signal or 0)
        case Ending.COMPLETED:
            return ExitCode.ATTENTION if summary.needs_attention else ExitCode.FINE
