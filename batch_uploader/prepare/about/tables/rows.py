"""What every reader of tables yields: rows, and the faults of those that cannot be used."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from batch_uploader.core.text import printable

_SHOWN: Final = 40


class Row(NamedTuple):
    """A row of a table: the line where it begins, and its values.

    These are in the order of the reader's columns, or named if it has none.
    """

    line: int
    values: Sequence[object] | Mapping[str, object]


class RowFault(NamedTuple):
    """A row that cannot be used, and why; the next ones can. ``column`` is the one at fault."""

    line: int
    kind: str
    message: str
    cure: str
    column: str | None = None


class Place(NamedTuple):
    """Where in a file a reader is: bytes, and the line that they are on."""

    offset: int = 0
    line: int = 1


class Reader(Protocol):
    """A table that can be read once.

    ``columns`` are the names of its values, None if each row has names of its own. ``form`` is how
    it was recognised to be written, for the reader of what is appended to it.
    """

    @property
    def columns(self) -> tuple[str, ...] | None:
        """As above; known when the first row is."""

    @property
    def form(self) -> Mapping[str, object]:
        """As above."""

    @property
    def place(self) -> Place:
        """Behind the row or fault that was yielded last; what cannot go on there is at 0."""

    @property
    def unfinished(self) -> Place | None:
        """Where the last row or fault begins if its line has no end, so that it may be longer."""

    def read(self, begin: Place) -> Iterator[Row | RowFault]:
        """The rows and faults from there on."""


class Whole:
    """What the readers have in common that always begin at the beginning."""

    place = Place()
    unfinished: Place | None = None

    @property
    def form(self) -> Mapping[str, object]:
        """As ``Reader`` has it: nothing is appended."""
        return {}


def unique(header: Sequence[str]) -> tuple[str, ...]:
    """The names of columns: without spaces around, and each one once.

    Columns of one name become ``name_1`` and ``name_2``, so that none of them is used by mistake.
    """
    names = [name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)]
    often = Counter(names)
    taken = {name for name in names if often[name] == 1}
    found = []
    for name in names:
        if often[name] == 1:
            found.append(name)
            continue
        number = 1
        while (numbered := f"{name}_{number}") in taken:
            number += 1
        taken.add(numbered)
        found.append(numbered)
    return tuple(found)


def shown(value: object) -> str:
    """A value for a message: short, and in one line."""
    text = printable(str(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
