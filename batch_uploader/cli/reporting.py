"""Tells monitors how a command ends, whatever ends it: a night that failed must be seen."""

import asyncio
import os
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
from batch_uploader.run.stats import RunStats
from batch_uploader.settings import Settings
from batch_uploader.settings.given import RawSetting
from batch_uploader.ui.attemptlog import Warn, warn_on_stderr
from batch_uploader.ui.metrics import Measured, RunMetrics

if TYPE_CHECKING:
    from batch_uploader.ui.textfile import JobLabels, MetricsFile

_EVERY = 60.0
_LIVES = 3 * _EVERY
"""A metrics file that was updated more recently belongs to a run that goes on."""


class Report:
    """The report of one upload, as a context manager; ``exit_code`` must be set before it ends.

    ``flags`` are used alone as long as the settings are not known: they may be what is wrong.
    Failures of the report are warnings, once each, and never end a run.
    """

    def __init__(self, directory: Path, flags: Mapping[str, object]) -> None:
        self.exit_code = int(ExitCode.BUG)
        self._directory = directory
        self._metrics: _Metrics | None = None
        if isinstance(path := flags.get("metrics-file"), Path):
            self._measure(RawSetting(path, "--metrics-file", Path.cwd()).path(), "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell how it ended."""
        if self._metrics is not None:
            self._metrics.end(self.exit_code)

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on. Raises ConfigError."""
        connection = ""
        with suppress(ConfigError):  # which the command reports
            connection = settings.connection_id()
        path = settings.path("metrics-file")
        self._metrics = None
        if path is not None:
            self._measure(path, connection)

    def listeners(self, stats: RunStats) -> list[Listener]:
        """The listeners of the run, which is counted by ``stats``."""
        return [] if self._metrics is None else [self._metrics.count_by(stats)]

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

    def _measure(self, path: Path, connection: str) -> None:
        from batch_uploader.ui.textfile import JobLabels, MetricsFile  # most runs have none

        file = MetricsFile(path)
        file.require_ours()
        directory = printable(os.path.abspath(self._directory))  # noqa: PTH100 - links stay
        self._metrics = _Metrics(file, JobLabels(printable(connection), directory))


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
