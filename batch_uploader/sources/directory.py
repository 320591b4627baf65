"""A directory tree as a stream of folders; links in it are never followed."""

import errno
import io
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from anyio import to_thread
from msgspec import Struct, field

from batch_uploader.core.errors import SourceError, SourceGone
from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.core.naming import without_sidecars_of
from batch_uploader.host import beneath
from batch_uploader.sources.holders import holders
from batch_uploader.sources.names import escape_name, path_parts
from batch_uploader.sources.root import HeldRoot
from batch_uploader.sources.selection import FileKind, Selection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


_BITS = 63
_NO_PARTS = ((), (), None, None)
_LATEST_NS = 2**_BITS - 1

# A thread hop costs as much as listing fifty files. A batch ends at whichever of these comes first,
# so that neither many small folders nor a slow disk delays the first upload.
_BATCH_ENTRIES = 1_000
_BATCH_SECONDS = 0.05

# After this many cached reads in a row that took this long each (seconds), none for a minute.
_SLOW_GLANCES, _SLOW_GLANCE, _NO_GLANCES = 3, 0.005, 60.0

_LINK_CURE = "replace it with what it leads to, or upload the directory that it leads to"


class DirectorySource:
    """The recordings and sidecars below a directory.

    Left out: hidden files and folders, what ``exclude`` matches, the files of our own that
    ``ignore`` names, and files that are neither audio nor sidecar. ``include``, ``exclude``
    and ``sidecars`` are patterns as ``Selection`` explains them; raises ConfigError if one cannot
    be read.

    All files are opened relative to the directory that ``root`` led to at first, or ``leads_to`` if
    it was resolved before: until the context manager is left, else while the source exists.

    ``watch`` are names of hidden folders: in the thread that reads, the function is called with
    each folder below the root that has one, and what it raises ends the reading.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        sidecars: Sequence[str] = (),
        ignore: Sequence[Path] = (),
        leads_to: Path | None = None,
        watch: Mapping[str, Callable[[str], None]] | None = None,
    ) -> None:
        self._given = os.fspath(root)
        root = Path(root)
        opened = (leads_to or root).absolute()
        self._root = HeldRoot(str(root.absolute()), str(opened), _explain)
        self._selection = Selection(include, exclude, sidecars)
        self._ignored = _within(Path(os.path.realpath(opened)), ignore)
        self.takes = self._selection.takes
        self._watched = watch or {}
        self._tells_cached = False
        self._slow_glances = 0
        self._glances_from = 0.0

    def __enter__(self) -> Self:
        """Hold the directory. Raises SourceError."""
        _ = self._root.held
        return self

    def __exit__(self, *exc: object) -> None:
        """Release the directory; when it is used again, another one may be there."""
        self._root.close()
        self._tells_cached = False

    @property
    def where(self) -> str:
        """The directory, for messages."""
        return self._root.where

    def user_path(self, path: str) -> str:
        """A listed file as the user gave the directory; bytes that are not UTF-8 as surrogates."""
        return os.path.join(self._given, *path_parts(path))  # noqa: PTH118 - keeps a leading ./

    def require_same(self) -> None:
        """Raise SourceError if another directory is at its path by now. Blocking."""
        self._root.require_same()

    def is_audio(self, path: str) -> bool:
        """Whether a listed file is a recording and not a sidecar."""
        return self._selection.kind(path) is FileKind.AUDIO

    async def entries(self) -> AsyncGenerator[Listing, None]:
        """Every folder once, as a stream; read in a thread, at most a small batch ahead.

        A folder that cannot be read to its end has no entries: in a part of a folder, recordings
        would seem to have no sidecar. Raises SourceError if the root cannot be read, or if folders
        vanish because another directory is in its place.
        """
        walk = self._walk()
        # A share that hangs must not keep a cancelled run from ending.
        while batch := await to_thread.run_sync(_batch, walk, abandon_on_cancel=True):
            for listing in batch:
                yield listing

    def holds_anything(self) -> bool:
        """Whether there is a file that a run takes, tells of or excludes. Blocking.

        It stops at the first one. A sidecar of a file that is not taken is none. Raises SourceError
        if the root cannot be read.
        """
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                if self._holds_anything(folder, pending):
                    return True
            except (FileNotFoundError, NotADirectoryError) as error:
                if not folder:
                    raise self._root.error(error) from error
            except OSError as error:
                if not folder:
                    raise self._root.error(error) from error
                return True  # the run tells what cannot be read
        return False

    def _holds_anything(self, folder: str, pending: list[str]) -> bool:
        found, sidecars = _Found(pending), list[Entry]()
        with beneath.scan_beneath(self._root.held, path_parts(folder) if folder else ()) as items:
            for item in items:
                if item.name[0] == ".":
                    continue
                path = f"{folder}/{escape_name(item.name)}" if folder else escape_name(item.name)
                if path in self._ignored:
                    continue
                kind = self._selection.kind(path)
                if kind is FileKind.SIDECAR and item.is_file(follow_symlinks=False):
                    sidecars.append(Entry(path, 0, 0))
                    continue
                self._sort_out(item, path, kind, found)
                if kind is not FileKind.OTHER or found.unreadable:
                    return True
        return bool(without_sidecars_of(found.others, sidecars, self.is_audio))

    def open(self, path: str) -> BinaryIO:
        """Open a file, as ``ports.Source`` says; its reads raise OSError."""
        parts = path_parts(path)
        with _explaining(path):
            descriptor = beneath.open_beneath(self._root.held, parts)
            try:
                _regular(path, os.fstat(descriptor))
                self._learn(descriptor)
                return _Handle(descriptor)
            except BaseException:
                os.close(descriptor)
                raise

    def read_if_cached(self, listed: Entry) -> bytes | None:
        """A file on a local disk that is in memory, as ``ports.Source`` says."""
        began = time.monotonic()
        if not self._tells_cached or began < self._glances_from:
            return None
        try:
            content, status = beneath.read_cached_beneath(
                self._root.held, path_parts(listed.path), listed.size
            )
            return content if _regular(listed.path, status).is_like(listed) else None
        except (OSError, SourceError):
            return None
        finally:
            self._watch_glances(began, time.monotonic())

    def stat(self, path: str) -> Entry:
        """The file as it is now. Blocking. Raises SourceGone, or SourceError for a link."""
        parts = path_parts(path)
        with _explaining(path):
            return _regular(path, beneath.stat_beneath(self._root.held, parts))

    def handle_stat(self, handle: BinaryIO, path: str) -> Entry:
        """The file behind an open handle as it is now. Blocking. Raises SourceError."""
        with _explaining(path):
            return _regular(path, os.fstat(handle.fileno()))

    def _learn(self, descriptor: int) -> None:
        """Find out from a file whether the root's file system supports cached reads."""
        if not self._tells_cached and os.fstat(descriptor).st_dev == self._root.device:
            self._tells_cached = beneath.tells_cached(descriptor)

    def _watch_glances(self, began: float, now: float) -> None:
        # A virus scanner that checks each file can make even cached reads slow.
        self._slow_glances = self._slow_glances + 1 if now - began > _SLOW_GLANCE else 0
        if self._slow_glances == _SLOW_GLANCES:
            self._slow_glances, self._glances_from = 0, now + _NO_GLANCES

    def _walk(self) -> Iterator[Listing]:
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                yield self._list(folder, pending)
            except OSError as error:
                if not folder:
                    raise self._root.error(error) from error
                if not isinstance(error, FileNotFoundError | NotADirectoryError):
                    yield Listing(folder, (), (_defect(folder, error),))
                elif not self._root.is_same():
                    # Not one folder is gone, but all of them: a share was unmounted.
                    raise SourceError(
                        f"{self.where} became another directory during the run",
                        hint="mount what should be there and run again",
                    ) from error

    def holders(self, name: str) -> Iterator[str]:
        """The folders below the root that have a hidden one of this name, as ``holders`` says."""
        return holders(self._root, self._selection, name)

    def _list(self, folder: str, pending: list[str]) -> Listing:
        prefix = f"{folder}/" if folder else ""
        found = _Found(pending)
        entries, ignored, listed = found.entries, self._ignored, (FileKind.AUDIO, FileKind.SIDECAR)
        certain, kind_of = self._selection.certain, self._selection.kind
        # This loop runs for each file, a million times a run, so it is inlined for speed.
        with beneath.scan_beneath(self._root.held, path_parts(folder) if folder else ()) as items:
            for item in items:
                name = item.name
                if name[0] == ".":
                    if name in self._watched and folder:
                        self._watched[name](folder)
                    continue
                plain = name.isascii() and "\\" not in name
                path = prefix + (name if plain else escape_name(name))
                if path in ignored:
                    continue
                kind = certain.get(path[path.rfind(".") :]) or kind_of(path)
                try:
                    if kind in listed:
                        status = item.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            entries.append(_entry(path, status))
                            continue
                    self._sort_out(item, path, kind, found)
                except FileNotFoundError:
                    pass  # removed since the folder was read
                except OSError as error:
                    found.unreadable.append(_defect(path, error))
        kept = entries
        if found.excluded:
            kept = without_sidecars_of(found.excluded, entries, self.is_audio)
        return Listing(folder, tuple(kept), tuple(found.unreadable), tuple(found.others))

    def _sort_out(self, item: os.DirEntry[str], path: str, kind: FileKind, found: "_Found") -> None:
        """Handle everything but the files to be listed."""
        if kind is FileKind.EXCLUDED_AUDIO:
            found.excluded.append(path)
        elif kind is FileKind.EXCLUDED:
            pass
        elif item.is_dir(follow_symlinks=False) and not beneath.is_junction(item):
            found.folders.append(path)
        elif kind is not FileKind.OTHER:
            found.unreadable.append(_misfit(path, item.stat(follow_symlinks=False).st_mode))
        elif item.is_symlink() or beneath.is_junction(item):
            # What a link leads to within the root is listed at its real path, but recordings
            # outside of it would be missed silently.
            if self._leads_out(path):
                found.unreadable.append(_misfit(path, stat.S_IFLNK))
        elif item.is_file(follow_symlinks=False):
            found.others.append(path)

    def _leads_out(self, path: str) -> bool:
        """Whether a link leads to a folder outside the root. Raises OSError."""
        real = self._root.real
        target = os.path.realpath(os.path.join(real, *path_parts(path)))  # noqa: PTH118 - as below
        if Path(target).is_relative_to(real):
            return False
        return stat.S_ISDIR(os.stat(target).st_mode)  # noqa: PTH116 - may be no valid Unicode


