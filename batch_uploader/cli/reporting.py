"""Tells monitors how a command ends, whatever ends it: a night that failed must be seen."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from batch_uploader.app.places import Places
from batch_uploader.cli.output import ExitCode
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.events import Listener
from batch_uploader.core.text import printable
from batch_uploader.host.hooks import run_hook
from batch_uploader.run.stats import RunStats
from batch_uploader.settings import Settings, settings_by_flags
from batch_uploader.settings.given import RawSetting
from batch_uploader.settings.profile import CREDENTIAL_VARIABLES
from batch_uploader.ui.attemptlog import Warn, warn_on_stderr
from batch_uploader.ui.ending import HowItEnded, variables
from batch_uploader.ui.metrics import JobLabels

if TYPE_CHECKING:
    from batch_uploader.cli.measuring import JobMetrics

_HOOK_SECONDS = 60.0


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
        self._directory = directory
        self._metrics: JobMetrics | None = None
        self._hook: Sequence[str] = ()
        self._flags = flags
        self._is_configured = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell how it ended; the ledger is closed, and another run may begin."""
        if not self._is_configured:
            with suppress(ConfigError):  # the command has told of that, or of worse
                self.configure(settings_by_flags(self._directory, self._flags))
        if self._metrics is not None:
            self._metrics.end(self.exit_code)
        if self._hook:
            self._call()

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on. Raises ConfigError."""
        places = None
        with suppress(ConfigError):  # which the command reports
            settings.connection_id()
            places = settings.places()
        self._read(settings.given("metrics-file", "on-finish", "otlp"), places)

    def listeners(self, stats: RunStats) -> list[Listener]:
        """The listeners of the run, which is counted by ``stats``."""
        self._ended.stats = stats
        found: list[Listener] = [self._ended] if self._hook else []
        return found if self._metrics is None else [*found, self._metrics.count_by(stats)]

    def kept_up(self, warn: Warn) -> AbstractAsyncContextManager[None]:
        """Meanwhile the metrics are kept up to date."""
        return nullcontext() if self._metrics is None else self._metrics.kept_up(warn)

    def _read(self, given: Mapping[str, RawSetting], places: Places | None) -> None:
        connection = (places and places.connection_id) or ""
        self._is_configured = True
        self._ended.connection_id = connection
        try:
            self._read_metrics(given, connection, places)
        finally:  # each tells of what is wrong with the other
            if (command := given.get("on-finish")) is not None:
                self._hook = command.words()

    def _read_metrics(
        self, given: Mapping[str, RawSetting], connection: str, places: Places | None
    ) -> None:
        file, otlp = given.get("metrics-file"), given.get("otlp")
        path = None if file is None else file.path()
        exports = otlp is not None and otlp.switch()
        if path is not None or exports:
            from batch_uploader.cli.measuring import JobMetrics  # most runs have none

            named = os.path.abspath(self._directory)  # noqa: PTH100 - links stay in the name
            job = JobLabels(printable(connection), printable(named))
            self._metrics = JobMetrics(job, path, places, otlp=exports)

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
