"""Finds the other ledgers that know recordings of a directory.

They are of directories above or below, or of the same one. What they know would be sent again, so
a run refuses, unless it adopts them (``adopting``). Ledgers above are looked for in each run, those
below by the first run, and by each run when it comes to their folder. Everything here blocks.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.app.belonging import read_pointer
from batch_uploader.app.places import Places
from batch_uploader.core.errors import ConfigError, LedgerError, OtherRoots
from batch_uploader.core.ports import Ledger
from batch_uploader.core.text import quote
from batch_uploader.ledgers.places import LEDGER_FOLDER, has_ledger, ledger_path
from batch_uploader.ledgers.sqlite import Glance, glance_at, is_ledger
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.names import escape_name, unescape_name

_SOURCE_ID, _SOURCE_ROOT = "source_id", "source_root"
_SHOWN: Final = 3
_PAGE: Final = 4096
_SET_ASIDE: Final = re.compile(r"\.(behind|damaged)-\d{8}T")
"""The names of ledgers that ``--rebuild`` replaced."""


def looked_below(connection_id: str) -> str:
    """The name of the fact that all ledgers below that know the connection are adopted."""
    return f"looked_below {connection_id}"


def adopted_by(connection_id: str) -> str:
    """The name of the fact which directory adopted a ledger's recordings of a connection."""
    return f"adopted_by {connection_id}"


def adopted(connection_id: str) -> str:
    """The name of the fact which ledgers were adopted: their words, or their last openings."""
    return f"adopted {connection_id}"


class NewHome(Struct, frozen=True):
    """In an adopted ledger: the directory and the ledger that adopted it, and a word for that."""

    word: str
    root: str
    ledger: str


class Other(Struct, frozen=True):
    """Another ledger, and its directory.

    ``below`` is that directory as a path of the source if it is below, ``above`` the source as a
    path of that directory if it is above; both are empty if it is the same one.
    """

    root: Path
    ledger: Path
    below: str = ""
    above: str = ""
    glance: Glance = Glance()

    def here(self, path: str) -> str | None:
        """The path of its recording in this directory; None if it is elsewhere."""
        if self.above:
            return (
                path.removeprefix(f"{self.above}/") if path.startswith(f"{self.above}/") else None
            )
        return f"{self.below}/{path}" if self.below else path