class _Found(Struct, frozen=True):
    """What was found in a folder: ``folders`` to enter, ``excluded`` audio, and the rest.

    ``others`` are the files that are not taken.
    """

    folders: list[str]
    entries: list[Entry] = field(default_factory=list)
    unreadable: list[Defect] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


class _Handle(io.FileIO):
    """A file whose reads are short only at its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return super().readall()
        data = super().read(size)
        while 0 < len(data) < size and (more := super().read(size - len(data))):
            data += more
        return data

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        filled = 0
        with memoryview(buffer).cast("B") as view:
            while filled < len(view) and (count := super().readinto(view[filled:])):
                filled += count
        return filled


def _batch(walk: Iterator[Listing]) -> list[Listing]:
    """The next folders; none at the end."""
    listings: list[Listing] = []
    entries = 0
    deadline = time.monotonic() + _BATCH_SECONDS
    for listing in walk:
        listings.append(listing)
        entries += len(listing.entries)
        if entries >= _BATCH_ENTRIES or time.monotonic() >= deadline:
            break
    return listings


def _within(top: Path, ignore: Sequence[Path]) -> frozenset[str]:
    """The files that are below the root, as paths of this source."""
    real = [Path(os.path.realpath(file.parent), file.name) for file in ignore]
    below = [file.relative_to(top).parts for file in real if file.is_relative_to(top)]
    return frozenset("/".join(map(escape_name, parts)) for parts in below)


def _regular(path: str, status: os.stat_result) -> Entry:
    if not stat.S_ISREG(status.st_mode):
        misfit = _misfit(path, status.st_mode)
        raise SourceError(f"{path}: {misfit.message}", hint=misfit.cure)
    return _entry(path, status)


def _misfit(path: str, mode: int) -> Defect:
    if stat.S_ISLNK(mode):
        return Defect(path, "symlink", "it is a link, and links are not followed", _LINK_CURE)
    return Defect(
        path,
        "not-a-file",
        "it is a directory, a pipe, a socket or a device",
        "replace it with a file, rename it, or exclude it",
    )


def _defect(path: str, error: OSError) -> Defect:
    message, cure = _explain(error)
    return Defect(path, "unreadable", f"it {message}", cure)


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    """Turn OSErrors into SourceErrors; used everywhere in this source."""
    try:
        yield
    except OSError as error:
        message, cure = _explain(error)
        gone = isinstance(error, FileNotFoundError)
        raise (SourceGone if gone else SourceError)(f"{path} {message}", hint=cure) from error


def _explain(error: OSError) -> tuple[str, str]:
    """The problem, and the hint."""
    if isinstance(error, FileNotFoundError):
        return "is gone", "put it back, or list the source again"
    if isinstance(error, PermissionError):
        return "cannot be read by this user", "grant the user that runs this program read access"
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is a link or lies behind one, and links are not followed", _LINK_CURE
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return f"cannot be read ({reason})", "check the disk or the network share, then run again"


def _entry(path: str, status: os.stat_result) -> Entry:
    mtime_ns, ctime_ns = status.st_mtime_ns, status.st_ctime_ns
    if mtime_ns >> _BITS or ctime_ns >> _BITS:
        # A file system may have times that a ledger cannot store: the year 2300, in nanoseconds.
        mtime_ns = max(-_LATEST_NS, min(mtime_ns, _LATEST_NS))
        ctime_ns = max(-_LATEST_NS, min(ctime_ns, _LATEST_NS))
    # As Entry(...), in four fifths of the time; inodes may be unsigned.
    inode = status.st_ino & _LATEST_NS
    return tuple.__new__(Entry, (path, status.st_size, mtime_ns, ctime_ns, inode, *_NO_PARTS))
