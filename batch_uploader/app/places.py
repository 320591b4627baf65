"""Finds and checks the directory, ledger and manifest that a command works on."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.belonging import pointer_path, require_no_other_ledger
from batch_uploader.core.checks import as_path, require_asyncio, require_word
from batch_uploader.core.errors import ConfigError, LedgerError, SourceError
from batch_uploader.core.text import printable, quote
from batch_uploader.host.files import Trust, trust
from batch_uploader.host.processes import network_file_system
from batch_uploader.ledgers.places import (
    LEDGER_FOLDER,
    REBUILD,
    forgotten,
    has_ledger,
    ledger_path,
    manifest_path,
    require_no_lost_ledger,
    stale_note,
)
from batch_uploader.ledgers.refused import BESIDE
from batch_uploader.ledgers.sqlite import LedgerReader, remains
from batch_uploader.sources.names import escape_name
from batch_uploader.sources.selection import FileKind, Selection

# The files that SQLite and this program keep beside a ledger.
_BESIDE_A_LEDGER = (
    "-wal",
    "-shm",
    "-journal",
    "-answers",
    "-run",
    BESIDE,
    "-owner",
    "-owner.next",
    ".lock",
)
_SYSTEMS_OWN = re.compile(r"/(dev|dev/fd|proc|proc/.*|sys|sys/.*)\Z")
"""Folders in which replacing a file, such as /dev/stdout, would do lasting harm."""


class Places(Struct, frozen=True):
    """A directory of recordings with the files that belong to it.

    ``root`` is the real path of ``directory``, which is for messages. Links in the other paths are
    resolved, too, so that all belong together as long as a command runs. ``connection_id`` is None
    if not given.
    """

    directory: Path
    ledger: Path
    manifest: Path
    connection_id: str | None
    root: Path

    @classmethod
    def of(
        cls,
        directory: str | os.PathLike[str],
        ledger: str | os.PathLike[str] | None = None,
        manifest: str | os.PathLike[str] | None = None,
        connection_id: str | None = None,
    ) -> Self:
        """Ledger and manifest are at their default paths unless given. Blocking.

        Raises ConfigError for what cannot be a path or an ID.
        """
        require_word("connection_id", connection_id, optional=True)
        named = as_path("directory", directory)
        root = _real(named)
        in_use = ledger_path(root) if ledger is None else as_path("ledger", ledger).absolute()
        listed = (
            manifest_path(root) if manifest is None else as_path("manifest", manifest).absolute()
        )
        return cls(
            named,
            _real_ledger(in_use),
            _real(listed.parent) / listed.name,
            connection_id,
            root,
        )

    def elsewhere(self) -> str:
        """The flags by which other commands find ledger and manifest, each after a space.

        Empty if both are at their default paths.
        """
        flags = ""
        if self.ledger != ledger_path(self.root):
            flags += f" --ledger {quote(os.fspath(self.ledger))}"
        if self.manifest != manifest_path(self.root):
            flags += f" --manifest {quote(os.fspath(self.manifest))}"
        return flags


Where: TypeAlias = "str | os.PathLike[str] | Places"
"""The directory argument of the library's calls."""


async def find_places(
    directory: Where,
    *,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    connection_id: str | None = None,
    more: Iterable["OwnFile"] = (),
    include: Sequence[str] = (),
) -> Places:
    """The places of these arguments; Places are returned unchanged.

    Raises SourceError or ConfigError as ``require_distinct`` does, and ConfigError under another
    event loop than asyncio's.
    """
    require_asyncio()
    if isinstance(directory, Places):
        return directory

    def find() -> Places:
        # So that a later change of the working directory has no effect.
        absolute = as_path("directory", directory).absolute()
        places = Places.of(absolute, ledger, manifest, connection_id)
        require_distinct(places, more, include)
        return places

    return await to_thread.run_sync(find)


class OwnFile(NamedTuple):
    """A file with a purpose; ``flag`` chooses another one."""

    part: str
    path: Path
    flag: str
    unlike: frozenset[FileKind] = frozenset()
    """The kinds of names that it must not have within the directory."""


def output_file(path: Path) -> OwnFile:
    """The file of an export."""
    return OwnFile("the output", path, "--output", frozenset({FileKind.AUDIO, FileKind.SIDECAR}))


