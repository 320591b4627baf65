"""Writes the ledger as JSON lines, or CSV for spreadsheets; reads it back if the ledger is lost.

One line a recording, in the order of the rows, cumulative over all runs. File names are untrusted
and the lines are shown on terminals and in spreadsheets, so they contain no control characters, and
CSV no formulas.
"""

import asyncio
import csv
import hashlib
import io
import json
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Protocol, TypeVar, runtime_checkable

from anyio import CancelScope, to_thread
from msgspec import Meta, Struct, convert

from batch_uploader.core.cells import defuse, escape_json
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import UNKNOWN_MTIME, Container, Failure, Version
from batch_uploader.core.parts import Part, as_json, paths
from batch_uploader.core.records import Record
from batch_uploader.core.states import WAITS, Status
from batch_uploader.host.files import (
    create_private,
    read_own,
    remove_leftovers,
    replace_atomically,
)
from batch_uploader.ledgers.places import stale_note

T = TypeVar("T")

_ROWS_AT_ONCE: Final = 1000
_PIECE: Final = 1024 * 1024
_DIGEST_SIZE: Final = 32
_LEDGER_LOST_CURE: Final = (
    "restore the manifest from a backup, or delete that line: its recording is in doubt then"
)
_LONGEST_LINE: Final = 1024 * 1024
"""Bytes; a path has 4 KiB at most, and so has a message of the service."""
_LARGEST: Final = 2**63 - 1
_Text = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=0, le=_LARGEST)]
_Length = Annotated[float, Meta(ge=0, lt=1e9)]
_encode_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

CSV_COLUMNS: Final = (
    "path",
    "status",
    "talk_id",
    "connection_id",
    "sha256",
    "size",
    "duration",
    "format",
    "attempts",
    "uploaded_at",
    "duplicate_of",
    "error_code",
    "error_message",
    "defused",
)
"""The last one names the columns whose cells were changed by ``cells.defuse``."""


class Format(StrEnum):
    """The format of the lines."""

    JSONL = "jsonl"
    CSV = "csv"


class Seal(Struct, frozen=True):
    """Identifies a manifest, by its stat and by its content; ``sha256`` in hex."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str = ""

    def fits(self, found: os.stat_result) -> bool:
        """Whether a file has the same stat; it is not read."""
        return (found.st_size, found.st_mtime_ns, found.st_ino) == (
            self.size,
            self.mtime_ns,
            self.inode,
        )


@runtime_checkable
class Writable(Protocol):
    """A raw binary stream; like a pipe, it may take only a part of what is written."""

    def write(self, data: memoryview, /) -> int:
        """Write; return how many bytes were taken."""


class _Sealing:
    """Writes to a file and hashes on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, data: memoryview, /) -> int:
        taken = self._file.write(data)
        self._sha256.update(data[:taken])
        return taken

    def seal(self) -> Seal:
        """The seal of all that was written. Blocking."""
        self._file.flush()
        return _seal(os.fstat(self._file.fileno()), self._sha256.hexdigest())


def _seal(found: os.stat_result, sha256: str) -> Seal:
    return Seal(found.st_size, found.st_mtime_ns, found.st_ino, sha256)


def seal_of(path: Path) -> Seal:
    """The seal of an existing manifest, which is read. Blocking. Raises LedgerError."""
    with _readable(path), path.open("rb") as file:
        sha256 = hashlib.sha256()
        while piece := file.read(_PIECE):
            sha256.update(piece)
        return _seal(os.fstat(file.fileno()), sha256.hexdigest())


def look_at(path: Path) -> os.stat_result | None:
    """The manifest's stat, None if no file is there. Blocking.

    Raises LedgerError if this user has no permission.
    """
    with _readable(path):
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found if stat.S_ISREG(found.st_mode) else None


