"""Files that look like the legs of calls and are not said to be: counted, so that it is told."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Defect, Entry
from batch_uploader.core.ports import Source
from batch_uploader.core.text import plural, quote
from batch_uploader.prepare.audio import AudioRules, Convert
from batch_uploader.prepare.convert import Conversion
from batch_uploader.prepare.convert.joining import examine_leg
from batch_uploader.prepare.legs.pattern import KNOWN

_ENDS: Final = frozenset(("in", "ut", "rx", "tx"))
_LOOKED_AT: Final = 3
_ENOUGH: Final = 100_000
_ANY: Final = AudioRules(convert=Convert.NEEDED)


class LooksLikeLegs(Struct, frozen=True):
    """Pairs of files whose names, and channels, are those of legs.

    ``pattern`` is what ``--legs`` takes, ``first`` and ``second`` are one of the pairs.
    """

    pairs: int
    pattern: str
    first: str
    second: str

    @property
    def flag(self) -> str:
        """The flag that joins them."""
        return f"--legs={quote(self.pattern)}"

    def __str__(self) -> str:
        """That they look so, and what to do."""
        return (
            f"{plural(self.pairs, 'pair')} of files {'looks' if self.pairs == 1 else 'look'} like"
            f" the two sides of a call, such as {self.first} and {self.second}: to send each pair"
            f" as one stereo recording, specify {self.flag}"
        )


class _Pair(NamedTuple):
    pattern: str
    first: str
    second: str


class Lookalikes:
    """Counts the pairs of one walk, by pattern."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin another walk."""
        self._seen = 0
        self._counts: dict[str, int] = {}
        self._some: dict[str, list[_Pair]] = {}

    def see(self, entries: Sequence[Entry], is_audio: Callable[[str], bool]) -> None:
        """Take the files of one folder into account; after very many without a pair, no more."""
        if self._seen > _ENOUGH and not self._counts:
            return
        self._seen += len(entries)
        paths = (each.path for each in entries if not each.parts)
        for pair in _pairs(filter(_may_be_leg, paths), is_audio):
            self._counts[pair.pattern] = self._counts.get(pair.pattern, 0) + 1
            some = self._some.setdefault(pair.pattern, [])
            if len(some) < _LOOKED_AT:
                some.append(pair)

    def look(self, source: Source) -> LooksLikeLegs | None:
        """What was most, if a look into some shows that they have one channel each. Blocking."""
        for name in sorted(self._counts, key=lambda each: -self._counts[each]):
            for pair in self._some[name]:
                if all(_is_mono(source, path) for path in (pair.first, pair.second)):
                    return LooksLikeLegs(self._counts[name], name, pair.first, pair.second)
        return None


def _may_be_leg(path: str) -> bool:
    # Runs for every file of each run: quick, and seldom true.
    dot = path.rfind(".")
    return path[dot - 2 : dot].lower() in _ENDS or "recv_" in path or "trans_" in path


def _pairs(paths: Iterable[str], is_audio: Callable[[str], bool]) -> Iterator[_Pair]:
    seen: dict[tuple[str, str], dict[int, str]] = {}
    for path in filter(is_audio, paths):
        for name, pattern in KNOWN.items():
            place = pattern.place(path, is_audio)
            if place is not None:
                sides = seen.setdefault((name, place.call), {})
                sides[place.side] = path
                if len(sides) > 1:
                    yield _Pair(name, sides[0], sides[1])
                break


def _is_mono(source: Source, path: str) -> bool:
    try:
        entry = source.stat(path)
        with source.open(path) as handle:
            found = examine_leg(source, handle, entry, _ANY)
    except (OSError, SourceError):
        return False
    info = found.info if isinstance(found, Conversion) else found
    return not isinstance(info, Defect)