def require_distinct(
    places: Places, more: Iterable[OwnFile] = (), include: Sequence[str] = ()
) -> None:
    """Raise unless the directory exists and no file has two purposes. Blocking.

    Called first, so that a mistyped name does not create a ledger. ``more`` are files besides
    ledger and manifest, ``include`` the patterns of recordings. Raises SourceError for the
    directory, ConfigError for the files.
    """
    _require_directory(places.directory)
    files = [*_files(places), *more]
    for one, other in combinations(files, 2):
        _require_two(one, other)
    selection = Selection(include)
    for file in files:
        _require_no_recording(file, places.directory, selection)


def require_replaceable(file: Path, flag: str) -> None:
    """Raise ConfigError unless a file can be replaced; called before anything is uploaded."""
    problem = None
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            problem = "it is a directory or a device"
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        problem = _reason(error)
    if problem is None and not file.parent.is_dir():
        problem = "its directory does not exist"
    if problem is None and _SYSTEMS_OWN.match(os.path.realpath(file.parent)):
        problem = "it belongs to the system"
    if problem is None and not _may_write(file.parent):
        problem = "its directory is not writable"
    if problem is not None:
        raise ConfigError(
            f"{file} cannot be written ({problem})",
            hint=f"specify a file in a directory that you can write to, with {flag}",
            flag=flag,
        )


def _may_write(folder: Path) -> bool:
    # By the effective user ID.
    acting = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=acting)


def require_ledger(places: Places) -> None:
    """Raise LedgerError unless the ledger exists."""
    if not has_ledger(places.ledger):
        require_no_other_ledger(places.root, places.ledger)
        if places.manifest.is_file():
            raise LedgerError(
                f"the ledger {places.ledger} is gone, and only its manifest {places.manifest} is"
                " left",
                hint=["put the ledger back, or specify the right one with --ledger", REBUILD],
            )
        if trace := _trace(places):
            raise forgotten(places.ledger, trace)
        raise LedgerError(
            f"the ledger {places.ledger} does not exist: nothing has been uploaded with it yet",
            hint="start with an upload, or specify the right one with --ledger",
        )


def risks_of(ledger: Path) -> Iterator[str]:
    """Warnings about the place of a ledger, with hints."""
    if trust(ledger.parent) is Trust.UNTOLD:
        yield (
            f"other users may be able to write to {printable(os.fspath(ledger.parent))}, since its"
            " file system has no permissions; if others use this machine, keep the ledger elsewhere"
            " with --ledger"
        )
    kind = network_file_system(ledger)
    if kind is not None:
        yield (
            f"the ledger {printable(os.fspath(ledger))} is on a network file system ({kind}): other"
            " machines may not see its locks, and its writes may be lost; keep it on a disk of this"
            " machine with --ledger"
        )


def require_none_lost(places: Places, *, rebuilding: bool = False) -> None:
    """Raise unless the ledger exists, or the directory never had one. Blocking.

    With ``rebuilding`` it may be lost. Raises ConfigError for another directory's ledger, and
    LedgerError.
    """
    require_no_other_ledger(places.root, places.ledger, rebuilding=rebuilding)
    if rebuilding:
        return
    require_no_lost_ledger(places.root, places.ledger, places.manifest)
    if not places.ledger.exists() and (trace := remains(places.ledger)):
        raise forgotten(places.ledger, trace)


def _trace(places: Places) -> Path | None:
    note = stale_note(places.manifest)
    return note if note.is_file() else remains(places.ledger)


async def find_connection(places: Places) -> str | None:
    """The given connection, or else the only one in the ledger.

    None if the ledger is missing or empty. Raises ConfigError if it has several.
    """
    if places.connection_id is not None or not places.ledger.exists():
        return places.connection_id
    return _only_one(places, await _connections(places))


async def require_connection(places: Places) -> str:
    """The connection to decide about. Raises ConfigError if the ledger does not have it."""
    # Read once: a run may record the first one meanwhile.
    known = await _connections(places)
    if not known:
        raise ConfigError(f"the ledger {places.ledger} is empty: nothing needs a decision")
    connection_id = places.connection_id or _only_one(places, known)
    if connection_id not in known:
        raise _unknown(places, known)
    return connection_id


