"""Tables that are the answer to a query, of real databases."""

import sqlite3
import sys
from contextlib import closing

import pytest
from support.database_servers import mysql, postgresql
from support.table_harness import Folder, wanted

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.lookups import LookupSpec
from batch_uploader.prepare.about.tables import names
from batch_uploader.prepare.about.tables.spec import RowMatch, TableSpec

QUERY = "SELECT calldate, src, billsec, recordingfile FROM cdr ORDER BY id"
COUNT = 5000


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def ask(folder, database, query=QUERY, **more):
    return folder.table(database=database, query=query, **more)


def fill(connection, kind, mark):
    """The same table in each database."""
    cursor = connection.cursor()
    cursor.execute(
        f"CREATE TABLE cdr (id INTEGER PRIMARY KEY, calldate {kind}, src VARCHAR(80),"
        " billsec DECIMAL(8, 2), recordingfile VARCHAR(255))"
    )
    row = f"INSERT INTO cdr VALUES ({', '.join([mark] * 5)})"  # noqa: S608 - ours
    for start in range(0, COUNT, 500):
        cursor.executemany(row, [call(number) for number in range(start, start + 500)])
    connection.commit()


def call(number, src="Жанна"):
    return (number, "2026-03-27 09:25:17", src, 31.5, f"2026/03/27/{number}.wav")


def check(folder, database, calldate, billsec):
    with ask(folder, database) as table:
        assert (table.rows, table.fault_count) == (COUNT, 0)
        found = table.about(wanted(f"2026/03/27/{COUNT - 1}.mp3"))
        assert found.fields == {
            "calldate": calldate,
            "src": "Жанна",
            "billsec": billsec,
            "recordingfile": f"2026/03/27/{COUNT - 1}.wav",
        }
        return table.generation, found.origin


def check_next_night(folder, database, before):
    """Of row 7 that was changed, and of row 5,000 that is new."""
    with ask(folder, database) as table:
        assert table.rows == COUNT + 1
        assert table.changed_since(before) == {names.key("7"), names.key(str(COUNT))}


def test_sqlite(folder):
    path = folder.path / "cdr.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        fill(connection, "TEXT", "?")
        before, origin = check(folder, "sqlite:cdr.db", "2026-03-27 09:25:17", 31.5)
        assert origin == "cdr.db, line 5000"
        with ask(folder, "sqlite:cdr.db") as table:
            assert not table.changed_since(before)
        connection.execute("UPDATE cdr SET src = 'x' WHERE id = 7")
        connection.execute("INSERT INTO cdr VALUES (?, ?, ?, ?, ?)", call(COUNT))
        connection.commit()
        check_next_night(folder, "sqlite:cdr.db", before)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM cdr",
        "UPDATE cdr SET src = 'x' RETURNING *",
        "SELECT nothing FROM cdr",
        "no SQL",
        "SELECT 1; DELETE FROM cdr",
    ],
)
def test_sqlite_is_only_read(folder, query):
    with closing(sqlite3.connect(folder.path / "cdr.db")) as connection:
        fill(connection, "TEXT", "?")
        with pytest.raises(ConfigError, match=r"cdr\.db"), ask(folder, "sqlite:cdr.db", query):
            pass
        assert connection.execute("SELECT count(*) FROM cdr WHERE src <> 'x'").fetchone() == (
            COUNT,
        )


def test_a_database_that_is_not_there(folder):
    with pytest.raises(ConfigError, match="does not exist"), ask(folder, "sqlite:cdr.db"):
        pass
    assert not (folder.path / "cdr.db").exists()
    with pytest.raises(ConfigError, match="not a database"), ask(folder, "oracle://x:secret@y/z"):
        pass


def test_text_that_is_no_utf8_costs_one_row(folder):
    with closing(sqlite3.connect(folder.path / "cdr.db")) as connection:
        connection.execute("CREATE TABLE cdr (src, recordingfile)")
        connection.execute("INSERT INTO cdr VALUES (CAST(x'ff' AS TEXT), '1.wav'), ('b', '2.wav')")
        connection.commit()
    with ask(folder, "sqlite:cdr.db", "SELECT * FROM cdr") as table:
        assert table.about(wanted("1.wav")) is None
        assert table.about(wanted("2.wav")).fields["src"] == "b"
        [fault] = table.faults()
        assert fault.kind == "table-text"


