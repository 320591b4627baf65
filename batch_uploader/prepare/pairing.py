"""Which sidecar belongs to which recording: turns a folder's listing into bundles and orphans.

``call.json`` and ``call.wav.json`` both belong to ``call.wav``. Extensions are compared without
regard to case, all before them exactly: names that differ by case or by the form of an accented
letter are different files. What has no counterpart then is paired with one whose name differs only
in that (``similar``). A sidecar whose name is a recording's full name and ``.json`` belongs to that
one alone.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from batch_uploader.core.model import ORPHAN_SIDECAR, Defect, Entry, Listing
from batch_uploader.core.naming import base_name, described, fold, is_sidecar, stem
from batch_uploader.core.text import quote
from batch_uploader.prepare.bundle import Bundle, bundle_of
from batch_uploader.prepare.similar import Similar, ambiguous, superfluous

_LEG = re.compile(r"(.+)[-_](?:in|out|rx|tx)", re.IGNORECASE | re.DOTALL)
"""A name that PBXs give to one side of the call whose mix has the name before that."""


class Orphan(Struct, frozen=True):
    """A recording whose sidecar is ambiguous, or a ``sidecar`` without a recording."""

    entry: Entry
    defect: Defect
    sidecar: bool = False


def pair(  # noqa: C901 - the cases of one name
    listing: Listing, is_audio: Callable[[str], bool]
) -> tuple[list[Bundle], list[Orphan]]:
    """Pair the recordings of one folder with their sidecars.

    Other files are ignored. Unreadable files count as existing: the sidecar of one is not an
    orphan, and a recording whose sidecar is unreadable is not sent without it.
    """
    audio, sidecars = _sort(listing, is_audio)
    unreadable = {
        described(lost.path): lost for lost in listing.unreadable if is_sidecar(lost.path)
    }
    names = {entry.path for entry in audio}
    names.update(lost.path for lost in listing.unreadable if is_audio(lost.path))
    sharing = Counter(map(stem, names))
    mixes = _Mixes(names)
    joined = (entry for entry in audio if entry.parts or entry.mixes)
    hidden = {path for entry in joined for path in names_of(entry)[1:]}
    lonely = sorted(
        {*sidecars, *unreadable} - names - sharing.keys() - hidden - set(map(stem, hidden))
    )
    similar = Similar(names, lonely)

    bundles: list[Bundle] = []
    orphans: list[Orphan] = []
    shared: list[tuple[Entry, Entry]] = []
    for entry in audio:
        # A stem that is itself a recording's name belongs only to that one.
        keys = [entry.path]
        if (short := stem(entry.path)) not in names:
            keys.append(short)
        if entry.parts and not any(key in sidecars or key in unreadable for key in keys):
            # Two legs may each be described, and say that the other one was the agent's.
            own = [each for each in _of_parts(entry, names) if sidecars.keys() & each]
            keys = list(dict.fromkeys(chain.from_iterable(own))) or keys
        rivals: Sequence[str] = ()
        if lonely and not any(key in sidecars or key in unreadable for key in keys):
            keys = similar.meant_for(entry.path)
            rivals = [each for key in keys[:1] for each in similar.recordings(key)]
        found = [sidecar for key in keys for sidecar in sidecars.get(key, ())]
        lost = next((unreadable[key] for key in keys if key in unreadable), None)
        leg = _LEG.fullmatch(short)
        mix = None if leg is None else mixes.of(leg[1])
        if mix is not None:
            bundles.append(bundle_of(entry, found[0] if len(found) == 1 else None, mix))
        elif lost is not None:
            orphans.append(Orphan(entry, unreadable_sidecar(entry, lost)))
        elif len({stem(each) for each in rivals}) > 1 or (rivals and len(found) > 1):
            orphans.append(Orphan(entry, ambiguous(entry, found, rivals)))
        elif len(found) > 1:
            orphans.append(Orphan(entry, several_sidecars(entry, found)))
        elif found and (len(rivals) > 1 if rivals else _may_share(found[0], entry, sharing)):
            shared.append((entry, found[0]))
        else:
            bundles.append(bundle_of(entry, found[0] if found else None))
    if shared:
        orphans.extend(shared_sidecars(shared, names))
    orphans.extend(_orphans(lonely, sidecars, similar, {entry.path for entry in audio}))
    return bundles, orphans


def names_of(entry: Entry) -> list[str]:
    """What sidecars may be named after: the recording, its legs, and the mix that is left out."""
    return [entry.path, *(part.path for part in entry.parts), *entry.mixes]


def _of_parts(entry: Entry, names: Collection[str]) -> Iterator[list[str]]:
    """The names that the sidecar of each leg, or of a mix, may have."""
    for path in names_of(entry)[1:]:
        short = stem(path)
        yield [path] if short in names else [path, short]


class _Mixes:
    """The recordings of a folder by their names, exact ones first."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = {stem(name): name for name in names} | {name: name for name in names}
        self._alike: dict[str, str] | None = None

    def of(self, name: str) -> str | None:
        """The recording of this name, with or without its extension."""
        if name in self._exact:
            return self._exact[name]
        if self._alike is None:
            self._alike = {fold(each): mix for each, mix in self._exact.items()}
        return self._alike.get(fold(name))


