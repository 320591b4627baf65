"""The live display as lines of a given width: a pure function of the Tally."""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.core.text import format_count, plural, printable, sentence
from batch_uploader.core.units import format_duration, format_size
from batch_uploader.ui.stream import Line, ScreenSize, Span
from batch_uploader.ui.tally import Stage, Tally, Transfer
from batch_uploader.ui.text import (
    ELLIPSIS,
    cell_width,
    clip,
    format_hours,
    format_left,
    leading,
    shorten,
    wrap,
)

MOST_TRANSFERS = 12
"""The most transfers that are shown; the others are a number."""

_WIDEST = 160  # wider lines are hard to read
_GAP = Span("   ")
_INDENT = 2
_BAR_LABEL = 20  # " 100 %   3d 04h left"
_WIDE = 120  # the width from which on bars are longer
_SMALL_BAR = 10
_HIGH = 24  # the height from which on a pause is explained in full
_NOTICE_LINES = 6


class Glyphs(NamedTuple):
    """The characters of bars and gaps."""

    full: str
    head: str
    rest: str
    ellipsis: str


UNICODE = Glyphs("━", "╸", "─", ELLIPSIS)
ASCII = Glyphs("#", "#", "-", "...")


def glyphs_for(encoding: str) -> Glyphs:
    """The characters that an encoding supports."""
    try:
        "".join(UNICODE).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def percent(done: int, total: int) -> int:
    """Whole percents, rounded down: 100 means all. A total of 0 is 100."""
    return min(100, 100 * done // total) if total > 0 else 100


def frame(tally: Tally, size: ScreenSize, slots: list[str], glyphs: Glyphs = UNICODE) -> list[Line]:
    """The lines to show now, at most ``size`` large.

    ``slots`` are the transfers that were shown last, and are updated: a transfer keeps its line
    until it ends.
    """
    width = min(size.width, _WIDEST)
    lines: list[Line] = [_overall(tally, width, glyphs), *pack(_totals(tally), width)[:1]]
    lines += _counts(tally, width)
    lines += _notices(tally, ScreenSize(width, size.height), glyphs)
    left = size.height - len(lines) - 3  # a blank line, the number of the others, one spare
    _assign_slots(tally, slots, min(MOST_TRANSFERS, left))
    if tally.in_flight and left > 0:
        lines.append([])
        lines += [_transfer(tally, tally.in_flight[path], width, glyphs) for path in slots]
        if others := len(tally.in_flight) - len(slots):
            lines.append([Span(f"and {format_count(others)} more in flight", "dim")])
    return [cut(line, width) for line in lines[: max(1, size.height - 1)]]


def _overall(tally: Tally, width: int, glyphs: Glyphs) -> Line:
    share = tally.done_bytes / tally.stats.total_bytes if tally.stats.total_bytes > 0 else 0.0
    bar = _bar(share, max(4, width - _BAR_LABEL - _INDENT), glyphs)
    return [*bar, Span("  "), Span(_bar_label(tally), "bold")]


def _bar_label(tally: Tally) -> str:
    if tally.stage is Stage.COUNTING:
        return "still counting"
    label = f"{percent(tally.done_bytes, tally.stats.total_bytes):3} %"
    eta = tally.eta
    return label if eta is None else f"{label}   {format_left(eta)} left"


def _bar(share: float, width: int, glyphs: Glyphs) -> list[Span]:
    full = int(max(0.0, min(1.0, share)) * width)
    if full == width:
        return [Span(glyphs.full * width, "green")]
    head = glyphs.head if share > 0 else glyphs.rest
    return [
        Span(glyphs.full * full + (head if share > 0 else ""), "cyan"),
        Span(glyphs.rest * (width - full - (1 if share > 0 else 0)), "dim"),
    ]


def _totals(tally: Tally) -> Iterable[Line]:
    """The most important first, since what does not fit is left out."""
    done, total = format_size(tally.done_bytes), format_size(tally.stats.total_bytes)
    yield [Span(done, "bold"), Span(f" of {total}")]
    done, total = format_count(tally.stats.done), format_count(tally.stats.total)
    yield [Span(done, "bold"), Span(f" of {total} files")]
    yield [Span(f"{format_size(round(tally.rate))}/s", "bold")]
    yield [Span(f"{tally.recording_rate:,.0f} files/s")]
    yield [Span(f"{format_hours(tally.stats.uploaded_duration)} of audio")]
    yield [Span(f"running for {format_duration(round(tally.elapsed))}")]


def count_words(tally: Tally) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The running counts: what is fine, and what needs a human. Rare ones only if not 0."""
    counts = tally.stats.counts
    always = [each for each in Status if each.state.at_zero]
    rare = [each for each in Status if each not in always and counts[each]]
    bad = [(each.label, counts[each]) for each in (*always, *rare) if each in NEEDS_ATTENTION]
    return (
        [
            *((each.label, counts[each]) for each in always if each not in NEEDS_ATTENTION),
            ("already there", tally.stats.already_there),
            (Status.WAITING.label, tally.stats.waiting),
            *((each.label, counts[each]) for each in rare if each not in NEEDS_ATTENTION),
            *([("outdated", tally.stats.outdated)] if tally.stats.outdated else []),
        ],
        bad,
    )


def _counts(tally: Tally, width: int) -> list[Line]:
    fine, bad = count_words(tally)
    items = [_count(word, number, "bold") for word, number in fine]
    bad_items = [_count(word, number, "bold yellow") for word, number in bad]
    together = pack([*items, *bad_items], width)
    if len(together) == 1:
        return together
    return [*pack(items, width), *pack(bad_items, width)]


def _count(word: str, number: int, style: str) -> Line:
    if not number:
        return [Span(f"{word} 0", "dim")]
    return [Span(f"{word} "), Span(format_count(number), style)]


def pause_notice(tally: Tally) -> str | None:
    """The current pause, as a printable sentence."""
    if (pause := tally.pause) is None:
        return None
    if pause.doubts:
        them = plural(pause.doubts, "recording")
        return f"{them} in doubt: searching again in {format_left(pause.seconds)}"
    return f"paused {format_left(pause.seconds)}: {sentence(pause.reason)}"


def stop_notice(tally: Tally) -> str | None:
    """What a stopping run still waits for, as a printable sentence."""
    if tally.stage is not Stage.DRAINING:
        return None
    return f"stopping: finishing {plural(len(tally.in_flight), 'upload')}"


def _notices(tally: Tally, size: ScreenSize, glyphs: Glyphs) -> Iterable[Line]:
    if (text := pause_notice(tally)) is not None:
        # The cure is at the end of it, after what the network said.
        lines = _NOTICE_LINES if size.height >= _HIGH else 1
        for line in wrap(text, size.width, lines, glyphs.ellipsis):
            yield [Span(line, "yellow")]
    if (text := stop_notice(tally)) is not None:
        text += f", Ctrl-C again stops now ({sentence(tally.stop_reason)})"
        yield [Span(clip(text, size.width, glyphs.ellipsis), "yellow")]


def _assign_slots(tally: Tally, slots: list[str], limit: int) -> None:
    """Replace ended transfers in their slots by those that wait longest."""
    placed = set(slots)
    queue = (path for path in tally.in_flight if path not in placed)
    kept = (path if path in tally.in_flight else next(queue, None) for path in slots)
    slots[:] = [path for path in kept if path is not None]
    slots += islice(queue, max(0, limit - len(slots)))
    del slots[max(0, limit) :]


def _transfer(tally: Tally, transfer: Transfer, width: int, glyphs: Glyphs) -> Line:
    """A transfer's line; the name is last, so that odd characters do not shift the columns."""
    bar_width = _SMALL_BAR if width < _WIDE else 2 * _SMALL_BAR
    wait = tally.retry_in(transfer)
    if wait:
        again = f"try {transfer.attempt} in {format_left(wait)}"
        spans = [Span(f"{again:{bar_width + 7}}", "yellow")]
        remark = f"  {printable(transfer.code)}"
    else:
        share = transfer.sent / transfer.size if transfer.size > 0 else 0.0
        done = percent(transfer.sent, max(1, transfer.size))
        spans = [*_bar(share, bar_width, glyphs), Span(f"{done:5} %")]
        remark = f"  try {transfer.attempt}" if transfer.attempt > 1 else ""
    spans.append(Span(f"{format_size(transfer.size):>8}  ", "dim"))
    space = width - sum(cell_width(span.text) for span in spans) - cell_width(remark)
    name = shorten(printable(transfer.path), max(0, space), glyphs.ellipsis)
    return [*spans, Span(name), Span(remark, "yellow")]


def pack(items: Iterable[Line], width: int) -> list[Line]:
    """Items side by side, on as many lines as needed."""
    lines: list[list[Span]] = []
    used = 0
    for item in items:
        length = sum(cell_width(span.text) for span in item)
        if lines and used + len(_GAP.text) + length <= width:
            lines[-1] += [_GAP, *item]
            used += len(_GAP.text) + length
        else:
            lines.append([*item])
            used = length
    return list(lines)


def cut(line: Line, width: int) -> Line:
    """The line cut to ``width``, for very narrow screens."""
    spans: list[Span] = []
    for span in line:
        text = leading(span.text, width)
        spans.append(Span(text, span.style))
        width -= cell_width(text)
    return spans
