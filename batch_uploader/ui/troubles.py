"""What a run without a display says, as in cron's mail: only what needs a human, in one screen.

Which files, what is wrong and the cure, what is new before what is known.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from batch_uploader.app.attention import AttentionKind
from batch_uploader.app.emptiness import MOUNT, ON_PURPOSE
from batch_uploader.app.passed_over import looks_like_audio, ways_to_take
from batch_uploader.core.model import Ending, Summary
from batch_uploader.core.states import POSSIBLE
from batch_uploader.core.text import format_count, plural, printable, sentence
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.duplicates import ShownGroup, duplicate_lines
from batch_uploader.ui.stream import FALLBACK, Line, Span, error, hint, warning
from batch_uploader.ui.summary import (
    NOTHING_FOUND,
    Known,
    attention_table,
    groups_of,
    headline,
    most_gone,
)
from batch_uploader.ui.waiting import waiting_line

_UNREADABLE = 3
_LEAST = 4
"""Lines for the table without which the commands about possible duplicates are left out."""
_REFUSED = frozenset({Ending.UNAUTHORIZED, Ending.UNREACHABLE})
_CUT_SHORT = frozenset({Ending.LIMIT, Ending.INTERRUPTED})


class Commands(Struct, frozen=True):
    """The directory as it was typed, and commands about it."""

    directory: str
    status: str
    check: str
    spelled: Callable[[str], str]
    """Gives a hint the whole command, if it ends with one."""


def trouble_lines(
    summary: Summary,
    stats: RunStats,
    commands: Commands,
    kinds: Sequence[AttentionKind] = (),
    held: Sequence[ShownGroup] = (),
) -> list[Line]:
    """The lines, none if nobody needs to do anything; at most a screen of 24."""
    lines = [
        *_ending(summary, stats),
        *_unreadable(stats, commands),
        *_source(summary, commands),
    ]
    total = summary.needs_attention - stats.unreadable
    if total <= 0:
        return lines
    known = Known.of(stats, kinds)
    lines.append(error(headline(total, known)))
    block = list(duplicate_lines(held, 0))
    room = FALLBACK.height - len(lines) - 1
    if room - len(block) < _LEAST:
        block = []
    groups = groups_of(
        summary,
        stats,
        known,
        without=POSSIBLE if block else (),
        nor={each.path for each in stats.first_unreadable},
    )
    rows, shown = attention_table(groups, FALLBACK.width, room - len(block))
    if block:
        shown += sum(summary.counts.get(each, 0) for each in POSSIBLE)
    more = f"and {format_count(total - shown)} more: " if shown and total > shown else ""
    return [*lines, *rows, hint(f"{more}{commands.status}"), *block]


def _ending(summary: Summary, stats: RunStats) -> Iterator[Line]:
    reason = sentence(summary.reason or summary.ending.value)
    if summary.ending in _REFUSED:
        yield error(reason)
        yield from (hint(sentence(each)) for each in summary.hints)
    elif summary.ending in _CUT_SHORT:
        left = max(0, stats.total - stats.done)
        yield warning(f"{reason}; {plural(left, 'recording')} left for the next run")


def _unreadable(stats: RunStats, commands: Commands) -> Iterator[Line]:
    for outcome in stats.first_unreadable[:_UNREADABLE]:
        why = outcome.failure.message if outcome.failure else outcome.status
        yield error(sentence(f"{outcome.path}: {why}"))
    if stats.unreadable > _UNREADABLE:
        yield error(f"{format_count(stats.unreadable - _UNREADABLE)} more like these")
        yield hint(commands.check)


def _source(summary: Summary, commands: Commands) -> Iterator[Line]:
    if summary.found_nothing:
        yield warning(f"{printable(commands.directory)}: {NOTHING_FOUND}")
    if summary.only_waits:
        yield [Span(waiting_line(summary.waiting, summary.waiting_for))]
    if summary.gone:
        yield error(most_gone(summary.gone))
        yield from (hint(sentence(commands.spelled(each))) for each in (MOUNT, ON_PURPOSE))
    if new := [each for each in summary.passed_over if each.new]:
        yield warning(printable(looks_like_audio(new)))
        ways = ways_to_take(new, commands.directory)
        yield from (hint(sentence(commands.spelled(each))) for each in ways)