@pytest.fixture(scope="module")
def postgres():
    with postgresql() as address:
        yield f"{address}/postgres"


@pytest.fixture(scope="module")
def maria():
    with mysql() as address:
        yield address


def test_postgresql(folder, postgres):
    import psycopg

    with psycopg.connect(postgres) as connection:
        fill(connection, "TIMESTAMP", "%s")
        before, origin = check(folder, postgres, "2026-03-27 09:25:17", "31.50")
        assert origin == f"{postgres}, line 5000"
        connection.execute("UPDATE cdr SET src = 'x' WHERE id = 7")
        connection.execute("INSERT INTO cdr VALUES (%s, %s, %s, %s, %s)", call(COUNT))
        connection.commit()
        check_next_night(folder, postgres, before)
        for query in ("DELETE FROM cdr", "WITH x AS (DELETE FROM cdr RETURNING *) SELECT * FROM x"):
            with pytest.raises(ConfigError), ask(folder, postgres, query):
                pass
        kinds = (
            "SELECT '1.wav' AS recordingfile, timestamptz '2026-03-27 09:25:17+00' AS at,"
            " '{\"a\": [1]}'::jsonb AS json, 1.5::numeric AS price, '100%'::text AS text,"
            " '\\x00ff'::bytea AS raw, true AS yes, null AS nothing, interval '90 s' AS took"
        )
        with ask(folder, postgres, kinds) as table:
            fields = dict(table.about(wanted("1.wav")).fields)
        assert str(fields.pop("at")).startswith("2026-03-27 ")
        assert fields == {
            "recordingfile": "1.wav",
            "json": {"a": [1]},
            "price": "1.5",
            "text": "100%",
            "raw": "00ff",
            "yes": True,
            "nothing": None,
            "took": 90.0,
        }


def test_mysql(folder, maria):
    import pymysql

    port = int(maria.rpartition(":")[2])
    with closing(pymysql.connect(host="127.0.0.1", port=port, user="root")) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE calls CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER 'reader'@'%' IDENTIFIED BY 'p/w:rd'")
        cursor.execute("GRANT ALL ON calls.* TO 'reader'@'%'")
        connection.select_db("calls")
        fill(connection, "DATETIME", "%s")
        address = f"mysql://reader:p%2Fw%3Ard@127.0.0.1:{port}/calls"
        before, origin = check(folder, address, "2026-03-27 09:25:17", "31.50")
        assert origin == f"mysql://reader:***@127.0.0.1:{port}/calls, line 5000"
        cursor.execute("UPDATE cdr SET src = 'x' WHERE id = 7")
        cursor.execute("INSERT INTO cdr VALUES (%s, %s, %s, %s, %s)", call(COUNT))
        connection.commit()
        check_next_night(folder, address, before)
        with pytest.raises(ConfigError) as refused, ask(folder, address, "DELETE FROM cdr"):
            pass
        assert "p%2Fw" not in str(refused.value)
        cursor.execute("SELECT count(*) FROM cdr")
        assert cursor.fetchone() == (COUNT + 1,)
        wrong = address.replace("p%2Fw", "guess")
        with pytest.raises(ConfigError) as refused, ask(folder, wrong):
            pass
        assert "guess" not in str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "library", "extra"),
    [("postgresql", "psycopg", "postgresql"), ("mysql", "pymysql", "mysql")],
)
def test_a_library_that_is_missing(folder, monkeypatch, scheme, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError) as missing, ask(folder, f"{scheme}://me:secret@nowhere/db"):
        pass
    assert f"pip install 'batch-uploader[{extra}]'" in str(missing.value)
    assert "secret" not in str(missing.value)


def test_a_server_that_is_not_there(folder):
    pytest.importorskip("psycopg")
    with (
        pytest.raises(ConfigError) as refused,
        ask(folder, "postgresql://me:secret@127.0.0.1:1/db"),
    ):
        pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("password", ["secret", "se:cr@et", "s/e", "p%40ss"])
def test_no_password_is_shown(password):
    address = f"postgresql://me:{password}@host/calls"
    specs = [
        TableSpec(RowMatch("file"), database=address, query="SELECT 1"),
        LookupSpec("operators", "key", "value", database=address, query="SELECT 1"),
    ]
    for spec in specs:
        assert spec.database == address
        assert password not in repr(spec)
        assert "'postgresql://me:***@host/calls'" in repr(spec)
