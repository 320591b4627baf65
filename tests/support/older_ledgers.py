"""Ledgers of every older version of the schema, each written by the code of its time."""

import sqlite3
from contextlib import closing
from itertools import chain
from pathlib import Path

from batch_uploader.ledgers.sqlite import schema

RELEASED = 6
"""The version of the schema in 0.1.0."""
VERSIONS = range(1, len(schema.MIGRATIONS))
STATES = {
    "up.wav": "uploaded",
    "d/ü.wav": "uploaded",
    "replaced.wav": "uploaded",
    "rejected.wav": "rejected",
    "failed.wav": "failed",
    "in_doubt.wav": "in_doubt",
    "conflict.wav": "conflict",
    "invalid.wav": "invalid",
    "d/duplicate.wav": "duplicate",
    "given_up.wav": "given_up",
    "d/claimed.wav": "claimed",
}
"""What stands at each path of its first connection, ``ledger_cases.CONNECTION``."""
ANOTHER = "connection-2"
"""The other connection of each, with a talk of up.wav."""


def put_ledger(version, path):
    """Put the ledger of a version there, as it lies when no run uses it."""
    path.parent.mkdir(exist_ok=True)
    text = Path(__file__).parents[1] / "ledgers" / f"version_{version}.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text.read_text("utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o600)
    path.parent.chmod(0o700)


def columns_of(path):
    """All that stands in the tables of a ledger, by table and column."""
    told = {}
    with closing(sqlite3.connect(path)) as connection:
        for table in ("recordings", "superseded", "facts"):
            names = [line[1] for line in connection.execute(f"PRAGMA table_info({table})")]
            for name in names:
                query = f"SELECT {name} FROM {table} ORDER BY {names[0]}"  # noqa: S608 - our own
                told[table, name] = connection.execute(query).fetchall()
    return told


def bring_back_to(version, path):
    """Make a ledger one of an older version, as if only code of its time had written it."""
    older = path.with_name("older.db")
    with closing(sqlite3.connect(older)) as connection, connection:
        for statement in chain(*schema.MIGRATIONS[:version]):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
        connection.execute("ATTACH ? AS newer", (str(path),))
        tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            told = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
            names = ", ".join(column[1] for column in told)
            connection.execute(
                f"INSERT OR REPLACE INTO main.{table} SELECT {names} FROM newer.{table}"  # noqa: S608 - our own
            )
    with closing(sqlite3.connect(older)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    older.chmod(0o600)
    older.replace(path)
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
