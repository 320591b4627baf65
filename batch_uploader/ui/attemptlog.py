"""``--log-file``: what the vendor's support asks for, as JSON lines.

A line for each attempt with the ids of both sides, for each outcome that has a failure, for what a
search brought, for each pause, and for the start and the end of the run: those events, in the form
of ``--progress json``. Paths are in it, metadata and secrets are not.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from batch_uploader.core import events
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.events import Event
from batch_uploader.host.files import create_private
from batch_uploader.ui.fields import NAMES, Now, event_fields, moment, utc_now

Warn = Callable[[str], None]
"""Takes a line of text for the user, and never raises."""

_SAMPLE = 64 * 1024
_LINE = re.compile(rb'^\{"time": "[^"]*", "event": "', re.MULTILINE)
"""How a line of ours begins; a log that was cut, or shares its file, has one near an end."""


def warn_on_stderr(text: str) -> None:
    """Tell the user, if there still is one."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr)  # noqa: T201 - this is where the user is told


class AttemptLog:
    """A Listener that appends to a file, line by line; entered before the run, left after it.

    A new file can be read by its owner alone. Raises ConfigError on entering if the file cannot be
    opened, or holds something else than such a log. A disk that fails later ends the log, not the
    run: ``warn`` is told once.
    """

    def __init__(self, path: Path, *, warn: Warn = warn_on_stderr, now: Now = utc_now) -> None:
        self._path = path
        self._warn = warn
        self._now = now
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = create_private(self._path, device=True)
        except OSError as error:
            raise ConfigError(
                f"the log file {os.fspath(self._path)!r} cannot be opened ({error.strerror})",
                hint="specify a file, not a link, in a directory that you can write to",
            ) from error
        if not _may_go_on(descriptor):
            os.close(descriptor)
            raise ConfigError(
                f"the log file {os.fspath(self._path)!r} is not a log of this program",
                hint="specify a new one, or move that one away",
            )
        # Not buffered beyond a line: the log of a killed run is whole.
        self._file = os.fdopen(descriptor, "a", encoding="ascii", buffering=1, newline="\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            # What could not be written was told when it happened.
            with suppress(OSError):
                file.close()

    def __call__(self, event: Event) -> None:
        """Write the event down if it is one for support."""
        if self._file is None or not _is_for_support(event):
            return
        head = {"time": moment(self._now()), "event": NAMES[type(event)]}
        line = json.dumps(head | event_fields(event))
        try:
            self._file.write(line + "\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
        self._warn(
            f"warning: the log file {os.fspath(self._path)!r} cannot be written"
            f" ({error.strerror}); the run goes on without it"
        )


def _may_go_on(descriptor: int) -> bool:
    """Whether what is open is a log, or what holds nothing, or where stderr goes as well."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return True
    with suppress(OSError):
        if os.path.sameopenfile(descriptor, 2):
            return True
    for start in (0, max(0, status.st_size - _SAMPLE)):
        os.lseek(descriptor, start, os.SEEK_SET)
        if _LINE.search(os.read(descriptor, _SAMPLE)):
            return True
    return False


def _is_for_support(event: Event) -> bool:
    match event:
        case events.Settled(outcome) | events.ProblemFound(outcome):
            return outcome.failure is not None
        case (
            events.RunStarted()
            | events.AttemptEnded()
            | events.Unreadable()
            | events.Reconciled()
            | events.Paused()
            | events.Draining()
            | events.RunFinished()
        ):
            return True
    return False
