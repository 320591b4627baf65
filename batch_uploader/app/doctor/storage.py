"""The directory of recordings, the disk of the ledger, and the ledger itself."""

import asyncio
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from batch_uploader.app.agreement import require_agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.doctor.diagnosis import Sign, fail, warn, well
from batch_uploader.app.doctor.patient import Patient, in_thread
from batch_uploader.app.places import (
    Places,
    require_none_lost,
    require_replaceable,
    risks_of,
)
from batch_uploader.core.errors import CommandHint
from batch_uploader.core.text import plural, printable, quote
from batch_uploader.core.units import format_size
from batch_uploader.host.files import create_private, temporary_name, why_not_written
from batch_uploader.host.locks import locks_exclude, locks_ranges
from batch_uploader.host.treelock import TreeLock
from batch_uploader.ledgers.sqlite import (
    LedgerReader,
    is_running,
    kept_answers,
    require_last,
    require_place,
    require_sound,
)

_LOOK_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 3.0
_LITTLE_SPACE: Final = 64 * 1024 * 1024
"""The ledger's log alone takes 16 MB and more."""
_NO_SPACE: Final = 2 * 1024 * 1024
"""What is reserved for answers when the disk is full takes half of it."""
_ELSEWHERE: Final = "keep the ledger on a disk of this machine: --ledger F"
_WAIT: Final = "wait for its end, or stop it; until then an upload ends with exit code 5"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


async def directory(patient: Patient) -> Sign:
    """Whether the directory, and what is in it, can be read."""
    assert patient.find_places is not None  # noqa: S101 - else this is not among the checks
    places = patient.places = await in_thread(patient.find_places)
    looked, closed = await in_thread(lambda: _look_through(places.root))
    if closed:
        return warn(
            "unreadable_files",
            f"{printable(closed[0])} cannot be read"
            + (f", nor {plural(len(closed) - 1, 'other')}" if len(closed) > 1 else ""),
            "grant this user read access; a run leaves out what it cannot read, and ends with exit"
            " code 1",
        )
    if not looked:
        return warn(
            "empty_directory",
            f"{_shown(places.directory)} is empty",
            "check the mount",
        )
    return well(f"{_shown(places.directory)} can be read")


def _look_through(root: Path) -> tuple[int, list[str]]:
    """How many files and folders were seen in a little time, and which cannot be read."""
    end = time.monotonic() + _LOOK_SECONDS
    looked = 0
    closed: list[str] = []
    for path, is_folder in _entries(root, closed):
        looked += 1
        wanted = os.R_OK | (os.X_OK if is_folder else 0)
        acting = os.access in os.supports_effective_ids
        if not os.access(path, wanted, effective_ids=acting):
            closed.append(path)
        if time.monotonic() > end:
            break
    return looked, closed


def _entries(root: Path, closed: list[str]) -> Iterator[tuple[str, bool]]:
    pending = [os.fspath(root)]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for each in entries:
                    if each.name.startswith("."):
                        continue
                    is_folder = each.is_dir(follow_symlinks=False)
                    yield each.path, is_folder
                    if is_folder:
                        pending.append(each.path)
        except OSError:
            if folder not in closed:
                closed.append(folder)


async def disk(patient: Patient) -> Sign:
    """Whether a ledger can be kept where it is to be: access, space, locks."""
    places = _places(patient)
    try:
        return await in_thread(lambda: _look_at_disk(places))
    except PermissionError as error:
        return fail(
            "no_access",
            f"{printable(str(error.filename))} cannot be looked at ({error.strerror})",
            "run as the user that made it, or grant this user access to it and its folder",
        )


def _look_at_disk(places: Places) -> Sign:
    ledger = places.ledger
    require_place(ledger)
    folder = next(each for each in ledger.parents if each.is_dir())
    shown = _shown(folder)
    if sign := _access(ledger, folder) or _space(folder):
        return sign
    require_replaceable(places.manifest, "--manifest")
    if not locks_ranges(folder) or not _locks(folder):
        return fail(
            "no_locks",
            f"the file system of {shown} does not lock files, so two runs could send the same"
            " recordings",
            _ELSEWHERE,
        )
    for risk in risks_of(ledger):
        problem, _, cure = risk.partition("; ")
        return warn("network_share", problem, cure)
    return well(f"{shown} can be written, has {format_size(_free(folder))} free, and locks files")


