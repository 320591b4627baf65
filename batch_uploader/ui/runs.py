"""Runs on record for people: in a table, and how the last one ended in a sentence."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from batch_uploader.app.attention import AttentionKind
from batch_uploader.core.model import Ending
from batch_uploader.core.price import Price
from batch_uploader.core.runs import BY_ERROR, KILLED, Run, RunEnd
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.core.text import format_count, plural, printable, sentence
from batch_uploader.core.units import format_duration
from batch_uploader.ui.stream import Line, Span
from batch_uploader.ui.text import format_hours

_HEAD = (
    f"{'began':21}{'took':>9}  {'ended':13}{'exit':>4}{Status.UPLOADED.label:>10}{'audio':>10}"
    f"{'wrong':>7}"
)
_WORDS = {KILLED: "was killed", Ending.INTERRUPTED.value: "was interrupted"}


def minute(moment_ns: int) -> str:
    """A time for people: UTC, to the minute."""
    return datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def run_lines(
    runs: Sequence[tuple[Run, Decimal | None]], price: Price | None = None
) -> Iterator[Line]:
    """A line for each run, with what it cost if there is a price, and why some ended badly."""
    several = len({run.connection_id for run, _ in runs}) > 1
    yield [Span(f"{_HEAD}{'  cost' if price else ''}", "dim")]
    for run, cost in runs:
        style = "yellow" if run.end is not None and run.end.is_bad else ""
        line = [Span(_row(run), style)]
        if price is not None and cost is not None:
            line.append(Span(f"  {price.shown(cost)}"))
        if several:
            line.append(Span(f"  connection {printable(run.connection_id) or '?'}", "dim"))
        yield line
        if run.end is not None and run.end.reason:
            yield [Span(f"  {sentence(run.end.reason)}", "dim")]


def _row(run: Run) -> str:
    if run.end is None:
        return f"{minute(run.began_at_ns):21}{'':>9}  running"
    took, end = _took(run), run.end
    code = "" if end.exit_code is None else str(end.exit_code)
    wrong = _wrong(end)
    return (
        f"{minute(run.began_at_ns):21}{took:>9}  {end.ending:13}{code:>4}"
        f"{format_count(end.counts.get(Status.UPLOADED, 0)):>10}"
        f"{format_hours(end.uploaded_duration):>10}"
        f"{'' if wrong is None else format_count(wrong):>7}"
    )


def _took(run: Run) -> str:
    if run.ended_at_ns is None:
        return ""
    return format_duration(round(max(0, run.ended_at_ns - run.began_at_ns) / 1e9, 1))


def _wrong(end: RunEnd) -> int | None:
    """How many recordings needed a human when it ended."""
    if end.needed_attention is not None or end.ending != Ending.COMPLETED:
        return end.needed_attention
    return sum(end.counts.get(status, 0) for status in NEEDS_ATTENTION)


def how_it_ended(run: Run, to: str = "") -> str:
    """How a run ended, why and what it did: ``the run of … ended with exit code 3: …``.

    ``to`` names its connection, where there are several.
    """
    when, end = f"{minute(run.began_at_ns)}{to}", run.end
    if end is None:
        return f"a run goes on since {when}"
    code = " with an error" if end.ending == BY_ERROR else ""
    if end.exit_code is not None:
        code = f" with exit code {end.exit_code}"
    word = _WORDS.get(end.ending, "ended")
    what = f"; {deeds(end)}" if run.begin.run_id and end.ending != KILLED else ""
    reason = f": {sentence(end.reason)}" if end.reason else ""
    return f"the run of {when} {word}{code}{reason}{what}"


def new_and_known(kind: AttentionKind) -> str:
    """``3 known, 1 new``; a single word if all are the same."""
    words = [(kind.known, "known"), (kind.new, "new")]
    return ", ".join(f"{format_count(number)} {word}" for number, word in words if number)


def deeds(end: RunEnd) -> str:
    """What a run did and left: ``uploaded 142 recordings, 11.2h of audio; …``."""
    number = end.counts.get(Status.UPLOADED, 0)
    hours = f", {format_hours(end.uploaded_duration)} of audio" if number else ""
    rest = f"; {plural(end.left_over, 'recording')} left to the next run" if end.left_over else ""
    return f"uploaded {plural(number, 'recording') if number else 'nothing'}{hours}{rest}"
