"""A source in which the two legs of each call are one recording."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing
from itertools import takewhile
from typing import BinaryIO, Final, NamedTuple, Self, TypeAlias

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.core.errors import SourceError, SourceGone
from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.core.naming import base_name, described, fold, is_sidecar, stem
from batch_uploader.core.ports import Anchored, Local, Selective, Source
from batch_uploader.prepare.legs.pattern import LegPlace, mixes_of
from batch_uploader.prepare.legs.rules import LegRules

_BITS: Final = 63
_MOST_ON_THE_LOOP: Final = 1_000


Told: TypeAlias = Callable[[str, Callable[[str], bool]], LegPlace | None]
"""What a table says of a path, and of what is audio: of which call it is a leg."""


class JoinedSource:
    """Lists a call that has two legs as one entry with these as its parts; opens files as they are.

    Of a call whose legs are listed the mix is not. A leg alone is listed at the path of its call,
    with what it lacks; if the mix is there, that is, since both sides are in it. What a table has
    ``told`` counts before the patterns.
    """

    def __init__(self, source: Source, rules: LegRules, told: Told | None = None) -> None:
        self.files = source
        """The source of the files."""
        self._rules = rules
        self._told = told
        self._held = ExitStack()

    def __enter__(self) -> Self:
        """Hold the source. Blocking. Raises SourceError."""
        if isinstance(self.files, Anchored):
            self._held.enter_context(self.files)
        return self

    def __exit__(self, *exc: object) -> None:
        """Let it go."""
        self._held.close()

    def require_same(self) -> None:
        """As ``Anchored``."""
        if isinstance(self.files, Anchored):
            self.files.require_same()

    @property
    def takes(self) -> str:
        """As ``Selective``: with other patterns other recordings are there."""
        named = (f"{each.first} {each.second}" for each in self._rules.patterns)
        patterns = " ".join((*named, *self._rules.files))
        return f"{self.files.takes if isinstance(self.files, Selective) else ''} {patterns}"

    @property
    def where(self) -> str:
        """The source's name for a human."""
        return self.files.where

    def user_path(self, path: str) -> str:
        """As ``Local``."""
        return self.files.user_path(path) if isinstance(self.files, Local) else path

    def is_audio(self, path: str) -> bool:
        """Whether a listed file is a recording by its name."""
        return self.files.is_audio(path)

    def open(self, path: str) -> BinaryIO:
        """Open a file."""
        return self.files.open(path)

    def read_if_cached(self, listed: Entry) -> bytes | None:
        """A file that is in memory."""
        return None if listed.parts else self.files.read_if_cached(listed)

    def stat(self, path: str) -> Entry:
        """The file as it is now."""
        return self.files.stat(path)

    def handle_stat(self, handle: BinaryIO, path: str) -> Entry:
        """The file behind an open handle as it is now."""
        return self.files.handle_stat(handle, path)

    async def entries(self) -> AsyncGenerator[Listing]:
        """Every folder once, with its legs joined."""
        folders = any("/" in each.first + each.second for each in self._rules.patterns)
        across = folders or self._told is not None
        async with aclosing(self.files.entries()) as listings:
            async for listing in listings:
                # What lies in another folder is looked for there, a table is on the disk, and many
                # names take long.
                if across or len(listing.entries) > _MOST_ON_THE_LOOP:
                    yield await to_thread.run_sync(self.joined, listing)
                else:
                    yield self.joined(listing)

    def joined(self, listing: Listing) -> Listing:
        """A folder with its legs joined. Blocking if they lie in several folders."""
        legs: list[_Leg] = []
        kept: list[Entry] = []
        for entry in listing.entries:
            audio = self.is_audio(entry.path)
            place = self._place(entry.path) if audio else None
            if place is None:
                kept.append(entry)
            else:
                legs.append(_Leg(entry, place))
        if not legs:
            return listing
        lost = {_alike(each.path) for each in listing.unreadable}
        calls, defects, elsewhere = self._calls(legs, lost)
        calls, superfluous = _unique(calls)
        defects += superfluous
        elsewhere -= {stem(each.path) for each in kept if self.is_audio(each.path)}
        mixes = _mixes(kept, self.is_audio)
        made = list(_with_mixes(calls, mixes))
        left_out = {path for entry in made for path in entry.mixes}
        kept = [
            each
            for each in kept
            if not is_sidecar(each.path) or described(each.path) not in elsewhere
        ]
        mixed = sum(len(entry.mixes) for entry in made if entry.lacks is None)
        made = [_with_mix_above(entry) for entry in made]
        return replace(
            listing,
            entries=(*(each for each in kept if each.path not in left_out), *made),
            unreadable=(*listing.unreadable, *defects),
            mixes=mixed,
        )

    def _place(self, path: str) -> LegPlace | None:
        told = None if self._told is None else self._told(path, self.is_audio)
        return told or self._rules.place(path, self.is_audio)

    def _calls(
        self, legs: Sequence["_Leg"], lost: set[str]
    ) -> tuple[list[Entry], list[Defect], set[str]]:
        """The legs of a folder as calls, and those whose other leg cannot be read.

        Also the names of those that are listed in the folder of the first leg.
        """
        calls: list[Entry] = []
        elsewhere: set[str] = set()
        defects: list[Defect] = []
        pairs, single = _paired(legs)
        calls += (call_of(place.call, parts) for place, parts in pairs)
        for leg in single:
            name = _alike(leg.place.other)
            try:
                other = None if name in lost else self._elsewhere(leg)
            except SourceError:
                lost.add(name)
            if name in lost:
                defects.append(_unreadable(leg))
                continue
            if other is None:
                calls.append(_alone(leg))
            elif leg.place.side == 0:
                calls.append(call_of(leg.place.call, (leg.entry, other)))
            else:
                elsewhere |= {leg.entry.path, stem(leg.entry.path)}
        return calls, defects, elsewhere

    def _elsewhere(self, leg: "_Leg") -> Entry | None:
        """The other leg, if it is in another folder. Raises SourceError."""
        other = leg.place.other
        if _folder(other) == _folder(leg.entry.path) or not self.is_audio(other):
            return None
        try:
            return self.files.stat(other)
        except SourceGone:
            return None


