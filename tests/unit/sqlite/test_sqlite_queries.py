"""What the indexes are for."""

import sqlite3
from contextlib import closing

from support.ledger_cases import CONNECTION
from support.ledger_file_harness import make

from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import queries


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


async def test_the_index_serves_the_questions_about_content(path):
    """Of thousands with the same audio none is read but the one with the same metadata."""
    await make(path, "a.wav")
    names = {"sha256": b"A" * 32, "metadata": b"m" * 32, "connection_id": CONNECTION, "path": "a"}
    names["talk_id"] = "talk-1"
    with closing(sqlite3.connect(path)) as connection:

        def searches(query):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", names).fetchall()
            return sorted(line[3] for line in plan if line[3].startswith(("SEARCH", "SCAN")))

        both = "USING INDEX {}_content (<expr>=? AND <expr>=?)"
        for table, query in queries.SELECT_HOLDER.items():
            assert searches(query) == [f"SEARCH {table} {both.format(table)}"] * 2
        assert searches(queries.SELECT_OF_TALK) == [
            f"SEARCH {table} USING INDEX {table}_talk (<expr>=?)"
            for table in ("recordings", "superseded")
        ]
        (step,) = searches(queries.DROP_DUPLICATES)
        assert "recordings_duplicates (duplicate_of=?)" in step
        names |= {"essence": b"p" + b"e" * 16, "default_id": b"d" * 16, "named_id": b"n" * 24}
        names |= {"stem": "a"}
        for query in queries.SELECT_ANYTHING.values():
            steps = searches(query)
            assert not [step for step in steps if "=?" not in step and "path>?" not in step]
