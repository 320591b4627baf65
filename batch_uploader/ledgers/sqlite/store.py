"""The records of one connection in a transaction: ``ledgers.store.Store`` on SQLite."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from batch_uploader.core.calls import files_of
from batch_uploader.core.model import Fingerprint, Version
from batch_uploader.core.naming import stem
from batch_uploader.core.parts import from_json
from batch_uploader.core.records import Record
from batch_uploader.core.runs import RunBegin, RunEnd, attention_of
from batch_uploader.core.states import Status
from batch_uploader.ledgers.sqlite import encoding, queries, runs
from batch_uploader.ledgers.store import ClaimContext

_COMPARED = (
    *("connection_id", "path", "sha256", "metadata"),
    *("essence", "default_id", "named_id"),
)
_TICKS_AT_ONCE = 1_000
"""Sequence numbers are reserved in blocks of this size, so that few transactions write the fact."""


class SqliteStore:
    """``Store`` on a connection, for its open transaction and those that follow.

    Caches the claims made through it, so that settling does not read them: nothing else writes
    while the lock is held. After a failed transaction it must not be used.
    """

    def __init__(self, connection: sqlite3.Connection, connection_id: str) -> None:
        self._connection = connection
        self._execute = connection.execute
        self.connection_id = connection_id
        self._claims: dict[str, Record] = {}
        self._facts: dict[str, str | None] = {}
        self._past: bool | None = None
        """Whether there are superseded records; None if that was not needed."""
        self._joined: bool | None = None
        """The same of records that are made of several files."""
        self._sequence = self._set_aside = 0

    def tick(self) -> int:
        """The ledger's next sequence number."""
        if self._sequence == self._set_aside:
            count = self._execute(queries.SELECT_FACT, (queries.SEQUENCE,)).fetchone()
            self._sequence = 0 if count is None else count[0]
            self._set_aside = self._sequence + _TICKS_AT_ONCE
            self._execute(queries.PUT_FACT, (queries.SEQUENCE, self._set_aside))
        self._sequence += 1
        return self._sequence

    def current(self, path: str) -> Record | None:
        """The current record of a path."""
        claim = self._claims.get(path)
        return claim or self._one(queries.SELECT_CURRENT, (path, self.connection_id))

    def claimed(self) -> list[Record]:
        """Every open claim."""
        lines = self._execute(queries.SELECT_CLAIMED, (self.connection_id,))
        return [encoding.decode(values) for values in lines.fetchall()]

    def holder(self, fingerprint: Fingerprint) -> Record | None:
        """The record that holds this content at the service."""
        names: dict[str, object] = {
            "sha256": fingerprint.sha256,
            "metadata": fingerprint.metadata,
            "connection_id": self.connection_id,
        }
        holders = (self._one(query, names) for query in queries.SELECT_HOLDER.values())
        return min(filter(None, holders), key=lambda record: record.path, default=None)

    def talk(self, talk_id: str) -> Record | None:
        """The recording uploaded as this talk."""
        names: dict[str, object] = {
            "talk_id": talk_id,
            "connection_id": self.connection_id,
        }
        return self._one(queries.SELECT_OF_TALK, names)

    def claim_context(self, new: Record) -> ClaimContext:
        """All records that a claim of this recording depends on."""
        names = {field: getattr(new, field) for field in _COMPARED}
        names["stem"] = stem(new.path)
        if self._past is None:
            self._past = self._execute(queries.SELECT_PAST).fetchone() is not None
        if self._joined is None:
            self._joined = self._execute(queries.SELECT_ANY_PARTS).fetchone() is not None
        query = queries.SELECT_ANYTHING[self._past, bool(new.named_id)]
        by_part = self._joined or new.parts is not None
        if not by_part and self._execute(query, names).fetchone() is None:
            return ClaimContext()
        return ClaimContext(
            self.current(new.path),
            self._one(queries.SELECT_SUPERSEDED, names),
            self._relatives("recordings", new, names),
            self._relatives("superseded", new, names),
        )

    def _relatives(self, table: str, new: Record, names: dict[str, Any]) -> list[Record]:
        """The records of a table that are like this one in anything, the latest first."""
        kinds = queries.SELECT_RELATIVES[table]
        asked = [(queries.SELECT_HOLDER[table], names)]
        asked += [(query, names) for kind, query in kinds.items() if names.get(kind, True)]
        for part in files_of(new) if self._joined or new.parts is not None else ():
            of_part = names | {"stem": stem(part.path), "essence": part.essence}
            asked.append((queries.SELECT_MADE_OF[table], of_part))
            if new.parts is not None:
                asked += [(query, of_part) for query in queries.SELECT_PART[table]]
        found = {line[-1]: line for query, of in asked for line in self._execute(query, of)}
        return [encoding.decode(found[each]) for each in sorted(found, reverse=True)]

    def ids_of(self, essence: bytes) -> list[bytes]:
        """A few of the default IDs under which this audio is on record."""
        names = {"essence": essence, "connection_id": self.connection_id}
        return [found for (found,) in self._execute(queries.SELECT_IDS_OF, names)]

    def held_ids(self) -> list[bytes]:
        """The default IDs for which possible duplicates are held."""
        return [held for (held,) in self._execute(queries.SELECT_HELD_IDS, (self.connection_id,))]

    def same_audio(self) -> list[str]:
        """The paths of duplicates by their audio and default ID."""
        lines = self._execute(queries.SELECT_SAME_AUDIO, (self.connection_id,))
        return [path for (path,) in lines.fetchall()]

    def count_ids(self) -> int:
        """How many default IDs are on record."""
        (count,) = self._execute(queries.COUNT_IDS, (self.connection_id,)).fetchone()
        return int(count)

    def with_default_id(self, default_id: bytes) -> list[Record]:
        """Up to 1,000 records with this default ID."""
        names = {"default_id": default_id, "connection_id": self.connection_id}
        return self._all(queries.SELECT_WITH_DEFAULT_ID, names)

    def fact(self, name: str) -> str | None:
        """The fact of that name about the ledger itself."""
        if name not in self._facts:
            line = self._execute(queries.SELECT_FACT, (name,)).fetchone()
            self._facts[name] = None if line is None else line[0]
        return self._facts[name]

    def put(self, record: Record) -> None:
        """Make it the current record of its path."""
        claim = self._claims.pop(record.path, None)
        # If the claim is unexpectedly gone, the whole record is written.
        if claim is None or not self._changed(claim, record):
            folder = record.path.rpartition("/")[0]
            self._execute(queries.PUT, (folder, *encoding.encode(record)))
            for part in from_json(record.parts):
                place = (stem(part.path), part.essence or b"", record.path, self.connection_id)
                self._execute(queries.PUT_PART, place)
                self._joined = True
        if record.status is Status.CLAIMED:
            self._claims[record.path] = record

    def renew(self, path: str, stat: Version) -> None:
        """Update the change times and inodes of a record with files like these."""
        seen = (stat.ctime_ns, stat.inode, stat.sidecar_ctime_ns, stat.sidecar_inode)
        beside = (stat.sidecar, stat.sidecar_size, stat.sidecar_mtime_ns, stat.about)
        self._execute(
            queries.RENEW, (*seen, path, self.connection_id, stat.size, stat.mtime_ns, *beside)
        )

    def supersede(self, path: str) -> None:
        """Turn the current record of a path into history."""
        self._past = True
        self._execute(queries.SUPERSEDE, (path, self.connection_id))
        self.drop(path)

    def restore(self, record: Record) -> None:
        """Make a superseded record current again."""
        self.drop(record.path)
        which = (record.path, self.connection_id, record.sha256)
        self._execute(queries.RESTORE, which)
        self._execute(queries.DROP_RESTORED, which)

    def drop(self, path: str) -> None:
        """Delete the current record of a path."""
        self._claims.pop(path, None)
        self._execute(queries.DROP, (path, self.connection_id))

    def remember(self, name: str, value: str) -> None:
        """Store a fact about the ledger itself."""
        self._facts.pop(name, None)
        self._execute(queries.PUT_FACT, (name, value))

    def begin_run(self, run: RunBegin, owner: int, now: int) -> None:
        """Record that an owner's run begins."""
        runs.begin(self._connection, run, self.connection_id, owner, now)

    def end_run(self, run_id: str, end: RunEnd, now: int) -> None:
        """Record how a run ended, unless that is already on record."""
        lines = self._execute(queries.COUNT_ATTENTION, (self.connection_id,))
        runs.end(self._connection, run_id, end, attention_of(lines), now)

    def lose_runs(self, living: Collection[int]) -> None:
        """Record that open runs of all but the living owners were killed."""
        runs.lose(self._connection, living)

    def drop_duplicates(self, path: str) -> None:
        """Delete the duplicates of the record of a path."""
        self._execute(queries.DROP_DUPLICATES, (path, self.connection_id))

    def _changed(self, claim: Record, record: Record) -> bool:
        update = queries.update(claim, record)
        return self._execute(*update).rowcount == 1

    def _all(self, query: str, values: dict[str, Any]) -> list[Record]:
        return [encoding.decode(values) for values in self._execute(query, values).fetchall()]

    def _one(self, query: str, values: Sequence[object] | dict[str, object]) -> Record | None:
        line = self._execute(query, values).fetchone()
        return None if line is None else encoding.decode(line)
