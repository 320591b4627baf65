"""The summary of a run, and the table of what needs a human: at most one screen."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self, TextIO

from batch_uploader.app.attention import AttentionKind
from batch_uploader.app.duplicates import MOST_EXAMPLES
from batch_uploader.app.passed_over import looks_like_audio
from batch_uploader.core.model import Ending, Outcome, Summary
from batch_uploader.core.states import NEEDS_ATTENTION, POSSIBLE, UNDECIDED, Status
from batch_uploader.core.text import format_count, plural, printable, quote, sentence
from batch_uploader.core.units import format_duration, format_size
from batch_uploader.prepare.filters import Filter
from batch_uploader.run.stats import AttentionGroup, RunStats, reason_of
from batch_uploader.ui.duplicates import ShownGroup, duplicate_lines
from batch_uploader.ui.frame import cut, glyphs_for, pack
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import (
    Line,
    SafeStream,
    ScreenSize,
    Span,
    error,
    hint,
    screen_size,
    warning,
)
from batch_uploader.ui.text import (
    ELLIPSIS,
    cell_width,
    format_hours,
    has_command,
    shorten,
    wrap,
)
from batch_uploader.ui.waiting import waiting_line

MOST_ROWS = 10

_WIDEST = 160
_WIDE = 120  # the width from which on the cure is beside the recording, not below
_LABEL = 10  # "in doubt" and a gap; wider where a longer one is shown
_LEAST_CURE_LINES = 2
_LEAST_ERROR_LINES = 3
_BESIDE_ERROR = 10  # lines for sums, hints and one recording
_MANY_LOOKS = 1_000
"""After this many unnecessary comparisons a hint shows how to avoid them: some backups touch all
files."""
_PASSED_OVER_LINES = 3
_FEW = 3  # up to this many for the same reason get a row each


def print_summary(
    summary: Summary,
    *,
    manifest: Path | None,
    directory: str,
    flags: str = "",
    stats: RunStats | None = None,
    held: Sequence[ShownGroup] = (),
    kinds: Sequence[AttentionKind] = (),
    stream: TextIO | None = None,
) -> None:
    """Print to stderr, or ``stream``, what the run did and what needs a human. Never raises.

    ``directory`` and ``flags`` are the arguments for ``batch-uploader status``, the flags quoted
    and each after a space. With the run's ``stats`` the table has the full counts of each kind.
    ``held`` are the possible duplicates on record, ``kinds`` tell what is new.
    """
    stream = stream or sys.stderr
    ellipsis = glyphs_for(SafeStream(stream).encoding).ellipsis
    lines = summary_lines(
        summary,
        screen_size(stream),
        manifest,
        directory,
        flags=flags,
        stats=stats,
        held=held,
        kinds=kinds,
        ellipsis=ellipsis,
    )
    show(lines, stream)


def warn_of_nothing(directory: str) -> None:
    """Warn on stderr that the directory has no recordings. Never raises."""
    show([warning(f"{printable(directory)}: {NOTHING_FOUND}")], sys.stderr)


def summary_lines(  # noqa: PLR0913 - all that a summary shows
    summary: Summary,
    size: ScreenSize,
    manifest: Path | None,
    directory: str,
    *,
    flags: str = "",
    stats: RunStats | None = None,
    held: Sequence[ShownGroup] = (),
    kinds: Sequence[AttentionKind] = (),
    ellipsis: str = ELLIPSIS,
) -> list[Line]:
    """The lines of the summary, at most one less than the height of ``size``."""
    width = min(size.width, _WIDEST)
    left = 0 if stats is None else stats.total - stats.done
    lines = [
        *_ending(summary, width, size.height - _BESIDE_ERROR, left),
        [Span(_deeds(summary), "bold")],
        *_others(summary, width),
        *_looks(summary),
        *_converted(summary),
        *_left_out(summary, width),
        *_waiting(summary, width),
        *_gone(summary, width),
        *_passed_over(summary, width),
    ]
    if manifest is not None:
        lines.append([Span("manifest ", "dim"), Span(printable(str(manifest)))])
    total = summary.needs_attention
    if not total:
        return lines
    known = Known.of(stats, kinds)
    lines += [[], [Span(headline(total, known), "bold yellow")]]
    word = f"{quote(directory)}{flags}"
    command = f"batch-uploader status {word}"
    # Lines are reserved for the hints and the prompt.
    longest = hint(f"and {format_count(total)} more: {command}")
    for block, hints in _blocks(held, _decisions(summary, word)):
        used = _height([*lines, longest, *hints, *block], size.width) + 1
        groups = groups_of(summary, stats, known, without=POSSIBLE if block else frozenset())
        rows, shown = attention_table(groups, width, size.height - used, ellipsis)
        if shown or (used <= size.height and not groups):
            break
        # On such a small screen a recording is more useful; ``status`` has the rest.
    if block:
        shown += sum(summary.counts.get(each, 0) for each in POSSIBLE)
    others = f"and {format_count(total - shown)} more: " if total > shown else ""
    others = others if shown else "to see them: "
    return [*lines, *rows, hint(f"{others}{command}"), *hints, *block]


def _blocks(
    held: Sequence[ShownGroup], hints: list[Line]
) -> Iterator[tuple[list[Line], list[Line]]]:
    """Possible duplicates and hints, each time less of them."""
    if held:
        for examples in (MOST_EXAMPLES, 1, 0):
            yield list(duplicate_lines(held, examples)), hints
    yield [], hints
    yield [], []


def _decisions(summary: Summary, directory: str) -> list[Line]:
    """The commands for recordings that runs do not touch before a human decides."""
    doubts = sum(summary.counts.get(each, 0) for each in UNDECIDED)
    if not doubts:
        return []
    decisions = "--talk-id ID | --give-up | --resend (may bill it twice)"
    return [
        hint("if no run finds it, check the console, then decide:"),
        [Span(f"  batch-uploader resolve {directory} PATH {decisions}")],
    ]


class Known(NamedTuple):
    """What needed a human before this run: paths, whole kinds, and how many recordings.

    ``news`` are kinds of which nothing did: what a killed run left is on record before the run.
    """

    paths: frozenset[str] = frozenset()
    kinds: frozenset[tuple[Status, str]] = frozenset()
    recordings: int = 0
    news: frozenset[tuple[Status, str]] = frozenset()

    @classmethod
    def of(cls, stats: RunStats | None, kinds: Sequence[AttentionKind]) -> Self:
        """From what the run met, and from the ledger, which knows what is tried again."""
        return cls(
            frozenset() if stats is None else stats.known,
            frozenset((each.status, each.code) for each in kinds if not each.new),
            sum(each.known for each in kinds),
            frozenset((each.status, each.code) for each in kinds if not each.known),
        )

    def has(self, outcome: Outcome) -> bool:
        """Whether it is one of these."""
        reason = reason_of(outcome)
        return reason in self.kinds or (outcome.path in self.paths and reason not in self.news)


NOTHING: Final = Known()


def headline(total: int, known: Known) -> str:
    """How many recordings need attention, and how many of them are new."""
    text = f"{plural(total, 'recording')} {'needs' if total == 1 else 'need'} attention"
    if not known.recordings:
        return text
    new = max(0, total - known.recordings)
    news = f"{format_count(new)} new" if new else "none of them new"
    return f"{text}: {format_count(known.recordings)} known, {news}"


def alike(outcomes: Iterable[Outcome], known: Known = NOTHING) -> list[AttentionGroup]:
    """Outcomes as rows for ``attention_table``, what is new first.

    Many with the same reason are one row.
    """
    outcomes = list(outcomes)
    sizes = Counter(map(reason_of, outcomes))
    groups: dict[object, AttentionGroup] = {}
    for number, outcome in enumerate(outcomes):
        kind = reason_of(outcome)
        key = number if sizes[kind] <= _FEW else kind
        if key in groups:
            groups[key].add(outcome, known=known.has(outcome))
        else:
            groups[key] = AttentionGroup(outcome, known=int(known.has(outcome)))
    return sorted(groups.values(), key=lambda group: group.known == group.count)


def attention_table(
    groups: Sequence[AttentionGroup], width: int, most_lines: int, ellipsis: str = ELLIPSIS
) -> tuple[list[Line], int]:
    """Rows of status, recording and cure, and how many recordings they stand for.

    At most ``MOST_ROWS`` rows in at most ``most_lines`` lines of ``width`` cells.
    """
    lines: list[Line] = []
    shown = 0
    rows = groups[:MOST_ROWS]
    # With few rows the cures are not cut, since a cut command is useless.
    cure_lines = max(_LEAST_CURE_LINES, most_lines // max(1, len(rows)) - 1)
    label = max([_LABEL, *(len(group.first.status.label) + 2 for group in rows)])
    for group in rows:
        row = [_cut(line, width) for line in _row(group, label, width, cure_lines, ellipsis)]
        if _height([*lines, *row], width) > most_lines:
            break
        lines += row
        shown += group.count
    return lines, shown


def _cut(line: Line, width: int) -> Line:
    """The line cut for a very narrow screen, unless there is a command in it."""
    return line if has_command("".join(span.text for span in line)) else cut(line, width)


def _row(
    group: AttentionGroup, label: int, width: int, cure_lines: int, ellipsis: str
) -> Iterator[Line]:
    outcome = group.first
    like = f" and {format_count(group.count - 1)} like it" if group.count > 1 else ""
    if group.known:
        like += ", known" if group.known == group.count else f", {format_count(group.known)} known"
    space = width - label if width < _WIDE else width // 3
    name = shorten(printable(outcome.path), max(1, space - cell_width(like)), ellipsis)
    beside = [Span(f"{outcome.status.label:{label}}", "yellow"), Span(name), Span(like, "dim")]
    cure = _cure(outcome)
    if width < _WIDE:
        yield beside
        for text in wrap(cure, width - label, cure_lines, ellipsis):
            yield [Span(" " * label), Span(text, "dim")]
        return
    start = label + space + 2
    pad = " " * (start - _length(beside))
    texts = wrap(cure, width - start, cure_lines, ellipsis)
    yield [*beside, Span(pad), Span(texts[0] if texts else "")]
    for text in texts[1:]:
        yield [Span(" " * start), Span(text)]


def _cure(outcome: Outcome) -> str:
    """The reason with its code, which the documentation and the vendor's support use."""
    if (failure := outcome.failure) is None:
        return ""
    return f"{printable(failure.code)}: {sentence(failure.message)}"


