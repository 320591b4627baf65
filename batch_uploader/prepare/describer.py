"""Where the metadata of recordings come from: from the sidecars beside them, or from elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Protocol, runtime_checkable

from anyio import to_thread
from msgspec import Struct

from batch_uploader.core.model import SIDECAR_MISSING, Defect, Entry, Listing, Metadata
from batch_uploader.core.ports import Source
from batch_uploader.core.text import plural
from batch_uploader.prepare import sidecar
from batch_uploader.prepare.bundle import Bundle, bundle_of
from batch_uploader.prepare.legs.pattern import LegPlace
from batch_uploader.prepare.pairing import Orphan, pair
from batch_uploader.prepare.reading import read_small, user_path
from batch_uploader.prepare.rules import SidecarMode
from batch_uploader.prepare.sidecar import Schema

_AT_ONCE = 4096
"""Bytes; a larger sidecar is not read in the event loop."""
_ANNOUNCED_AT_ONCE: Final = 10_000
NOTHING: Final[Mapping[str, bytes | None]] = {}
_SHOWN: Final = 3
"""Rows that cannot be used, of those that are told."""


class Describer(Protocol):
    """Says what describes the recordings of a source."""

    def gather(
        self,
        listing: Listing,
        is_audio: Callable[[str], bool],
        at_rest: Mapping[str, bytes | None] = NOTHING,
    ) -> tuple[list[Bundle], list[Orphan]]:
        """The recordings of a folder, each with all that describes it, and what is left over.

        What is ``at_rest``, by its path, with its recorded ``about_version``, keeps what describes
        it, though others may claim that.

        ``about_version`` is a digest of all that describes a recording but the first file of
        ``about``: the others, the row of a table. It is equal if and only if that is unchanged, and
        None if there is nothing. Opens no file of the folder: every run gathers what has changed.
        """

    def find(self, audio: Entry, sidecar: str | None) -> Bundle:
        """The same for one file that is on record, without the listing of its folder.

        ``sidecar`` is the recorded name of the first file of ``about``. Blocking. Raises
        SourceError, also if that is gone.
        """

    def settled(self, listing: Listing) -> bool:
        """Whether that is surely as it was when these recordings were recorded.

        Then a folder whose files are unchanged is skipped, without ``gather``.
        """

    def describe(self, bundle: Bundle) -> Metadata | tuple[Defect, ...]:
        """The metadata of a recording, or all their defects.

        Blocking. Raises SourceError if it cannot be read, SourceChanged if it is not as gathered;
        the files of ``about`` are compared by the caller, before and after.
        """

    def describe_cached(self, bundle: Bundle) -> Metadata | tuple[Defect, ...] | None:
        """The same without waiting for a disk, in a tenth of a millisecond; None if it would."""


class UnusableRows(Struct, frozen=True):
    """How much of what describes recordings cannot be used, and the first of that."""

    count: int = 0
    first: tuple[Defect, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The first few, and how many more there are."""
        shown = self.first[:_SHOWN]
        more = self.count - len(shown)
        rest = (f"{plural(more, 'further row')} cannot be used",) if shown and more > 0 else ()
        return (*(f"a row cannot be used: {each.path}, {each}" for each in shown), *rest)


@runtime_checkable
class Refreshed(Protocol):
    """What a describer has that reads something besides the listed files, such as tables."""

    def refresh(self, seen: str) -> None:
        """Bring that up to date, before each run; ``seen`` is the ``state`` of the last whole one.

        Blocking. Raises ConfigError, SourceError.
        """

    @property
    def knows_all(self) -> bool:
        """Whether it knows all recordings, which it has to before a new one is described."""

    def announce(self, listings: Sequence[Listing], *, last: bool) -> None:
        """The recordings of folders, for that. Blocking. Raises SourceError."""

    @property
    def state(self) -> str:
        """What it read, for ``seen`` of the next run."""

    def faults(self) -> UnusableRows:
        """What in it cannot be used, whatever the recording."""

    def close(self) -> None:
        """Let go of all that it opened; more than once is fine."""


@runtime_checkable
class TellsLegs(Describer, Protocol):
    """What a describer has whose tables may name the two legs of a call."""

    def leg_of(self, path: str, is_audio: Callable[[str], bool]) -> LegPlace | None:
        """Of which call a file is a leg, by the tables. Blocking. Raises SourceError."""


async def look_ahead(describer: Describer, source: Source) -> bool:
    """Announce all recordings to it, unless it knows them; returns whether it had to.

    Raises SourceError.
    """
    if not isinstance(describer, Refreshed) or describer.knows_all:
        return False
    some: list[Listing] = []
    count = 0
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            some.append(listing)
            count += len(listing.entries)
            if count >= _ANNOUNCED_AT_ONCE:
                await to_thread.run_sync(partial(describer.announce, some, last=False))
                some, count = [], 0
    await to_thread.run_sync(partial(describer.announce, some, last=True))
    return True


class Sidecars(Struct, frozen=True):
    """Describes each recording by the one sidecar beside it."""

    source: Source
    schema: Schema
    mode: SidecarMode

    def gather(
        self,
        listing: Listing,
        is_audio: Callable[[str], bool],
        at_rest: Mapping[str, bytes | None] = NOTHING,
    ) -> tuple[list[Bundle], list[Orphan]]:
        """Pair them by name."""
        del at_rest
        return pair(listing, is_audio)

    def find(self, audio: Entry, sidecar: str | None) -> Bundle:
        """Its sidecar is where it was. Blocking. Raises SourceError."""
        if sidecar is None:
            return bundle_of(audio)
        folder, slash, _ = audio.path.rpartition("/")
        return bundle_of(audio, self.source.stat(f"{folder}{slash}{sidecar}"))

    def settled(self, listing: Listing) -> bool:  # noqa: ARG002 - it is a Describer
        """True: there is nothing else."""
        return True

    def describe(self, bundle: Bundle) -> Metadata | tuple[Defect, ...]:
        """The metadata of the sidecar, or all its defects. Blocking. Raises SourceError."""
        beside = bundle.sidecar
        text = b"" if beside is None else read_small(self.source, beside, sidecar.SIZE_LIMIT)
        return self._parsed(bundle, text)

    def describe_cached(self, bundle: Bundle) -> Metadata | tuple[Defect, ...] | None:
        """The same if the sidecar is small and in memory."""
        beside = bundle.sidecar
        if beside is None:
            return self._parsed(bundle, b"")
        text = self.source.read_if_cached(beside) if beside.size <= _AT_ONCE else None
        return None if text is None else self._parsed(bundle, text)

    def _parsed(self, bundle: Bundle, text: bytes) -> Metadata | tuple[Defect, ...]:
        if bundle.sidecar is not None:
            return sidecar.parse(text, bundle.sidecar.path, self.schema, self._user_path)
        if self.mode is SidecarMode.OPTIONAL:
            return sidecar.without_sidecar(bundle.path, self.schema)
        path = bundle.path
        stem = path.rpartition(".")[0]
        return (
            Defect(
                path,
                SIDECAR_MISSING,
                "it has no sidecar",
                f"write its metadata to {stem}.json or {path}.json, "
                "or upload all that have none without metadata (--sidecar optional): a sidecar"
                " that comes later then never reaches its talk",
            ),
        )

    def _user_path(self, path: str) -> str:
        return user_path(self.source, path)
