"""Bringing an index up to date with its table: appended rows alone if it only grew, else all.

A table that is not merely longer is read into a new file beside the index, which replaces it when
it is finished. A killed refresh goes on where it last committed.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from msgspec import msgpack
from msgspec.structs import replace

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import quote
from batch_uploader.host.files import sync_directory
from batch_uploader.host.locks import FileLock
from batch_uploader.prepare.about.tables.index import (
    FAULTS_KEPT,
    VERSION,
    FileLook,
    Index,
    IndexState,
    Kept,
    Piece,
    Unusable,
    remove_index,
)
from batch_uploader.prepare.about.tables.rows import Place, Reader, Row, RowFault

_ROWS_A_COMMIT: Final = 20_000
_HEAD: Final = 64 * 1024
_BUFFER: Final = 256 * 1024
_FRESH_SECONDS: Final = 60.0
"""A last line without an end is believed if the table has not been written for that long."""
_LOCK_SECONDS: Final = 0.1

Keys = Callable[[Row, tuple[str, ...] | None], Sequence[tuple[int, int | None]] | RowFault]
Open = Callable[[BinaryIO, Mapping[str, object] | None], Reader]
_ENCODER: Final = msgpack.Encoder()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process refreshes this index, where the file system has locks."""
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    with suppress(OSError):
        while not lock.acquire():
            time.sleep(_LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()


class WantedIndex(NamedTuple):
    """The index that is wanted: its file, a digest of its settings, and how rows are found.

    ``check`` raises ConfigError if none could be found because of the settings.
    """

    path: Path
    made_of: str
    keys_of: Keys
    check: Callable[[], None]

    @property
    def unfinished(self) -> Path:
        """The file in which it is made once more."""
        return self.path.with_name(f"{self.path.name}.new")


def refresh_file(wanted: WantedIndex, table: Path, open_reader: Open) -> Index:
    """The index of a file, up to date. Raises ConfigError, OSError."""
    with alone(wanted.path), _opened(table) as file:
        index = _existing(wanted)
        try:
            return _refreshed(wanted, index, file, open_reader)
        except Unusable:
            # Damaged, which shows only where it is read: without it, all is read once more.
            if index is not None:
                index.close()
            remove_index(wanted.unfinished)
            return _refreshed(wanted, None, file, open_reader)


def refresh_whole(
    wanted: WantedIndex, look: FileLook | None, open_reader: Callable[[], Reader]
) -> Index:
    """The index of what can only be read as a whole; ``look`` shows whether it is unchanged."""
    with alone(wanted.path):
        index = _existing(wanted)
        if index is not None and look is not None and is_like(index.state.source, look):
            return index
        filling = _Filling(None, wanted.keys_of)
        return _replaced(
            wanted, index, _created(wanted), filling, open_reader(), look or FileLook()
        )


def _refreshed(
    wanted: WantedIndex, index: Index | None, file: BinaryIO, open_reader: Open
) -> Index:
    status = os.fstat(file.fileno())
    look = look_of(status)
    fresh = time.time() - status.st_mtime < _FRESH_SECONDS
    filling = _Filling(file, wanted.keys_of, fresh=fresh)
    if index is not None:
        source = index.state.source
        if is_like(source, look):
            return index
        grown = source.inode == look.inode and look.size > source.size
        # Another file, such as a fresh copy, may begin as the old one did.
        if filling.fits(index.state) and (grown or filling.has_all(index)):
            # A killed refresh goes on from its last commit, since the size is recorded at the end.
            index.drop_loose()
            filling.fill(index, open_reader(file, index.state.form or None), changed=True)
            index.commit(index.forget_changes(filling.ended(index.state, look)))
            return index
    new = _continued(wanted, filling) or _created(wanted)
    reader = open_reader(file, new.state.form or None)
    return _replaced(wanted, index, new, filling, reader, look)


def _existing(wanted: WantedIndex) -> Index | None:
    """The index if it can be used for these settings, else None."""
    try:
        index = Index(wanted.path)
    except (Unusable, FileNotFoundError):
        return None
    if index.state.made_of == wanted.made_of and index.state.finished:
        return index
    index.close()
    return None


def _created(wanted: WantedIndex) -> Index:
    remove_index(wanted.unfinished)
    return Index(wanted.unfinished, create=IndexState(wanted.made_of, uuid.uuid4().hex, VERSION))


def _continued(wanted: WantedIndex, filling: "_Filling") -> Index | None:
    """What a killed refresh has left, if the table still begins like that."""
    try:
        left = Index(wanted.unfinished)
    except (Unusable, FileNotFoundError):
        return None
    state = left.state
    usable = state.made_of == wanted.made_of and not state.finished and state.loose is None
    if usable and filling.fits(state):
        return left
    left.close()
    return None


def _replaced(  # noqa: PLR0917 - one step, with all that was prepared
    wanted: WantedIndex,
    older: Index | None,
    new: Index,
    filling: "_Filling",
    reader: Reader,
    look: FileLook,
) -> Index:
    """The new index filled, in the place of the older one."""
    with closing(new):
        filling.fill(new, reader)
        if not new.state.kept:
            wanted.check()
        state = filling.ended(new.state, look)
        new.arrange()
        if older is not None:
            # It stays the same index for those who ask what has changed since.
            known = older.state
            generation = known.generation + 1
            new.note_changes_from(older, generation)
            state = replace(state, id=known.id, generation=generation, oldest=known.oldest)
            state = new.forget_changes(state)
            older.close()
        new.commit(replace(state, finished=True))
    remove_index(wanted.path)
    wanted.unfinished.replace(wanted.path)
    sync_directory(wanted.path.parent)
    return Index(wanted.path)


def look_of(status: os.stat_result) -> FileLook:
    """What shows that a file is unchanged."""
    return FileLook(status.st_size, status.st_mtime_ns, status.st_ino or None)


def is_like(one: FileLook, other: FileLook) -> bool:
    """Whether a file was not written in between."""
    return (one.size, one.mtime_ns, one.inode) == (other.size, other.mtime_ns, other.inode)


class _Filling:
    """Reads rows into an index; ``file`` is None if the table is not a file that can grow."""

    def __init__(self, file: BinaryIO | None, keys_of: Keys, *, fresh: bool = False) -> None:
        self._file = file
        self._keys_of = keys_of
        self._fresh = fresh
        self._to_end = True

    def fits(self, state: IndexState) -> bool:
        """Whether the file still has what was read of it, by its beginning and end."""
        return self._stamped(state, state.offset).source == state.source

    def has_all(self, index: Index) -> bool:
        """Whether the file has all bytes that were read of it, compared by their digests."""
        return all(piece == self._piece(piece.begin, piece.end) for piece in index.pieces())

    def ended(self, state: IndexState, look: FileLook) -> IndexState:
        """The state when all is read; what still has to be read is not counted as seen."""
        size = look.size if self._to_end else state.offset
        source = replace(state.source, size=size, mtime_ns=look.mtime_ns, inode=look.inode)
        return replace(state, source=source)

    def fill(self, index: Index, reader: Reader, *, changed: bool = False) -> None:
        """Add all rows from where the index ends."""
        if reader.columns == () and self._file is not None:
            return  # nothing is written there yet
        batch = _Batch(index, reader, changed=changed)
        for item in reader.read(Place(index.state.offset, index.state.line)):
            if reader.unfinished is not None and batch.loose is None:
                if self._fresh:
                    self._to_end = False
                    break
                self._commit(batch)
                batch.loose = index.next_block()
            found = item if isinstance(item, RowFault) else self._kept(item, reader.columns)
            batch.add(found)
            if batch.read == _ROWS_A_COMMIT:
                self._commit(batch)
        self._commit(batch)

    def _kept(self, row: Row, columns: tuple[str, ...] | None) -> Kept | RowFault | None:
        """A row as it is kept, None if nothing can be found by it."""
        keys = self._keys_of(row, columns)
        if isinstance(keys, RowFault):
            return keys
        if not keys:
            return None
        try:
            body = _ENCODER.encode(row.values)
        except UnicodeEncodeError:
            return RowFault(row.line, "table-text", "it has half of a character", "write it again")
        except (TypeError, OverflowError) as error:
            return RowFault(row.line, "table-value", str(error), "write the value as text")
        digest = hashlib.blake2b(body, digest_size=8).digest()
        return Kept(keys, row.line, body, int.from_bytes(digest, "big", signed=True))

    def _commit(self, batch: "_Batch") -> None:
        state, piece = batch.state(), None
        if self._file is not None:
            piece = self._piece(batch.index.state.offset, state.offset)
            state = self._stamped(state, state.offset)
        batch.index.commit(state, batch.rows, batch.faults, piece, changed=batch.changed)
        batch.clear()

    def _stamped(self, state: IndexState, offset: int) -> IndexState:
        head = self._piece(0, min(_HEAD, offset))
        tail = self._piece(max(0, offset - _HEAD), offset)
        if head is None or tail is None:
            return state
        source = replace(state.source, head=head.digest, tail=tail.digest)
        return replace(state, source=source)

    def _piece(self, begin: int, end: int) -> Piece | None:
        file = self._file
        if file is None:
            return None
        place = file.tell()
        file.seek(begin)
        digest = hashlib.blake2b(digest_size=16)
        left = end - begin
        while left > 0 and (block := file.read(min(left, _BUFFER))):
            digest.update(block)
            left -= len(block)
        file.seek(place)
        return Piece(begin, end, digest.digest())


class _Batch:
    """What is to be committed in one step."""

    def __init__(self, index: Index, reader: Reader, *, changed: bool) -> None:
        self.index = index
        self.changed = changed
        self.loose: int | None = None
        self._reader = reader
        self.clear()

    def clear(self) -> None:
        """All of it is committed."""
        self.rows: list[Kept] = []
        self.faults: list[tuple[object, ...]] = []
        self.read = 0
        self._faulty = 0

    def add(self, found: Kept | RowFault | None) -> None:
        """Add a row, or what is wrong with one."""
        self.read += 1
        if isinstance(found, Kept):
            self.rows.append(found)
        elif isinstance(found, RowFault):
            self._faulty += 1
            if self.index.state.faults + self._faulty <= FAULTS_KEPT:
                self.faults.append(tuple(found))

    def state(self) -> IndexState:
        """The state of the index when this is committed."""
        state, reader = self.index.state, self._reader
        place = reader.unfinished or reader.place
        return replace(
            state,
            columns=reader.columns,
            form=reader.form,
            offset=place.offset,
            line=place.line,
            loose=self.loose,
            rows=state.rows + self.read - self._faulty,
            kept=state.kept + len(self.rows),
            faults=state.faults + self._faulty,
        )


@contextmanager
def _opened(table: Path) -> Iterator[BinaryIO]:
    try:
        with table.open("rb", buffering=_BUFFER) as file:
            yield file
    except FileNotFoundError:
        raise ConfigError(f"{table} does not exist", hint="specify where the table is") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{table} is a directory", hint=f"specify its tables: {quote(str(table / '*.csv'))}"
        ) from None
