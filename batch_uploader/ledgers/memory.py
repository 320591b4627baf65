"""A ledger in memory, for tests and experiments."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Self, TypeAlias

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from batch_uploader.core import states
from batch_uploader.core.calls import files_of, sounds_like
from batch_uploader.core.changes import Answer, Change
from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Entry, Fingerprint, Timestamp, Version
from batch_uploader.core.naming import stem
from batch_uploader.core.records import Canary, Likeness, Record
from batch_uploader.core.runs import KILLED, Attention, Run, RunBegin, RunEnd, attention_of
from batch_uploader.core.states import Status
from batch_uploader.host.clock import boot_time
from batch_uploader.ledgers import rules
from batch_uploader.ledgers.store import RELATIVES, ClaimContext, taken_back


class MemoryLedger:
    """``ports.Ledger`` in memory; it keeps its records when left, so that runs may follow.

    ``clock`` gives UTC nanoseconds since the epoch, ``boot`` is ``clock.boot_time``. Each call lets
    other tasks run first, as a call that waits for a disk does.
    """

    def __init__(
        self,
        connection_id: str,
        *,
        clock: Callable[[], int] = time.time_ns,
        boot: Callable[[], tuple[str, int] | None] = boot_time,
    ) -> None:
        self._connection_id = connection_id
        self._clock = clock
        self._boot = boot
        self._records = _MemoryStore(connection_id)
        self._opened: _MemoryStore | None = None
        self._owner = 0

    @property
    def connection_id(self) -> str:
        """The connection of this ledger."""
        return self._connection_id

    async def __aenter__(self) -> Self:
        """Take the lock. Raises LedgerLocked if it is entered already."""
        if self._opened is not None:
            raise LedgerLocked("another run is using this ledger: wait for its end")
        self._opened = self._records
        self._owner = self._records.tick()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Release the lock."""
        self._opened = None

    async def check(self) -> None:
        """Does nothing: it cannot be taken away."""
        await checkpoint()

    async def recover(self, *, ours: bool = False) -> int:
        """Turn the claims of owners that are gone into doubts. Returns how many there were."""
        await checkpoint()
        return rules.recover(self._store, self._now(), (self._owner,), ours=ours)

    async def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """Apply these changes in order."""
        now = self._now()
        await checkpoint()
        return rules.answers(self._store, changes, now, self._owner)

    async def fact(self, name: str) -> str | None:
        """The fact of that name about the ledger itself."""
        await checkpoint()
        return self._store.facts.get(name)

    async def unheard(self, rows: Sequence[Record]) -> list[Record]:
        """Those of these lines that the ledger lacks."""
        await checkpoint()
        past = [*self._store.history, *self._store.records()]
        talks = {each.talk_id for each in past if each.talk_id is not None}
        return [row for row in rows if not self._heard_of(row, talks, past)]

    def _heard_of(self, row: Record, talks: set[str], past: Sequence[Record]) -> bool:
        if row.status not in states.MAYBE_STORED:
            return True
        if row.talk_id is not None:
            return row.talk_id in talks or taken_back(row.talk_id) in self._store.facts
        return any(
            each.path == row.path
            and row.connection_id == self._connection_id
            and each.status in states.STANDING
            and (each.sha256 == row.sha256 or None in {each.sha256, row.sha256})
            for each in past
        )

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder (not of those below), by path."""
        await checkpoint()
        return dict(self._store.folders[folder])

    async def unchanged(
        self,
        folder: str,
        entries: Sequence[Entry],
        by: Likeness = Likeness.INODE,
        left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """The number of recordings in a folder if a run can skip them all, else 0."""
        await checkpoint()
        recordings = self._store.folders[folder].values()
        files = Counter(file[:by] for record in recordings for file in _files(folder, record))
        same = files == Counter(entry[:by] for entry in entries)
        at_rest = all(
            record.status in states.AT_REST
            or (
                record.status is Status.LEFT_OUT
                and any(first <= (record.policy or b"") <= last for first, last in left_out)
            )
            for record in recordings
        )
        return len(recordings) if same and at_rest else 0

    async def left_out(self, folder: str) -> dict[str, int]:
        """How many recordings of a folder are left out, by filter."""
        await checkpoint()
        recordings = self._store.folders[folder].values()
        left = [each.failure for each in recordings if each.status is Status.LEFT_OUT]
        return Counter(each.code for each in left if each is not None)

    async def count(self) -> int:
        """The number of paths that are on record, without those that wait."""
        await checkpoint()
        return sum(record.status not in states.WAITS for record in self._store.records())

    async def doubts(self) -> list[Record]:
        """Every recording in doubt, sorted by path."""
        await checkpoint()
        doubtful = [each for each in self._store.records() if each.status is Status.IN_DOUBT]
        return sorted(doubtful, key=lambda record: record.path)

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs, the latest first."""
        await checkpoint()
        latest = [*self._store.runs.values()][::-1][:limit]
        return [replace(run, connection_id=self._connection_id) for _, run in latest]

    async def lacks_ids(self) -> bool:
        """Whether recordings that the service may hold are on record without IDs."""
        await checkpoint()
        stored = (row for row in self._store.records() if row.status in states.MAYBE_STORED)
        return any(row.default_id is None for row in stored)

    async def canaries(self, stamp_field: str, limit: int) -> list[Canary]:
        """The latest claims with that stamp that the service answered with a talk, latest first."""
        await checkpoint()
        return self._store.canaries(stamp_field, limit)

    async def get(self, paths: Iterable[str]) -> dict[str, Record]:
        """What is recorded of these paths, as far as anything is."""
        await checkpoint()
        found = map(self._store.current, paths)
        return {record.path: record for record in found if record is not None}

    async def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record, None]:
        """Every record (in these states), sorted by path, as of the moment of the first."""
        store = self._store
        for record in sorted([*store.history, *store.records()], key=lambda each: each.path):
            if statuses is None or record.status in statuses:
                yield record

    def everything(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record, None]:
        """The same: it has only one connection."""
        return self.rows(statuses)

    def _now(self) -> Timestamp:
        return Timestamp(self._clock(), *(self._boot() or ()))

    @property
    def _store(self) -> "_MemoryStore":
        if self._opened is None:
            raise LedgerError("the ledger is not open", hint="enter it first")
        return self._opened


