"""What the indexes are for."""

import itertools
import sqlite3
from contextlib import closing

import pytest
from support.ledger_cases import CONNECTION
from support.ledger_file_harness import make

from batch_uploader.core.states import COMPARED, MAYBE_STORED, NEEDS_ATTENTION, Status
from batch_uploader.ledgers.sqlite import queries, schema


async def test_the_indexes_serve_the_questions_about_doubts(path):
    """A million recordings that are up must not be read to find one that is in doubt."""
    await make(path, "a.wav")
    doubtful = frozenset({Status.IN_DOUBT, Status.CONFLICT})
    with closing(sqlite3.connect(path)) as connection:
        for query, values, index in (
            (queries.SELECT_DOUBTS, (CONNECTION,), "recordings_doubted"),
            (*queries.select_rows(None, doubtful), "recordings_doubted"),
            (queries.SELECT_CANARIES, (CONNECTION, "upload_key", 3), "recordings_witnesses"),
        ):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
            steps = [line[3].partition(" recordings USING INDEX ")[2] for line in plan]
            assert [step.split(" ")[0] for step in steps if step] == [index]


NAMES = {
    "sha256": b"A" * 32,
    "metadata": b"m" * 32,
    "connection_id": CONNECTION,
    "path": "a.wav",
    "stem": "a",
    "talk_id": "talk-1",
    "essence": b"pE",
    "default_id": b"D",
    "named_id": b"the fields and the values",
}
TABLES = ("recordings", "superseded")


@pytest.fixture
def searches():
    """The searches of a query's plan, sorted."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in itertools.chain.from_iterable(schema.MIGRATIONS):
            connection.execute(statement)

        def searches(query):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", NAMES).fetchall()
            return sorted(line[3] for line in plan if line[3].startswith(("SEARCH", "SCAN")))

        yield searches


def test_the_index_serves_the_questions_about_content(searches):
    """Of thousands with the same audio none is read but the one with the same metadata."""
    for table in TABLES:
        whole = " AND ".join(["<expr>=?"] * 4)
        search = f"SEARCH {table} USING INDEX {table}_content ({whole})"
        assert searches(queries.SELECT_HOLDER[table]) == [search] * 2
    assert searches(queries.SELECT_OF_TALK) == [
        f"SEARCH {table} USING INDEX {table}_talk (<expr>=?)" for table in TABLES
    ]
    (dropped,) = searches(queries.DROP_DUPLICATES.replace("?", ":path"))
    assert dropped == "SEARCH recordings USING INDEX recordings_duplicates (duplicate_of=?)"
    for query in queries.SELECT_ANYTHING.values():
        assert not [step for step in searches(query) if "SCAN" in step]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("kind", "index", "terms"),
    [
        ("sha256", "content", "<expr>=? AND <expr>=? AND <expr>=?"),
        ("essence", "essence", "<expr>=? AND <expr>=?"),
        ("default_id", "default_id", "<expr>=? AND <expr>=?"),
        ("named_id", "named_id", "<expr>=? AND <expr>=?"),
        ("place", None, "path>? AND path<?"),
        ("stem", None, "path=?"),
    ],
)
def test_each_kind_of_relatives_has_its_index(searches, table, kind, index, terms):
    """Of a million that are held for one ID none is read to find the one that is stored."""
    of_paths = {"recordings": "sqlite_autoindex_recordings_1", "superseded": "superseded_path"}
    name = of_paths[table] if index is None else f"{table}_{index}"
    search = f"SEARCH {table} USING INDEX {name} ({terms})"
    assert searches(queries.SELECT_RELATIVES[table][kind]) == [search]
    assert search in searches(queries.SELECT_ANYTHING[True, True])


def test_what_the_indexes_call_stored_is_what_may_be_stored():
    """Another state needs another index: SQLite uses one only for the very same condition."""
    assert f"({queries.among(MAYBE_STORED)})" == schema.STORED
    assert f"({queries.among(COMPARED)})" == schema.COMPARED
    assert queries.among(NEEDS_ATTENTION) == schema.ATTENTION


def test_what_needs_a_human_is_counted_without_reading_what_is_up(searches):
    """Each run does it at its end."""
    counting, *_ = searches(queries.COUNT_ATTENTION.replace("?", ":connection_id"))
    index = "recordings_attention (connection_id=?)"
    assert counting == f"SEARCH recordings USING INDEX {index}"


def test_possible_duplicates_are_found_without_reading_what_is_up(searches):
    held = queries.SELECT_HELD_IDS.replace("?", ":connection_id")
    assert searches(held) == ["SCAN recordings USING INDEX recordings_possible"]
