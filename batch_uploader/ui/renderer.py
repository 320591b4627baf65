"""The common part of the three displays: a Listener that draws in a thread of its own.

The event loop only counts and queues; a terminal or a reader (Ctrl-S, a full pipe, a hangup) cannot
block the run.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.stream import SafeStream
from batch_uploader.ui.tally import Clock, Tally

MOST_QUEUED = 100_000
"""The most lines that wait for a reader; further ones are dropped and counted."""

_MANY = 1_000  # this many are drawn without waiting for the next tick
_TICK = 0.2


class View(Protocol):
    """One way to draw; called only from the drawing thread."""

    @property
    def out(self) -> SafeStream:
        """The stream that it draws to."""

    def describe(self, event: Event) -> str | None:
        """The line for an event, if any. Called on the event loop: must be quick and pure."""

    def prepare(self, tally: Tally) -> None:
        """Copy from the tally what the next drawing shows; the run waits meanwhile."""

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Show the lines (``left_out`` more were dropped) and what was prepared."""

    def finish(self) -> None:
        """Draw for the last time."""


class Renderer:
    """A Listener, and a context manager around the run.

    At the end it gives up on a reader that reads nothing for five seconds.
    """

    def __init__(
        self, view: View, clock: Clock = time.monotonic, stats: RunStats | None = None
    ) -> None:
        self.tally = Tally(clock, stats)
        self._view = view
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._left_out = 0
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)

    def __call__(self, event: Event) -> None:
        """Process an event."""
        line = self._view.describe(event)
        with self._lock:
            self.tally.hear(event)
            if line is not None:
                self._queue(line)
        if isinstance(event, events.RunStarted | events.Paused | events.Draining):
            self._wake.set()

    def say(self, text: str) -> None:
        """Show a line of text above the display; its names must have passed ``printable``."""
        with self._lock:
            self._queue(text)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._wake.set()
        self._view.out.await_writer(self._thread)

    def _queue(self, line: str) -> None:
        if len(self._lines) < MOST_QUEUED:
            self._lines.append(line)
        else:
            self._left_out += 1
        if len(self._lines) == _MANY:
            self._wake.set()

    def _run(self) -> None:
        while not self._over.is_set():
            self._draw()
            self._wake.wait(_TICK)
            self._wake.clear()
        self._draw()
        self._view.finish()

    def _draw(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, deque()
            left_out, self._left_out = self._left_out, 0
            self._view.prepare(self.tally)
        self._view.draw(tuple(lines), left_out)
