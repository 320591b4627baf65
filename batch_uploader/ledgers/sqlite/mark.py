"""A mark in the ledger while a run writes it, so that a copy made meanwhile is told from it.

What a run does is in the log beside the ledger before it is in the ledger itself, so a copy of that
file alone lacks what was sent since. The mark names the run. It has reached the file itself before
anything is claimed, and is taken back at the end. A note beside the ledger, which such a copy has
not, says which run was the last: so a run that was killed is told from a copy, and the ledger that
it left from an older one that was put back in its place.

Everything blocks, for whoever holds the ledger's lock.
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
"""What the note's name has at its end."""
_LONGEST_NOTE: Final = 1024 * 1024
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.05


class RunMark(Struct, frozen=True):
    """What stands in the ledger: a run, by its number and a word of its own, and if it goes on."""

    number: int = 0
    word: str = ""
    open: bool = False

    def is_one(self, other: "RunMark") -> bool:
        """Whether it is the same run."""
        return (self.number, self.word) == (other.number, other.word)


NO_RUN: Final = RunMark()
"""What a ledger says that no run has marked: it is new, or of an older version."""


class MarkNote(Struct, frozen=True):
    """What stands beside the ledger: the runs that its mark may name, and if the last one ended.

    While a run begins these are two or more, and nothing is claimed before it is that one alone.
    """

    runs: tuple[RunMark, ...]
    ended: bool = False


def is_stray(note: MarkNote | None, run: RunMark, *, log: bool) -> bool:
    """Whether a ledger is not the one that its last run left.

    ``run`` is what stands in the file itself, whatever the log beside it says; ``log`` is whether
    there is one with anything in it.
    """
    if note is None:
        return run.open
    if any(run.is_one(each) for each in note.runs):
        return note.ended and (run.open or log)
    # One that other runs went on with elsewhere is ahead of the note.
    return run.open or run.number <= max(each.number for each in note.runs)


def strays(path: Path) -> bool:
    """Whether what lies there is a copy from the middle of a run, or an older ledger."""
    place = real(path)
    run = _run_in(place)
    return run is not None and is_stray(_read(place), run, log=_has_log(place))


def require_last(path: Path) -> None:
    """Raise LedgerError if it is not what its last run left; for whoever only reads it.

    Looked at twice, since a run may end in between. What cannot be read tells nothing.
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
        """Say that a run begins, before it opens the ledger, if there is one.

        Raises LedgerError if it is not the one that the last run left, or if that is gone.
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
        """Take back what ``begin`` said, since the ledger could not be opened.

        Else the first word of a run would tell of a ledger where there was none but another file.
        """
        if self._first:
            with suppress(OSError):
                beside(real(self._path), NOTE).unlink()

    def set(self, connection: sqlite3.Connection) -> None:
        """Mark the ledger, which is open now; the mark is in the file itself then.

        While somebody reads an older state of the ledger it may be in the log alone: then a copy
        cannot be told, and all else is as ever.
        """
        run = self._run or self._announce(NO_RUN)
        _put(connection, run)
        if _settled(connection):
            _write(real(self._path), MarkNote((run,)))

    def clear(self, connection: sqlite3.Connection) -> None:
        """Take the mark back: all that was done is in the ledger, once its log is."""
        if self._run is not None:
            _put(connection, msgspec.structs.replace(self._run, open=False))
            self._cleared = _settled(connection)

    def end(self) -> None:
        """Say that the run has ended, when the ledger is closed; if it has, and well."""
        place = real(self._path)
        # Whoever reads it still keeps the log.
        if self._run and self._cleared and place.exists() and not beside(place, "-wal").exists():
            # That the log is gone has to last as long as the word of it.
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
    """Bring the log into the ledger itself; whether all of it is there, on the disk."""
    for tries in range(_TRIES):
        if tries:
            time.sleep(_PAUSE_SECONDS)
        busy, there, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not busy and there == done:
            return True
    return False


def _run_in(path: Path) -> RunMark | None:
    """What stands in the file itself; None where a torn page does not tell, or no ledger at all."""
    try:
        with closing(connect_alone(path)) as connection:
            if connection.execute(queries.SELECT_MARK_TABLE).fetchone() is None:
                return NO_RUN
            line = connection.execute(queries.SELECT_MARK).fetchone()
    except sqlite3.DatabaseError:
        return None  # whoever opens it says what is wrong with it
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
