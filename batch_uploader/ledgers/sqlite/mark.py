"""Marks the ledger while a run writes it, so that a copy made meanwhile is recognised.

Changes are in the log beside the ledger before they are in the ledger's file, so a copy of that
file alone lacks what was sent since. The mark names the run. It is in the file itself before
anything is claimed, and is cleared at the end. A note beside the ledger, which such a copy lacks,
names the last run: so a killed run is distinguished from a copy, and the ledger that it left from
an older one put in its place.

Everything blocks, for the holder of the ledger's lock.
"""

import os
import sqlite3
import stat
import time
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from batch_uploader.core.errors import LedgerError
from batch_uploader.host.files import give_to_owner_of, read_own, replace_atomically, sync_directory
from batch_uploader.ledgers.places import TAKE_OVER
from batch_uploader.ledgers.sqlite import queries, schema
from batch_uploader.ledgers.sqlite.file import committing, connect_alone, gone
from batch_uploader.ledgers.sqlite.place import beside, real

NOTE: Final = "-run"
"""The suffix of the note's name."""
_LONGEST_NOTE: Final = 1024 * 1024
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.05


class RunMark(Struct, frozen=True):
    """The mark in the ledger: a run, by its number and a random token, and whether it goes on."""

    number: int = 0
    word: str = ""
    open: bool = False

    def is_one(self, other: "RunMark") -> bool:
        """Whether it is the same run."""
        return (self.number, self.word) == (other.number, other.word)


NO_RUN: Final = RunMark()
"""The mark of a ledger that is new, or of an older version."""


class MarkNote(Struct, frozen=True):
    """The note beside the ledger: the runs that its mark may name, and whether the last one ended.

    While a run begins these are two or more; nothing is claimed before it is only that run.
    """

    runs: tuple[RunMark, ...]
    ended: bool = False


def is_stray(note: MarkNote | None, run: RunMark, *, log: bool) -> bool:
    """Whether a ledger is not the one that its last run left.

    ``run`` is the mark in the file itself, whatever the log beside it says; ``log`` is whether
    there is a log that is not empty.
    """
    if note is None:
        return run.open
    if any(run.is_one(each) for each in note.runs):
        return note.ended and (run.open or log)
    # A ledger that was used elsewhere meanwhile is ahead of the note.
    return run.open or run.number <= max(each.number for each in note.runs)


def strays(path: Path) -> bool:
    """Whether the file is a copy made during a run, or an older ledger."""
    place = real(path)
    run = _run_in(place)
    return run is not None and is_stray(_read(place), run, log=_has_log(place))


def require_last(path: Path) -> None:
    """Raise LedgerError if it is not what its last run left; for readers.

    Checked twice, since a run may end in between. Does nothing if it cannot be read.
    """
    with suppress(OSError):
        if strays(path):
            time.sleep(_PAUSE_SECONDS)
            if strays(path):
                raise _stray(path)


class Mark:
    """The mark of one opening of a ledger."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run: RunMark | None = None
        self._cleared = False
        self._first = False

    def begin(self) -> None:
        """Note that a run begins, before it opens the ledger.

        Raises LedgerError if the ledger is not the one that the last run left, or is gone.
        """
        self._run, self._cleared, self._first = None, False, False
        place = real(self._path)
        if place.exists():
            if strays(place):
                raise _stray(self._path)
            self._first = _read(place) is None
            self._announce(_run_in(place))
        elif _read(place) is not None:
            raise gone(self._path, f"{place.name}{NOTE}")

    def withdraw(self) -> None:
        """Take back the note of ``begin``, since the ledger could not be opened.

        Else the note of a first run would prove a ledger where there was only another file.
        """
        if self._first:
            with suppress(OSError):
                beside(real(self._path), NOTE).unlink()

    def set(self, connection: sqlite3.Connection) -> None:
        """Mark the ledger, which is open now; the mark is then in the file itself.

        While another process reads an older state of the ledger, the mark may be only in the log:
        then a copy is not recognised, and all else is unaffected.
        """
        run = self._run or self._announce(NO_RUN)
        _put(connection, run)
        if _settled(connection):
            _write(real(self._path), MarkNote((run,)))

    def clear(self, connection: sqlite3.Connection) -> None:
        """Clear the mark and checkpoint the log."""
        if self._run is not None:
            _put(connection, msgspec.structs.replace(self._run, open=False))
            self._cleared = _settled(connection)

    def end(self) -> None:
        """Note that the run ended, after the ledger was closed; if it ended well."""
        place = real(self._path)
        # A reader that is still open keeps the log.
        if self._run and self._cleared and place.exists() and not beside(place, "-wal").exists():
            # The removal of the log must be durable before the note is.
            sync_directory(place.parent)
            _write(place, MarkNote((self._run,), ended=True))

    def _announce(self, before: RunMark | None) -> RunMark:
        place = real(self._path)
        note = _read(place)
        runs: Sequence[RunMark] = note.runs if note is not None else ()
        if before is not None and not any(before.is_one(each) for each in runs):
            runs = (*runs, before)
        number = max((each.number for each in runs), default=0) + 1
        run = self._run = RunMark(number, os.urandom(8).hex(), open=True)
        _write(place, MarkNote((*runs, run)))
        return run


def _stray(path: Path) -> LedgerError:
    return LedgerError(
        f"the ledger {path} is older than what its last run left: it was copied during a run, or an"
        " older one was put back; nothing is sent, since recordings could be sent twice",
        hint=[
            "put the newest ledger back, with all of ledger.db*, or specify the right one",
            TAKE_OVER,
        ],
    )


def _has_log(path: Path) -> bool:
    with suppress(FileNotFoundError):
        found = os.lstat(beside(path, "-wal"))
        return stat.S_ISREG(found.st_mode) and found.st_size > 0
    return False


def _put(connection: sqlite3.Connection, run: RunMark) -> None:
    text = f"{run.number:014x}{run.word}{'ac'[run.open]}"
    with committing(connection):
        connection.execute(queries.UPDATE_MARK, (f"{text}-{zlib.crc32(text.encode()):08x}",))


def _settled(connection: sqlite3.Connection) -> bool:
    """Checkpoint the log. Returns whether all of it is in the ledger's file, durably."""
    for tries in range(_TRIES):
        if tries:
            time.sleep(_PAUSE_SECONDS)
        busy, there, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not busy and there == done:
            return True
    return False


def _run_in(path: Path) -> RunMark | None:
    """The mark in the file itself; None if a page is torn, or it is not a ledger."""
    try:
        with closing(connect_alone(path)) as connection:
            if connection.execute(queries.SELECT_MARK_TABLE).fetchone() is None:
                return NO_RUN
            line = connection.execute(queries.SELECT_MARK).fetchone()
    except sqlite3.DatabaseError:
        return None  # opening it reports what is wrong
    if line is None or line[0] == schema.NO_MARK:
        return None if line is None else NO_RUN
    text, _, checksum = str(line[0]).partition("-")
    if checksum != f"{zlib.crc32(text.encode()):08x}":
        return None
    return RunMark(int(text[:14], 16), text[14:30], open=text[30] == "c")


def _read(path: Path) -> MarkNote | None:
    content = read_own(beside(path, NOTE), _LONGEST_NOTE)
    try:
        return None if content is None else msgspec.json.decode(content, type=MarkNote)
    except msgspec.DecodeError:
        return None


def _write(path: Path, note: MarkNote) -> None:
    with replace_atomically(beside(path, NOTE)) as file:
        give_to_owner_of(path, file.fileno())
        file.write(msgspec.json.encode(note))
