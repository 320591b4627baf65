"""Tables that are the answer to a query: SQLite, PostgreSQL, MySQL; read only, and streamed."""

import datetime as dt
import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import sentence
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.rows import Place, Row, RowFault, Whole, unique

_AT_A_TIME: Final = 1000
_CONNECT_SECONDS: Final = 30


class SqlReader(Whole):
    """The answer to a query. It is not kept open: each reading asks once more."""

    def __init__(self, database: Address, query: str) -> None:
        self._database = database
        self._query = query
        self.columns: tuple[str, ...] = ()

    def read(self, begin: Place) -> Iterator[Row | RowFault]:
        """As ``Reader`` has it; always from the beginning. Raises ConfigError."""
        del begin
        with _asked(self._database, self._query) as cursor:
            self.columns = unique([str(column[0]) for column in cursor.description or ()])
            if not self.columns:
                raise ConfigError("its query has no columns", hint="write it as SELECT ... FROM")
            number = 0
            while rows := cursor.fetchmany(_AT_A_TIME):
                for values in rows:
                    number += 1
                    yield Row(number, [_value(each) for each in values])


@contextmanager
def _asked(database: Address, query: str) -> Generator[Any]:
    if path := database.file:
        with _asked_sqlite(path, query) as cursor:
            yield cursor
        return
    address = urlsplit(database)
    ask = {
        "postgresql": _asked_postgresql,
        "postgres": _asked_postgresql,
        "mysql": _asked_mysql,
        "mariadb": _asked_mysql,
    }.get(address.scheme)
    if ask is None:
        raise ConfigError(
            f"{database.shown} is not a database that can be read",
            hint="write it as sqlite:cdr.db, postgresql://user@host/name or mysql://user@host/name",
        )
    with ask(address, query) as cursor:
        yield cursor


@contextmanager
def _asked_sqlite(path: Path, query: str) -> Generator[Any]:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", hint="specify the file of the database")
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.text_factory = _text
            connection.execute("PRAGMA query_only = ON")
            yield connection.execute(query)
    except sqlite3.Error as error:
        raise _refused(str(path), error) from None


@contextmanager
def _asked_postgresql(address: SplitResult, query: str) -> Generator[Any]:
    try:
        import psycopg
    except ImportError:
        raise _needed("psycopg", "postgresql") from None
    try:
        with psycopg.connect(
            address.geturl(),
            connect_timeout=_CONNECT_SECONDS,
            application_name="batch-uploader",
            client_encoding="utf8",
        ) as connection:
            connection.read_only = True
            with connection.cursor(name="batch_uploader") as cursor:
                cursor.itersize = _AT_A_TIME
                # Bytes: what is in the settings is not a literal of the program.
                cursor.execute(query.encode())
                yield cursor
    except psycopg.Error as error:
        raise _refused(Address(address.geturl()).shown, error) from None


@contextmanager
def _asked_mysql(address: SplitResult, query: str) -> Generator[Any]:
    try:
        import pymysql
        from pymysql.cursors import SSCursor
    except ImportError:
        raise _needed("PyMySQL", "mysql") from None
    options = dict(parse_qsl(address.query))
    defaults = Path("~/.my.cnf").expanduser()
    try:
        with closing(
            pymysql.connect(
                host=unquote(address.hostname) if address.hostname else None,
                port=address.port or 0,
                user=unquote(address.username) if address.username else None,
                password=unquote(address.password or "") or os.environ.get("MYSQL_PWD", ""),
                database=unquote(address.path.lstrip("/")) or None,
                unix_socket=options.get("unix_socket"),
                charset="utf8mb4",
                cursorclass=SSCursor,
                connect_timeout=_CONNECT_SECONDS,
                program_name="batch-uploader",
                read_default_file=str(defaults) if defaults.is_file() else None,
            )
        ) as connection:
            with connection.cursor() as begin:
                begin.execute("START TRANSACTION READ ONLY")
            cursor = connection.cursor()
            cursor.execute(query)
            yield cursor
            cursor.close()
    except (pymysql.Error, OSError) as error:
        raise _refused(Address(address.geturl()).shown, error) from None


def _needed(library: str, extra: str) -> ConfigError:
    return ConfigError(
        f"to read this database, {library} is needed",
        hint=f"install it: pip install 'batch-uploader[{extra}]'",
    )


def _refused(where: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{where}: {sentence(str(error))}", hint="check the database, its password and the query"
    )


def _text(raw: bytes) -> str:
    # SQLite does not check what it is given; what is no UTF-8 is a fault of its row, later.
    return raw.decode("utf-8", "surrogateescape")


def _value(value: object) -> object:
    """A value as JSON has it; times as text, with an offset if they have one."""
    match value:
        case None | str() | bool() | int() | float() | dict() | list():
            return value
        case dt.datetime():
            return value.isoformat(" ")
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return _of_bytes(bytes(value))
    return str(value)  # Decimal, UUID and the like


def _of_bytes(raw: bytes) -> str:
    # VARBINARY columns often hold text.
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.hex()
