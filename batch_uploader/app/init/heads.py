"""Reads the head of a table: the names of its columns."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

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
from batch_uploader.prepare.about.tables.spec import DATABASES, JSON, SHEETS
from batch_uploader.prepare.about.tables.sql import SqlReader
from batch_uploader.prepare.about.tables.xlsx import XlsxReader

_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_MOST_ROWS = 20_000
_MOST_TABLES = 1_000
_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"


def head_of(path: Path, given: str) -> Head:
    """The head of a file; ``given`` is its name as the user wrote it. Blocking.

    Raises ConfigError.
    """
    ending = path.suffix.lower()
    try:
        if ending in DATABASES:
            return _database(Address(f"sqlite:{path}"), given)
        if ending in SHEETS:
            return _with_or_without_header(given, lambda written: XlsxReader(path, written))
        with path.open("rb") as file:
            if ending not in JSON:
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


def _database(address: Address, given: str) -> Head:
    """Each table and view of a database by itself, and the columns of all of them."""
    parts = []
    for (name,) in _rows(SqlReader(address, _TABLES), _MOST_TABLES):
        written = str(name)
        if not _PLAIN.fullmatch(written):
            written = '"{}"'.format(written.replace('"', '""'))
        query = f"SELECT * FROM {written}"  # noqa: S608 - its own table, quoted
        reader = SqlReader(address, query)
        rows = _rows(reader, _MOST_ROWS)
        columns = reader.columns
        named = tuple(dict(zip(columns, row, strict=True)) for row in rows)
        parts.append(Head(given, columns, len(columns), named, query))
    names = tuple(dict.fromkeys(column for part in parts for column in part.columns))
    return Head(given, names, len(names), parts=tuple(parts))


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
