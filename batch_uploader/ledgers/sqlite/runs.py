"""The table of runs, and how a run is stored in it and read."""

import json
import sqlite3
from collections.abc import Collection
from typing import Any, Final

from batch_uploader.core.runs import KILLED, Attention, Run, RunBegin, RunEnd

CREATE: Final = """CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    owner INTEGER NOT NULL,
    connection_id TEXT NOT NULL,
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    settings TEXT NOT NULL,
    began_at_ns INTEGER NOT NULL,
    ended_at_ns INTEGER,
    ending TEXT,
    reason TEXT,
    exit_code INTEGER,
    counts TEXT,
    uploaded_bytes INTEGER,
    uploaded_duration REAL
)"""
SINCE_9: Final = ("left_over INTEGER", "attention TEXT")
_KEPT: Final = 10_000
"""Older runs are deleted: a run a minute would fill the disk in the end."""
_SELECT_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'runs'"
_SELECT: Final = (
    "SELECT connection_id, run_id, version, host, pid, settings, began_at_ns, ended_at_ns, ending,"
    " reason, exit_code, counts, uploaded_bytes, uploaded_duration, left_over, attention FROM runs"
    " WHERE coalesce(connection_id = ?, TRUE) ORDER BY id DESC LIMIT ?"
)
_BEFORE_COUNTS: Final = 11
_INSERT: Final = (
    "INSERT INTO runs (owner, connection_id, run_id, version, host, pid, settings, began_at_ns)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FORGET: Final = "DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?"
_UPDATE: Final = (
    "UPDATE runs SET ended_at_ns = ?, ending = ?, reason = ?, exit_code = ?, counts = ?,"
    " uploaded_bytes = ?, uploaded_duration = ?, left_over = ?, attention = ?"
    " WHERE run_id = ? AND ending IS NULL"
)
_LOSE: Final = (
    "UPDATE runs SET ending = ? WHERE ending IS NULL"
    " AND owner NOT IN (SELECT value FROM json_each(?))"
)


def begin(
    connection: sqlite3.Connection, run: RunBegin, connection_id: str, owner: int, now: int
) -> None:
    """Record that a run begins."""
    known = (run.run_id, run.version, run.host, run.pid, run.settings)
    connection.execute(_INSERT, (owner, connection_id, *known, now))
    connection.execute(_FORGET, (_KEPT,))


def end(
    connection: sqlite3.Connection, run_id: str, run: RunEnd, attention: Attention, now: int
) -> None:
    """Record how a run ended, with what needs a human then."""
    told = (run.ending, run.reason, run.exit_code, json.dumps(dict(run.counts)))
    size = (run.uploaded_bytes, run.uploaded_duration, run.left_over)
    connection.execute(_UPDATE, (now, *told, *size, json.dumps(attention), run_id))


def lose(connection: sqlite3.Connection, living: Collection[int]) -> None:
    """Record that open runs of all but the living owners were killed."""
    connection.execute(_LOSE, (KILLED, json.dumps(list(living))))


def latest(connection: sqlite3.Connection, connection_id: str | None, limit: int) -> list[Run]:
    """The latest runs (of one connection), the latest first; an older ledger has none."""
    if connection.execute(_SELECT_TABLE).fetchone() is None:
        return []
    return [_decode(line) for line in connection.execute(_SELECT, (connection_id, limit))]


def _decode(line: Any) -> Run:
    connection_id, *begun, began, ended, ending, reason, code = line[:_BEFORE_COUNTS]
    counts, size, duration, left, attention = line[_BEFORE_COUNTS:]
    told = None
    if ending is not None:
        counted = json.loads(counts or "{}")
        wrong = None if attention is None else json.loads(attention)
        told = RunEnd(ending, reason, code, counted, size or 0, duration or 0.0, left or 0, wrong)
    return Run(connection_id, RunBegin(*begun), began, told, ended)
