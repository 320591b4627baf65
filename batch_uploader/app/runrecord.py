"""Records a run in the ledger: its settings, and how it ended."""

import json
import os
import socket
from asyncio import CancelledError
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from anyio import CancelScope

from batch_uploader import __version__
from batch_uploader.core.changes import BeginRun, EndRun
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Ending, Summary
from batch_uploader.core.ports import Ledger, apply_one
from batch_uploader.core.runs import BY_ERROR, RunBegin, RunEnd
from batch_uploader.run.stats import RunStats


class RunRecord:
    """The record of one run; ``settings`` are those that determine what it does, no secrets."""

    def __init__(self, ledger: Ledger, stats: RunStats, settings: Mapping[str, object]) -> None:
        self._ledger = ledger
        self._stats = stats
        self._settings = settings
        self._run_id: str | None = None
        self.has_ended = False
        """Whether the ledger has how the run ended."""

    @property
    def run_id(self) -> str:
        """The ID of the run, empty before it begins."""
        return self._run_id or ""

    async def begin(self, run_id: str) -> None:
        """Record that the run begins. Raises LedgerError."""
        # Not with msgspec's JSON, which refuses the lone surrogates of undecodable names.
        settings = json.dumps(msgspec.to_builtins(self._settings))
        begin = RunBegin(run_id, __version__, socket.gethostname(), os.getpid(), settings)
        # Before it is on record, which it may be even if this is cancelled.
        self._run_id = run_id
        await apply_one(self._ledger, BeginRun(begin))

    async def finish(self, how: Summary | BaseException, exit_code: int | None) -> None:
        """Record how the run ended, if it began; errors of the ledger were already reported."""
        if self._run_id is None:
            return
        with suppress(LedgerError), CancelScope(shield=True):
            await apply_one(self._ledger, EndRun(self._run_id, self._end(how, exit_code)))
            self.has_ended = True

    def _end(self, how: Summary | BaseException, exit_code: int | None) -> RunEnd:
        ending, reason = BY_ERROR, None
        if isinstance(how, Summary):
            ending, reason = how.ending.value, how.reason
        else:
            reason = str(how)
            if isinstance(how, CancelledError | KeyboardInterrupt):
                ending = Ending.INTERRUPTED.value
        return RunEnd(
            ending,
            reason and reason.encode("utf-8", "backslashreplace").decode(),
            exit_code,
            {status.value: count for status, count in self._stats.counts.items() if count},
            self._stats.uploaded_bytes,
            self._stats.uploaded_duration,
            max(0, self._stats.total - self._stats.done),
        )
