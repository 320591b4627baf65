"""What several commands ask about a directory and its files before they begin."""

import os
import re
import stat
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread

from batch_uploader.app.agreement import Agreement
from batch_uploader.app.belonging import Belonging, pointer_path, require_no_other_ledger
from batch_uploader.cli.output import hint
from batch_uploader.core.errors import ConfigError, LedgerError, SourceError
from batch_uploader.core.text import plural, printable, quote
from batch_uploader.host.files import Trust, trust
from batch_uploader.host.processes import network_file_system
from batch_uploader.ledgers.places import behind_note, forgotten, has_ledger
from batch_uploader.ledgers.sqlite import LedgerReader, SqliteLedger, kept_answers, remains
from batch_uploader.settings import Places, Settings, refusal
from batch_uploader.sources.directory import escape_name
from batch_uploader.sources.selection import Kind, Selection

# What SQLite and we ourselves keep beside a ledger.
_BESIDE_A_LEDGER = (
    "-wal",
    "-shm",
    "-journal",
    "-answers",
    "-run",
    "-owner",
    "-owner.next",
    ".lock",
)
_READ = {
    "ca-file": "the file of certificates",
    "api-key-file": "the file of the API key",
    "iam-token-file": "the file of the IAM token",
    "service-account-key-file": "the file of the authorized key",
}
"""What is read alone, and would be lost to whoever writes it."""
_SYSTEMS_OWN = re.compile(r"/(dev|dev/fd|proc|proc/.*|sys|sys/.*)\Z")
"""Where to put a file in the place of /dev/stdout would do harm for good."""


def own_files(settings: Settings) -> list[Path]:
    """What may lie among the recordings and is none of them."""
    places = settings.places()
    files = (places.ledger, places.manifest, settings.path("log-file"), settings.file)
    return [file for file in files if file is not None]


def require_places(settings: Settings, output: Path | None = None) -> Places:
    """Where everything is, once it is clear that no file is to be two things at once.

    Asked first, so that no ledger is made where somebody mistyped a name. Raises SourceError for
    the directory, ConfigError for the files.
    """
    places = settings.places()
    _require_directory(places.directory)
    files = list(_files(settings, places, output))
    for one, other in combinations(files, 2):
        _require_two(one, other)
    selection = Selection(settings.patterns("include"))
    for file in files:
        _require_no_recording(file, places.directory, selection)
    return places


def require_replaceable(file: Path, flag: str) -> None:
    """Raise ConfigError unless a file can be written anew; asked before anything costs money."""
    problem = None
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            problem = "it is a directory or a device"
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        problem = _reason(error)
    if problem is None and not file.parent.is_dir():
        problem = "there is no such directory"
    if problem is None and _SYSTEMS_OWN.match(os.path.realpath(file.parent)):
        problem = "it is the system's own"
    if problem is None and not _may_write(file.parent):
        problem = "its directory may not be written"
    if problem is not None:
        raise refusal(
            f"{flag}: {file} cannot be written ({problem})",
            f"name a file in a directory that you may write to, with {flag}",
        )


def _may_write(folder: Path) -> bool:
    # Whoever this process acts as, not who started it.
    acting = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=acting)


def require_ledger(places: Places) -> None:
    """Raise LedgerError unless there is a ledger already."""
    if not has_ledger(places.ledger):
        require_no_other_ledger(places.root, places.ledger)
        if places.manifest.is_file():
            what = f"there is a manifest {places.manifest}, but its ledger is gone"
            cure = "batch-uploader upload --rebuild makes a new one from it"
        elif trace := _trace(places):
            raise forgotten(places.ledger, trace)
        else:
            what = "nothing was uploaded with it yet"
            cure = "begin with batch-uploader upload"
        missing = LedgerError(f"there is no ledger {places.ledger}: {what}")
        missing.add_note(f"{cure}, or name the right one with --ledger")
        raise missing


def agreed(ledger: SqliteLedger, places: Places) -> Agreement:
    """An open ledger, which is to be this directory's, with its manifest."""
    return Agreement(ledger, places.manifest, Belonging(places.ledger, places.root))


def risks_of(ledger: Path) -> Iterator[str]:
    """What the user should know of where a ledger lies, with the cure."""
    if trust(ledger.parent) is Trust.UNTOLD:
        yield (
            f"others may write {printable(os.fspath(ledger.parent))}, since its file system keeps"
            " no modes; if others use this machine, keep the ledger elsewhere with --ledger"
        )
    kind = network_file_system(ledger)
    if kind is not None:
        yield (
            f"the ledger {printable(os.fspath(ledger))} is on a network file system ({kind}): other"
            " machines may not see its locks, and its writes may be lost; keep it on a disk of this"
            " machine with --ledger"
        )


def require_no_trace(places: Places) -> None:
    """Raise LedgerError where there is no ledger, but what lies beside its place shows that it was.

    Opening it to write does the same.
    """
    if not places.ledger.exists() and (trace := remains(places.ledger)):
        raise forgotten(places.ledger, trace)


