"""What the settings say of a table."""

from collections.abc import Mapping
from typing import Final, Self
from zoneinfo import ZoneInfo

from msgspec import Struct, ValidationError, convert
from msgspec.structs import force_setattr

from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.units import parse_duration
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.delimited import Written
from batch_uploader.prepare.about.tables.lines import known

DATABASES: Final = frozenset({".db", ".sqlite", ".sqlite3"})
JSON: Final = frozenset({".json", ".jsonl", ".ndjson"})
SHEETS: Final = frozenset({".xlsx", ".xlsm"})
"""Extensions of the files that are read so; any other one is text with delimiters."""

BY_PATH = ("path", "name", "stem")
"""What of a recording's path a column may have; any other word is a group of names."""


class RowMatch(Struct, frozen=True, forbid_unknown_fields=True, rename={"by": "with"}):
    """How the rows of a recording are found: by a column, or by number and time.

    ``column`` (of JSON rows: a path like ``Recordings.Location``) is compared with the recording's
    ``path``, its ``name`` or ``stem`` (both without folders and extension), or with a named group
    of the pattern of names. Or one of the columns ``number`` ends with the same ten digits as the
    group ``name_number``, and the times, of the column ``time`` and of the group ``name_time``, are
    within ``window`` of each other. ``format`` and ``name_format`` are those of ``strptime``.
    """

    column: str | None = None
    by: str = "path"
    number: tuple[str, ...] = ()
    time: str | None = None
    format: str | None = None
    window: str = "5s"
    name_number: str = "client"
    name_time: str = "start"
    name_format: str | None = None

    def __post_init__(self) -> None:
        if (self.column is None) == (self.time is None):
            raise ConfigError(
                "match: specify a column, or a number and a time",
                hint='write match = { column = "recordingfile", with = "name" }',
            )
        if self.time is not None and not self.number:
            raise ConfigError("match: a time alone is not enough", hint="specify number as well")
        parse_duration(self.window)

    def is_in(self, fields: Mapping[str, object]) -> bool:
        """Whether an object has what rows are found by."""
        wanted = [self.column] if self.column is not None else [self.time, *self.number[:1]]
        return all(name in fields or str(name).partition(".")[0] in fields for name in wanted)

    @property
    def group(self) -> str | None:
        """The group of the names that the column is compared with, None if it is a path."""
        return None if self.by in BY_PATH else self.by

    @property
    def groups(self) -> Mapping[str, str]:
        """The groups of the names that rows are found by, each by its setting."""
        if self.time is not None:
            return {"name_number": self.name_number, "name_time": self.name_time}
        return {} if self.group is None else {"with": self.group}


class TableSpec(Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "as"}):
    """A table: a ``file`` (a pattern with ``*`` means several), or a ``query`` of a ``database``.

    ``source`` is its name in expressions. ``choose`` decides among several rows of a recording.
    ``timezone`` is that of times without an offset, also of those in names. Raises ConfigError.
    """

    match: RowMatch
    file: str | None = None
    database: str | None = None
    query: str | None = None
    source: str = "table"
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    sheet: str | None = None
    records: str | None = None
    choose: tuple[str, ...] = ()
    timezone: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.database is None):
            raise ConfigError("a table is either a file or a database", hint="specify one of them")
        if (self.database is None) != (self.query is None):
            raise ConfigError(
                "a database needs a query, and a file has none",
                hint='write query = "SELECT ... FROM ..."',
            )
        if self.encoding is not None:
            known(self.encoding)
        for name in ("delimiter", "quote", "escape"):
            sign = getattr(self, name)
            if sign is not None and len(sign) != 1:
                raise ConfigError(f"{name} is {sign!r}", hint="write one character")
        self.zone()
        if self.database is not None:
            force_setattr(self, "database", Address(self.database))

    @property
    def address(self) -> Address | None:
        """Its database, which shows no password; None if it is a file."""
        return None if self.database is None else Address(self.database)

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> Self:
        """The spec of a part of the settings. Raises ConfigError."""
        try:
            return convert(raw, cls)
        except ValidationError as error:
            raise BadValue(str(error), hint="docs/metadata.md has an example") from error

    def zone(self) -> ZoneInfo | None:
        """Its time zone, None if it has none. Raises ConfigError."""
        return None if self.timezone is None else time_zone(self.timezone)

    def written(self) -> Written:
        """How its file is declared to be written."""
        return Written(
            self.encoding, self.delimiter, self.quote, self.escape, self.header, self.columns
        )
