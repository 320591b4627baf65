"""How a run is shown: the five ways, and the Listener that shows it in one of them.

The Listener draws from a thread of its own, so that nothing a screen does reaches the run. rich is
imported only where a terminal is drawn on: it costs a twentieth of a second.
"""

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

from batch_uploader.core.events import Decided
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.explain import explain, explain_nothing
from batch_uploader.ui.jsonlines import JsonView
from batch_uploader.ui.plain import PlainView, QuietView
from batch_uploader.ui.renderer import Renderer, View
from batch_uploader.ui.stream import SafeStream, can_draw
from batch_uploader.ui.tally import Clock

if TYPE_CHECKING:
    from rich.console import Console


class Progress(StrEnum):
    """How a run is shown."""

    AUTO = "auto"
    """As RICH on a terminal, as PLAIN otherwise."""
    RICH = "rich"
    """A live display; plain lines where stderr cannot be drawn on."""
    PLAIN = "plain"
    """A line now and then, at most one a second."""
    JSON = "json"
    """Events for programs, on stdout."""
    NONE = "none"


def make_renderer(
    progress: Progress,
    *,
    explain_decisions: bool = False,
    stderr: TextIO | None = None,
    stdout: TextIO | None = None,
    clock: Clock = time.monotonic,
    stats: RunStats | None = None,
    console: "Console | None" = None,
) -> Renderer:
    """The Listener for a run, to be entered before it and left after it.

    With ``explain_decisions`` it also says why each recording is sent, skipped or tried again: as
    sentences on stderr, or as the event ``decided`` among the JSON. The streams are those of the
    process unless given. ``stats`` are those of the run; without them it counts by itself. A
    ``console`` is drawn on whatever it is (one that records, say).
    """
    if progress is Progress.JSON:
        unwanted = frozenset[type]() if explain_decisions else frozenset({Decided})
        return Renderer(JsonView(SafeStream(stdout or sys.stdout), unwanted=unwanted), clock, stats)
    stream = stderr or sys.stderr
    describe = explain if explain_decisions else explain_nothing
    view: View
    if progress is Progress.NONE:
        view = QuietView(SafeStream(stream), describe)
    elif progress is Progress.PLAIN or not (console or can_draw(stream)):
        view = PlainView(SafeStream(stream), describe)
    else:
        from batch_uploader.ui.terminal import terminal_view

        view = terminal_view(stream, describe, console)
    return Renderer(view, clock, stats)
