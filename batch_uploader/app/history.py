"""The runs of a directory: those that its ledger has, and those that never came that far."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader import __version__
from batch_uploader.app.places import Places, Where, find_places, require_ledger
from batch_uploader.core.runs import BY_ERROR, KILLED, LOCKED_OUT, Run, RunBegin, RunEnd
from batch_uploader.ledgers.places import has_ledger
from batch_uploader.ledgers.refused import RefusedRuns
from batch_uploader.ledgers.sqlite import LedgerReader, is_running

MOST = 10_000
"""As many as a ledger keeps."""


async def directory_runs(
    directory: Where,
    *,
    limit: int | None = None,
    since: float | None = None,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> list[Run]:
    """The runs on record, the latest first, of all connections or the given one.

    ``limit`` is the most of them, ``since`` leaves out those that ended longer ago, in seconds.
    Includes those that were refused before the ledger was open, whose ``run_id`` is empty. Changes
    nothing, and works during a run. Raises ConfigError, SourceError or LedgerError.
    """
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    refused = await refused_runs(places)
    if not refused:
        require_ledger(places)
    if not has_ledger(places.ledger):
        found = refused
    else:
        running = await to_thread.run_sync(is_running, places.ledger)
        async with LedgerReader(places.ledger, places.connection_id) as reader:
            found = merged(await reader.runs(MOST), refused, running=running)
    return [run for run in found if is_within(run, since)][:limit]


async def refused_runs(places: Places) -> list[Run]:
    """The runs that the ledger does not have, the latest first; never raises."""
    found = await to_thread.run_sync(RefusedRuns(places.ledger, places.root).read)
    return [run for run in found if concerns(run, places.connection_id)]


def concerns(run: Run, connection_id: str | None) -> bool:
    """Whether a run is of this connection, or may have been: some end before it is known."""
    return connection_id is None or run.connection_id in {connection_id, ""}


def is_within(run: Run, since: float | None) -> bool:
    """Whether a run went on in the last ``since`` seconds."""
    if since is None or run.end is None:
        return True
    return ended_at(run) >= moment_before(since)


def moment_before(seconds: float) -> int:
    """The time so many seconds ago, in nanoseconds since the epoch, which is the earliest."""
    return max(0, time.time_ns() - round(seconds * 1e9))


def ended_at(run: Run) -> int:
    """When a run ended; of a killed one only its beginning is known."""
    return run.ended_at_ns or run.began_at_ns


def merged(on_record: Sequence[Run], refused: Sequence[Run], *, running: bool) -> list[Run]:
    """Both together, the latest first, in the order in which they ended.

    The order of those on record does not depend on clocks. One without an end was killed, unless it
    is ``running``. A refused one with the ID of one on record has the end that the ledger lacks.
    """
    ends = {run.begin.run_id: run for run in refused if run.begin.run_id}
    left = [run for run in refused if not run.begin.run_id]
    found: list[Run] = []
    for number, each in enumerate(on_record):
        run = each
        if each.end is None or each.end.ending == KILLED:
            kept = ends.get(each.begin.run_id)
            if kept is not None:
                run = replace(each, end=kept.end, ended_at_ns=kept.ended_at_ns)
            elif number or not running:
                run = replace(each, end=RunEnd(KILLED))
        # That a run which goes on locks others out is to be expected.
        goes_on = run.end is None
        while left and left[0].began_at_ns >= ended_at(run):
            first = left.pop(0)
            if not (goes_on and first.end and first.end.exit_code == LOCKED_OUT):
                found.append(first)
        found.append(run)
    return found + left


class Unrecorded:
    """A run that may end before its ledger has it."""

    def __init__(self, refused: RefusedRuns) -> None:
        self._refused = refused
        self.run_id = ""
        """Set once the ledger may have it."""
        self.is_recorded = False
        """Whether the ledger has how it ended."""

    def reserve(self) -> None:
        """Take the room, now that there is a ledger: its disk may be full when the run ends."""
        self._refused.reserve()


@contextmanager
def on_record_if_refused(
    places: Places, exit_code: Callable[[Exception], int]
) -> Iterator[Unrecorded]:
    """A run: if it ends with an error that its ledger does not have, that is kept elsewhere."""
    refused = RefusedRuns(places.ledger, places.root)
    run, began = Unrecorded(refused), time.time_ns()
    try:
        yield run
    except Exception as error:
        if not run.is_recorded:
            refused.add(_refused(places, error, exit_code(error), began, run.run_id))
        raise


def record_refusal(places: Places, error: Exception, exit_code: int) -> None:
    """Put on record that a run was refused before it was known what it is to do."""
    refused = _refused(places, error, exit_code, time.time_ns())
    RefusedRuns(places.ledger, places.root).add(refused)


def _refused(
    places: Places, error: BaseException, exit_code: int, began: int, run_id: str = ""
) -> Run:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    reason = str(error).encode("utf-8", "backslashreplace").decode()
    begin = RunBegin(run_id, __version__, socket.gethostname(), os.getpid(), "{}")
    end = RunEnd(BY_ERROR, reason, exit_code)
    return Run(places.connection_id or "", begin, began, end, time.time_ns())
