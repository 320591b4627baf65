"""The owner's record beside a ledger, for file systems on which locks are not reliable.

Locks may not work between two mounts of a share, or not at all. So an opening for writing leaves a
record of itself, with a counter that it increments while it lives. An owner on this machine lives
while its process does; any other is judged by watching its counter, by our own clock. Correctness
needs no lock: files are created exclusively, renames are atomic, and the owner whose token is in
the record has the ledger.

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
"""Bytes. The record fills them from the start, so that a full disk does not stop the counter."""
_OWNER: Final = "-owner"
_PULSE: Final = 3.0
_PULSE_FAR_AWAY: Final = 10.0
"""Seconds between two increments; longer where other machines may see cached content."""
_LONGEST_PULSE: Final = 60.0
_STILL: Final = 3
"""After this many pulses without an increment the owner is dead."""
_LOOKS: Final = 4
_TRIES: Final = 20
_HELD: Final[set[str]] = set()
"""The tokens of this process."""


class OwnerRecord(Struct, frozen=True, omit_defaults=True):
    """The content of the file. ``ledger`` is the ID of the ledger, once it has one."""

    token: str
    process: Process
    pulse: float = _PULSE
    count: int = 0
    ledger: str | None = None
    ended: bool = False

    def __str__(self) -> str:
        """The owner, for messages."""
        return f"process {self.process.pid} on {self.process.host or 'another machine'}"


class Owned(Exception):  # noqa: N818 - the state of the ledger, not a mistake
    """Another owner lives. ``record`` is None if it has not written its record yet."""

    def __init__(self, record: OwnerRecord | None) -> None:
        super().__init__(record)
        self.record = record


class Owner:
    """The record of one opening of a ledger, from ``take`` to ``release``.

    ``identity`` returns device and inode of a path.
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
        """The unique token of this opening; empty while nothing is held."""
        return self._record.token if self._record is not None else ""

    def take(self) -> OwnerRecord | None:
        """Replace the record of a dead owner by ours. Returns the old record, if any.

        Waits only if it cannot be told from here whether the other owner lives. Raises Owned if it
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
        """Write the ledger's ID into the record, now that it has one."""
        if self._record is not None and self._record.ledger != identifier:
            self._write(replace(self._record, ledger=identifier))

    def stands(self) -> bool:
        """Whether our record is still in place. Raises Owned if another one is there."""
        try:
            identity = self._identify(self._path)
        except FileNotFoundError:
            return False
        if identity != self._identity:
            # The inode alone is not enough: some file systems make inodes up.
            record = _parsed(_read(self._path))
            if record is None or record.token != self.token:
                raise Owned(record)
            self._identity = identity
        return True

    def is_at(self, path: Path) -> bool:
        """Whether our record is seen at that path, too: the same folder under another name."""
        record = _parsed(_read(path))
        return record is not None and record.token == self.token

    def release(self) -> None:
        """Mark the record as ended; does nothing if nothing is held."""
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
        """Try to replace the record of a dead owner; of several that try, one succeeds."""
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
                with suppress(FileNotFoundError):  # the token shows who replaced it
                    self._next.replace(self._path)
        finally:
            self._next.unlink(missing_ok=True)

    def _hold(self, record: OwnerRecord) -> None:
        # A backup may have made a hard link to it by now.
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
                os.fsync(self._descriptor)  # else it stays in this machine's cache for a while


def owner_path(ledger: Path) -> Path:
    """The path of a ledger's owner record: beside the file itself."""
    return beside(real(ledger), _OWNER)


def _ledger_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_OWNER))


def is_owned(path: Path) -> bool:
    """Whether an owner holds the ledger of this record; waits as ``Owner.take`` does."""
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
    """The record in the file; None if it is missing or cannot be read."""
    return _parsed(_read(path))


def _require_over(path: Path, there: bytes | None) -> None:
    """Raise Owned if the owner that wrote this lives."""
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
    """Watch the record for three pulses. Returns whether it changes, other than by ending."""
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
    # Opened each time, since only then a share shows what others wrote.
    return read_own(path, 4 * _SIZE)
