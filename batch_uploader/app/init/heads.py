"""Reads the head of a table: the names of its columns."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from batch_uploader.app.init.recognition import Head
from batch_uploader.core.errors import ConfigError
from batch_uploader.layouts import Layout
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.delimited import DelimitedReader, Written
from batch_uploader.prepare.about.tables.jsonrows import (
    JsonLinesReader,
    JsonListReader,
    is_list,
    list_within,
)
from batch_uploader.prepare.about.tables.lines import SAMPLE
from batch_uploader.prepare.about.tables.rows import Place, Reader, Row
from batch_uploader.prepare.about.tables.sql import SqlReader
from batch_uploader.prepare.about.tables.xlsx import XlsxReader

DATABASES: Final = frozenset({".db", ".sqlite", ".sqlite3"})
TABLES: Final = DATABASES | {".csv", ".tsv", ".jsonl", ".ndjson", ".xlsx", ".xlsm"}
"""The extensions of files that are tables by their name."""

_JSON = frozenset({".json", ".jsonl", ".ndjson"})
_SHEETS = frozenset({".xlsx", ".xlsm"})
_MOST_ROWS = 20_000
_MOST_COLUMNS = 10_000
_COLUMNS = """
    SELECT DISTINCT column.name AS name
    FROM sqlite_master AS made JOIN pragma_table_info(made.name) AS column
    WHERE made.type IN ('table', 'view')
"""


def head_of(path: Path, given: str) -> Head:
    """The head of a file; ``given`` is its name as the user wrote it. Blocking.

    Raises ConfigError.
    """
    ending = path.suffix.lower()
    try:
        if ending in DATABASES:
            found = _rows(SqlReader(Address(f"sqlite:{path}"), _COLUMNS), _MOST_COLUMNS)
            names = tuple(str(row[0]) for row in found if not isinstance(row, Mapping))
            return Head(given, names, len(names))
        if ending in _SHEETS:
            return _with_or_without_header(given, lambda written: XlsxReader(path, written))
        with path.open("rb") as file:
            if ending not in _JSON:
                return _with_or_without_header(
                    given, lambda written: DelimitedReader(file, written)
                )
            reader = _json(file, path)
            fields = [row for row in _rows(reader, _MOST_ROWS) if isinstance(row, Mapping)]
        named = tuple(dict.fromkeys(name for each in fields for name in each))
        return Head(given, named, len(named), tuple(fields))
    except OSError as error:
        raise ConfigError(
            f"{given} cannot be read ({error.strerror})", hint="check its name and mode"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{given}: {error.problem}", hint=error.hints) from error


def _json(file: BinaryIO, path: Path) -> JsonListReader | JsonLinesReader:
    # A .json that is one object is an answer with rows in it, not a row.
    records = list_within(file, None) if path.suffix.lower() == ".json" else None
    file.seek(0)
    if records is not None or is_list(file.read(SAMPLE), None):
        return JsonListReader(file, None, records)
    return JsonLinesReader(file, None)


def near(directory: Path, layouts: Sequence[Layout]) -> list[str]:
    """The tables of layouts that lie in a directory or beside it, under their usual names."""
    names = {
        str(each.get("file") or str(each.get("database", "")).removeprefix("sqlite:"))
        for layout in layouts
        for kind in ("table", "lookup")
        for each in layout.settings.get("metadata", {}).get(kind, ())
    }
    folders = (directory, directory.absolute().parent, Path())
    found = {
        os.path.realpath(path): path
        for folder in folders
        for name in sorted(names - {""})
        for path in sorted(folder.glob(name))
        if path.is_file()
    }
    return [os.fspath(path) for path in found.values()]


def _with_or_without_header(given: str, opened: Callable[[Written], Reader]) -> Head:
    try:
        reader = opened(Written())
    except ConfigError:
        # Read as if it had one, to know how many there are.
        columns = opened(Written(header=True)).columns or ()
        return Head(given, (), len(columns))
    columns = reader.columns or ()
    rows = [
        dict(zip(columns, row, strict=False))
        for row in _rows(reader, _MOST_ROWS)
        if not isinstance(row, Mapping)
    ]
    return Head(given, columns, len(columns), tuple(rows))


def _rows(reader: Reader, most: int) -> list[Sequence[object] | Mapping[str, object]]:
    """The values of the first rows."""
    found = (each.values for each in reader.read(Place()) if isinstance(each, Row))
    return list(islice(found, most))
