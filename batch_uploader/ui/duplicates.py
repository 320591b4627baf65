"""Possible duplicates as lines: by cause, each with what it may be, and the commands to decide."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from batch_uploader.app.duplicates import DuplicateExample, DuplicateGroup
from batch_uploader.core.events import DefaultIdsOff
from batch_uploader.core.identity import Cause
from batch_uploader.core.naming import base_name
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.core.text import format_count, plural, printable, quote
from batch_uploader.core.units import format_duration
from batch_uploader.sources.selection import literal
from batch_uploader.ui.explain import ids_off
from batch_uploader.ui.stream import Line, Span, hint, warning
from batch_uploader.ui.text import format_hours

_WHY = {
    Cause.SAME_CALL_ID: "the call ID of another recording, but other audio",
    Cause.MOVED: "the audio of a file that is gone, but other metadata",
    Cause.MOVED_AND_CONVERTED: "like a file that is gone, but in another format",
    Cause.CHANGED_AUDIO: "the path of an earlier file, but other audio",
    Cause.TWO_FORMATS: "two files of one name, with different audio",
    Cause.SAME_DEFAULT_ID: "date, operator_id and client_id of another recording",
    Cause.PART: "a leg or the mix of a call on record, or a call of which one is on record",
    Cause.LEG: "named like one side of the call in another file",
}
_HINTS = {
    Cause.SAME_CALL_ID: "parts of a call need another field to tell them apart: --call-id A,B",
    Cause.CHANGED_AUDIO: "if names are used again: put date, operator_id, client_id into sidecars",
    Cause.SAME_DEFAULT_ID: "if calls share these: name what identifies a call (--call-id)",
}

_TIME = len("2025-01-01 00:00")
_ROUNDED = 10.0
"""Seconds from which on a length is in whole ones."""


class ShownGroup(NamedTuple):
    """A group, and the command that decides about all of it, without the decision."""

    group: DuplicateGroup
    command: str


def duplicate_lines(
    held: Iterable[ShownGroup], examples: int, *, foretold: bool = False
) -> Iterator[Line]:
    """The lines of all groups, with at most this many examples each; a blank one before each.

    If they are ``foretold``, nothing can be decided before an upload has put them on record.
    """
    for group, command in held:
        yield []
        yield from _heading(group)
        if examples:
            yield from _table(group.examples[:examples])
        left = group.recordings - min(examples, len(group.examples))
        if examples and left:
            yield [Span(f"  and {format_count(left)} more", "dim")]
        if foretold:
            yield [Span("  upload holds these, then decide:")]
        yield [Span(f"  the same call: {command} --duplicate")]
        yield [Span(f"  another call:  {command} --resend")]
        if examples and (text := _hint(group)):
            yield [Span(f"  {text}", "dim")]


def _heading(group: DuplicateGroup) -> Iterator[Line]:
    size = plural(group.recordings, "recording")
    if group.duration:  # legs are not opened
        size += f", {format_hours(group.duration)} of audio"
    yield [Span(group.cause, "yellow"), Span(f": {size}")]
    yield [Span(f"  {_WHY.get(group.cause, '')}")]


def _hint(group: DuplicateGroup) -> str | None:
    """How to have no more of these."""
    if group.cause is Cause.CHANGED_AUDIO and group.examples[0].held.default_id is not None:
        return None  # the sidecar tells calls apart: this one has the values of the other one
    if group.cause is not Cause.TWO_FORMATS:
        return _HINTS.get(group.cause)
    ending = base_name(group.examples[0].held.path).rpartition(".")[2]
    return f"to leave out one format: --exclude {quote(f'*.{literal(ending)}')}"


def _table(examples: Iterable[DuplicateExample]) -> Iterator[Line]:
    """Each file with its length and time above those of the other one, for comparison."""
    rows = [row for example in examples for row in _rows(example)]
    label = max(len(row.label) for row in rows)
    length = max(len(row.length) for row in rows)
    head = _Row("", "length", "modified", "path")
    length = max(length, len(head.length))
    for row in (head, *rows):
        text = f"  {row.label:{label}}  {row.length:>{length}}  {row.modified:{_TIME}}  {row.path}"
        yield [Span(text, "dim" if row is head else "")]
        if row.note:
            yield [Span(f"  {'':{label}}  {row.note}", "dim")]


class _Row(NamedTuple):
    label: str
    length: str
    modified: str
    path: str
    note: str = ""


def _rows(example: DuplicateExample) -> Iterator[_Row]:
    held, other = example.held, example.other
    yield _row(held, "held")
    if other is None:
        path = printable(held.duplicate_of or "unknown")
        # The mix of a side may still be waiting.
        since = "not on record yet" if held.cause is Cause.LEG else "no longer on record"
        yield _Row("other", "", "", path, f"it is {since}")
        return
    # A check foretells what is uploaded, but no talk.
    foretold = other.status is Status.UPLOADED and not other.talk_id
    row = _row(other, "to upload" if foretold else other.status.label)
    if other.talk_id:
        at = _moment(other.settled_at_ns)
        row = row._replace(note=f"{f'{at} ' if at else ''}as talk {printable(other.talk_id)}")
    yield row


def _row(record: Record, label: str) -> _Row:
    length = "" if record.duration is None else _length(record.duration)
    return _Row(label, length, _moment(record.stat.mtime_ns), printable(record.path))


def _length(seconds: float) -> str:
    return format_duration(round(seconds) if seconds >= _ROUNDED else seconds)


def _moment(nanoseconds: int | None) -> str:
    """Local time, as a file manager shows it; empty if it is not known."""
    if nanoseconds is None or nanoseconds <= 0:
        return ""
    try:
        moment = datetime.fromtimestamp(nanoseconds / 1e9, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%d %H:%M}"


def ids_off_lines(off: DefaultIdsOff) -> Iterator[Line]:
    """Why recordings with the same date, operator and client count as different calls."""
    yield warning(ids_off(off))
    yield hint("name what identifies a call: --call-id FIELD[,FIELD]")
