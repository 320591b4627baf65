"""Which directory a ledger belongs to, wherever that is mounted or moved to.

The directory has an ID, which is in its ledger and in a small file in the directory, the pointer,
which also has the ledger's path. So a ledger is not used for another directory with the same paths,
and a directory whose ledger is elsewhere does not get a second one. A directory that cannot be
written has no pointer; then its last path counts.
"""

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from anyio import to_thread
from msgspec import Struct

from batch_uploader.core.changes import Remember
from batch_uploader.core.errors import ConfigError, LedgerError
from batch_uploader.core.ports import Ledger, apply_all
from batch_uploader.core.text import quote
from batch_uploader.host.files import (
    Trust,
    create_once,
    read_own,
    replace_atomically,
    sync_directory,
    trust,
)
from batch_uploader.ledgers.places import LEDGER_FOLDER, REBUILD, ledger_path

POINTER_NAME: Final = "source.json"
_LONGEST: Final = 64 * 1024
_ID, _ROOT, _POINTED = "source_id", "source_root", "source_pointed"


class Pointer(Struct, frozen=True):
    """The pointer in the directory; ``ledger`` is relative to it if the ledger is within."""

    source_id: str
    ledger: str

    def leads_to(self, root: Path) -> Path:
        """The path of the ledger that it names."""
        return root / self.ledger


class Origin(Struct, frozen=True):
    """The directory of a ledger: its ID, its last path, and whether it had a pointer."""

    source_id: str | None = None
    root: Path | None = None
    pointed: bool = False


class KnowsFacts(Protocol):
    """The part of a ledger that has its facts."""

    async def fact(self, name: str) -> str | None:
        """As ``ports.Ledger``."""


def pointer_path(root: Path) -> Path:
    """The path of a directory's pointer."""
    return root / LEDGER_FOLDER / POINTER_NAME


