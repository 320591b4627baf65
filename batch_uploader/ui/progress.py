"""The five ways of showing a run, and the Listener for each.

The Listener draws in a thread of its own, so that a screen cannot block the run. rich is imported
only for terminals: the import takes a twentieth of a second.
"""

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

from batch_uploader.core.events import Decided
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.explain import announce, explain
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
    """RICH on a terminal, else PLAIN."""
    RICH = "rich"
    """A live display; plain lines if stderr does not support it."""
    PLAIN = "plain"
    """Lines at intervals, at most one a second."""
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
    """The Listener for a run; enter it before the run and leave it after.

    With ``explain_decisions`` it also explains why each recording is sent, skipped or retried: as
    sentences on stderr, or as the event ``decided`` in the JSON. The default streams are those of
    the process. ``stats`` are those of the run; without them it keeps its own. A given ``console``
    is always drawn on (such as one that records).
    """
    if progress is Progress.JSON:
        unwanted = frozenset[type]() if explain_decisions else frozenset({Decided})
        return Renderer(JsonView(SafeStream(stdout or sys.stdout), unwanted=unwanted), clock, stats)
    stream = stderr or sys.stderr
    describe = explain if explain_decisions else announce
    view: View
    if progress is Progress.NONE:
        view = QuietView(SafeStream(stream), describe)
    elif progress is Progress.PLAIN or not (console or can_draw(stream)):
        view = PlainView(SafeStream(stream), describe)
    else:
        from batch_uploader.ui.terminal import terminal_view

        view = terminal_view(stream, describe, console)
    return Renderer(view, clock, stats)