def groups_of(
    summary: Summary,
    stats: RunStats | None,
    known: Known,
    *,
    without: Collection[Status] = (),
    nor: Collection[str] = (),
) -> list[AttentionGroup]:
    """The rows for what needs a human, without these statuses and paths."""
    if stats is not None and summary.needs_attention > len(summary.attention):
        groups = sorted(
            stats.groups.values(),
            key=lambda group: (group.known == group.count or known.has(group.first), -group.count),
        )
        return [group for group in groups if group.first.status not in without]
    found = (each for each in summary.attention if each.path not in nor)
    return alike((each for each in found if each.status not in without), known)


NOTHING_FOUND = (
    "no recordings found; check the mount and the extensions (wav, mp3, ogg, oga, opus; --include"
    " adds others)"
)


def _ending(summary: Summary, width: int, most_lines: int, left: int) -> Iterator[Line]:
    reason = sentence(summary.reason or "")
    match summary.ending:
        case Ending.UNAUTHORIZED | Ending.UNREACHABLE:
            # The cause is at the end, which must not be cut.
            lines = max(_LEAST_ERROR_LINES, most_lines - len(summary.hints))
            texts = wrap(f"error: {reason or summary.ending.value}", width, lines)
            yield from _under(error(""), texts)
            for each in summary.hints:
                yield from _under(hint(""), wrap(f"hint: {sentence(each)}", width, 3))
        case Ending.INTERRUPTED | Ending.LIMIT:
            why = reason or summary.ending.value
            rest = f"; {plural(left, 'recording')} left for the next run" if left > 0 else ""
            rest = rest or "; the next run continues from here"
            yield from _under(warning(""), wrap(f"warning: {why}{rest}", width, 4))
        case Ending.COMPLETED if summary.found_nothing:
            yield from _under(warning(""), wrap(f"warning: {NOTHING_FOUND}", width, 3))


