"""Output to a screen, pipe or file that may be closed: never raises, but stops writing.

Also the properties of a screen: its size, whether it can be drawn on, and lines of styled spans.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

# The most bytes of one write, so that a slow reader can be told from a dead one.
_PIECE = 1 << 14

PATIENCE = 5.0
"""Seconds after which at the end a reader that reads nothing is given up."""


class Span(NamedTuple):
    """A part of a line in one style of rich, or none. The text must have passed ``printable``."""

    text: str
    style: str = ""


Line = Sequence[Span]
"""One line of a screen, without its line end."""


class ScreenSize(NamedTuple):
    """The width in cells and the height in lines."""

    width: int
    height: int


FALLBACK = ScreenSize(80, 24)


class SafeStream:
    """A text stream that after a failed write drops all further output.

    It bypasses Python's buffer, so that a thread blocked in a write (Ctrl-S, a sleeping reader)
    does not hold a lock that the interpreter needs to exit.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)
        self.last_taken = time.monotonic()
        """When the reader last read something."""
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()

    @property
    def encoding(self) -> str:
        """That of the wrapped stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write all of the text, or stop writing for good."""
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
            if taken is None:  # the terminal is non-blocking and full
                time.sleep(0.02)
                continue
            self.last_taken = time.monotonic()
            data = data[taken:]

    def await_writer(self, writer: threading.Thread) -> None:
        """Wait for a thread that writes here, unless its reader reads nothing."""
        asked = time.monotonic()
        while writer.is_alive():
            writer.join(0.05)
            if time.monotonic() - max(asked, self.last_taken) > PATIENCE:
                break

    def flush(self) -> None:
        """Does nothing: output is not buffered."""

    def fileno(self) -> int:
        """That of the wrapped stream. Raises OSError if it has none."""
        if self._stream is None:
            raise OSError("the stream is gone")
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the wrapped stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False


def can_draw(stream: TextIO | None) -> bool:
    """Whether it can be redrawn: a terminal that is not dumb."""
    return SafeStream(stream).isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def screen_size(stream: TextIO | None) -> ScreenSize:
    """The size of the terminal, 80 by 24 without one; ``COLUMNS`` and ``LINES`` override it."""
    try:
        width, height = os.get_terminal_size(stream.fileno() if stream is not None else -1)
    except (OSError, ValueError):
        width, height = FALLBACK
    return ScreenSize(_told("COLUMNS") or width or 80, _told("LINES") or height or 24)


def _told(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def plain_text(lines: Iterable[Line]) -> str:
    """The lines without styles, each with a line end."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in lines)


def error(message: str) -> Line:
    """The line for an error that ended a command; the message is a printable sentence."""
    return [Span("error", "bold red"), Span(f": {message}")]


def warning(message: str) -> Line:
    """The line for a warning."""
    return [Span("warning", "bold yellow"), Span(f": {message}")]


def note(message: str) -> Line:
    """The line for a further detail of an error."""
    return [Span("note", "bold green"), Span(f": {message}")]


def hint(message: str) -> Line:
    """The line for a hint."""
    return [Span("hint", "bold cyan"), Span(f": {message}")]
