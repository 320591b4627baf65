"""Who holds a ledger: a record beside it, which tells what a lock cannot on every file system.

Locks do not meet between two mounts of one share, or are not passed on at all. So whoever opens a
ledger to write it leaves a record of itself, with a count that goes up while it lives. A record of
this very machine is judged by whether its process is there; any other by watching its count stand
still, on our own clock. Nothing here needs a lock to be right: a file is made only where none is,
names change in one step, and whose token stands in the record then has the ledger.

Everything blocks, and raises OSError.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import decode, encode
from msgspec.structs import replace

from batch_uploader.host.files import create_private, give_to_owner_of, read_own
from batch_uploader.host.processes import Process, lives, network_file_system, this_process
from batch_uploader.ledgers.sqlite.place import beside, real

_SIZE: Final = 1024
"""Bytes. The record fills them from the start, so that a full disk stops no count."""
_OWNER: Final = "-owner"
_PULSE: Final = 3.0
_PULSE_FAR_AWAY: Final = 10.0
"""Seconds between two counts; more where others may see a file as it was a while ago."""
_LONGEST_PULSE: Final = 60.0
_STILL: Final = 3
"""So many pulses without a count are the end."""
_LOOKS: Final = 4
_TRIES: Final = 20
_HELD: Final[set[str]] = set()
"""The tokens of this very process."""


class OwnerRecord(Struct, frozen=True, omit_defaults=True):
    """What stands in the file. ``ledger`` is the ID of the ledger, once there is one."""

    token: str
    process: Process
    pulse: float = _PULSE
    count: int = 0
    ledger: str | None = None
    ended: bool = False

    def __str__(self) -> str:
        """For people."""
        return f"process {self.process.pid} on {self.process.host or 'another machine'}"


class Owned(Exception):  # noqa: N818 - the state of the ledger, not a mistake
    """Another one lives. ``record`` is None where it has not said who it is."""

    def __init__(self, record: OwnerRecord | None) -> None:
        super().__init__(record)
        self.record = record


class Owner:
    """The record of one opening of a ledger, from ``take`` to ``release``.

    ``identity`` tells a file from all others by its path.
    """

    def __init__(self, path: Path, identity: Callable[[Path], tuple[int, int]]) -> None:
        self._path = path
        self._identify = identity
        self._next = path.with_name(f"{path.name}.next")
        self._record: OwnerRecord | None = None
        self._descriptor: int | None = None
        self._identity = (0, 0)
        self._far_away = False
        self._writing = threading.Lock()
        self._ended = threading.Event()

    @property
    def token(self) -> str:
        """What tells this opening from any other one; empty while nothing is held."""
        return self._record.token if self._record is not None else ""

    def take(self) -> OwnerRecord | None:
        """Put our record in the place of one that is over, and return that, if there was one.

        Waits only where it cannot be told from here whether the other one lives. Raises Owned if it
        does.
        """
        self._far_away = network_file_system(self._path) is not None
        pulse = _PULSE_FAR_AWAY if self._far_away else _PULSE
        record = OwnerRecord(os.urandom(16).hex(), this_process(), pulse)
        _HELD.add(record.token)
        try:
            return self._take(record)
        except BaseException:
            _HELD.discard(record.token)
            raise

    def _take(self, record: OwnerRecord) -> OwnerRecord | None:
        before: OwnerRecord | None = None
        for _ in range(_TRIES):
            there = _read(self._path)
            now = _parsed(there)
            if now is not None and now.token == record.token:
                self._hold(now)
                return before
            _require_over(self._path, there)
            before = now
            self._succeed(there, replace(record, ledger=now.ledger if now is not None else None))
        raise Owned(before)

    def name_ledger(self, identifier: str) -> None:
        """Say which ledger it is, now that there is one."""
        if self._record is not None and self._record.ledger != identifier:
            self._write(replace(self._record, ledger=identifier))

    def stands(self) -> bool:
        """Whether our record is where it was put. Raises Owned if another one is there."""
        try:
            identity = self._identify(self._path)
        except FileNotFoundError:
            return False
        if identity != self._identity:
            # Not by that alone: some file systems make up their numbers as they go.
            record = _parsed(_read(self._path))
            if record is None or record.token != self.token:
                raise Owned(record)
            self._identity = identity
        return True

    def is_at(self, path: Path) -> bool:
        """Whether our record is seen there as well: it is the same folder by another name."""
        record = _parsed(_read(path))
        return record is not None and record.token == self.token

    def release(self) -> None:
        """Say that it is over; nothing happens if nothing is held."""
        descriptor, record = self._descriptor, self._record
        if descriptor is None or record is None:
            return
        self._ended.set()
        with suppress(OSError):
            self._write(replace(record, ended=True))
        self._descriptor = self._record = None
        os.close(descriptor)
        _HELD.discard(record.token)

    def _succeed(self, there: bytes | None, record: OwnerRecord) -> None:
        """Try to take the place of what is over; whoever else tries, one alone gets it."""
        try:
            descriptor = create_private(self._next, exclusive=True)
        except FileExistsError:
            other = _read(self._next)
            if other is not None:
                _require_over(self._next, other)
                self._next.unlink(missing_ok=True)
            return
        try:
            try:
                give_to_owner_of(_ledger_of(self._path), descriptor)
                os.write(descriptor, _content(record))
            finally:
                os.close(descriptor)
            if _read(self._path) == there:
                with suppress(FileNotFoundError):  # who took it away is told apart by its token
                    self._next.replace(self._path)
        finally:
            self._next.unlink(missing_ok=True)

    def _hold(self, record: OwnerRecord) -> None:
        # A backup that is made of hard links may have its name by now.
        self._descriptor = create_private(self._path, append=False, shared=True)
        self._identity = self._identify(self._path)
        self._record = record
        self._ended = threading.Event()
        threading.Thread(target=self._live, name="ledger-owner", daemon=True).start()

    def _live(self) -> None:
        ended = self._ended
        while not ended.wait(self._record.pulse if self._record is not None else 0):
            with self._writing, suppress(OSError):
                if self._record is not None and not ended.is_set():
                    self._put(replace(self._record, count=self._record.count + 1))

    def _write(self, record: OwnerRecord) -> None:
        with self._writing:
            self._put(record)

    def _put(self, record: OwnerRecord) -> None:
        self._record = record
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, _content(record))
            if self._far_away:
                os.fsync(self._descriptor)  # else it stays with us for a while


def owner_path(ledger: Path) -> Path:
    """Where the owner's record of a ledger is: beside the file itself."""
    return beside(real(ledger), _OWNER)


