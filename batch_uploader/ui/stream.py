"""The way to a screen, a pipe or a file that may be gone: never raises, goes quiet instead.

Also what a screen is: its size, whether it can draw, and lines made of styled spans.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

# One write is at most this long: a reader that is slow, not dead, shows by taking some of it.
_PIECE = 1 << 14

PATIENCE = 5.0
"""Seconds after which a reader that takes nothing is left behind at the end."""


class Span(NamedTuple):
    """A piece of a line in one style (of rich, or none). The text has passed ``printable``."""

    text: str
    style: str = ""


Line = Sequence[Span]
"""One line of a screen, without its end."""


class ScreenSize(NamedTuple):
    """How many cells and lines there are."""

    width: int
    height: int


FALLBACK = ScreenSize(80, 24)


class SafeStream:
    """A text stream that swallows what it cannot write, once and for all.

    It writes past Python's buffer: a thread that is stuck in a write (Ctrl-S, a reader that
    sleeps) then holds no lock that the interpreter needs to exit.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)
        self.last_taken = time.monotonic()
        """When the other side last took something."""
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()

    @property
    def encoding(self) -> str:
        """Of the stream behind."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write all of it or go quiet."""
        try:
            self._write(text)
        except (OSError, ValueError):
            # BrokenPipe, EIO of a terminal that hung up, a full disk, a closed file.
            self._stream = self._raw = None
        return len(text)

    def _write(self, text: str) -> None:
        encoded = text.encode(self.encoding, "backslashreplace")
        if self._raw is None:
            if self._stream is not None:
                self._stream.write(encoded.decode(self.encoding))
                self._stream.flush()
            return
        data = memoryview(encoded)
        while data:
            taken = self._raw.write(data[:_PIECE])
            if taken is None:  # somebody made the terminal non-blocking, and it is full
                time.sleep(0.02)
                continue
            self.last_taken = time.monotonic()
            data = data[taken:]

    def await_writer(self, writer: threading.Thread) -> None:
        """Wait for a thread that writes here; one whose reader takes nothing is left behind."""
        asked = time.monotonic()
        while writer.is_alive():
            writer.join(0.05)
            if time.monotonic() - max(asked, self.last_taken) > PATIENCE:
                break

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        """Of the stream behind. Raises OSError if it has none."""
        if self._stream is None:
            raise OSError("the stream is gone")
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether a terminal is behind."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False


def can_draw(stream: TextIO | None) -> bool:
    """Whether lines on it can be drawn over: a terminal that is not a dumb one."""
    return SafeStream(stream).isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def screen_size(stream: TextIO | None) -> ScreenSize:
    """The size of the terminal, 80 by 24 where there is none; ``COLUMNS`` and ``LINES`` win."""
    try:
        width, height = os.get_terminal_size(stream.fileno() if stream is not None else -1)
    except (OSError, ValueError):
        width, height = FALLBACK
    return ScreenSize(_told("COLUMNS") or width or 80, _told("LINES") or height or 24)


def _told(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def plain_text(lines: Iterable[Line]) -> str:
    """The lines without their styles, each with its end."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in lines)


def error(message: str) -> Line:
    """The line for what ended a command; the message is a printable sentence."""
    return [Span("error", "bold red"), Span(f": {message}")]


def warning(message: str) -> Line:
    """The line for what the user should know but need not act on at once."""
    return [Span("warning", "bold yellow"), Span(f": {message}")]


def note(message: str) -> Line:
    """The line for what else is known of an error."""
    return [Span("note", "bold green"), Span(f": {message}")]


def hint(message: str) -> Line:
    """The line for what the user may want to do next."""
    return [Span("hint", "bold cyan"), Span(f": {message}")]
