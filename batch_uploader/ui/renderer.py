"""What the three displays share: a Listener whose drawing happens in a thread of its own.

The event loop only counts and queues; nothing that a terminal or a reader does (Ctrl-S, a full
pipe, hanging up) reaches the run.
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
"""Lines that wait for a reader at most; what comes on top is left out, and its number told."""

_MANY = 1_000  # so many wait for no tick
_TICK = 0.2


class View(Protocol):
    """One way to draw; called from the drawing thread alone."""

    @property
    def out(self) -> SafeStream:
        """Where it draws to."""

    def describe(self, event: Event) -> str | None:
        """The line that an event is worth by itself. Called on the event loop: quick and pure."""

    def prepare(self, tally: Tally) -> None:
        """Take from the tally what the next drawing shows: the run waits meanwhile."""

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Show the lines (``left_out`` more had no room) and what was prepared."""

    def finish(self) -> None:
        """Draw for the last time."""


class Renderer:
    """A Listener, and a context manager around the run.

    A reader that takes nothing for five seconds when the run has ended is left behind.
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
        """Hear an event."""
        line = self._view.describe(event)
        with self._lock:
            self.tally.hear(event)
            if line is not None:
                self._queue(line)
        if isinstance(event, events.RunStarted | events.Paused | events.Draining):
            self._wake.set()

    def say(self, text: str) -> None:
        """Show a line of text above the display, whose names have passed ``printable``."""
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
