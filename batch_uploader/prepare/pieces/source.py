"""A source in which a long recording is listed as its pieces."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import BinaryIO, Final, Self

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.core.errors import SourceError, SourceGone
from batch_uploader.core.model import Cut, Defect, Entry, Listing
from batch_uploader.core.naming import piece_path, whole_path
from batch_uploader.core.ports import Anchored, Local, Selective, Source
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.convert import Conversion
from batch_uploader.prepare.convert.cutting import examine_long, find_cuts
from batch_uploader.prepare.pieces.known import KnownCuts
from batch_uploader.prepare.reading import explaining, require_rest

_LEAST_RATE: Final = 500
"""Bytes a second; calls in codecs that need less are not looked into."""


class Cutter:
    """Says of which pieces the files of a source are. Its methods block."""

    def __init__(self, source: Source, rules: AudioRules, known: KnownCuts) -> None:
        self._source, self._rules, self._known = source, rules, known

    def may_be_long(self, entry: Entry) -> bool:
        """Whether a file is large enough. Does not block."""
        large = entry.size > self._rules.max_duration * _LEAST_RATE
        return large and not entry.parts and not entry.mixes

    def pieces(self, entry: Entry) -> tuple[Entry, ...]:
        """The pieces of a file; none if it is sent, or has a defect, as a whole."""
        if not self.may_be_long(entry):
            return ()
        cuts = self._known.get(entry)
        if cuts is None:
            try:
                found = self._measured(entry)
            except SourceError:
                return ()
            if isinstance(found, Defect):
                return ()
            cuts = found
            self._known.put(entry, cuts)
        return tuple(_piece(entry, cut) for cut in cuts)

    def _measured(self, entry: Entry) -> tuple[Cut, ...] | Defect:
        with explaining(entry.path), self._source.open(entry.path) as handle:
            opened = require_rest(self._source, handle, entry)
            found = examine_long(self._source, handle, entry, self._rules)
            if isinstance(found, Defect):
                return found
            seconds = found.seconds if isinstance(found, Conversion) else found.duration
            if seconds is not None and seconds <= self._rules.max_duration:
                return ()
            cuts = find_cuts(handle, entry, found, self._rules.max_duration)
            require_rest(self._source, handle, entry, opened)
        return cuts


def _piece(whole: Entry, cut: Cut) -> Entry:
    return whole._replace(path=piece_path(whole.path, cut.number), parts=(whole,), cut=cut)


class CutSource:
    """Lists the pieces of a long recording in its place; opens files as they are.

    A file that has the name of a piece leaves the recording whole.
    """

    def __init__(self, source: Source, cutter: Cutter) -> None:
        self._files, self._cutter = source, cutter
        self._held = ExitStack()

    def __enter__(self) -> Self:
        """Hold the source. Blocking. Raises SourceError."""
        if isinstance(self._files, Anchored):
            self._held.enter_context(self._files)
        return self

    def __exit__(self, *exc: object) -> None:
        """Let it go."""
        self._held.close()

    def require_same(self) -> None:
        """As ``Anchored``."""
        if isinstance(self._files, Anchored):
            self._files.require_same()

    @property
    def takes(self) -> str:
        """As ``Selective``."""
        return self._files.takes if isinstance(self._files, Selective) else ""

    @property
    def where(self) -> str:
        """The source's name for a human."""
        return self._files.where

    def user_path(self, path: str) -> str:
        """As ``Local``."""
        return self._files.user_path(path) if isinstance(self._files, Local) else path

    def is_audio(self, path: str) -> bool:
        """Whether a listed file is a recording by its name, or a piece of one."""
        if self._files.is_audio(path):
            return True
        whole = whole_path(path)
        return whole is not None and self._files.is_audio(whole)

    def open(self, path: str) -> BinaryIO:
        """Open a file."""
        return self._files.open(path)

    def read_if_cached(self, listed: Entry) -> bytes | None:
        """A file that is in memory."""
        return None if listed.cut else self._files.read_if_cached(listed)

    def stat(self, path: str) -> Entry:
        """The file as it is now, or the piece."""
        try:
            return self._files.stat(path)
        except SourceGone:
            whole = whole_path(path)
            if whole is None:
                raise
            for piece in self._cutter.pieces(self._files.stat(whole)):
                if piece.path == path:
                    return piece
            raise

    def handle_stat(self, handle: BinaryIO, path: str) -> Entry:
        """The file behind an open handle as it is now."""
        return self._files.handle_stat(handle, path)

    async def entries(self) -> AsyncGenerator[Listing]:
        """Every folder once, with its long recordings in pieces."""
        async with aclosing(self._files.entries()) as listings:
            async for listing in listings:
                if any(map(self._cutter.may_be_long, listing.entries)):
                    yield await self._cut(listing)
                else:
                    yield listing

    async def _cut(self, listing: Listing) -> Listing:
        names = {each.path for each in listing.entries}
        names.update(each.path for each in listing.unreadable)
        entries: list[Entry] = []
        for entry in listing.entries:
            pieces: tuple[Entry, ...] = ()
            if self._cutter.may_be_long(entry) and self.is_audio(entry.path):
                # Each by itself: a run that is stopped waits for one file, not for the folder.
                pieces = await to_thread.run_sync(self._cutter.pieces, entry)
            taken = any(piece.path in names for piece in pieces)
            entries += pieces if pieces and not taken else (entry,)
        return replace(listing, entries=tuple(entries))
