"""The emulator's talks, in an SQLite file that persists.

Only a private thread uses the database. Requests that arrive while it is busy share the next
transaction, so that thousands of uploads a second are possible. A commit survives a kill of the
process at any point; it is not synced, so a power cut may lose the last ones.
"""

import asyncio
import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Role, User
from batch_uploader.emulator.rules import Condition
from batch_uploader.host.files import create_private

_T = TypeVar("_T")
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE talk (
    seq INTEGER PRIMARY KEY,
    talk_id TEXT NOT NULL UNIQUE,
    connection_id TEXT NOT NULL,
    fields TEXT NOT NULL,
    users TEXT NOT NULL,
    method TEXT NOT NULL,
    sha256 BLOB,
    size INTEGER NOT NULL,
    duration REAL NOT NULL,
    text TEXT,
    truncated INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    client_request_id TEXT,
    idempotency_key TEXT
) STRICT;
CREATE TABLE field (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    talk INTEGER NOT NULL REFERENCES talk (seq),
    PRIMARY KEY (name, value, talk)
) STRICT, WITHOUT ROWID;
"""
_COLUMNS: Final = (
    "talk_id, connection_id, fields, users, method, sha256, size, duration, text, truncated,"
    " created_at, modified_at, client_request_id, idempotency_key"
)
_MATCHING: Final = (
    "(SELECT talk FROM field WHERE name = ? AND value IN (SELECT value FROM json_each(?)))"
)
_SEARCH_LIMIT: Final = 10_000
_GATHERING: Final = 0.005
_CHECKPOINT_PAGES: Final = 10_000


class Talk(Struct, frozen=True):
    """A stored talk.

    ``sha256`` and ``size`` (bytes) are of the received audio, ``duration`` is in seconds, ``text``
    the messages of a chat as JSON, times are UTC nanoseconds since the epoch. ``truncated`` marks
    the received part of a broken stream.
    """

    talk_id: str
    connection_id: str
    fields: Mapping[str, str]
    users: tuple[User, ...]
    method: str
    sha256: bytes | None = None
    size: int = 0
    duration: float = 0.0
    text: str | None = None
    truncated: bool = False
    created_at_ns: int = 0
    modified_at_ns: int = 0
    client_request_id: str | None = None
    idempotency_key: str | None = None


class Page(Struct, frozen=True):
    """A page of the talks that a Search found; ``count`` is the total number."""

    talk_ids: tuple[str, ...]
    count: int
    next_offset: int | None


class TalkStore:
    """The open store, an async context manager; raises ConfigError if the file is not a store."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="emulator-store")
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open it, or create it with mode 0600."""
        try:
            self._database = await self._in_thread(lambda: _open(self._path))
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Finish the pending requests and close."""
        while self._writer is not None:
            await self._writer
        await self._in_thread(self._database.close)
        self._thread.shutdown()

    async def add(self, talk: Talk) -> None:
        """Store a new talk, created now. It is committed when this returns."""
        await self._do(lambda: self._add(talk))

    async def update(self, talk: Talk) -> bool:
        """Replace the metadata of the talk with this ID; False if the connection lacks it."""
        return await self._do(lambda: self._update(talk))

    async def get(self, talk_ids: Sequence[str], connection_id: str | None) -> list[Talk]:
        """The talks of these IDs that exist, in the given order."""
        return await self._do(lambda: self._get(talk_ids, connection_id))

    async def search(
        self,
        connection_id: str | None,
        conditions: Sequence[Condition],
        created_before_ns: int,
        page: slice,
    ) -> Page:
        """Talks that meet every condition, the oldest first; 10,000 at most over all pages."""
        return await self._do(
            lambda: self._search(connection_id, conditions, created_before_ns, page)
        )

    async def _do(self, work: Callable[[], _T]) -> _T:
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await self._in_thread(lambda: self._commit([work for work, _ in batch]))  # noqa: B023
            except Exception as error:  # noqa: BLE001 - it is passed to the waiting caller
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
            if len(batch) > 1:
                # Under load it is worth waiting for more requests to share the commit.
                await asyncio.sleep(_GATHERING)
        self._writer = None

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _commit(self, batch: list[Callable[[], Any]]) -> list[Any]:
        self._database.execute("BEGIN")
        try:
            results = [work() for work in batch]
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return results

    def _add(self, talk: Talk) -> None:
        now = time.time_ns()
        stored = replace(talk, created_at_ns=now, modified_at_ns=now)
        places = ", ".join("?" * len(_COLUMNS.split(",")))
        sql = f"INSERT INTO talk ({_COLUMNS}) VALUES ({places})"  # noqa: S608 - constants alone
        seq = self._database.execute(sql, _row(stored)).lastrowid
        self._index(seq, talk.fields)

    def _index(self, seq: int | None, fields: Mapping[str, str]) -> None:
        self._database.executemany(
            "INSERT INTO field (name, value, talk) VALUES (?, ?, ?)",
            [(name, value, seq) for name, value in fields.items()],
        )

    def _update(self, talk: Talk) -> bool:
        found = self._database.execute(
            "SELECT seq, fields FROM talk WHERE talk_id = ? AND connection_id = ?",
            (talk.talk_id, talk.connection_id),
        ).fetchone()
        if found is None:
            return False
        seq, before = found
        self._database.execute(
            "UPDATE talk SET fields = ?, users = ?, modified_at = ?, text = coalesce(?, text)"
            " WHERE seq = ?",
            (_text(dict(talk.fields)), _users_text(talk.users), time.time_ns(), talk.text, seq),
        )
        self._database.executemany(
            "DELETE FROM field WHERE name = ? AND value = ? AND talk = ?",
            [(name, value, seq) for name, value in json.loads(before).items()],
        )
        self._index(seq, talk.fields)
        return True

    def _get(self, talk_ids: Sequence[str], connection_id: str | None) -> list[Talk]:
        sql = f"SELECT {_COLUMNS} FROM talk WHERE talk_id = ?"  # noqa: S608 - constants alone
        rows = (self._database.execute(sql, (talk_id,)).fetchone() for talk_id in talk_ids)
        talks = (_talk(row) for row in rows if row is not None)
        return [talk for talk in talks if connection_id in (None, talk.connection_id)]

    def _search(
        self,
        connection_id: str | None,
        conditions: Sequence[Condition],
        created_before_ns: int,
        page: slice,
    ) -> Page:
        where = "created_at <= ?"
        arguments: list[Any] = [created_before_ns]
        if connection_id is not None:
            where += " AND connection_id = ?"
            arguments.append(connection_id)
        for condition in conditions:
            where += " AND seq NOT IN " if condition.inverse else " AND seq IN "
            where += _MATCHING
            arguments += [condition.field, _text(condition.values)]
        (count,) = self._database.execute(
            f"SELECT count(*) FROM talk WHERE {where}",  # noqa: S608 - built of constants above
            arguments,
        ).fetchone()
        end = min(page.stop, _SEARCH_LIMIT)
        rows = self._database.execute(
            f"SELECT talk_id FROM talk WHERE {where} ORDER BY seq LIMIT ? OFFSET ?",  # noqa: S608
            [*arguments, max(0, end - page.start), page.start],
        ).fetchall()
        more = end < min(count, _SEARCH_LIMIT)
        return Page(tuple(talk_id for (talk_id,) in rows), count, end if more else None)