def _may_share(sidecar: Entry, entry: Entry, sharing: Counter[str]) -> bool:
    return described(sidecar.path) != entry.path and sharing[stem(entry.path)] > 1


def _orphans(
    lonely: Iterable[str],
    sidecars: Mapping[str, Sequence[Entry]],
    similar: Similar,
    readable: Collection[str],
) -> Iterator[Orphan]:
    """The sidecars that no recording was offered."""
    for name in lonely:
        if name not in sidecars or similar.is_used(name):
            continue
        recordings = similar.recordings(name)
        if any(each not in readable for each in recordings):
            continue
        for entry in sidecars[name]:
            defect = superfluous(entry, recordings[0]) if recordings else _orphan(entry)
            yield Orphan(entry, defect, sidecar=True)


def _sort(
    listing: Listing, is_audio: Callable[[str], bool]
) -> tuple[list[Entry], dict[str, list[Entry]]]:
    # The recordings, and the sidecars by the name that they describe.
    audio: list[Entry] = []
    sidecars: dict[str, list[Entry]] = {}
    for entry in listing.entries:
        if is_sidecar(entry.path):
            sidecars.setdefault(described(entry.path), []).append(entry)
        elif is_audio(entry.path):
            audio.append(entry)
    return audio, sidecars


def unreadable_sidecar(entry: Entry, lost: Defect) -> Defect:
    """The defect of a recording that has a sidecar, which cannot be read."""
    return Defect(
        entry.path,
        "sidecar-unreadable",
        f"its sidecar {base_name(lost.path)} cannot be used: {lost.message}",
        lost.cure,
    )


def several_sidecars(entry: Entry, found: Iterable[Entry]) -> Defect:
    """The defect of a recording of which several files are the sidecar."""
    names = ", ".join(sorted(base_name(sidecar.path) for sidecar in found))
    return Defect(
        entry.path,
        "two-sidecars",
        f"it has more than one sidecar: {names}",
        "remove or exclude all but the right one",
    )


def shared_sidecars(shared: list[tuple[Entry, Entry]], names: Iterable[str]) -> Iterator[Orphan]:
    """The recordings that have only a sidecar that others could have, too."""
    recordings: dict[str, list[str]] = {}
    for name in names:
        recordings.setdefault(stem(name), []).append(name)
    for entry, sidecar in shared:
        yield Orphan(entry, _shared(entry, sidecar, recordings[stem(entry.path)]))


def _shared(entry: Entry, sidecar: Entry, recordings: list[str]) -> Defect:
    name = base_name(sidecar.path)
    first, *others = sorted(map(base_name, recordings), key=lambda each: (_generation(each), each))
    copies = " and ".join(others)
    patterns = {f"*{_extension(each)}" for each in others}
    if f"*{_extension(first)}" in patterns:  # case is ignored
        leave_out = f"remove {copies}"
    else:
        options = " ".join(f"--exclude {quote(pattern)}" for pattern in sorted(patterns))
        leave_out = f"leave out all of the kind with {options}"
    return Defect(
        entry.path,
        "shared-sidecar",
        f"{name} could be the sidecar of {' or '.join([first, *others])}",
        f"if {copies} {'was' if len(others) == 1 else 'were'} made of {first}, {leave_out};"
        " only if each is a call of its own, give it a sidecar of its own"
        f" ({base_name(entry.path)}.json for this one) and remove {name}: each is then billed",
    )


def _extension(name: str) -> str:
    return name.removeprefix(stem(name)).lower()


def _generation(name: str) -> int:
    """How many times a recording of this name was probably converted."""
    return {".mp3": 1, ".ogg": 2, ".oga": 2, ".opus": 2}.get(_extension(name), 0)


def _orphan(entry: Entry) -> Defect:
    return Defect(
        entry.path,
        ORPHAN_SIDECAR,
        "the recording that it belongs to is missing",
        "put the recording beside it, remove the sidecar, or exclude it",
    )
