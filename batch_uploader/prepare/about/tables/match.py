"""Which rows are a recording's: by a path, a name, an id, or by number and time."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.naming import base_name
from batch_uploader.core.units import parse_duration
from batch_uploader.prepare.about.tables import names
from batch_uploader.prepare.about.tables.index import FoundRow
from batch_uploader.prepare.about.tables.jsonrows import at
from batch_uploader.prepare.about.tables.rows import Row, RowFault, shown
from batch_uploader.prepare.about.tables.spec import RowMatch
from batch_uploader.prepare.about.tables.times import Moment, moment

_LIST: Final = re.compile(r"\[(.*)\]", re.DOTALL)
_SAFE: Final = str.maketrans({**dict.fromkeys('/\\:*?"<>|', "_"), "+": "-"})
"""How IDs are made fit for the name of a file, those in base64 too."""


class WantedRows(Struct, frozen=True):
    """The rows of a recording: its path, and the groups of the pattern of names."""

    path: str
    groups: Mapping[str, str] = {}


class Sought(NamedTuple):
    """What to look up: a key, and the times between which a row is."""

    key: int
    between: tuple[int, int] | None = None


class Matcher(Protocol):
    """How rows and recordings are brought together."""

    def keys_of(
        self, row: Row, columns: tuple[str, ...] | None
    ) -> Sequence[tuple[int, int | None]] | RowFault:
        """What a row is found by; nothing if it is of no recording."""

    def require_columns(self) -> None:
        """Raise ConfigError if no row that was read has one of the columns."""

    def sought(self, wanted: WantedRows) -> Sequence[Sought]:
        """What to look up for a recording."""

    def fitting(self, wanted: WantedRows, rows: Sequence[FoundRow]) -> list[list[FoundRow]]:
        """The rows that are the recording's, apart if they are of different recordings."""

    def near(self, wanted: WantedRows, row: FoundRow) -> Sequence[Sought]:
        """Where other recordings would be found that may take a recording's row as well."""

    def takers(
        self, wanted: WantedRows, row: FoundRow, rows: Sequence[FoundRow], others: Iterable[str]
    ) -> list[str]:
        """The paths of those others that do, or of those with the best right to it.

        ``rows`` are all that may be the recording's.
        """


def matcher(match: RowMatch, zone: ZoneInfo | None) -> Matcher:
    """The matcher that the settings ask for."""
    if match.time is not None:
        return _ByNumber(match, match.time, zone)
    column = match.column or ""
    return _ById(column, match.group) if match.group else _ByPath(column, match.by)