async def write_manifest(rows: AsyncIterator[Record], path: Path) -> Seal:
    """Replace the manifest atomically by a line for each row. Returns its seal.

    For the holder of the ledger's lock. The file has mode 0600. If it cannot be written, or
    ``rows`` raises, the old one stays. Raises LedgerError.
    """
    try:
        await to_thread.run_sync(remove_leftovers, path)
        async with _in_threads(replace_atomically(path)) as file:
            sealing = _Sealing(file)
            await export(rows, sealing, Format.JSONL)
            seal = await to_thread.run_sync(sealing.seal)
    except OSError as error:
        raise LedgerError(
            f"the manifest {path} cannot be written ({error}); the ledger has all of it",
            hint="check its disk and folder, or specify another one with --manifest",
        ) from error
    mark_current(path)
    return seal


def mark_stale(path: Path) -> bool:
    """Note, before the ledger changes, that the manifest may fall behind: the run may be killed.

    Returns whether it may be behind already; only writing the manifest ends that.
    """
    note = stale_note(path)
    behind = os.path.lexists(note) or not path.exists()
    with suppress(OSError):  # then the manifest cannot be written either, which is reported
        os.close(create_private(note))
    return behind


def mark_current(path: Path) -> None:
    """Remove the note: the manifest agrees with the ledger."""
    note = stale_note(path)
    with suppress(OSError):
        if read_own(note, 1) == b"":  # any other content is not ours
            note.unlink()


async def export(
    rows: AsyncIterator[Record],
    stream: Writable,
    form: Format,
    guard: Callable[[str], str] = defuse,
) -> int:
    """Write a line for each result, for CSV after a header. Returns the number of lines.

    ``guard`` defuses formulas in CSV; JSON needs no guard. Errors of the stream are raised as they
    are: only the caller knows what the stream is.
    """
    encode = _json_lines if form is Format.JSONL else partial(_csv_lines, guard)
    if form is Format.CSV:
        await to_thread.run_sync(_write_all, stream, _csv_text([CSV_COLUMNS]))
    count = 0
    batch: list[Record] = []
    async for row in rows:
        if row.status in WAITS:
            continue
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            await to_thread.run_sync(_write_batch, stream, encode, batch)
            count += len(batch)
            batch = []
    await to_thread.run_sync(_write_batch, stream, encode, batch)
    return count + len(batch)


def read_manifest(path: Path, cure: str = _LEDGER_LOST_CURE) -> Iterator[Record]:
    """The lines of a manifest, with the fields that a line has. Blocking.

    Raises LedgerError, which names the line, for anything that ``write_manifest`` does not write;
    ``cure`` is its hint.
    """
    with _readable(path), path.open("rb") as file:
        lines = iter(partial(file.readline, _LONGEST_LINE), b"")
        for number, line in enumerate(lines, 1):
            try:
                yield _row(line)
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                whole = line.endswith(b"\n") or len(line) == _LONGEST_LINE
                why = "is damaged" if whole else "is cut off"
                raise LedgerError(
                    f"the manifest {path} cannot be read: line {number} {why}", hint=cure
                ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"the manifest {path} cannot be read ({error.strerror})",
            hint="check it and its folder, or specify another one with --manifest",
        ) from error


class _Error(Struct):
    """The ``error`` of a line."""

    code: _Text
    message: _Text


class _Line(Struct):
    """The fields of a line; those that a later version adds are ignored."""

    path: _Text
    connection_id: _Text
    status: Status
    talk_id: _Text | None
    sha256: str | None
    size: _Count
    duration: _Length | None
    format: Container | None
    attempts: _Count
    uploaded_at: str | None
    duplicate_of: _Text | None
    error: _Error | None
    parts: tuple[_Text, ...] = ()


