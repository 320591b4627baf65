"""Legs that a table names: two columns of a row, or one with a list of two."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.naming import base_name, stem
from batch_uploader.prepare.about.tables import names
from batch_uploader.prepare.about.tables.choose import Condition
from batch_uploader.prepare.about.tables.match import WantedRows, elements
from batch_uploader.prepare.about.tables.spec import RowMatch, TableSpec
from batch_uploader.prepare.about.tables.table import Table
from batch_uploader.prepare.about.values import Values
from batch_uploader.prepare.legs.pattern import LegPlace
from batch_uploader.prepare.legs.rules import LegRules

_LEGS: Final = 2


class TableLegs:
    """The legs that the columns of a table name. Blocking; threads may ask at the same time."""

    def __init__(self, spec: TableSpec, columns: Sequence[str]) -> None:
        self._columns = columns
        self._specs = [replace(spec, match=RowMatch(column, "stem")) for column in columns]
        self._tables: list[Table] = []

    @classmethod
    def of(cls, tables: Sequence[TableSpec], rules: LegRules) -> "TableLegs":
        """Those of the table that the rules name, or of the only one. Raises ConfigError."""
        named = [each for each in tables if rules.table in {None, each.source}]
        if len(named) != 1:
            known = ", ".join(each.source for each in tables) or "none"
            raise ConfigError(
                "legs: it is not clear which table has the columns of files",
                hint=f'write table = "..." into [legs]; the tables are {known}',
            )
        return cls(named[0], rules.files)

    @contextmanager
    def opened(
        self, folder: Path, origin: Path | None, compiled: Callable[[str], Condition]
    ) -> Iterator[None]:
        """Bring its indexes up to date, each in a folder of its own. Raises ConfigError."""
        with ExitStack() as stack:
            for number, spec in enumerate(self._specs):
                own = f"legs-{number}"
                before = None if origin is None else origin / own
                table = Table(spec, folder / own, compiled, before)
                self._tables.append(stack.enter_context(table))
            try:
                yield
            finally:
                self._tables.clear()

    def place(self, path: str, is_audio: Callable[[str], bool]) -> LegPlace | None:
        """Of which call a file is a leg; None if no row, or no clear one, says so."""
        for table in self._tables:
            found = table.about(WantedRows(path))
            if isinstance(found, Values):
                return self._place(path, found.fields, is_audio)
        return None

    def _place(
        self, path: str, row: Mapping[str, object], is_audio: Callable[[str], bool]
    ) -> LegPlace | None:
        told = [text for column in self._columns for text in _texts(row.get(column))]
        if len(told) != _LEGS or names.base(told[0]) == names.base(told[1]):
            return None
        mine = names.base(path)
        side = next((side for side, each in enumerate(told) if names.base(each) == mine), None)
        if side is None:
            return None
        folder = path[: len(path) - len(base_name(path))]
        extension = path[len(stem(path)) :]
        legs = [
            base_name(each) if is_audio(each) else f"{base_name(each)}{extension}" for each in told
        ]
        call = f"{folder}{stem(legs[0])}+{legs[1]}"
        return LegPlace(side, call, f"{folder}{legs[1 - side]}")


def _texts(value: object) -> Iterator[str]:
    for each in elements(value):
        text = "" if each is None else str(each).strip()
        if text:
            yield text
