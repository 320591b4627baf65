"""Replaces a lost ledger by a new one, atomically."""

import time
from pathlib import Path
from typing import Final, Self

from anyio import CancelScope, to_thread

from batch_uploader.core.errors import LedgerError
from batch_uploader.host.files import remove_leftovers, sync_directory, temporary_name
from batch_uploader.ledgers.sqlite import file, place
from batch_uploader.ledgers.sqlite.hold import Hold
from batch_uploader.ledgers.sqlite.journal import has_journal, kept_answers
from batch_uploader.ledgers.sqlite.mark import NOTE, strays

_SUFFIXES: Final = ("", "-wal", "-shm", "-journal", "-answers", NOTE)


class Replacement:
    """Holds the lock of an unusable ledger while a new one is made, at ``new``.

    ``whole`` is whether the old one exists and can be read, ``stray`` whether it is not the one
    that its last run left, so that the log beside it is not its own. When this is left without an
    error, the rest of the old one is renamed to ``aside``, and the new one takes its place.
    ``aside`` is None if nothing was left.
    """

    def __init__(self, path: Path) -> None:
        self._named = path
        self._path = place.real(path)
        self._hold = Hold(path)
        self.new = temporary_name(self._path)
        self.aside: Path | None = None
        self.whole = self.stray = False

    async def __aenter__(self) -> Self:
        """Take the lock.

        Raises LedgerLocked if another run holds the ledger, LedgerError if it was written by a
        newer version, is not a ledger, or cannot be read.
        """
        try:
            await to_thread.run_sync(self._begin)
        except BaseException:
            self._hold.release()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Put the new ledger in its place, unless making it failed."""
        with CancelScope(shield=True):
            await to_thread.run_sync(self._swap if kind is None else self._give_up)

    def _begin(self) -> None:
        with file.translated(self._path):
            place.require_place(self._named)
            if self._path.exists():
                place.require_file(self._path)
            _require_ours(self._path)
            file.make_folder(self._path.parent)
            self._hold.take()
            _require_ours(self._path)
            if self._path.exists():
                self.stray = strays(self._path)
                self.whole = not file.is_damaged(self._path, alone=self.stray)
            remove_leftovers(self._path)

    def _swap(self) -> None:
        try:
            with file.translated(self._path):
                self._set_aside()
                self.new.replace(self._path)
                sync_directory(self._path.parent)
        finally:
            self._give_up()

    def _give_up(self) -> None:
        try:
            with file.translated(self._path):
                remove_leftovers(self._path)
        finally:
            self._hold.release()

    def _set_aside(self) -> None:
        log = place.beside(self.new, "-wal")
        if log.exists() and log.stat().st_size:
            raise LedgerError(f"the ledger {self._path} could not be rebuilt", hint="try again")
        if has_journal(self._path) and not kept_answers(self._path):
            place.beside(self._path, "-answers").unlink(missing_ok=True)
        left = [each for each in _SUFFIXES if place.beside(self._path, each).exists()]
        if left:
            self.aside = _free_name(self._path, "behind" if self.whole else "damaged")
            # The ledger itself first: a log alone is not mistaken for a whole ledger.
            for suffix in left:
                place.beside(self._path, suffix).rename(place.beside(self.aside, suffix))


def _require_ours(path: Path) -> None:
    """Raise LedgerError if a file that would be set aside is not a ledger's."""
    left = [name for name in (place.beside(path, each) for each in _SUFFIXES) if name.exists()]
    if left and not place.was_ours(path):
        raise place.none_there(left[0])


def _free_name(path: Path, why: str) -> Path:
    name = f".{why}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    aside, number = place.beside(path, name), 1
    while any(place.beside(aside, suffix).exists() for suffix in _SUFFIXES):
        number += 1
        aside = place.beside(path, f"{name}-{number}")
    return aside