def _ledger_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_OWNER))


def is_owned(path: Path) -> bool:
    """Whether somebody holds the ledger of this record; waits as ``Owner.take`` does."""
    try:
        for _ in range(_TRIES):
            there = _read(path)
            _require_over(path, there)
            if _read(path) == there:
                return False
    except Owned:
        pass
    return True


def last_record(path: Path) -> OwnerRecord | None:
    """What stands there, None if nothing does, or nothing that can be read."""
    return _parsed(_read(path))


def _require_over(path: Path, there: bytes | None) -> None:
    """Raise Owned if who wrote this lives."""
    if there is None:
        return
    record = _parsed(there)
    alive = None if record is None else _lives(record)
    if alive or (alive is None and _moves(path, there, record)):
        raise Owned(record)


def _lives(record: OwnerRecord) -> bool | None:
    if record.ended:
        return False
    if record.process == this_process() and record.process.started is not None:
        return record.token in _HELD
    return lives(record.process)


def _moves(path: Path, there: bytes, record: OwnerRecord | None) -> bool:
    """Watch it for three pulses; whether anything changes that is no end of it."""
    pulse = min(record.pulse, _LONGEST_PULSE) if record is not None else _PULSE
    for _ in range(_STILL * _LOOKS):
        time.sleep(pulse / _LOOKS)
        now = _read(path)
        if now != there:
            after = _parsed(now)
            return now is not None and (after is None or not after.ended)
    return False


def _content(record: OwnerRecord) -> bytes:
    return encode(record).ljust(_SIZE - 1) + b"\n"


def _parsed(content: bytes | None) -> OwnerRecord | None:
    try:
        return None if content is None else decode(content, type=OwnerRecord)
    except (DecodeError, ValueError):
        return None


def _read(path: Path) -> bytes | None:
    # Opened anew each time: only so does a share tell what others wrote.
    return read_own(path, 4 * _SIZE)
