"""The live display of a terminal; the only import of rich."""

from collections.abc import Callable, Iterable, Sequence
from typing import TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from batch_uploader.core.events import Event
from batch_uploader.ui.frame import frame, glyphs_for
from batch_uploader.ui.plain import PlainView, spoken
from batch_uploader.ui.stream import Line, SafeStream, ScreenSize, Span
from batch_uploader.ui.tally import Tally
from batch_uploader.ui.text import fold


def console_for(out: SafeStream) -> Console:
    """A console that survives the loss of its terminal and does not read names as markup."""
    return Console(
        file=cast("TextIO", out),
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )


def painted(line: Line) -> Text:
    """A line of spans for rich: not wrapped, not read as markup."""
    text = Text(no_wrap=True, overflow="crop")
    for span in line:
        text.append(span.text, span.style)
    return text


def picture(tally: Tally, size: ScreenSize) -> Group:
    """The current live display, for ``Console.print`` and export to SVG."""
    return Group(*(painted(line) for line in frame(tally, size, [])))


def show(lines: Iterable[Line], stream: TextIO | None) -> None:
    """Print lines in colour, unless NO_COLOR is set."""
    console = console_for(SafeStream(stream))
    for line in lines:
        for row in fold(line, console.width):
            console.print(painted(row), soft_wrap=True)


def terminal_view(
    stream: TextIO | None, describe: Callable[[Event], str | None], console: Console | None
) -> "TerminalView | PlainView":
    """The live display, or plain lines if for rich the terminal is not interactive."""
    if console is not None:
        return TerminalView(console, SafeStream(None), describe)
    out = SafeStream(stream)
    console = console_for(out)
    if not console.is_interactive:
        return PlainView(out, describe)
    return TerminalView(console, out, describe)


class TerminalView:
    """Redraws the Tally at the bottom of the terminal, with explanations above it.

    At the end it removes itself; the summary follows.
    """

    def __init__(
        self, console: Console, out: SafeStream, describe: Callable[[Event], str | None]
    ) -> None:
        self.out = out
        self.describe = describe
        self._console = console
        self._glyphs = glyphs_for(console.encoding)
        self._slots: list[str] = []
        self._frame: list[Line] = []
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def prepare(self, tally: Tally) -> None:
        """Lay out the next frame."""
        size = self._console.size
        self._frame = frame(tally, ScreenSize(size.width, size.height), self._slots, self._glyphs)

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Print explanations above the frame."""
        if not self._live.is_started:
            self._live.start()
        for line in spoken(lines, left_out).splitlines():
            for row in fold([Span(line)], self._console.width):
                self._console.print(painted(row), soft_wrap=True)
        self._live.update(Group(*(painted(line) for line in self._frame)), refresh=True)

    def finish(self) -> None:
        """Restore the terminal."""
        self._live.stop()