class _Column:
    """Reads one column of rows; of JSON rows, it may be a path."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._path = name.split(".")
        self._columns: tuple[str, ...] | None = None
        self._at = 0
        self._seen = False
        self._names: Sequence[str] = ()

    def of(self, row: Row, columns: tuple[str, ...] | None) -> Iterable[object]:
        """Its values in a row that was just read. Raises ConfigError if there is no such column."""
        values = row.values
        if isinstance(values, Mapping):
            found = list(self.of_fields(values))
            self._seen = self._seen or bool(found)
            self._names = self._names or list(values)
            return found
        if columns is not self._columns:
            self._at = self._index(columns or ())
            self._columns = columns
        return elements(values[self._at])

    def of_fields(self, fields: Mapping[str, object]) -> Iterable[object]:
        """Its values in a row by names."""
        if self.name in fields:
            return elements(fields[self.name])
        return (each for value in at(fields, self._path) for each in elements(value))

    def require(self) -> None:
        """Raise ConfigError if it was in no row by names, and there were some."""
        if self._names and not self._seen:
            raise self._missing(self._names, "; or specify with records where its rows are")

    def _index(self, columns: Sequence[str]) -> int:
        if self.name in columns:
            return columns.index(self.name)
        raise self._missing(columns)

    def _missing(self, columns: Sequence[str], more: str = "") -> ConfigError:
        return ConfigError(
            f"match: it has no column {shown(self.name)}",
            hint=f"its columns are {', '.join(map(shown, columns))}{more}",
        )


def elements(value: object) -> Iterable[object]:
    """The values in a cell: one, or those of a list."""
    # Some systems have several recordings in a column: [id1,id2].
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str) and value[:1] == "[" and (inner := _LIST.fullmatch(value.strip())):
        return [each.strip(" \t\r\n\"'") for each in inner[1].split(",")]
    return (value,)


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, bool | dict | list) else str(value).strip()


class _ByPath:
    """By a path or a name of a file."""

    def __init__(self, column: str, by: str) -> None:
        self._column = _Column(column)
        self._needs_folder = by == "path"

    def keys_of(
        self, row: Row, columns: tuple[str, ...] | None
    ) -> Sequence[tuple[int, int | None]] | RowFault:
        """As ``Matcher`` has it."""
        bases = {names.base(_text(each)) for each in self._column.of(row, columns)}
        return [(names.key(base), None) for base in bases if base]

    def require_columns(self) -> None:
        """As ``Matcher`` has it."""
        self._column.require()

    def sought(self, wanted: WantedRows) -> Sequence[Sought]:
        """As ``Matcher`` has it."""
        return [Sought(names.key(names.base(wanted.path)))]

    def fitting(self, wanted: WantedRows, rows: Sequence[FoundRow]) -> list[list[FoundRow]]:
        """As ``Matcher`` has it."""
        return list(self._best(wanted.path, rows)[1].values())

    def near(self, wanted: WantedRows, row: FoundRow) -> Sequence[Sought]:
        """As ``Matcher`` has it."""
        del row
        return self.sought(wanted)

    def takers(
        self, wanted: WantedRows, row: FoundRow, rows: Sequence[FoundRow], others: Iterable[str]
    ) -> list[str]:
        """As ``Matcher`` has it: a row that names folders is of the recordings in these."""
        best, _ = self._best(wanted.path, rows)
        found: list[str] = []
        for path in others:
            right, _ = self._best(path, [row])
            # It may have a row of its own.
            if right < best or row not in chain(*self._best(path, rows)[1].values()):
                continue
            if right > best:
                best, found = right, []
            found.append(path)
        return found

    def _best(
        self, path: str, rows: Sequence[FoundRow]
    ) -> tuple[tuple[int, bool] | tuple[()], dict[tuple[str, ...], list[FoundRow]]]:
        """The rows that fit a path best, by their own paths; before them, how well they do."""
        mine = names.parts(path)
        ranked: dict[tuple[int, bool], dict[tuple[str, ...], list[FoundRow]]] = {}
        for row in rows:
            for text in {_text(each) for each in self._column.of_fields(row.fields)}:
                theirs = names.parts(text)
                if theirs[-1:] != mine[-1:]:
                    continue
                common = names.in_common(mine, theirs)
                if self._needs_folder and not common and len(mine) > 1 and len(theirs) > 1:
                    continue
                exact = base_name(text) == base_name(path)
                by_path = ranked.setdefault((common, exact), {})
                by_path.setdefault(theirs, []).append(row)
        return (max(ranked), ranked[max(ranked)]) if ranked else ((), {})


class _ById:
    """By a named group of the pattern of names."""

    def __init__(self, column: str, group: str) -> None:
        self._column = _Column(column)
        self._group = group

    def keys_of(
        self, row: Row, columns: tuple[str, ...] | None
    ) -> Sequence[tuple[int, int | None]] | RowFault:
        """As ``Matcher`` has it."""
        ids = {_id(each) for each in self._column.of(row, columns)}
        return [(names.key(each), None) for each in ids if each]

    def require_columns(self) -> None:
        """As ``Matcher`` has it."""
        self._column.require()

    def sought(self, wanted: WantedRows) -> Sequence[Sought]:
        """As ``Matcher`` has it."""
        found = _id(wanted.groups.get(self._group))
        return [Sought(names.key(found))] if found else []

    def fitting(self, wanted: WantedRows, rows: Sequence[FoundRow]) -> list[list[FoundRow]]:
        """As ``Matcher`` has it."""
        text = _text(wanted.groups.get(self._group))
        alike: dict[str, list[FoundRow]] = {}
        for row in rows:
            for each in {_text(value) for value in self._column.of_fields(row.fields)}:
                if _id(each) == _id(text):
                    alike.setdefault(each, []).append(row)
        # Some ids differ by case alone.
        return [alike[text]] if text in alike else list(alike.values())

    def near(self, wanted: WantedRows, row: FoundRow) -> Sequence[Sought]:
        """As ``Matcher`` has it."""
        del row
        return self.sought(wanted)

    def takers(
        self, wanted: WantedRows, row: FoundRow, rows: Sequence[FoundRow], others: Iterable[str]
    ) -> list[str]:
        """As ``Matcher`` has it: a row of a conversation may be of several recordings.

        These have other names; what has the same one in another folder is another call.
        """
        del row, rows
        mine = names.base(wanted.path)
        return [path for path in others if names.base(path) == mine]


def _id(value: object) -> str:
    """An id as it is compared; what a file's name cannot have may be replaced in one of the two."""
    text = _text(value)
    return (text.lower() if text.isascii() else "/".join(names.parts(text))).translate(_SAFE)