def _under(label: Line, texts: Sequence[str]) -> Iterator[Line]:
    """The first line with its label in colour, the others below it."""
    yield [label[0], Span(texts[0].removeprefix(label[0].text))]
    for text in texts[1:]:
        yield [Span(text)]


def _deeds(summary: Summary) -> str:
    uploaded = summary.counts.get(Status.UPLOADED, 0)
    took = format_duration(max(0.1, round(summary.elapsed, 1)))
    if uploaded:
        rate = round(summary.uploaded_bytes / max(summary.elapsed, 0.001))
        return (
            f"Uploaded {plural(uploaded, 'recording')} in {took}:"
            f" {format_size(summary.uploaded_bytes)},"
            f" {format_hours(summary.uploaded_duration)} of audio, {format_size(rate)}/s"
        )
    there = summary.already_there or summary.counts.get(Status.LEFT_OUT)
    if there and summary.ending is Ending.COMPLETED and not summary.needs_attention:
        return f"Nothing new in {took}"
    return f"Uploaded nothing in {took}"


def _others(summary: Summary, width: int) -> list[Line]:
    """The counts of what is neither new nor wrong."""
    pairs = [
        ("already there", summary.already_there),
        (Status.WAITING.label, summary.waiting),
        *_counts(summary, frozenset(Status) - NEEDS_ATTENTION - {Status.UPLOADED}),
        ("outdated", summary.outdated),
        *_counts(summary, NEEDS_ATTENTION),
    ]
    items = [[Span(f"{word} ", "dim"), Span(format_count(n))] for word, n in pairs if n]
    return pack(items, width)


