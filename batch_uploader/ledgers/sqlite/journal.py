"""A preallocated file for outcomes that the ledger cannot take, such as on a full disk.

A full disk refuses new blocks, but not writes to existing ones. So the service's answer to a claim
can be recorded here when SQLite fails, and goes into the ledger once that works again.

The file is a sequence of frames, filled up with zeros. A torn frame is ignored: its recording stays
claimed, so it becomes a doubt.
"""

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

from msgspec import Struct, convert, to_builtins

from batch_uploader.core.changes import Settle
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Outcome, Timestamp
from batch_uploader.core.states import Status
from batch_uploader.host.files import (
    NotOurs,
    close_descriptor_to_others,
    create_private,
    give_to_owner_of,
    read_own,
    sync_directory,
    unshare,
)
from batch_uploader.ledgers import rules
from batch_uploader.ledgers.store import Store

_NAME: Final = "-answers"
SIZE: Final = 1024 * 1024
"""Bytes; most frames take less than 1 KiB, and each recording in flight has at most one."""
_HEAD: Final = struct.Struct("<II")
"""The header of a frame: the length of its JSON in bytes, and its CRC-32."""


class SpilledWrite(Struct, frozen=True, forbid_unknown_fields=True):
    """An outcome, or None for a claim that was taken back; ``at`` is when."""

    connection_id: str
    path: str
    at: Timestamp
    outcome: Outcome | None

    def apply(self, store: Store) -> None:
        """Record it unless it is recorded: a crash may come between recording and removal.

        Raises LedgerError if it is not possible in the recorded state.
        """
        current = store.current(self.path)
        if self.outcome is None:
            if current is not None and current.status is Status.CLAIMED:
                store.drop(self.path)
        elif (
            current is None
            or current.status is not self.outcome.status
            or current.settled_at_ns != self.at.wall_ns
        ):
            # Whichever owner claimed it.
            owner = None if current is None else current.owner
            rules.settle(store, Settle(self.outcome), self.at, owner)


class Journal:
    """The file, for the holder of the ledger's lock. Everything blocks, and raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: list[SpilledWrite] = []
        """The content of the file, the oldest first."""
        self._file: FileIO | None = None
        self._end = 0

    def open(self) -> None:
        """Preallocate the file durably, unless it is; read what was kept in it."""
        # A backup made of hard links must not be written to.
        unshare(self.path)
        file = self._file = FileIO(create_private(self.path, append=False), "r+")
        content = file.read(SIZE + 1) or b""
        self.kept = list(_answers(self.path, content))
        if len(content) > SIZE or (len(content) < SIZE and not self.kept and content.strip(b"\0")):
            raise NotOurs(errno.EEXIST, "it contains something else", str(self.path))
        close_descriptor_to_others(file.fileno())
        if not content:
            give_to_owner_of(self.path.with_name(self.path.name.removesuffix(_NAME)), file.fileno())
        if len(content) < SIZE:
            # Written, since on some file systems only that allocates the blocks.
            self._write(len(content), bytes(SIZE - len(content)))
        sync_directory(self.path.parent)
        if not self.kept and content.strip(b"\0"):
            # The rest of a torn frame must not follow the next frame.
            self.clear()
        self._end = sum(map(len, map(_frame, self.kept)))

    def keep(self, answer: SpilledWrite) -> None:
        """Write an answer, durable when this returns. Raises OSError also if the file is full."""
        frame = _frame(answer)
        if self._end + len(frame) > SIZE:
            raise OSError(f"{self.path} has no room left")
        self._write(self._end, frame)
        self._end += len(frame)
        self.kept.append(answer)

    def clear(self) -> None:
        """Remove all answers."""
        self._write(0, bytes(SIZE))
        self.kept = []
        self._end = 0

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _write(self, position: int, data: bytes) -> None:
        if self._file is None:
            raise OSError(f"{self.path} is not open")
        self._file.seek(position)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())


def journal_path(ledger: Path) -> Path:
    """The path of a ledger's journal: beside the file itself, with links resolved."""
    real = Path(os.path.realpath(ledger))
    return real.with_name(f"{real.name}{_NAME}")


def kept_answers(ledger: Path) -> int:
    """How many answers are not in the ledger yet. Blocking.

    0 without a journal, or if this user may not read it. Raises OSError, and LedgerError if a newer
    version wrote it.
    """
    path = journal_path(ledger)
    try:
        content = read_own(path, SIZE)
    except PermissionError:
        return 0
    return sum(1 for _ in _answers(path, content or b""))


def has_journal(ledger: Path) -> bool:
    """Whether a journal is beside what was a ledger. Blocking; raises OSError."""
    content = read_own(journal_path(ledger), SIZE + 1)
    return content is not None and len(content) == SIZE


def _frame(answer: SpilledWrite) -> bytes:
    # Not with msgspec, which refuses lone surrogates; messages of other libraries may have them.
    text = json.dumps(to_builtins(answer)).encode("ascii")
    return _HEAD.pack(len(text), zlib.crc32(text)) + text


def _answers(path: Path, content: bytes) -> Iterator[SpilledWrite]:
    position = 0
    while position + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, position)
        position += _HEAD.size
        text = content[position : position + length]
        if not length or len(text) < length or zlib.crc32(text) != checksum:
            return
        position += length
        try:
            yield convert(json.loads(text), SpilledWrite)
        except (ValueError, RecursionError) as error:
            raise LedgerError(
                f"{path} holds answers that this batch-uploader cannot read ({error}): a newer one"
                " wrote them",
                hint="upgrade this one",
            ) from error