class _Leg(NamedTuple):
    entry: Entry
    place: LegPlace


def _paired(
    legs: Sequence[_Leg],
) -> tuple[list[tuple[LegPlace, tuple[Entry, Entry]]], list[_Leg]]:
    """The legs that lie in one folder in pairs, and the others.

    Those that name each other exactly first, then in any case, then those of one call: it may be
    there in two formats, or its legs in one each.
    """
    pairs: list[tuple[LegPlace, tuple[Entry, Entry]]] = []
    rest = list(legs)
    for key in (_exactly, _in_any_case, lambda leg: (_alike(leg.place.call),)):
        groups: dict[tuple[str, ...], list[_Leg]] = {}
        for leg in rest:
            groups.setdefault(key(leg), []).append(leg)
        rest = []
        for group in groups.values():
            if sorted(leg.place.side for leg in group) == [0, 1]:
                first, second = sorted(group, key=lambda leg: leg.place.side)
                pairs.append((first.place, (first.entry, second.entry)))
            else:
                rest += group
    return pairs, rest


def _exactly(leg: _Leg) -> tuple[str, ...]:
    return tuple(sorted((leg.entry.path, leg.place.other)))


def _in_any_case(leg: _Leg) -> tuple[str, ...]:
    return tuple(sorted((fold(leg.entry.path), fold(leg.place.other))))


def _alike(path: str) -> str:
    """What is equal for names in any case and with any extension."""
    return fold(stem(path))