def _counts(summary: Summary, statuses: Collection[Status]) -> list[tuple[str, int]]:
    return [(each.label, summary.counts.get(each, 0)) for each in Status if each in statuses]


def _looks(summary: Summary) -> Iterator[Line]:
    """The results of comparing files that may have been touched, and the reason."""
    if not summary.to_compare:
        return
    have = "has a new change time" if summary.to_compare == 1 else "have new change times"
    left = summary.to_compare - summary.compared
    compared = "compared" if not left else f"{format_count(summary.compared)} compared"
    hold = "holds" if summary.changed == 1 else "hold"
    found = f"{format_count(summary.changed)} {hold} other audio"
    text = f"{plural(summary.to_compare, 'recording')} {have}: {compared}, {found}"
    yield [Span(f"{text}, {format_count(left)} left for the next run" if left else text)]
    if left or (summary.to_compare >= _MANY_LOOKS and not summary.changed):
        yield hint("to compare only sizes and modification times: --trust-times")


def _converted(summary: Summary) -> Iterator[Line]:
    if (number := summary.converted) == 1:
        yield [Span("1 converted: the same call in another format")]
    elif number:
        yield [Span(f"{format_count(number)} converted: the same calls in another format")]


_FILTERS = {
    Filter.SKIP_EMPTY: "without audio (--skip-empty)",
    Filter.MIN_LENGTH: "shorter than --min-length",
    Filter.MAX_LENGTH: "longer than --max-length",
    Filter.SINCE: "before --since",
    Filter.UNTIL: "after --until",
    Filter.SAMPLE: "outside --sample",
    Filter.LEGS: "as the mix of joined legs (--legs)",
}


def left_out_words(counts: Mapping[str, int], *, many: bool = False) -> str:
    """What filters left out, by filter; with ``many`` the sum comes first."""
    by = [f"{format_count(n)} {_FILTERS[Filter(name)]}" for name, n in sorted(counts.items()) if n]
    told = f"left out: {', '.join(by)}"
    return f"{format_count(sum(counts.values()))} {told}" if many else told


def _left_out(summary: Summary, width: int) -> Iterator[Line]:
    if any(summary.left_out_by.values()):
        for text in wrap(left_out_words(summary.left_out_by), width, 3):
            yield [Span(text)]


def most_gone(gone: int) -> str:
    """The problem of a source most of which is gone."""
    are = "recording on record is" if gone == 1 else "recordings on record are"
    return (
        f"{format_count(gone)} {are} gone, more than half of what the last run saw;"
        " nothing was forgotten"
    )


def _waiting(summary: Summary, width: int) -> Iterator[Line]:
    if text := waiting_line(summary.waiting, summary.waiting_for):
        yield from ([Span(line)] for line in wrap(text, width, 3))


def _gone(summary: Summary, width: int) -> Iterator[Line]:
    if summary.gone:
        yield from _under(warning(""), wrap(f"warning: {most_gone(summary.gone)}", width, 3))


def _passed_over(summary: Summary, width: int) -> Iterator[Line]:
    if summary.passed_over:
        text = sentence(looks_like_audio(summary.passed_over))
        yield from ([Span(line)] for line in wrap(text, width, _PASSED_OVER_LINES))


def _length(line: Line) -> int:
    return sum(cell_width(span.text) for span in line)


def _height(lines: Iterable[Line], width: int) -> int:
    """The height of lines when long ones wrap, such as the path of a manifest."""
    return sum(max(1, -(-_length(line) // width)) for line in lines)


def unconverted_lines(number: int) -> Iterator[str]:
    """That an upgrade does not send at once what earlier versions refused."""
    if number:
        yield (
            f"earlier versions refused {plural(number, 'recording')} that can be converted and sent"
            " now; run once with --convert needed to send them, or with --convert off"
        )
