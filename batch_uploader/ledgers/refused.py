"""Runs that their ledger does not have: refused before it was open, or ended by a full disk.

They are in a file beside the ledger. It has a fixed size and is written in place, so that a full
disk has room for it. Where there is no ledger yet, the file is among the user's own, since nothing
may be made in what may be an empty mount point. Everything here blocks, and never raises: what it
tells is of use, but no command depends on it.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import replace

from batch_uploader.core.runs import Run
from batch_uploader.host.files import Trust, create_private, read_own, trust, unshare
from batch_uploader.ledgers.sqlite import is_ledger

BESIDE: Final = "-refused"
"""The end of the name of the file beside a ledger."""
_SIZE: Final = 16 * 1024
_LONGEST: Final = 2_000
"""Of the reason of a run; in characters."""


class RefusedRuns:
    """The refused runs of the directory ``root`` and its ledger, however these are named."""

    def __init__(
        self, ledger: Path, root: Path, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._ledger = ledger
        self._beside = ledger.with_name(f"{ledger.name}{BESIDE}")
        self._own = _own_folder(environment)
        # As typed, ``calls`` would be one name for the directories of all jobs.
        names = "\n".join(map(os.path.realpath, (root, ledger))).encode(errors="surrogateescape")
        self._name = f"{hashlib.sha256(names).hexdigest()[:32]}.runs"

    def reserve(self) -> None:
        """Make the file beside the ledger, while the disk has room."""
        with suppress(OSError):
            if self._is_safe() and not self._beside.exists():
                _write(self._beside, b"")

    def add(self, run: Run) -> None:
        """Put a run on record, as the latest."""
        line = json.dumps(to_builtins(_shortened(run))).encode("ascii")
        with suppress(OSError):
            _append(self._place(), line)

    def read(self) -> list[Run]:
        """All runs that are there, the latest first."""
        places = [self._beside, *([] if self._own is None else [self._own / self._name])]
        found = [run for place in places for run in _runs(_lines(place))]
        return sorted(found, key=lambda run: run.began_at_ns, reverse=True)

    def _place(self) -> Path:
        if self._is_safe():
            return self._beside
        if self._own is None:
            raise FileNotFoundError
        self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._own / self._name

    def _is_safe(self) -> bool:
        return is_ledger(self._ledger) and trust(self._ledger.parent) in {Trust.OURS, Trust.UNTOLD}


def _own_folder(environment: Mapping[str, str]) -> Path | None:
    """Where a user's programs keep their state, by the XDG's rules."""
    if state := environment.get("XDG_STATE_HOME") or environment.get("LOCALAPPDATA"):
        return Path(state) / "batch-uploader"
    home = environment.get("HOME")
    return Path(home) / ".local" / "state" / "batch-uploader" if home else None


def _shortened(run: Run) -> Run:
    if run.end is None or run.end.reason is None:
        return run
    return replace(run, end=replace(run.end, reason=run.end.reason[:_LONGEST]))


def _lines(place: Path) -> Sequence[bytes]:
    with suppress(OSError):
        return (read_own(place, _SIZE) or b"").strip().splitlines()
    return ()


def _runs(lines: Sequence[bytes]) -> Iterator[Run]:
    for line in lines:
        # A line may be torn, or a newer version's.
        with suppress(ValueError, ValidationError, RecursionError):
            yield convert(json.loads(line), Run)


def _append(place: Path, line: bytes) -> None:
    kept = [*_lines(place), line]
    while sum(map(len, kept)) + len(kept) > _SIZE and len(kept) > 1:
        del kept[0]
    _write(place, b"\n".join(kept))


def _write(place: Path, content: bytes) -> None:
    unshare(place)
    descriptor = create_private(place, append=False)
    try:
        rest = memoryview(content.ljust(_SIZE))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