def read_pointer(root: Path, *, of_anyone: bool = False) -> Pointer | None:
    """The directory's pointer, None if it has none of its own. Blocking.

    A pointer that another user could have put there proves nothing, unless ``of_anyone``. Raises
    LedgerError if it cannot be read.
    """
    path = pointer_path(root)
    try:
        if not of_anyone and trust(path.parent) not in {Trust.OURS, Trust.UNTOLD}:
            return None
        content = read_own(path, _LONGEST)
        if content is None:
            return None
        # Not with msgspec: a path may not be valid Unicode.
        fields = json.loads(content)
        return Pointer(str(fields["source_id"]), str(fields["ledger"]))
    except NotADirectoryError:
        return None
    except PermissionError as error:
        raise LedgerError(
            f"the pointer to the ledger of {root} cannot be read ({error})",
            hint="run as the user that made it, or grant this user access to it and its folder",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(
            f"{path} cannot be read ({error}), so the ledger of this directory is unknown",
            hint="restore it; if you know the ledger, remove it and specify that with --ledger",
        ) from error


def require_no_other_ledger(root: Path, ledger: Path, *, rebuilding: bool = False) -> None:
    """Raise if the directory's pointer names another ledger. Blocking.

    Raises ConfigError if that exists, under another name, and LedgerError if it is gone, unless
    ``rebuilding``.
    """
    if os.path.lexists(ledger):
        return
    pointer = read_pointer(root)
    if pointer is None:
        return
    named = pointer.leads_to(root)
    if named.exists() and not _same(named, ledger):
        raise _named_elsewhere(root, ledger, named)
    if not rebuilding:
        raise LedgerError(
            f"the ledger {named} of {root} is gone (its name is in {pointer_path(root)}), and"
            " recordings may have been uploaded",
            hint=[
                "put it back, or specify the right one with --ledger",
                REBUILD,
                f"if nothing was ever uploaded, remove {pointer_path(root)} and run again",
            ],
        )


class Belonging:
    """A ledger's path, and the real path of the directory that it is used for.

    On record is where the directory is, whatever the working directory of a run.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root

    async def require(self, ledger: KnowsFacts) -> str | None:
        """The ID of the directory, None if it has none yet; changes nothing.

        Raises ConfigError if the ledger belongs to another directory, or the directory to another
        ledger, LedgerError if that cannot be told.
        """
        root = await ledger.fact(_ROOT)
        origin = Origin(
            await ledger.fact(_ID),
            None if root is None else Path(json.loads(root)),
            await ledger.fact(_POINTED) is not None,
        )
        return await to_thread.run_sync(_judge, origin, self.path, self.root)

    async def settle(self, ledger: Ledger) -> None:
        """Record the open ledger and the directory in each other. Raises as ``require``.

        For the ledger's holder, after all other checks.
        """
        source_id = await self.require(ledger) or str(uuid.uuid4())
        place = json.dumps(os.fspath(self.root.absolute()))
        await _learn(ledger, {_ID: source_id, _ROOT: place})
        if await to_thread.run_sync(_point, source_id, self.path, self.root):
            # Another run may have settled the directory with another ledger first.
            await self.require(ledger)
            await _learn(ledger, {_POINTED: "1"})


async def known_source(root: Path) -> str | None:
    """The ID of a directory whose ledger is lost, None if unknown. Raises LedgerError."""
    pointer = await to_thread.run_sync(read_pointer, root)
    return None if pointer is None else pointer.source_id


async def carry_over(ledger: Ledger, source_id: str | None) -> None:
    """Record in a rebuilt ledger which directory it belongs to."""
    if source_id is not None:
        await _learn(ledger, {_ID: source_id})


async def _learn(ledger: Ledger, facts: Mapping[str, str]) -> None:
    news = {name: value for name, value in facts.items() if await ledger.fact(name) != value}
    if news:
        await apply_all(ledger, [Remember(*each) for each in news.items()])


def _judge(origin: Origin, path: Path, root: Path) -> str | None:
    pointer = read_pointer(root)
    if pointer is None:
        _judge_by_place(origin, path, root)
        return origin.source_id
    named = pointer.leads_to(root)
    if origin.source_id not in {None, pointer.source_id}:
        if named.exists() and not _same(named, path):
            raise _named_elsewhere(root, path, named)
        raise _of_another(path, origin, root)
    if _same(named, path):
        _require_no_twin(origin, pointer, path, root)
        return pointer.source_id
    if named.exists():
        raise _named_elsewhere(root, path, named)
    if origin.source_id is None:
        raise LedgerError(
            f"the ledger {path} does not say of which directory it is, and the ledger {named} of"
            f" {root} is gone",
            hint=[
                "put that one back, or specify the right one with --ledger",
                f"if this one is the newest, remove {pointer_path(root)}",
            ],
        )
    _require_no_twin(origin, pointer, path, root)
    return pointer.source_id


def _judge_by_place(origin: Origin, path: Path, root: Path) -> None:
    """Raise ConfigError if a directory without a pointer is not the ledger's."""
    at_home = origin.root is None or _same(origin.root, root) or _same(ledger_path(root), path)
    if origin.source_id is None or at_home:
        return
    if origin.pointed or _holds_anything(origin.root):
        raise _of_another(path, origin, root)


def _require_no_twin(origin: Origin, pointer: Pointer, path: Path, root: Path) -> None:
    """Raise ConfigError if the directory was copied with its pointer, and the original exists."""
    if origin.root is None or _same(origin.root, root):
        return
    with suppress(LedgerError):
        twin = read_pointer(origin.root)
        alike = twin is not None and twin.source_id == pointer.source_id
        if alike and not _by_another_mount(origin.root, root):
            raise _a_copy(path, origin.root, root)


def _by_another_mount(one: Path, other: Path) -> bool:
    """Whether two paths may be two mounts of one directory: a copy has other change times."""
    if one.stat().st_dev == other.stat().st_dev:
        return False
    pointers = [pointer_path(each).stat() for each in (one, other)]
    looks = [(each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in pointers]
    return looks[0] == looks[1]


def _point(source_id: str, path: Path, root: Path) -> bool:
    """Write the pointer unless it exists. Returns whether it exists now."""
    pointer = pointer_path(root)
    ledger = os.path.realpath(path)
    with suppress(ValueError):  # it is elsewhere
        ledger = Path(ledger).relative_to(os.path.realpath(root)).as_posix()
    wanted = Pointer(source_id, ledger)
    content = json.dumps({"source_id": source_id, "ledger": ledger}).encode("ascii") + b"\n"
    try:
        there = read_pointer(root)
        if there == wanted:
            return True
        if trust(pointer.parent) not in {Trust.OURS, Trust.UNTOLD}:
            return False
        pointer.parent.mkdir(mode=0o700, exist_ok=True)
        if there is not None and there.source_id == source_id:
            with replace_atomically(pointer) as file:
                file.write(content)
        else:
            create_once(pointer, content)
        sync_directory(root)
    except OSError:
        return False  # a read-only directory has none
    return True


def _named_elsewhere(root: Path, path: Path, named: Path) -> ConfigError:
    usual = _same(named, ledger_path(root))
    other, own, folder = (quote(os.fspath(each)) for each in (path, named, root))
    hints = ["leave out --ledger" if usual else f"specify it: --ledger {own}"]
    if os.path.lexists(path):
        hints.append(
            f"what only {path} knows, such as talks of another connection, would then be sent"
            f" again; to take it over first: batch-uploader manifest {folder} --ledger {other}"
            f" --output F, then run the upload with --rebuild --ledger {own} --manifest F"
        )
    hints.append(f"if this one is to take its place, move that one away first: {named}")
    return ConfigError(
        f"the ledger of {root} is {named}, not {path}: with another one everything would be sent"
        " again",
        hint=hints,
        flag="--ledger",
    )


def _of_another(path: Path, origin: Origin, root: Path) -> ConfigError:
    where = origin.root or "another directory"
    hints = ["specify another one for this directory: each has its own"]
    pointer = pointer_path(root)
    if not os.access(root, os.W_OK):
        hints.append(
            f"if it is the same directory, moved: move it back to {where}, since this program"
            " cannot write to it to note the move"
        )
    elif not pointer.exists():
        hints.append(
            f"if it is the same directory, moved: put {POINTER_NAME} back, as {pointer}, with"
            f' {{"source_id": "{origin.source_id}", "ledger": {json.dumps(os.fspath(path))}}}'
        )
    return ConfigError(
        f"the ledger {path} is of {where}, not of {root}: recordings of the same path in both would"
        " be taken for the same",
        hint=hints,
        flag="--ledger",
    )


def _a_copy(path: Path, first: Path, root: Path) -> ConfigError:
    hints = [f"if it is to replace that one, move that away or remove {pointer_path(first)}"]
    if path.is_relative_to(root):
        hints.append(f"else upload {first} alone")
        return ConfigError(
            f"{root} is a copy of {first}, with its ledger: a recording that comes to both would be"
            " sent by each",
            hint=hints,
        )
    hints.append(f"else remove {pointer_path(root)}, and specify another ledger for this one")
    return ConfigError(
        f"{root} is a copy of {first}, whose ledger is {path}: recordings of the same path in both"
        " would be taken for the same",
        hint=hints,
        flag="--ledger",
    )


def _holds_anything(folder: Path | None) -> bool:
    """Whether the directory exists and is not empty, as a mount point without a mount would be."""
    if folder is None or not os.path.isdir(folder):  # noqa: PTH112 - a dead mount is none
        return False
    with suppress(OSError), os.scandir(folder) as entries:
        return any(entries)
    return True


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)
