"""Which reader a table has, and its index brought up to date with it."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import json

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import printable
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.delimited import DelimitedReader
from batch_uploader.prepare.about.tables.index import FileLook, Index
from batch_uploader.prepare.about.tables.jsonrows import (
    JsonLinesReader,
    JsonListReader,
    is_list,
    list_within,
)
from batch_uploader.prepare.about.tables.lines import SAMPLE
from batch_uploader.prepare.about.tables.match import Matcher
from batch_uploader.prepare.about.tables.refresh import (
    WantedIndex,
    look_of,
    refresh_file,
    refresh_whole,
)
from batch_uploader.prepare.about.tables.rows import Reader
from batch_uploader.prepare.about.tables.spec import JSON, SHEETS, TableSpec
from batch_uploader.prepare.about.tables.sql import SqlReader
from batch_uploader.prepare.about.tables.xlsx import XlsxReader

_NOT_READ: Final = (".xls", ".ods")


def refreshed(spec: TableSpec, where: Path | Address, path: Path, matcher: Matcher) -> Index:
    """The index at ``path`` of a file or a database, up to date. Raises ConfigError, OSError."""
    wanted = WantedIndex(path, _made_of(spec), matcher.keys_of, matcher.require_columns)
    if isinstance(where, Address):
        return refresh_whole(
            wanted, _look_of_database(where), lambda: SqlReader(where, str(spec.query))
        )
    if not where.is_file():
        raise ConfigError(
            f"there is no such file ({printable(str(where))})",
            hint="specify where the table is; in a settings file, a path is relative to that",
        )
    ending = where.suffix.lower()
    if ending in _NOT_READ:
        raise ConfigError(f"{ending} is not read", hint="save it as XLSX or CSV")
    if ending in SHEETS:
        look = look_of(where.stat())
        written = spec.written()
        return refresh_whole(wanted, look, lambda: XlsxReader(where, written, spec.sheet))
    if ending in JSON:
        with where.open("rb") as file:
            records = spec.records or list_within(file, spec.encoding, spec.match.is_in)
            if records is not None or _is_list(spec, file):
                look = look_of(where.stat())
                reader = JsonListReader(file, spec.encoding, records)
                return refresh_whole(wanted, look, lambda: reader)

    def opened(file: BinaryIO, form: Mapping[str, object] | None) -> Reader:
        if ending in JSON:
            return JsonLinesReader(file, spec.encoding, form)
        return DelimitedReader(file, spec.written(), form)

    return refresh_file(wanted, where, opened)


def _is_list(spec: TableSpec, file: BinaryIO) -> bool:
    file.seek(0)
    return is_list(file.read(SAMPLE), spec.encoding)


def _made_of(spec: TableSpec) -> str:
    """A digest of all that decides what is in an index; what chooses among rows does not."""
    database = spec.address and spec.address.shown
    parts = [json.encode(spec.match), spec.written(), spec.sheet, spec.records, spec.timezone]
    return blake2b(json.encode([*parts, database, spec.query]), digest_size=16).hexdigest()


def _look_of_database(database: Address) -> FileLook | None:
    """What shows that an SQLite file is unchanged; servers are always asked."""
    file = database.file
    if file is None or not file.is_file():
        return None
    look = look_of(file.stat())
    log = file.with_name(f"{file.name}-wal")
    if not log.exists():
        return look
    more = look_of(log.stat())
    return FileLook(look.size + more.size, max(look.mtime_ns, more.mtime_ns), look.inode)