async def require_on_record(places: Places, reader: LedgerReader) -> None:
    """Raise ConfigError if neither a recording nor a run of the given connection is on record.

    ``reader`` is that of this connection.
    """
    if places.connection_id is None:
        return
    known = await reader.connections()
    if places.connection_id not in known and not await reader.runs(1):
        raise _unknown(places, known)


def _unknown(places: Places, known: Sequence[str]) -> ConfigError:
    one_of = f"specify one of {', '.join(known)}, or leave it out if that is the only one"
    return ConfigError(
        f"the ledger {places.ledger} has no connection {places.connection_id}",
        hint=one_of if known else "it has none yet: start with an upload",
        flag="--connection-id",
    )


async def _connections(places: Places) -> list[str]:
    async with LedgerReader(places.ledger) as reader:
        return await reader.connections()


def _only_one(places: Places, known: Sequence[str]) -> str | None:
    if len(known) > 1:
        raise ConfigError(
            f"the ledger {places.ledger} has more than one connection",
            hint=f"specify one with --connection-id: {', '.join(known)}",
        )
    return known[0] if known else None


def _require_directory(directory: Path) -> None:
    """Raise SourceError unless the directory exists and can be read."""
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise SourceError(
                f"{directory} is not a directory", hint="specify the one with the recordings"
            )
        # Listing and searching are two permissions. A Path would drop the dot.
        os.scandir(directory).close()
        os.stat(os.path.join(directory, os.curdir))  # noqa: PTH116, PTH118 - as above
    except FileNotFoundError as error:
        raise SourceError(
            f"the directory {directory} does not exist", hint="check its name and the mount"
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(
            f"the directory {directory} cannot be read ({_reason(error)})",
            hint="check its name, its mode and the mount",
        ) from error


def _files(places: Places) -> Iterator[OwnFile]:
    recordings = frozenset({FileKind.AUDIO})
    yield OwnFile("the ledger", places.ledger, "--ledger", recordings | {FileKind.SIDECAR})
    real = Path(os.path.realpath(places.ledger))
    for suffix in _BESIDE_A_LEDGER:
        beside = real.with_name(real.name + suffix)
        yield OwnFile(f"the ledger's {beside.name}", beside, "--ledger")
    yield OwnFile("the manifest", places.manifest, "--manifest", recordings | {FileKind.SIDECAR})
    yield OwnFile("the note beside the manifest", stale_note(places.manifest), "--manifest")
    yield OwnFile("the directory's pointer", pointer_path(places.root), "--ledger")


def _require_two(one: OwnFile, other: OwnFile) -> None:
    try:
        # Not only by name: there are links, and case-insensitive file systems.
        same = os.path.samefile(one.path, other.path)  # noqa: PTH121 - of two paths alike
    except (OSError, ValueError):
        # One of them does not exist yet.
        real = [os.path.normcase(os.path.realpath(file.path)) for file in (one, other)]
        same = real[0] == real[1]
    if same:
        raise ConfigError(
            f"{other.part} would be the same file as {one.part}, {one.path}",
            hint="specify another file for one of them",
            flag=other.flag,
        )


def _require_no_recording(file: OwnFile, directory: Path, selection: Selection) -> None:
    # A link as the last part would itself be replaced.
    real = Path(os.path.realpath(file.path.parent), file.path.name)
    root = os.path.realpath(directory)
    inside = real.relative_to(root).parts if real.is_relative_to(root) else ()
    if file.flag == "--ledger" and not (
        inside and all(not each.startswith(".") for each in inside)
    ):
        # It is outside this directory, but may be a recording of another.
        kind = Selection().kind(real.name)
    elif inside:
        kind = selection.kind("/".join(map(escape_name, inside)))
    else:
        return
    if kind in file.unlike:
        raise ConfigError(
            f"{file.path} is named like a recording or a sidecar",
            hint="specify another name, or another directory",
            flag=file.flag,
        )


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _real(directory: Path) -> Path:
    """The real path of the directory; as it was typed if it has no links."""
    try:
        real = os.path.realpath(directory)
    except ValueError:
        return directory  # not a valid name, as opening it will report
    return directory if real == os.path.abspath(directory) else Path(real)  # noqa: PTH100 - as typed


def _real_ledger(ledger: Path) -> Path:
    folder = ledger.parent
    if folder.name == LEDGER_FOLDER:
        # A link in place of the folder itself must be noticed.
        return _real(folder.parent) / folder.name / ledger.name
    return _real(folder) / ledger.name