class Roots:
    """The ledgers of other directories, for a directory and its own ledger.

    ``root`` is the real path of its directory.
    """

    def __init__(self, places: Places, connection_id: str | None) -> None:
        self._places = places
        self.root = Path(os.path.realpath(places.root))
        self._connection_id = connection_id
        self._facts = [_SOURCE_ID, _SOURCE_ROOT]
        self._looked = looked_below(connection_id or "")
        if connection_id is not None:
            self._facts += [self._looked, adopted(connection_id), adopted_by(connection_id)]

    def find_all(self, source: DirectorySource) -> list[Other]:
        """The ledgers that know recordings of this directory, and that it did not adopt.

        Raises LedgerError if it cannot be told.
        """
        return self._find(source, everywhere=True)

    def _find(self, source: DirectorySource, *, everywhere: bool) -> list[Other]:
        own = self._own()
        places = [*self._above(), *self._beside()]
        if everywhere or self._looked not in own.facts:
            for folder in sorted(source.holders(LEDGER_FOLDER)):
                places += self._below(folder)
        return self._met(own, places)

    def require_none(self, source: DirectorySource) -> None:
        """Raise ConfigError if there are any, or if the own ledger is adopted."""
        home = self.new_home()
        if home is not None:
            raise self._is_adopted(home)
        if found := self._find(source, everywhere=False):
            raise self.refusal(found)

    def require_none_in(self, folder: str) -> None:
        """Raise ConfigError if there is one of a folder below the root."""
        if found := self._met(self._own(), self._below(folder)):
            raise self.refusal(found)

    def new_home(self) -> NewHome | None:
        """By which directory the own ledger was adopted, if it was."""
        return _home(self._own(), self._connection_id)

    def is_home(self, other: Other, home: NewHome) -> bool:
        """Whether a ledger is the one that adopted the own one, wherever it was moved."""
        path = os.fspath(other.ledger)
        return home.word in self._adoptions(other.glance) or home.ledger == path

    def refusal(self, found: Sequence[Other]) -> OtherRoots:
        """The error that names them."""
        found = [each for each in found if not any(self._is_part(each, other) for other in found)]
        names = ", ".join(_shown(each.root) for each in found[:_SHOWN])
        if len(found) > _SHOWN:
            names += f" and {len(found) - _SHOWN:,} more"
        was, by = ("was", "by itself") if len(found) == 1 else ("were", "by themselves")
        which = f" of {self._connection_id}" if self._connection_id is not None else ""
        first, root = found[0], _shown(self._places.root)
        if first.below:
            problem = f"{names} below {root} {was} uploaded {by}"
        elif first.above:
            problem = f"{names}, which contains {root}, {was} uploaded as a whole"
        else:
            problem = f"{names} {was} uploaded with another ledger, {_shown(first.ledger)}"
        return self._use(
            f"{problem}: recordings{which} would be sent twice",
            [(each.root, each.ledger) for each in found],
        )

    def _is_adopted(self, home: NewHome) -> OtherRoots:
        return self._use(
            f"the ledger {_shown(self._places.ledger)} was adopted by the one of"
            f" {_shown(Path(home.root))}, which has its recordings since then",
            [(Path(home.root), Path(home.ledger))],
        )

    def _use(self, problem: str, others: Sequence[tuple[Path, Path]]) -> OtherRoots:
        instead = [
            (os.fspath(root), None if ledger == ledger_path(root) else os.fspath(ledger))
            for root, ledger in others
        ]
        hints = [
            f"upload that one: {_command(*each)}"
            if len(instead) == 1
            else f"upload each by itself: {_command(*each)}"
            for each in instead[:_SHOWN]
        ]
        here, own = self._places.root, self._places.ledger
        ledger = None if own == ledger_path(here) else os.fspath(own)
        hints.append(
            f"or adopt what is on record there: {_command(os.fspath(here), ledger)} --adopt"
        )
        return OtherRoots(problem, hint=hints, others=instead)

    def _own(self) -> Glance:
        ledger = self._places.ledger
        if not ledger.exists():
            return Glance()
        return glance_at(ledger, self._connection_id, facts=self._facts)

    def _above(self) -> Iterator[Other]:
        for parent in self.root.parents:
            for ledger in _ledgers_at(parent):
                yield from self._of(parent, ledger)

    def _below(self, folder: str) -> Iterator[Other]:
        root = self.root.joinpath(*map(unescape_name, folder.split("/")))
        for ledger in _ledgers_at(root):
            yield from self._of(root, ledger)

    def _beside(self) -> Iterator[Other]:
        """The ledgers beside a ``--ledger`` that is elsewhere, and the usual one of the directory.

        What a pointer names is left to ``belonging``.
        """
        usual, own = ledger_path(self.root), self._places.ledger
        if own == usual:
            return
        is_pointed = read_pointer(self.root) is not None
        if not is_pointed and is_ledger(usual):
            yield Other(self.root, usual)
        if own.parent.name == LEDGER_FOLDER or not own.parent.is_dir():
            return
        for ledger in sorted(own.parent.iterdir()):
            if ledger == own or _SET_ASIDE.search(ledger.name) or not _may_be_ledger(ledger):
                continue
            facts = glance_at(ledger, None, facts=self._facts).facts
            root = Path(json.loads(facts[_SOURCE_ROOT])) if _SOURCE_ROOT in facts else None
            if root is None or not _is_still_of(root, facts[_SOURCE_ID]):
                continue
            if root != self.root or not is_pointed:
                yield from self._of(root, ledger)

    def _of(self, root: Path, ledger: Path) -> Iterator[Other]:
        """A ledger of a directory, if that one contains recordings of this one."""
        if root == self.root:
            yield Other(root, ledger)
        elif root.is_relative_to(self.root):
            yield Other(root, ledger, below=_path_in(self.root, root))
        elif self.root.is_relative_to(root):
            yield Other(root, ledger, above=_path_in(root, self.root))

    def _met(self, own: Glance, places: Sequence[Other] | Iterator[Other]) -> list[Other]:
        met: dict[tuple[int, int], Other] = {}
        for place in places:
            status = place.ledger.stat()
            if _is_same_file(place.ledger, self._places.ledger):
                continue
            seen = glance_at(
                place.ledger, self._connection_id, facts=self._facts, folder=place.above
            )
            if self._counts(own, place, seen) or self._words_of_home(own) & self._adoptions(seen):
                met[status.st_dev, status.st_ino] = replace(place, glance=seen)
        known = self._adoptions(own)
        return [each for each in met.values() if not self._words(each.glance) & known]

    def _is_part(self, one: Other, other: Other) -> bool:
        """Whether all of a ledger was adopted by another one that is met."""
        inside = one.root.is_relative_to(other.root)
        return inside and bool(self._words(one.glance) & self._adoptions(other.glance))

    def _counts(self, own: Glance, place: Other, seen: Glance) -> bool:
        if place.above and own.knows:
            # Both are in use already: only what lies here is sent twice.
            return seen.within
        is_backup = not (place.above or place.below) and seen.ledger_id == own.ledger_id
        return seen.knows and not (is_backup and own.ledger_id is not None)

    def _words_of_home(self, seen: Glance) -> set[str]:
        home = _home(seen, self._connection_id)
        return set() if home is None else {home.word}

    def _adoptions(self, seen: Glance) -> frozenset[str]:
        name = adopted(self._connection_id) if self._connection_id is not None else ""
        return frozenset(json.loads(seen.facts.get(name, "[]")))

    def _words(self, seen: Glance) -> set[str]:
        return self._words_of_home(seen) | ({seen.last} if seen.last is not None else set())