def _row(text: bytes) -> Record:
    """Raises ValueError, TypeError, OverflowError or RecursionError."""
    if not text.endswith(b"\n"):
        raise ValueError
    line = convert(json.loads(text, object_pairs_hook=_once), _Line)
    for each in (line.path, line.connection_id, line.talk_id, line.duplicate_of, *line.parts):
        (each or "").encode()  # raises for lone surrogates, which a ledger never holds
    up = line.status is Status.UPLOADED
    row = Record(
        path=line.path,
        connection_id=line.connection_id,
        status=line.status,
        stat=Version(line.size, UNKNOWN_MTIME),
        attempts=line.attempts,
        sha256=None if line.sha256 is None else bytes.fromhex(line.sha256),
        talk_id=line.talk_id if up else None,
        duration=line.duration,
        container=line.format,
        settled_at_ns=_moment(line.uploaded_at) if up else None,
        duplicate_of=line.duplicate_of,
        failure=None if line.error is None else Failure(line.error.code, line.error.message),
        parts=as_json(map(Part, line.parts)),
    )
    if (up or row.sha256 is not None) and len(row.sha256 or b"") != _DIGEST_SIZE:
        raise ValueError
    if up and row.talk_id is None:
        raise ValueError
    return row


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _moment(text: str | None) -> int:
    """The UTC nanoseconds that ``_iso`` formatted."""
    if text is None:
        raise TypeError
    moment = (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1) * 1_000_000_000
    if not 0 <= moment <= _LARGEST:
        raise OverflowError
    return moment


def _write_batch(
    stream: Writable, encode: Callable[[Sequence[Record]], bytes], batch: Sequence[Record]
) -> None:
    _write_all(stream, encode(batch))


def _write_all(stream: Writable, data: bytes) -> None:
    # Without Python's buffer (python -u) a pipe may take only a part.
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def _json_lines(rows: Sequence[Record]) -> bytes:
    text = "".join(f"{_encode_json(_json_object(row))}\n" for row in rows)
    return escape_json(text).encode()


def _json_object(row: Record) -> dict[str, object]:
    error = row.failure and {"code": row.failure.code, "message": row.failure.message}
    sent = {} if row.sent is None else {"sent": json.loads(row.sent)}
    parts = {} if row.parts is None else {"parts": paths(row.parts)}
    return {**_shared(row), "error": error, **sent, **parts}


def _csv_lines(guard: Callable[[str], str], rows: Sequence[Record]) -> bytes:
    return _csv_text(_guarded(guard, row) for row in rows)


def _guarded(guard: Callable[[str], str], row: Record) -> list[object]:
    cells = [*_shared(row).values()]
    cells += (row.failure.code, row.failure.message) if row.failure else (None, None)
    guarded = [guard(cell) if isinstance(cell, str) else cell for cell in cells]
    changed = (
        name
        for name, before, after in zip(CSV_COLUMNS, cells, guarded, strict=False)
        if before != after
    )
    return [*guarded, " ".join(changed)]


def _shared(row: Record) -> dict[str, object]:
    uploaded_at_ns = row.settled_at_ns if row.status is Status.UPLOADED else None
    return {
        "path": row.path,
        "status": row.status.value,
        "talk_id": row.talk_id,
        "connection_id": row.connection_id,
        "sha256": None if row.sha256 is None else row.sha256.hex(),
        "size": row.stat.size,
        "duration": None if row.duration is None else round(row.duration, 3),
        "format": None if row.container is None else row.container.value,
        "attempts": row.attempts,
        "uploaded_at": None if uploaded_at_ns is None else _iso(uploaded_at_ns),
        "duplicate_of": row.duplicate_of,
    }


def _iso(moment_ns: int) -> str:
    moment = _EPOCH + timedelta(seconds=moment_ns // 1_000_000_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _csv_text(lines: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    # Messages of others may have lone surrogates, which UTF-8 cannot encode.
    return text.getvalue().encode("utf-8", "backslashreplace")


@asynccontextmanager
async def _in_threads(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave a blocking context manager in threads."""
    # In tasks of their own: who is cancelled by asyncio itself does not wait for a thread, and one
    # that has not begun yet never would.
    entering = asyncio.create_task(to_thread.run_sync(manager.__enter__))
    try:
        with CancelScope(shield=True):
            entered = await asyncio.shield(entering)
        yield entered
    except BaseException as error:
        with CancelScope(shield=True):
            await asyncio.wait([entering])
            if entering.exception() is None:
                await _whole(manager.__exit__, type(error), error, error.__traceback__)
        raise
    with CancelScope(shield=True):
        await _whole(manager.__exit__, None, None, None)


async def _whole(call: Callable[..., object], *arguments: object) -> None:
    calling = asyncio.create_task(to_thread.run_sync(call, *arguments))
    try:
        await asyncio.shield(calling)
    finally:
        await asyncio.wait([calling])