def _trace(places: Places) -> Path | None:
    note = behind_note(places.manifest)
    return note if note.is_file() else remains(places.ledger)


async def tell_of_kept(places: Places) -> int:
    """Say what a full disk kept out of the ledger, if it did; how many recordings it is of."""
    count = await to_thread.run_sync(kept_answers, places.ledger)
    if count:
        hint(
            f"what became of {plural(count, 'recording')} could not be recorded, and is kept beside"
            " the ledger: decide nothing before batch-uploader upload"
            f" {quote(os.fspath(places.directory))} has recorded it"
        )
    return count


async def the_connection(places: Places) -> str | None:
    """The connection that was named, or else the only one that the ledger knows.

    None if there is no ledger, or nothing in it. Raises ConfigError if it could be several.
    """
    if places.connection_id is not None or not places.ledger.exists():
        return places.connection_id
    async with LedgerReader(places.ledger) as reader:
        known = await reader.connections()
    if len(known) > 1:
        raise refusal(
            f"the ledger {places.ledger} is about more than one connection",
            f"name one with --connection-id: {', '.join(known)}",
        )
    return known[0] if known else None


async def known_connection(places: Places) -> str:
    """The connection that is decided about. Raises ConfigError if the ledger does not know it."""
    connection_id = await the_connection(places)
    async with LedgerReader(places.ledger) as reader:
        known = await reader.connections()
    if not known:
        raise ConfigError(f"the ledger {places.ledger} is empty: there is nothing to decide")
    if connection_id is None or connection_id not in known:
        raise refusal(
            f"--connection-id: the ledger {places.ledger} knows no connection {connection_id}",
            f"name one of {', '.join(known)}, or leave it out if that is the only one",
        )
    return connection_id


def _require_directory(directory: Path) -> None:
    """Raise SourceError unless there is such a directory and it can be read."""
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise SourceError(f"{directory} is not a directory; name the one with the recordings")
        # To list it and to look at what is in it are two rights. A Path would drop the dot.
        os.scandir(directory).close()
        os.stat(os.path.join(directory, os.curdir))  # noqa: PTH116, PTH118 - as above
    except (OSError, ValueError) as error:
        raise SourceError(
            f"the directory {directory} cannot be read ({_reason(error)});"
            " check its name, its mode and the mount"
        ) from error


class _File(NamedTuple):
    """A file with a part to play; ``flag`` names another one for it."""

    part: str
    path: Path
    flag: str
    unlike: frozenset[Kind] = frozenset()
    """What it must not be called among the recordings."""


def _files(settings: Settings, places: Places, output: Path | None) -> Iterator[_File]:
    recordings = frozenset({Kind.AUDIO})
    yield _File("the ledger", places.ledger, "--ledger", recordings | {Kind.SIDECAR})
    real = Path(os.path.realpath(places.ledger))
    for suffix in _BESIDE_A_LEDGER:
        beside = real.with_name(real.name + suffix)
        yield _File(f"the ledger's {beside.name}", beside, "--ledger")
    yield _File("the manifest", places.manifest, "--manifest", recordings | {Kind.SIDECAR})
    if output is not None:
        yield _File("the output", output, "--output", recordings | {Kind.SIDECAR})
    if log := settings.path("log-file"):
        # It is only ever added to, and may well be called log.json.
        yield _File("the log file", log, "--log-file", recordings)
    if settings.file:
        yield _File("the settings file", settings.file, "--config")
    yield _File("the note beside the manifest", behind_note(places.manifest), "--manifest")
    yield _File("the directory's pointer", pointer_path(places.root), "--ledger")
    for name, part in _READ.items():
        path = settings.path(name)
        # What is read once, such as a pipe, is not harmed; and all of a terminal is one device.
        if path is not None and path.is_file():
            yield _File(part, path, f"--{name}")


def _require_two(one: _File, other: _File) -> None:
    try:
        # Not by their names alone: there are links, and systems to which A is a.
        same = os.path.samefile(one.path, other.path)  # noqa: PTH121 - of two paths alike
    except (OSError, ValueError):
        # One of them is yet to be made.
        real = [os.path.normcase(os.path.realpath(file.path)) for file in (one, other)]
        same = real[0] == real[1]
    if same:
        raise refusal(
            f"{other.flag}: {other.part} would be the same file as {one.part}, {one.path}",
            "name another file for one of them",
        )


def _require_no_recording(file: _File, directory: Path, selection: Selection) -> None:
    # A link at the end would itself be replaced.
    real = Path(os.path.realpath(file.path.parent), file.path.name)
    root = os.path.realpath(directory)
    inside = real.relative_to(root).parts if real.is_relative_to(root) else ()
    if file.flag == "--ledger" and not (
        inside and all(not each.startswith(".") for each in inside)
    ):
        # No recording of this directory, but of another one.
        kind = Selection().kind(real.name)
    elif inside:
        kind = selection.kind("/".join(map(escape_name, inside)))
    else:
        return
    if kind in file.unlike:
        raise refusal(
            f"{file.flag}: {file.path} is called like a recording or a sidecar",
            "give it another name, or another directory",
        )


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
