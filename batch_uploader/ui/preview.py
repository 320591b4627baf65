"""What metadata recordings would get, for people: a few of them whole, and what is wrong."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from batch_uploader.app.init.preview import Preview
from batch_uploader.core.examples import spread
from batch_uploader.core.model import Defect
from batch_uploader.core.text import plural, printable, sentence
from batch_uploader.ui.stream import Line, Span

if TYPE_CHECKING:
    from batch_uploader.prepare.about.describer import Explained

_SHOWN = 5
_MOST_DEFECTS = 3


def preview_lines(found: Preview) -> Iterator[Line]:
    """The lines: first some recordings, then the sums."""
    some = found.explained
    for path, explained in spread(some, _SHOWN):
        yield [Span(printable(path), "bold")]
        yield from explained_lines(explained)
    for fault in found.faults[:_MOST_DEFECTS]:
        yield [Span(printable(fault.path), "bold")]
        yield from _defect(fault)
    looked_at = plural(len(some), "recording")
    yield [Span(f"of {looked_at} that were looked at, {found.whole:,} have all that is required")]
    causes = Counter((defect.kind, defect.field) for _, each in some for defect in each.defects)
    for (kind, field), count in causes.most_common(_MOST_DEFECTS):
        yield [Span(f"  {kind}{f' of {printable(field)}' if field else ''}: {count:,}")]


def explained_lines(explained: "Explained") -> Iterator[Line]:
    """The fields of one recording with their origins, or what is wrong with it."""
    for name, value, origin in explained.fields:
        yield [
            Span(f"  {printable(name)} = {printable(value)}"),
            Span(f"  ({printable(origin)})", "dim"),
        ]
    for defect in explained.defects:
        yield from _defect(defect)


def _defect(defect: Defect) -> Iterator[Line]:
    field = f"{printable(defect.field)}: " if defect.field else ""
    yield [Span(f"  {defect.kind}", "yellow"), Span(f": {field}{printable(defect.message)}")]
    yield [Span(f"    {sentence(defect.cure)}", "dim")]