async def require_not_adopted(ledger: Ledger) -> None:
    """Raise ConfigError if an open ledger was adopted by another one, which decides since then."""
    home = _decode(await ledger.fact(adopted_by(ledger.connection_id)))
    if home is not None:
        raise ConfigError(
            f"the ledger was adopted by the one of {home.root}, so decisions are made there",
            hint=f"specify {quote(home.root)} as the directory",
        )


def _home(seen: Glance, connection_id: str | None) -> NewHome | None:
    return None if connection_id is None else _decode(seen.facts.get(adopted_by(connection_id)))


def _decode(home: str | None) -> NewHome | None:
    # Not with msgspec: a path may not be valid Unicode.
    return NewHome(**json.loads(home)) if home else None


def _command(root: str, ledger: str | None) -> str:
    flags = "" if ledger is None else f" --ledger {quote(ledger)}"
    return f"batch-uploader upload {quote(root)}{flags}"


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


def _path_in(root: Path, folder: Path) -> str:
    return "/".join(map(escape_name, folder.relative_to(root).parts))


def _ledgers_at(folder: Path) -> list[Path]:
    """The ledgers of a directory: the usual one, and the one that its pointer names."""
    own = folder / LEDGER_FOLDER
    # That of another user is met as well: what it knows would be sent twice.
    if own.is_symlink() or not own.is_dir():
        return []
    pointer, usual = read_pointer(folder, of_anyone=True), ledger_path(folder)
    found = [usual] if has_ledger(usual) else []
    if pointer is not None and (named := pointer.leads_to(folder)) not in found:
        if not named.exists():
            raise LedgerError(
                f"the ledger {named} of {folder} is gone (its name is in {own}), and recordings may"
                " have been uploaded",
                hint=["put it back", f"if nothing was ever uploaded from there, remove {own}"],
            )
        found.append(named)
    return found


def _may_be_ledger(file: Path) -> bool:
    try:
        size = file.stat().st_size
    except OSError:
        return False
    return size > 0 and size % _PAGE == 0 and is_ledger(file)


def _is_still_of(root: Path, source_id: str) -> bool:
    """Whether a directory may still be the one of this ID: one that says so, or says nothing."""
    try:
        pointer = read_pointer(root)
    except LedgerError:
        return True
    return pointer is None or pointer.source_id == source_id


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