def _access(ledger: Path, folder: Path) -> Sign | None:
    """What keeps this user from writing there."""
    if error := _try_to_write(folder):
        return _closed(folder, error)
    if not ledger.exists():
        return None
    acting = os.access in os.supports_effective_ids
    if not os.access(ledger, os.W_OK, effective_ids=acting):
        return _closed(ledger)
    if sys.platform != "win32" and ledger.stat().st_uid != os.geteuid() != 0:
        return warn(
            "other_owner",
            f"{_shown(ledger)} belongs to {_owner(ledger)}, not to this user",
            f"run as {_owner(ledger)}, or: chown -R $(id -u) {quote(os.fspath(ledger.parent))}",
        )
    return None


def _try_to_write(folder: Path) -> OSError | None:
    # A server may refuse what the mode allows.
    name = temporary_name(folder / "doctor")
    try:
        os.close(create_private(name))
        name.unlink()
    except OSError as error:
        return None if error.errno in _FULL else error
    return None


def _closed(path: Path, error: OSError | None = None) -> Sign:
    if error is not None and error.errno == errno.EROFS:
        return fail(
            "read_only", f"the file system of {_shown(path)} is mounted read-only", _ELSEWHERE
        )
    return fail(
        "no_access",
        f"{_shown(path)} belongs to {_owner(path)}, and this user cannot write it",
        f"run as {_owner(path)}, or grant this user write access",
    )


def _owner(path: Path) -> str:
    if sys.platform == "win32":
        return "another user"
    try:
        return printable(path.owner())
    except KeyError:  # as in containers
        return f"the user with the ID {path.stat().st_uid}"


def _shown(path: Path) -> str:
    return printable(os.fspath(path))


def _space(folder: Path) -> Sign | None:
    shown = _shown(folder)
    free = _free(folder)
    if free < _NO_SPACE or why_not_written(folder) in _FULL:
        return fail("full_disk", f"the disk of {shown} is full", "free some space", _ELSEWHERE)
    if free < _LITTLE_SPACE:
        return warn(
            "little_space",
            f"the disk of {shown} has {format_size(free)} left",
            f"free some space: a run needs {format_size(_LITTLE_SPACE)} for the ledger",
        )
    return None


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _locks(folder: Path) -> bool:
    try:
        return locks_exclude(folder)
    except OSError:
        return False


async def ledger(patient: Patient) -> Sign:
    """Whether the ledger is sound, and the one that the manifest and the last run left."""
    places = _places(patient)
    if held := await in_thread(lambda: _held_tree(places)):
        return held
    if not places.ledger.exists():
        await in_thread(lambda: require_none_lost(places))
        return well("there is none yet; the first upload makes it")
    whole = await in_thread(lambda: require_sound(places.ledger, seconds=_CHECK_SECONDS))
    if held := await _held(places):
        return held
    await in_thread(lambda: require_last(places.ledger))
    async with LedgerReader(places.ledger) as reader:
        await require_agreement(reader, places.manifest, Belonging(places.ledger, places.root))
        recordings = sum(each.recordings for each in (await reader.counts()).values())
    if kept := await in_thread(lambda: kept_answers(places.ledger)):
        return warn(
            "kept_answers",
            f"the results of {plural(kept, 'recording')} could not be recorded, and are kept beside"
            " the ledger",
            CommandHint("to record them", "upload"),
        )
    sound = "sound" if whole else "readable, and too large to be checked whole in this time"
    return well(f"it is {sound}, with {plural(recordings, 'recording')} on record")


def _held_tree(places: Places) -> Sign | None:
    """Whether a run goes on over a directory above or below."""
    lock = TreeLock(places.root)
    holder = lock.acquire()
    lock.release()
    if holder is None or holder.root == places.root:
        return None  # of this directory itself, the ledger tells more
    whose = f" (of {_shown(holder.root)})" if holder.root else ""
    return warn("held", f"another run{whose} has the directory", _WAIT)


async def _held(places: Places) -> Sign | None:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            if not await in_thread(lambda: is_running(places.ledger)):
                return None
        who = "another run is using"
    except TimeoutError:
        # Whether it lives can only be told by what it writes.
        who = "a run of another machine may be using"
    return warn(
        "held",
        f"{who} {_shown(places.ledger)}",
        _WAIT,
    )


def _places(patient: Patient) -> Places:
    assert patient.places is not None  # noqa: S101 - a check that it needs has found them
    return patient.places