class _MemoryStore:
    """``store.Store``: the current records by folder and path, and the superseded by age."""

    def __init__(self, connection_id: str) -> None:
        self.connection_id = connection_id
        self.sequence = 0
        self.folders: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        self.history: list[Record] = []
        self.facts: dict[str, str] = {}
        self.runs: dict[str, tuple[int, Run]] = {}
        """By ID, the oldest first; each with its owner."""
        self._by_mark: defaultdict[_Mark, list[Record]] = defaultdict(list)
        """The records of an audio, an ID or a place, in the order in which they were put."""
        self._by_talk: dict[str | None, Record] = {}

    def records(self) -> Iterator[Record]:
        """The current records, unsorted."""
        for folder in self.folders.values():
            yield from folder.values()

    def canaries(self, stamp_field: str, limit: int) -> list[Canary]:
        found = [
            Canary(record.key, record.talk_id, record.claimed_seq)
            for record in self.records()
            if record.answered_seq is not None
            and record.stamp_field == stamp_field
            and (record.key and record.talk_id and record.claimed_seq)
        ]
        return sorted(found, key=lambda canary: -canary.seq)[:limit]

    def tick(self) -> int:
        self.sequence += 1
        return self.sequence

    def current(self, path: str) -> Record | None:
        return self.folders[_folder(path)].get(path)

    def claimed(self) -> list[Record]:
        return [record for record in self.records() if record.status is Status.CLAIMED]

    def holder(self, fingerprint: Fingerprint) -> Record | None:
        meant = {fingerprint.metadata, None}
        audio = self._by_mark["sha256", fingerprint.sha256]
        same = [each for each in audio if each.metadata in meant]
        holders = (record for record in same if record.status in states.MAYBE_STORED)
        return min(holders, key=lambda record: record.path, default=None)

    def talk(self, talk_id: str) -> Record | None:
        return self._by_talk.get(talk_id)

    def claim_context(self, new: Record) -> ClaimContext:
        mine = (each for each in reversed(self.history) if each.path == new.path)
        superseded = next((each for each in mine if sounds_like(each, new)), None)
        holder = self.holder(Fingerprint(new.sha256 or b"", new.metadata or b""))
        found = {} if holder is None else {id(holder): holder}
        for mark in _marks(new):
            same = reversed(self._by_mark[mark])
            here = states.COMPARED_AT_PLACE if mark[0] == "place" else states.COMPARED
            compared = (each for each in same if each.status in here)
            found |= {id(each): each for each in islice(compared, 2 * RELATIVES)}
        past = [each for each in reversed(self.history) if id(each) in found]
        gone = set(map(id, past))
        relatives = [each for key, each in found.items() if key not in gone]
        return ClaimContext(self.current(new.path), superseded, relatives, past)

    def ids_of(self, essence: bytes) -> set[bytes]:
        rows = self._by_mark["essence", essence]
        return {row.default_id for row in rows if row.default_id}

    def held_ids(self) -> list[bytes]:
        counts = Counter(
            row.default_id
            for row in self.records()
            if row.status is Status.POSSIBLE_DUPLICATE and row.cause is Cause.SAME_DEFAULT_ID
        )
        return [held for held in sorted(counts, key=lambda held: (-counts[held], held)) if held]

    def same_audio(self) -> list[str]:
        return sorted(
            row.path
            for row in self.records()
            if row.status is Status.DUPLICATE and row.cause is Cause.SAME_AUDIO and row.default_id
        )

    def count_ids(self) -> int:
        return len({row.default_id for row in self.records() if row.default_id})

    def with_default_id(self, default_id: bytes) -> list[Record]:
        rows = self._by_mark["default_id", default_id]
        return sorted(rows, key=lambda row: row.path)

    def fact(self, name: str) -> str | None:
        return self.facts.get(name)

    def put(self, record: Record) -> None:
        self.drop(record.path)
        self.folders[_folder(record.path)][record.path] = record
        for mark in _marks(record):
            self._by_mark[mark].append(record)
        if record.talk_id is not None:
            self._by_talk[record.talk_id] = record

    def renew(self, path: str, stat: Version) -> None:
        record = self.current(path)
        if record and record.status is not Status.CLAIMED and record.stat.is_like(stat):
            self.put(replace(record, stat=stat))

    def supersede(self, path: str) -> None:
        # It remains the record of its content.
        self.history.append(self.folders[_folder(path)].pop(path))

    def restore(self, record: Record) -> None:
        self.drop(record.path)
        self.history.remove(record)
        self.folders[_folder(record.path)][record.path] = record

    def drop(self, path: str) -> None:
        record = self.folders[_folder(path)].pop(path, None)
        if record is not None:
            for mark in _marks(record):
                self._by_mark[mark].remove(record)
            if self._by_talk.get(record.talk_id) is record:
                del self._by_talk[record.talk_id]

    def remember(self, name: str, value: str) -> None:
        self.facts[name] = value

    def begin_run(self, run: RunBegin, owner: int, now: int) -> None:
        self.runs[run.run_id] = owner, Run("", run, now)

    def end_run(self, run_id: str, end: RunEnd, now: int) -> None:
        owner, run = self.runs.get(run_id, (0, None))
        if run is not None and run.end is None:
            end = replace(end, attention=self._attention())
            self.runs[run_id] = owner, replace(run, end=end, ended_at_ns=now)

    def _attention(self) -> Attention:
        kinds = Counter(
            (row.status.value, row.outcome.kind)
            for row in self.records()
            if row.status in states.NEEDS_ATTENTION
        )
        return attention_of((*kind, number) for kind, number in kinds.items())

    def lose_runs(self, living: Collection[int]) -> None:
        for run_id, (owner, run) in self.runs.items():
            if run.end is None and owner not in living:
                self.runs[run_id] = owner, replace(run, end=RunEnd(KILLED))

    def drop_duplicates(self, path: str) -> None:
        for record in tuple(self.records()):
            if record.status is Status.DUPLICATE and record.duplicate_of == path:
                self.drop(record.path)


_Mark: TypeAlias = tuple[str, object]


def _marks(record: Record) -> Iterator[_Mark]:
    """What a record is found by, and the files of one that is made of several."""
    yield "place", stem(record.path)
    for part in files_of(record):
        yield "part", stem(part.path)
        if part.essence:
            yield "part heard", part.essence
    for kind in ("sha256", "essence", "default_id", "named_id"):
        if digest := getattr(record, kind):
            yield kind, digest


def _files(folder: str, record: Record) -> Iterator[Entry]:
    stat = record.stat
    yield Entry(record.path, stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode)
    if stat.sidecar is not None:
        path = f"{folder}/{stat.sidecar}" if folder else stat.sidecar
        yield Entry(
            path,
            stat.sidecar_size,
            stat.sidecar_mtime_ns,
            stat.sidecar_ctime_ns,
            stat.sidecar_inode,
        )


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
