"""``--log-file``: what the vendor's support asks for, as JSON lines.

A line for each attempt with the IDs of both sides, each outcome with a failure, each result of a
search, each pause, and the start and the end of the run: these events, in the form of ``--progress
json``. It contains paths, but not metadata and secrets.
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
"""The beginning of our lines; a log that was cut, or shares its file, has one near an end."""


def warn_on_stderr(text: str) -> None:
    """Print a warning, if stderr is still open."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr)  # noqa: T201 - prints for the user


class AttemptLog:
    """A Listener that appends to a file, line by line; enter it before the run, leave it after.

    A new file has mode 0600. Entering raises ConfigError if the file cannot be opened, or is not
    such a log. If the disk fails later, the log ends, not the run: ``warn`` is called once.
    ``reopen`` goes on in a new file after the old one was renamed.
    """

    def __init__(self, path: Path, *, warn: Warn = warn_on_stderr, now: Now = utc_now) -> None:
        self._path = path
        self._warn = warn
        self._now = now
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        self._file = self._open()
        return self

    def reopen(self) -> None:
        """Go on in the file that has the name now; if that cannot be, in the one that is open."""
        if self._file is None:
            return
        try:
            file = self._open()
        except ConfigError as error:
            self._warn(f"warning: {error.problem}; the log goes on in the file that it has open")
            return
        before, self._file = self._file, file
        with suppress(OSError):
            before.close()

    def _open(self) -> TextIO:
        try:
            descriptor = create_private(self._path, device=True)
        except OSError as error:
            raise ConfigError(
                f"the log file {os.fspath(self._path)!r} cannot be opened ({error.strerror})",
                hint="specify a file, not a link, in a directory that you can write to",
                setting="log-file",
            ) from error
        if not _may_go_on(descriptor):
            os.close(descriptor)
            raise ConfigError(
                f"the log file {os.fspath(self._path)!r} is not a log of this program",
                hint="specify a new one, or move that one away",
                setting="log-file",
            )
        # Line-buffered, so that the log of a killed run is complete.
        return os.fdopen(descriptor, "a", encoding="ascii", buffering=1, newline="\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Errors of writing were reported when they occurred.
            with suppress(OSError):
                file.close()

    def __call__(self, event: Event) -> None:
        """Write the event if it is one for support."""
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
    """Whether the file is a log, keeps nothing (a device), or is the one that stderr goes to."""
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
            | events.RenewalFailed()
            | events.Draining()
            | events.RunFinished()
        ):
            return True
    return False
