"""Plain lines on stderr for logs and pipes: at most one a second, fewer in long runs."""

from collections.abc import Callable, Sequence

from batch_uploader.core.events import Event
from batch_uploader.core.states import Status
from batch_uploader.core.text import format_count, plural, printable, sentence
from batch_uploader.core.units import format_size
from batch_uploader.ui.frame import count_words, pause_notice, percent, stop_notice
from batch_uploader.ui.stream import SafeStream
from batch_uploader.ui.tally import Stage, Tally
from batch_uploader.ui.text import format_left

# (up to this age of the run, this interval) in seconds, so that the log of a night is readable.
_SPACING = ((60.0, 1.0), (600.0, 10.0), (float("inf"), 60.0))

_SEARCH_SPACING = 60.0
_PAUSE_ENDED = 2.0
"""A pause has ended if something got through, and no other one began for this time (seconds)."""
_PAUSE_TOLD = 10.0
"""The length of a shorter pause is not told: in an outage longer ones follow."""


def spoken(lines: Sequence[str], left_out: int) -> str:
    """The explanations, each with a line end."""
    text = "".join(f"{line}\n" for line in lines)
    if left_out:
        text += f"({plural(left_out, 'line')} left out: they came faster than they were read)\n"
    return text


class PlainView:
    """Prints the beginning of a run at once, its progress at intervals, and its end."""

    def __init__(self, out: SafeStream, describe: Callable[[Event], str | None]) -> None:
        self.out = out
        self.describe = describe
        self._shown = ""
        self._shown_at: float | None = None
        self._line = ""
        self._due = ""
        self._notices = (False, False, False)
        self._pause = _PauseWatch()

    def prepare(self, tally: Tally) -> None:
        """Make the current line, and decide whether it is time for it."""
        if not tally.run_id:
            return
        now = tally.elapsed
        self._line = progress_line(tally)
        paused = self._pause.goes_on(tally)
        if self._shown_at is None:
            self._shown_at, self._due = now, f"uploading {printable(tally.source)}"
            return
        spacing = next(apart for age, apart in _SPACING if now < age)
        # A pause or a stop is printed after at most a second.
        notices = (paused, tally.searching > 0, tally.stage is Stage.DRAINING)
        notice = ""
        if notices != self._notices:
            spacing = 1.0
            if paused and not self._notices[0]:
                notice = f"{self._pause.notice}; "
            elif self._notices[0] and not paused:
                notice = "going on; "
        elif paused and not self._pause.moved:
            return  # only what is left of the pause changes
        elif tally.searching:
            spacing = _SEARCH_SPACING  # only the countdown changes
        if now - self._shown_at >= spacing and (notice or self._line != self._shown):
            self._shown_at, self._notices, self._shown = now, notices, self._line
            self._due = f"{notice}{self._line}"
            self._pause.told(tally)

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Print the explanations, and the line if it is time."""
        text = spoken(lines, left_out)
        if self._due:
            text += f"{self._due}\n"
            self._due = ""
        if text:
            self.out.write(text)

    def finish(self) -> None:
        """Print the final state, unless the last line has it."""
        if self._line != self._shown:
            self.out.write(f"{self._line}\n")


class _PauseWatch:
    """One pause of many: an outage is a pause, a probe, a longer pause, and so on."""

    def __init__(self) -> None:
        self.notice = ""
        self.moved = False
        """Whether a recording has ended since the last line."""
        self._on = False
        self._last = 0.0
        self._done = self._told = 0

    def goes_on(self, tally: Tally) -> bool:
        """Whether the run is in a pause, until something gets through."""
        done = tally.stats.done
        self.moved = done != self._told
        pause = tally.pause
        if pause is not None and not pause.doubts:
            if not self._on:
                length = f" {format_left(pause.seconds)}" if pause.seconds >= _PAUSE_TOLD else ""
                self.notice = f"paused{length}: {sentence(pause.reason)}"
            self._on, self._last, self._done = True, tally.elapsed, done
        elif done > self._done and tally.elapsed - self._last >= _PAUSE_ENDED:
            self._on = False
        return self._on

    def told(self, tally: Tally) -> None:
        """A line is printed."""
        self._told = tally.stats.done


class QuietView:
    """Prints no progress, only explanations."""

    def __init__(self, out: SafeStream, describe: Callable[[Event], str | None]) -> None:
        self.out = out
        self.describe = describe

    def prepare(self, tally: Tally) -> None:
        """Does nothing."""

    def draw(self, lines: Sequence[str], left_out: int) -> None:
        """Print the explanations."""
        text = spoken(lines, left_out)
        if text:
            self.out.write(text)

    def finish(self) -> None:
        """Does nothing."""


def progress_line(tally: Tally) -> str:
    """The state of the run in one line."""
    parts = _progress(tally)
    fine, bad = count_words(tally)
    counts = [f"{word} {format_count(number)}" for word, number in [*fine, *bad] if number]
    stop = stop_notice(tally)
    searching = pause_notice(tally) if tally.searching else None
    notices = [searching, stop and f"{stop} ({sentence(tally.stop_reason)})"]
    return "; ".join(filter(None, [*notices, ", ".join(parts), ", ".join(counts)]))


def _progress(tally: Tally) -> list[str]:
    if not tally.stats.total and tally.stage is not Stage.COUNTING:
        # A stopped run may not have found any.
        return ["nothing was sent" if tally.stop_reason else "nothing to send"]
    share = f"{percent(tally.done_bytes, tally.stats.total_bytes)} %"
    sizes = f"{format_size(tally.done_bytes)} of {format_size(tally.stats.total_bytes)}"
    files = f"{format_count(tally.stats.done)} of {format_count(tally.stats.total)} files"
    parts = [f"{'still counting' if tally.stage is Stage.COUNTING else share}: {sizes}", files]
    if tally.in_flight or tally.stats.counts[Status.UPLOADED]:
        # Bytes that were refused are not progress.
        parts.append(f"{format_size(round(tally.rate))}/s")
    if (eta := tally.eta) is not None:
        parts.append(f"{format_left(eta)} left")
    return parts
