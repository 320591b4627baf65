"""Second tables: the value of a key, such as the name of an operator by their extension."""

from collections.abc import Callable, Mapping
from glob import has_magic
from pathlib import Path
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import force_setattr

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.match import WantedRows
from batch_uploader.prepare.about.tables.spec import RowMatch, TableSpec
from batch_uploader.prepare.about.tables.table import Table
from batch_uploader.prepare.about.values import Unfit, Values

_KEY: Final = "key"


class LookupSpec(Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "as"}):
    """A second table: ``key`` and ``value`` are columns, ``source`` is its name in expressions.

    What is read is as in ``TableSpec``. ``content`` is a digest of the file: with another one, what
    was invalid for want of a name is looked at again. Raises ConfigError.
    """

    source: str
    key: str
    value: str
    file: str | None = None
    database: str | None = None
    query: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    sheet: str | None = None
    records: str | None = None
    content: str = ""

    def __post_init__(self) -> None:
        if self.database is not None:
            force_setattr(self, "database", Address(self.database))
        _ = self.table

    @property
    def table(self) -> TableSpec:
        """The same as a table whose rows are found by the key."""
        return TableSpec(
            RowMatch(column=self.key, by=_KEY),
            file=self.file,
            database=self.database,
            query=self.query,
            source=self.source,
            encoding=self.encoding,
            delimiter=self.delimiter,
            header=self.header,
            columns=self.columns,
            sheet=self.sheet,
            records=self.records,
        )


class LookupTable:
    """An open second table."""

    def __init__(self, spec: LookupSpec, folder: Path, origin: Path | None = None) -> None:
        self._spec = spec
        self._table = Table(spec.table, folder, _no_condition, origin)

    def __enter__(self) -> Self:
        """Bring its index up to date. Blocking. Raises ConfigError, OSError."""
        spec = self._spec
        if spec.file is not None and not Path(spec.file).exists() and not has_magic(spec.file):
            raise ConfigError(
                f"{spec.file}, the table for lookup('{spec.source}'), does not exist",
                hint=f"write it, with the columns {spec.key} and {spec.value}; or do without:"
                " batch-uploader init writes such settings",
            )
        self._table.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self._table.__exit__()

    def __call__(self, key: str) -> object:
        """The value of a key, None if there is none. Raises Unfit."""
        found = self._table.about(WantedRows("", {_KEY: key}))
        if found is None:
            return None
        if not isinstance(found, Values):
            raise Unfit(
                f"the lookup {self._spec.source} has several rows of this key",
                "keep the right one",
            )
        value = _column(found.fields, self._spec.value)
        return value if isinstance(value, str | int | float | bool | None) else str(value)


def _column(fields: Mapping[str, object], name: str) -> object:
    if name not in fields:
        raise Unfit(
            f"the lookup has no column {name}", f"its columns are {', '.join(sorted(fields))}"
        )
    return fields[name]


def _no_condition(text: str) -> Callable[[Mapping[str, object]], object]:
    raise ConfigError(f"a lookup has no condition {text!r}")
