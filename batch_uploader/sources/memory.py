"""A source in memory, for tests and for programs that have their recordings in memory."""

import io
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import BinaryIO

from anyio.lowlevel import checkpoint
from msgspec import Struct

from batch_uploader.core.errors import SourceError, SourceGone
from batch_uploader.core.model import Entry, Listing
from batch_uploader.core.naming import without_sidecars_of
from batch_uploader.sources.selection import FileKind, Selection

_LONG_AGO_NS = 1_700_000_000_000_000_000
_SECOND_NS = 1_000_000_000
_EXCLUDED = frozenset({FileKind.EXCLUDED, FileKind.EXCLUDED_AUDIO})


class _File(Struct):
    content: bytes
    mtime_ns: int


class _Handle(io.BytesIO):
    def __init__(self, file: _File) -> None:
        super().__init__(file.content)
        self.file = file


class MemorySource:
    """A source of files given by path, which can be changed while it is in use.

    Selects files as a directory does: hidden names, other extensions and what ``exclude`` matches
    are not listed. Change times are long ago, each later than the one before.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        sidecars: Sequence[str] = (),
    ) -> None:
        self._selection = Selection(include, exclude, sidecars)
        self.takes = self._selection.takes
        self._times = itertools.count(_LONG_AGO_NS, _SECOND_NS)
        self._files: dict[str, _File] = {}
        for path, content in files.items():
            self.put(path, content)

    @property
    def where(self) -> str:
        """The source's name, for messages."""
        return "memory"

    def put(self, path: str, content: bytes) -> None:
        """Create or replace a file: open handles keep the old one."""
        self._files[path] = _File(content, next(self._times))

    def touch(self, path: str) -> None:
        """Change a file's modification time, also for its open handles."""
        self._file(path).mtime_ns = next(self._times)

    def remove(self, path: str) -> None:
        """Remove a file; open handles keep it."""
        self._file(path)
        del self._files[path]

    def is_audio(self, path: str) -> bool:
        """Whether a listed file is a recording and not a sidecar."""
        return self._selection.kind(path) is FileKind.AUDIO

    async def entries(self) -> AsyncGenerator[Listing, None]:
        """Every folder once, with those above it up to the root."""
        folders: dict[str, list[str]] = {"": []}
        for path in self._files:
            parts = path.split("/")
            above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
            if not any(part.startswith(".") for part in parts) and not any(
                self._selection.kind(folder) in _EXCLUDED for folder in above
            ):
                for folder in above:
                    folders.setdefault(folder, [])
                folders["/".join(parts[:-1])].append(path)
        for folder, paths in folders.items():
            await checkpoint()
            others = [path for path in paths if self._selection.kind(path) is FileKind.OTHER]
            yield Listing(folder, tuple(self._listed(paths)), others=tuple(others))

    def open(self, path: str) -> BinaryIO:
        """Open a file, as ``ports.Source`` says."""
        return _Handle(self._file(path))

    def read_if_cached(self, listed: Entry) -> None:
        """Always None: opening it is as fast."""

    def stat(self, path: str) -> Entry:
        """The file as it is now."""
        return _entry(path, self._file(path))

    def handle_stat(self, handle: BinaryIO, path: str) -> Entry:
        """The file behind an open handle as it is now."""
        if not isinstance(handle, _Handle):
            raise SourceError(
                f"{path} was opened by another source", hint="use a handle that open() returned"
            )
        return _entry(path, handle.file)

    def _listed(self, paths: list[str]) -> list[Entry]:
        entries: list[Entry] = []
        excluded: list[str] = []
        for path in paths:
            kind = self._selection.kind(path)
            if kind is FileKind.EXCLUDED_AUDIO:
                excluded.append(path)
            elif path in self._files and kind in {FileKind.AUDIO, FileKind.SIDECAR}:
                entries.append(_entry(path, self._files[path]))
        return without_sidecars_of(excluded, entries, self.is_audio)

    def _file(self, path: str) -> _File:
        try:
            return self._files[path]
        except KeyError:
            shown = path.encode(errors="backslashreplace").decode()
            raise SourceGone(f"{shown} is gone", hint="list the source again") from None


def _entry(path: str, file: _File) -> Entry:
    return Entry(path, len(file.content), file.mtime_ns)
