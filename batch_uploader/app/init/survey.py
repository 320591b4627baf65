"""Reads a sample of a directory, from which its layout is recognised."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.init.recognition import Beside, Head, Seen, declared_by
from batch_uploader.app.init.shapes import PATTERNS, Shape, shape_of
from batch_uploader.core.errors import SourceError
from batch_uploader.core.examples import spread
from batch_uploader.core.model import Defect, Listing
from batch_uploader.layouts import Layout
from batch_uploader.prepare.about.foreign import (
    DeclaredSidecar,
    SidecarReader,
    gather,
    sidecars_of,
)
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.legs.lookalikes import Lookalikes, LooksLikeLegs
from batch_uploader.prepare.reading import read_small
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.selection import FileKind, Selection, literal

_MOST_RECORDINGS = 2_000
_MOST_READ = 5


class Survey(Struct, frozen=True):
    """What was found in a directory, or in the first folders of a large one.

    ``bundles`` are its recordings, ``extensions`` says how many there are of each kind, ``more`` is
    whether it was not read to its end, ``shape`` the sidecars that most of them have, and
    ``lookalikes`` what looks like legs.
    """

    seen: Seen
    bundles: tuple[Bundle, ...]
    extensions: Counter[str]
    folders: int
    more: bool
    shape: Shape | None = None
    lookalikes: LooksLikeLegs | None = None

    @property
    def included(self) -> list[str]:
        """The patterns with which those are taken that are not without."""
        usual = Selection()
        kinds = [kind for kind in self.extensions if usual.kind(f"x{kind}") is not FileKind.AUDIO]
        return [f"*{literal(kind)}" for kind in sorted(kinds)]

    @property
    def described(self) -> float:
        """The share of the recordings that have a sidecar named as ours are."""
        return sum(bool(each.about) for each in self.bundles) / max(len(self.bundles), 1)


async def survey(directory: Path, layouts: Sequence[Layout], tables: Iterable[Head] = ()) -> Survey:
    """Read a sample of a directory. Raises SourceError."""
    kinds = {layout.name: declared_by(layout) for layout in layouts}
    include = [pattern for layout in layouts for pattern in layout.settings.get("include", ())]
    known = {each.pattern for declared in kinds.values() for each in declared}
    patterns = sorted({*known, *PATTERNS})
    with DirectorySource(directory, include=include, sidecars=patterns) as source:
        listings, more = await _listings(source)
        beside = await to_thread.run_sync(_beside_all, source, listings, kinds)
        shape = await to_thread.run_sync(
            shape_of,
            listings,
            source.is_audio,
            lambda entry, limit: read_small(source, entry, limit),
        )
        alike = await to_thread.run_sync(_lookalikes, source, listings)
        bundles = [each for listing in listings for each in gather(listing, source.is_audio, ())[0]]
    paths = tuple(bundle.path for bundle in bundles)
    extensions = Counter(path[path.rfind(".") :].lower() for path in paths)
    folders = sum(any(source.is_audio(e.path) for e in each.entries) for each in listings)
    seen = Seen(paths, beside, tuple(tables))
    return Survey(seen, tuple(bundles), extensions, folders, more, shape, alike)


def _lookalikes(source: DirectorySource, listings: Sequence[Listing]) -> LooksLikeLegs | None:
    found = Lookalikes()
    for listing in listings:
        found.see(listing.entries, source.is_audio)
    return found.look(source)


async def _listings(source: DirectorySource) -> tuple[list[Listing], bool]:
    """The folders until there are enough recordings, and whether there are more."""
    listings: list[Listing] = []
    count = 0
    async with aclosing(source.entries()) as entries:
        async for listing in entries:
            if count >= _MOST_RECORDINGS:
                return listings, True
            listings.append(listing)
            count += sum(source.is_audio(entry.path) for entry in listing.entries)
    return listings, False


def _beside_all(
    source: DirectorySource,
    listings: Sequence[Listing],
    kinds: dict[str, tuple[DeclaredSidecar, ...]],
) -> dict[str, Beside]:
    return {
        name: _beside(source, listings, declared) for name, declared in kinds.items() if declared
    }


def _beside(
    source: DirectorySource, listings: Sequence[Listing], declared: Sequence[DeclaredSidecar]
) -> Beside:
    """What lies beside the recordings of such sidecars."""
    reader = SidecarReader(lambda entry, limit: read_small(source, entry, limit))
    bundles = [
        each for listing in listings for each in gather(listing, source.is_audio, declared)[0]
    ]
    described = [
        bundle
        for bundle in bundles
        if any(each.declared in declared for each in sidecars_of(bundle, declared))
    ]
    fields: set[str] = set()
    for bundle in spread(described, _MOST_READ):
        try:
            said = reader.values(bundle.path, sidecars_of(bundle, declared))
        except SourceError:
            continue
        for each in said:
            if not isinstance(each, Defect):
                fields.update(each.fields)
    return Beside(len(described) / max(len(bundles), 1), frozenset(fields))
