"""The metrics of a job: measured once, told in a file and by OTLP."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio import to_thread

from batch_uploader.app.history import directory_runs
from batch_uploader.app.places import Places
from batch_uploader.cli.output import ExitCode
from batch_uploader.core.errors import UploaderError
from batch_uploader.core.events import Listener
from batch_uploader.core.text import printable
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.attemptlog import Warn, warn_on_stderr
from batch_uploader.ui.metrics import EarlierRuns, JobLabels, Measured, RunMetrics
from batch_uploader.ui.otlp import OtlpMetrics
from batch_uploader.ui.textfile import MetricsFile

_EVERY = 60.0
_LIVES = 3 * _EVERY
"""Seconds; a metrics file that was updated more recently belongs to a run that goes on."""


class JobMetrics:
    """The metrics of a job, with the run that begins now.

    What the file at ``path`` does not know of earlier runs is on record in the ledger, if its
    ``places`` are known. Raises ConfigError if something else is at ``path``, or OTLP is not
    installed. No event loop may run.
    """

    def __init__(
        self, job: JobLabels, path: Path | None, places: Places | None, *, otlp: bool
    ) -> None:
        self._measures = RunMetrics()
        self._job = job
        self._file = None if path is None else MetricsFile(path)
        self._otlp: OtlpMetrics | None = None
        self._broken = self._silent = False
        if self._file is not None:
            self._file.require_ours()
            self._job, self._measures.earlier = self._file.earlier_runs(job)
            if other := self._file.of_another:
                warn_on_stderr(
                    f"warning: the metrics file {printable(os.fspath(self._file.path))!r} was that"
                    f" of connection {other.connection} and {other.directory}: each job needs its"
                    " own"
                )
        if places is not None and not self._measures.earlier.updated_at:
            self._measures.earlier = anyio.run(_on_record, places, self._measures.earlier)
        if otlp:
            self._otlp = OtlpMetrics(self._job, self._measured, warn_on_stderr)

    def count_by(self, stats: RunStats) -> Listener:
        """The listener of the run, which is counted by ``stats``."""
        self._measures.count_by(stats)
        return self._measures

    @asynccontextmanager
    async def kept_up(self, warn: Warn, every: float = _EVERY) -> AsyncIterator[None]:
        """Meanwhile the file is written, at once and then each minute."""
        if self._otlp is not None:
            self._otlp.warn = warn
        over = asyncio.Event()
        # Not a task group, which would wrap what the run raises; nor cancelled, which would leave a
        # thread that writes.
        task = asyncio.create_task(self._keep_up(warn, every, over))
        try:
            yield
        finally:
            over.set()
            await task
            if self._otlp is not None:
                self._otlp.warn = warn_on_stderr

    async def _keep_up(self, warn: Warn, every: float, over: asyncio.Event) -> None:
        while not over.is_set() and self._file is not None:
            # Read here, where no event comes meanwhile.
            await to_thread.run_sync(self._write, self._file, self._measured(), warn)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every)

    def end(self, exit_code: int) -> None:
        """Tell how the run ended, for the last time."""
        if self._file is not None and not self._measures.has_begun:
            # Another one may have ended since this one was started.
            _, found = self._file.earlier_runs(self._job)
            goes_on = found.running and time.time() - found.updated_at < _LIVES
            lately = goes_on or found.updated_at > self._measures.began_at
            self._silent = exit_code == ExitCode.LOCKED and lately
            if found.updated_at:
                self._measures.earlier = found
        elif self._file is None:
            self._silent = exit_code == ExitCode.LOCKED
        self._measures.end(exit_code)
        if self._file is not None and not self._silent:
            self._write(self._file, self._measured(), warn_on_stderr)
        if self._otlp is not None:
            self._otlp.close()

    def _measured(self) -> Sequence[Measured]:
        # Where another run goes on, that tells of itself.
        return () if self._silent else list(self._measures.measured())

    def _write(self, file: MetricsFile, measured: Sequence[Measured], warn: Warn) -> None:
        try:
            file.write(self._job, measured)
        except (OSError, ValueError) as error:
            if not self._broken:
                path = printable(os.fspath(file.path))
                reason = error.strerror if isinstance(error, OSError) else error
                warn(f"warning: the metrics file {path!r} cannot be written ({reason})")
            self._broken = True


async def _on_record(places: Places, known: EarlierRuns) -> EarlierRuns:
    """The earlier runs as the ledger has them; if it cannot be read, what is ``known``."""
    try:
        runs = await directory_runs(places)
    except (UploaderError, OSError):
        return known
    ended = [(run.ended_at_ns / 1e9, run.end) for run in runs if run.end and run.ended_at_ns]
    if not ended:
        return known
    last_at, last = ended[0]
    good = next((at for at, end in ended if not end.is_bad), 0.0)
    counts = (end.needed_attention for _, end in ended)
    wrong = next((count for count in counts if count is not None), None)
    return EarlierRuns(last_at, good, last.exit_code, wrong)
