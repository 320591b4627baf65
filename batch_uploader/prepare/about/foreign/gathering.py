"""Which recordings of a folder the sidecars of other systems describe."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.core.naming import base_name, fold, stem
from batch_uploader.prepare.about.foreign.declared import DeclaredSidecar
from batch_uploader.prepare.about.foreign.reader import Sidecar
from batch_uploader.prepare.about.values import VERSION_SIZE
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.pairing import (
    Orphan,
    names_of,
    pair,
    several_sidecars,
    shared_sidecars,
    unreadable_sidecar,
)

_OWN: Final = DeclaredSidecar("{stem}.json")
"""How a sidecar that is not declared is read."""

_Item = TypeVar("_Item", Entry, Defect)


class _Place(NamedTuple):
    """A declaration by its number, and what a file that fits it describes."""

    number: int
    key: str


def gather(
    listing: Listing, is_audio: Callable[[str], bool], declared: Sequence[DeclaredSidecar]
) -> tuple[list[Bundle], list[Orphan]]:
    """The recordings of a folder with all their sidecars, the declared ones last and in order.

    A declared sidecar may be missing, and one without a recording is not an orphan: other systems
    write them for calls that were not recorded, too. ``call.json`` and ``call.wav.json`` are what
    they always are, unless they are declared.
    """
    found, others = _sorted_out(listing.entries, declared)
    lost, unreadable = _sorted_out(listing.unreadable, declared)
    rest = replace(listing, entries=tuple(others), unreadable=tuple(unreadable))
    bundles, orphans = pair(rest, is_audio)
    recordings = [entry.path for entry in others if is_audio(entry.path)]
    recordings += [defect.path for defect in unreadable if is_audio(defect.path)]
    return _Folder(declared, found, lost, recordings).complete(bundles, orphans)


class _Folder:
    """The declared sidecars of one folder, and the names of its recordings."""

    def __init__(
        self,
        declared: Sequence[DeclaredSidecar],
        found: dict[_Place, list[Entry]],
        lost: dict[_Place, list[Defect]],
        recordings: Sequence[str],
    ) -> None:
        self._declared = declared
        self._found = found
        self._lost = lost
        self._recordings = recordings
        self._stems = Counter(map(stem, recordings))
        self._alike: dict[_Place, list[_Place]] = {}
        for place in found:
            self._alike.setdefault(_folded(place), []).append(place)
        # Nearly always each recording has sidecars of its exact name.
        self._folded_stems: Counter[str] | None = None

    def complete(
        self, bundles: Iterable[Bundle], orphans: list[Orphan]
    ) -> tuple[list[Bundle], list[Orphan]]:
        """The same bundles with these sidecars, and what is wrong with them as orphans."""
        whole: list[Bundle] = []
        shared: list[tuple[Entry, Entry]] = []
        for bundle in bundles:
            about, defect, rival = self._sidecars_of(bundle)
            if defect is not None:
                orphans.append(Orphan(bundle.audio, defect))
            elif rival is not None:
                shared.append((bundle.audio, rival))
            else:
                whole.append(replace(bundle, about=(*bundle.about, *about)))
        if shared:
            orphans.extend(shared_sidecars(shared, self._recordings))
        return whole, orphans

    def _sidecars_of(self, bundle: Bundle) -> tuple[list[Entry], Defect | None, Entry | None]:
        """Its sidecars, or what is wrong with one, or one that others could have, too."""
        about: list[Entry] = []
        name = base_name(bundle.path)
        for number, declared in enumerate(self._declared):
            places = self._places_of(number, bundle)
            for lost in filter(self._lost.__contains__, places):
                return [], unreadable_sidecar(bundle.audio, self._lost[lost][0]), None
            entries = [each for place in places for each in self._found.get(place, ())]
            if len(entries) > 1:
                return [], several_sidecars(bundle.audio, entries), None
            shareable = not declared.of_folder and places[0].key != name
            if entries and shareable and self._stems[stem(bundle.path)] > 1 and not bundle.about:
                return [], None, entries[0]
            about += entries
        return about, None, None

    def _places_of(self, number: int, bundle: Bundle) -> list[_Place]:
        """Where its sidecar is, or where those of its legs are."""
        key = self._declared[number].key
        places = [
            self._place(_Place(number, key(base_name(path))), path)
            for path in names_of(bundle.audio)
        ]
        there = [each for each in places if each in self._found or each in self._lost]
        if not there or places[0] in there:
            return places[:1]
        return list(dict.fromkeys(there))

    def _place(self, exact: _Place, path: str) -> _Place:
        """Where its sidecar is: if not there, where one is that can mean no other recording."""
        if exact in self._found or exact in self._lost:
            return exact
        alike = self._alike.get(_folded(exact), ())
        if len(alike) != 1:
            return exact
        if self._folded_stems is None:
            self._folded_stems = Counter(fold(stem(each)) for each in self._recordings)
        return alike[0] if self._folded_stems[fold(stem(path))] == 1 else exact


def sidecars_of(bundle: Bundle, declared: Sequence[DeclaredSidecar]) -> list[Sidecar]:
    """How the files that describe a recording are read."""
    name = base_name(bundle.path)
    return [Sidecar(_declaration(entry, name, declared), entry) for entry in bundle.about]


def version_of_more(about: Sequence[Entry]) -> bytes | None:
    """A digest of all files but the first, which the ledger compares itself; None without any."""
    if len(about) < 2:  # noqa: PLR2004 - the first and another one
        return None
    form = repr([entry[:3] for entry in about[1:]])
    return blake2b(form.encode(errors="backslashreplace"), digest_size=VERSION_SIZE).digest()


def _declaration(
    entry: Entry, recording: str, declared: Sequence[DeclaredSidecar]
) -> DeclaredSidecar:
    keys = [(each, each.described(base_name(entry.path))) for each in declared]
    exact = (each for each, key in keys if key == each.key(recording))
    return next(exact, next((each for each, key in keys if key is not None), _OWN))


def _sorted_out(
    items: Iterable[_Item], declared: Sequence[DeclaredSidecar]
) -> tuple[dict[_Place, list[_Item]], list[_Item]]:
    """The items that are declared sidecars by their place, and the others."""
    found: dict[_Place, list[_Item]] = {}
    others: list[_Item] = []
    for item in items:
        places = _places(base_name(item.path), declared)
        for place in places:
            found.setdefault(place, []).append(item)
        if not places:
            others.append(item)
    return found, others


def _places(name: str, declared: Sequence[DeclaredSidecar]) -> list[_Place]:
    keys = ((number, each.described(name)) for number, each in enumerate(declared))
    return [_Place(number, key) for number, key in keys if key is not None]


def _folded(place: _Place) -> _Place:
    return _Place(place.number, fold(place.key))
