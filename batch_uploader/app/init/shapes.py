"""Finds sidecars of unknown systems beside recordings: their names, and where their records are."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from batch_uploader.core.errors import SourceError
from batch_uploader.core.examples import spread
from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.core.naming import base_name, stem
from batch_uploader.prepare.about.foreign import (
    DeclaredSidecar,
    SidecarFormat,
    SidecarReader,
    gather,
    sidecars_of,
)
from batch_uploader.prepare.about.foreign.tree import limit_of, read_tree
from batch_uploader.prepare.sidecar.tree import MalformedSidecar

PATTERNS = tuple(f"*.{kind}" for kind in SidecarFormat)
"""What a source must list for them to be found."""

_ENDS = re.compile(r"[._\-]")
_LEAST_SHARE = 0.5
_MOST_READ = 20
_MOST_FILES = 500
_DEEPEST = 3

Read = Callable[[Entry, int], bytes]


class Shape(Struct, frozen=True):
    """A kind of sidecar: its declaration, the share of recordings that have one, some contents."""

    declared: DeclaredSidecar
    share: float
    examples: tuple[Mapping[str, object], ...]


def shape_of(
    listings: Sequence[Listing], is_audio: Callable[[str], bool], read: Read
) -> Shape | None:
    """The kind of sidecar that most recordings have, None if there is none. Blocking."""
    names: Counter[str] = Counter()
    for listing in listings:
        names.update(set(_candidates(listing, is_audio)))
    for name, _ in names.most_common(3):
        for declared in _declarations(name, listings, is_audio, read):
            found = _tried(declared, listings, is_audio, read)
            if found is not None:
                return found
    return None


def _candidates(listing: Listing, is_audio: Callable[[str], bool]) -> Iterator[str]:
    """Names that sidecars of this folder may be declared by."""
    recordings = {base_name(e.path) for e in listing.entries if is_audio(e.path)}
    if not recordings:
        return
    stems = {stem(each) for each in recordings}
    others = [base_name(e.path) for e in listing.entries if not is_audio(e.path)]
    for name in others[:_MOST_FILES]:
        yield _pattern(name, recordings, stems)


def _pattern(name: str, recordings: Collection[str], stems: Collection[str]) -> str:
    """The name of a file as a declaration has it; itself if it names no recording."""
    for slot, known in (("{name}", recordings), ("{stem}", stems)):
        for cut in (match.start() for match in _ENDS.finditer(name)):
            if name[:cut] in known:
                return slot + name[cut:]
    for cut in (match.end() for match in _ENDS.finditer(name)):
        rest = name[cut:]
        for inner in (stem(rest), stem(stem(rest))):
            if inner in stems:
                return f"{name[:cut]}{{stem}}{rest.removeprefix(inner)}"
    return name


def _declarations(
    name: str, listings: Sequence[Listing], is_audio: Callable[[str], bool], read: Read
) -> Iterator[DeclaredSidecar]:
    if any(slot in name for slot in ("{name}", "{stem}")):
        yield DeclaredSidecar(name)
        return
    plain = DeclaredSidecar(name)
    for listing in listings:
        file = next((e for e in listing.entries if base_name(e.path) == name), None)
        recordings = [base_name(e.path) for e in listing.entries if is_audio(e.path)]
        if file is None or not recordings:
            continue
        try:
            tree = read_tree(read(file, limit_of(plain)), plain, lambda: name)
        except (MalformedSidecar, SourceError):
            continue
        stems = {stem(each).casefold() for each in recordings}
        for records, match in _lists(tree, stems):
            yield DeclaredSidecar(name, records=records or None, match=match)
        return


def _lists(tree: object, stems: set[str], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Where lists are whose elements name recordings, and the field that does."""
    if isinstance(tree, Mapping) and len(path) < _DEEPEST:
        for key, value in tree.items():
            yield from _lists(value, stems, (*path, key))
    if isinstance(tree, list):
        records = [each for each in tree if isinstance(each, dict)]
        naming = Counter(
            key
            for each in records
            for key, value in each.items()
            if isinstance(value, str) and _base(value) in stems
        )
        if naming:
            yield ".".join(path), naming.most_common(1)[0][0]


def _tried(
    declared: DeclaredSidecar,
    listings: Sequence[Listing],
    is_audio: Callable[[str], bool],
    read: Read,
) -> Shape | None:
    """What is found by a declaration, None if that is too little."""
    reader = SidecarReader(read)
    bundles = [b for listing in listings for b in gather(listing, is_audio, [declared])[0]]
    described = [
        (bundle.path, sidecars)
        for bundle in bundles
        if (sidecars := [s for s in sidecars_of(bundle, [declared]) if s.declared is declared])
    ]
    examples: list[Mapping[str, object]] = []
    some = spread(described, _MOST_READ)
    for path, sidecars in some:
        try:
            said = reader.values(path, sidecars)
        except SourceError:
            continue
        examples += [each.fields for each in said if not isinstance(each, Defect)]
    share = len(described) / max(len(bundles), 1) * len(examples) / max(len(some), 1)
    return Shape(declared, share, tuple(examples)) if share >= _LEAST_SHARE else None


def matching_column(
    rows: Iterable[Mapping[str, object]], recordings: Iterable[str]
) -> tuple[str, list[Mapping[str, object]]] | None:
    """The column of a table that names recordings, and the rows that do; None without one."""
    stems = {stem(base_name(path)).casefold() for path in recordings}
    hits: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        for column, value in row.items():
            if isinstance(value, str | int) and _base(str(value)) in stems:
                hits.setdefault(column, []).append(row)
    best = max(hits.items(), key=lambda each: len(each[1]), default=None)
    return best if best is None or len(best[1]) > len(stems) / 10 else None


def _base(text: str) -> str:
    """The name that a path ends with, without its extension."""
    name = base_name(text.replace("\\", "/").strip())
    return stem(name).casefold() if name.rpartition(".")[2].isalnum() else name.casefold()