def _unique(calls: Sequence[Entry]) -> tuple[list[Entry], list[Defect]]:
    """The calls, each at a path of its own, and the legs of those whose path another one has.

    Names that differ in case, or fit two patterns, may be of one call; so may a leg that is left.
    """
    found: dict[str, Entry] = {}
    names: dict[str, Entry] = {}
    defects: list[Defect] = []
    for call in calls:
        name = _alike(call.path)
        rival = found.get(call.path) if call.lacks is None else names.get(name)
        if rival is None:
            found[call.path] = call
            names.setdefault(name, call)
        else:
            defects += (_superfluous(part, rival) for part in call.parts)
    return [*found.values()], defects


def _alone(leg: _Leg) -> Entry:
    """A leg whose other one is missing, at the path of its call if that is in this folder."""
    path = leg.place.call
    here = path if _folder(path) == _folder(leg.entry.path) else leg.entry.path
    return call_of(here, (leg.entry,))._replace(lacks=leg.place.other)


def call_of(path: str, parts: tuple[Entry, ...]) -> Entry:
    """The entry of a call with these legs: another one if either of them changes."""
    if len(parts) == 1:
        return parts[0]._replace(path=path, parts=parts)
    marks = [(each.size, each.mtime_ns, each.inode) for each in parts]
    ctimes = [each.ctime_ns for each in parts if each.ctime_ns is not None]
    known = all(each.inode is not None for each in parts)
    mark = int.from_bytes(hashlib.blake2b(repr(marks).encode(), digest_size=8).digest())
    return Entry(
        path,
        sum(each.size for each in parts),
        max(each.mtime_ns for each in parts),
        max(ctimes) if len(ctimes) == len(parts) else None,
        mark >> 64 - _BITS if known else None,
        parts,
    )


def _mixes(kept: Sequence[Entry], is_audio: Callable[[str], bool]) -> dict[str, list[Entry]]:
    """The other recordings of a folder, by their names without extension."""
    found: dict[str, list[Entry]] = {}
    for entry in kept:
        if is_audio(entry.path):
            found.setdefault(fold(stem(entry.path)), []).append(entry)
    return found


def _with_mixes(calls: Sequence[Entry], mixes: dict[str, list[Entry]]) -> Iterator[Entry]:
    """The calls with their mixes; a mix instead of a single leg."""
    taken = {call.path for call in calls if call.lacks is None}
    for call in calls:
        beside = [each for name in mixes_of(call.path) for each in mixes.get(fold(name), ())]
        mix = next((each for each in beside if each.path not in taken), None)
        if mix is not None and call.lacks is not None:
            taken.add(mix.path)
            others = (each.path for each in beside if each is not mix)
            yield mix._replace(lacks=call.lacks, mixes=(mix.path, *others))
        else:
            yield call._replace(mixes=tuple(each.path for each in beside))


def _with_mix_above(call: Entry) -> Entry:
    """The call with the place of a mix in the folder above those of its legs, there or not.

    Such a mix is listed, since a sidecar may describe it alone; the ledger keeps one from being
    billed beside the other.
    """
    if len({_folder(part.path) for part in call.parts}) == 1 or not call.parts:
        return call
    first, second = (part.path.split("/") for part in call.parts)
    both = takewhile(lambda each: each[0] == each[1], zip(first, second, strict=False))
    path = "/".join((*(one for one, _ in both), base_name(call.path)))
    return call._replace(mixes=(*call.mixes, path))


def _unreadable(leg: _Leg) -> Defect:
    return Defect(
        leg.entry.path,
        "unreadable",
        f"the other leg of its call, {base_name(leg.place.other)}, cannot be read",
        "make it readable, or exclude both",
    )


def _superfluous(leg: Entry, call: Entry) -> Defect:
    names = " and ".join(base_name(part.path) for part in call.parts)
    return Defect(
        leg.path,
        "legs-ambiguous",
        f"it has the name of a leg of {base_name(call.path)}, and so has {names}",
        "remove or exclude it if it is a copy; if it belongs to another call, rename its legs",
    )


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
