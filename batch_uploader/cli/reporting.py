"""Tells monitors how a command ends, whatever ends it: a night that failed must be seen."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from anyio import to_thread

from batch_uploader.cli.output import ExitCode
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.events import Listener
from batch_uploader.core.text import printable
from batch_uploader.host.hooks import run_hook
from batch_uploader.run.stats import RunStats
from batch_uploader.settings import Settings, find_working_directory
from batch_uploader.settings.given import RawSetting
from batch_uploader.settings.profile import CREDENTIAL_VARIABLES
from batch_uploader.ui.attemptlog import Warn, warn_on_stderr
from batch_uploader.ui.ending import HowItEnded, variables
from batch_uploader.ui.metrics import Measured, RunMetrics

if TYPE_CHECKING:
    from batch_uploader.ui.textfile import JobLabels, MetricsFile

_EVERY = 60.0
_HOOK_SECONDS = 60.0
_LIVES = 3 * _EVERY
"""A metrics file that was updated more recently belongs to a run that goes on."""


class Report:
    """The report of one upload, as a context manager; ``exit_code`` must be set before it ends.

    ``flags`` are used alone as long as the settings are not known: they may be what is wrong.
    Failures of the report are warnings, once each, and never end a run.
    """

    def __init__(self, directory: Path, flags: Mapping[str, object]) -> None:
        self.exit_code = int(ExitCode.BUG)
        self.error: BaseException | None = None
        self._ended = HowItEnded()
        self._ended.source = os.fspath(directory)
        # Links stay, as the name of a job.
        self._job_name = printable(os.path.abspath(directory))  # noqa: PTH100
        self._metrics: _Metrics | None = None
        self._hook: Sequence[str] = ()
        here = find_working_directory()
        given = {name: RawSetting(value, f"--{name}", here) for name, value in flags.items()}
        self._read(given, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell how it ended; the ledger is closed, and another run may begin."""
        if self._metrics is not None:
            self._metrics.end(self.exit_code)
        if self._hook:
            self._call()

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on. Raises ConfigError."""
        connection = ""
        with suppress(ConfigError):  # which the command reports
            connection = settings.connection_id()
        self._read(settings.given("metrics-file", "on-finish"), connection)

    def listeners(self, stats: RunStats) -> list[Listener]:
        """The listeners of the run, which is counted by ``stats``."""
        self._ended.stats = stats
        found: list[Listener] = [self._ended] if self._hook else []
        return found if self._metrics is None else [*found, self._metrics.count_by(stats)]

    @asynccontextmanager
    async def kept_up(self, warn: Warn, every: float = _EVERY) -> AsyncIterator[None]:
        """Meanwhile the metrics are brought up to date at once and each minute."""
        if self._metrics is None:
            yield
            return
        # Not a task group, which would wrap what the run raises; nor cancelled, which would leave a
        # thread that writes.
        over = asyncio.Event()
        task = asyncio.create_task(self._metrics.keep_up(warn, every, over))
        try:
            yield
        finally:
            over.set()
            await task

    def _read(self, given: Mapping[str, RawSetting], connection: str) -> None:
        self._ended.connection_id = connection
        self._hook, self._metrics = (), None
        if (command := given.get("on-finish")) is not None:
            self._hook = command.words()
        if (path := given.get("metrics-file")) is not None:
            from batch_uploader.ui.textfile import JobLabels, MetricsFile  # most runs have none

            file = MetricsFile(path.path())
            file.require_ours()
            self._metrics = _Metrics(file, JobLabels(printable(connection), self._job_name))

    def _call(self) -> None:
        fields = self._ended.fields(self.exit_code, self.error)
        secrets = CREDENTIAL_VARIABLES.values()
        inherited = {name: value for name, value in os.environ.items() if name not in secrets}
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        wrong = run_hook(
            self._hook,
            json.dumps(fields).encode("ascii") + b"\n",
            inherited | variables(fields),
            _HOOK_SECONDS,
        )
        if wrong is not None:
            name = printable(Path(self._hook[0]).name)
            warn_on_stderr(f"warning: the command {name} of --on-finish {wrong}")


class _Metrics:
    """The metrics of the run, and the file in which they are kept."""

    def __init__(self, file: "MetricsFile", job: "JobLabels") -> None:
        self._file = file
        self._measures = RunMetrics()
        self._job, self._measures.earlier = file.earlier_runs(job)
        self._broken = False

    def count_by(self, stats: RunStats) -> Listener:
        self._measures.count_by(stats)
        return self._measures

    async def keep_up(self, warn: Warn, every: float, over: asyncio.Event) -> None:
        while not over.is_set():
            # Read here, where no event comes meanwhile.
            measured = list(self._measures.measured())
            await to_thread.run_sync(self._write, measured, warn)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every)

    def end(self, exit_code: int) -> None:
        measures = self._measures
        _, found = self._file.earlier_runs(self._job)
        goes_on = found.running and time.time() - found.updated_at < _LIVES
        if exit_code == ExitCode.LOCKED and (goes_on or found.updated_at > measures.began_at):
            return  # the other run tells of itself, or has done so meanwhile
        if not measures.has_begun:
            measures.earlier = found  # another one may have ended since this one was started
        measures.end(exit_code)
        self._write(list(measures.measured()), warn_on_stderr)

    def _write(self, measured: Sequence[Measured], warn: Warn) -> None:
        try:
            self._file.write(self._job, measured)
        except OSError as error:
            if not self._broken:
                path = printable(os.fspath(self._file.path))
                warn(f"warning: the metrics file {path!r} cannot be written ({error.strerror})")
            self._broken = True