class _ByNumber:
    """By a telephone number, and a time within a window."""

    def __init__(self, match: RowMatch, time: str, zone: ZoneInfo | None) -> None:
        self._numbers = [_Column(name) for name in match.number]
        self._time = _Column(time)
        self._match = match
        self._zone = zone
        self._window = parse_duration(match.window)
        self._local: bool | None = None

    def keys_of(
        self, row: Row, columns: tuple[str, ...] | None
    ) -> Sequence[tuple[int, int | None]] | RowFault:
        """As ``Matcher`` has it."""
        numbers = {
            names.number(_text(each))
            for column in self._numbers
            for each in column.of(row, columns)
        } - {""}
        if not numbers:
            return ()
        texts = [each for each in self._time.of(row, columns) if _text(each)]
        if not texts:
            return ()
        time = moment(texts[0], self._match.format, self._zone)
        if time is None:
            message = f"{shown(texts[0])} is not a time that is recognised"
            return RowFault(row.line, "table-time", message, "specify its format", self._time.name)
        self._require_one_kind(time)
        return [(names.key(each), round(time * 1000)) for each in sorted(numbers)]

    def require_columns(self) -> None:
        """As ``Matcher`` has it."""
        for column in (*self._numbers, self._time):
            column.require()

    def sought(self, wanted: WantedRows) -> Sequence[Sought]:
        """As ``Matcher`` has it."""
        match = self._match
        number = names.number(wanted.groups.get(match.name_number, ""))
        time = moment(wanted.groups.get(match.name_time), match.name_format, self._zone)
        if not number or time is None:
            return []
        self._require_one_kind(time)
        return [Sought(names.key(number), self._around(time))]

    def fitting(self, wanted: WantedRows, rows: Sequence[FoundRow]) -> list[list[FoundRow]]:
        """As ``Matcher`` has it: each row is a call of its own."""
        number = names.number(wanted.groups.get(self._match.name_number, ""))
        return [[row] for row in rows if number in self._numbers_of(row)]

    def takers(
        self, wanted: WantedRows, row: FoundRow, rows: Sequence[FoundRow], others: Iterable[str]
    ) -> list[str]:
        """As ``Matcher`` has it: all that are near."""
        del wanted, row, rows
        return list(others)

    def near(self, wanted: WantedRows, row: FoundRow) -> Sequence[Sought]:
        """As ``Matcher`` has it."""
        del wanted
        texts = list(self._time.of_fields(row.fields))
        time = moment(texts[0], self._match.format, self._zone) if texts else None
        if time is None:
            return []
        return [
            Sought(names.key(each), self._around(time))
            for each in sorted(set(self._numbers_of(row)))
        ]

    def _around(self, time: Moment) -> tuple[int, int]:
        at, window = round(time * 1000), round(self._window * 1000)
        return at - window, at + window

    def _numbers_of(self, row: FoundRow) -> Iterator[str]:
        for column in self._numbers:
            for each in column.of_fields(row.fields):
                yield names.number(_text(each))

    def _require_one_kind(self, time: Moment) -> None:
        if self._local is None:
            self._local = time.local
        elif self._local != time.local:
            raise ConfigError(
                "match: of the times in rows and in names, only some have a zone",
                hint="specify timezone, the zone of those that have none",
            )