def stored_talks(path: Path) -> list[Talk]:
    """Every talk in a store, the oldest first; also while an emulator is using it."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        sql = f"SELECT {_COLUMNS} FROM talk ORDER BY seq"  # noqa: S608 - constants alone
        return [_talk(row) for row in database.execute(sql)]


def _open(path: Path) -> sqlite3.Connection:
    cure = "specify a file that can be written, or a new one, with --store"
    try:
        # SQLite would make it readable for all users, but it has personal data.
        os.close(create_private(path))
    except OSError as error:
        raise ConfigError(
            f"the store {path} cannot be opened ({error.strerror})", hint=cure
        ) from error
    database = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables == 0:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT")
    except sqlite3.Error as error:
        database.close()
        raise ConfigError(f"the store {path} cannot be used ({error})", hint=cure) from error
    if version not in (0, _VERSION) or (tables and not version):
        database.close()
        raise ConfigError(f"{path} is not a store of this version of the emulator", hint=cure)
    return database


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _users_text(users: Sequence[User]) -> str:
    return _text([[user.id, user.role.value, dict(user.fields)] for user in users])


def _row(talk: Talk) -> tuple[Any, ...]:
    return (
        talk.talk_id,
        talk.connection_id,
        _text(dict(talk.fields)),
        _users_text(talk.users),
        talk.method,
        talk.sha256,
        talk.size,
        talk.duration,
        talk.text,
        int(talk.truncated),
        talk.created_at_ns,
        talk.modified_at_ns,
        talk.client_request_id,
        talk.idempotency_key,
    )


def _talk(row: tuple[Any, ...]) -> Talk:
    talk_id, connection_id, fields, users, method, *rest = row
    sha256, size, duration, text, truncated, *origin = rest
    return Talk(
        talk_id,
        connection_id,
        json.loads(fields),
        tuple(_parse_users(users)),
        method,
        sha256,
        size,
        duration,
        text,
        bool(truncated),
        *origin,
    )


def _parse_users(text: str) -> Iterator[User]:
    for user_id, role, fields in json.loads(text):
        yield User(user_id, Role(role), fields)
