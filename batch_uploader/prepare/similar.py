"""Sidecars whose name differs from a recording's only in case or composition.

A copy by way of a Mac or of Windows leaves such names. They are paired where only one recording
and one sidecar have them; else a defect names both and says what differs.
"""

from collections.abc import Collection, Iterable, Sequence

from batch_uploader.core.model import Defect, Entry
from batch_uploader.core.naming import base_name, described, difference, fold, stem

_KIND = "similar-names"
_MOST = 4
"""More recordings that one name may mean are not needed to see that it is ambiguous."""


class Similar:
    """What the names in ``lonely``, which no recording has exactly, may mean."""

    def __init__(self, recordings: Collection[str], lonely: Iterable[str]) -> None:
        self._lonely: dict[str, list[str]] = {}
        for name in lonely:
            self._lonely.setdefault(fold(name), []).append(name)
        self._full = frozenset(map(fold, recordings)) if self._lonely else frozenset()
        self._recordings: dict[str, list[str]] = {}
        self._used: set[str] = set()
        for path in sorted(recordings) if self._lonely else ():
            for key in self._keys(path):
                rivals = self._recordings.setdefault(key, [])
                if len(rivals) < _MOST:
                    rivals.append(path)

    def meant_for(self, recording: str) -> list[str]:
        """The lonely names that may mean this recording, which has no sidecar of its exact name."""
        found = [name for key in self._keys(recording) for name in self._lonely[key]]
        self._used.update(found)
        return found

    def recordings(self, name: str) -> Sequence[str]:
        """The recordings that a lonely name may mean, or some of them if they are many."""
        return self._recordings.get(fold(name), ())

    def is_used(self, name: str) -> bool:
        """Whether it may mean a recording without a sidecar of its exact name."""
        return name in self._used

    def _keys(self, path: str) -> list[str]:
        full, short = fold(path), fold(stem(path))
        # As for exact names: a stem that is a recording's name belongs only to that one.
        keys = {full} if short in self._full else {full, short}
        return [key for key in sorted(keys) if key in self._lonely]


def ambiguous(entry: Entry, sidecars: Sequence[Entry], recordings: Iterable[str]) -> Defect:
    """The defect of a recording with several such sidecars, or with one that others may have."""
    others = [path for path in recordings if path != entry.path]
    names = " and ".join(sorted(base_name(each.path) for each in sidecars))
    differs = _differs([entry.path, *others], sidecars)
    if others:
        or_others = " or ".join(map(base_name, others))
        problem = f"{names} may belong to it or to {or_others}: the names differ only in {differs}"
    else:
        problem = f"{names} may both belong to it: their names differ from its own in {differs}"
    return Defect(
        entry.path,
        _KIND,
        problem,
        f"name its sidecar exactly like it ({base_name(entry.path)}.json), and remove what"
        " belongs to no recording",
    )


def superfluous(sidecar: Entry, recording: str) -> Defect:
    """The defect of a sidecar whose recording has one of its exact name."""
    return Defect(
        sidecar.path,
        _KIND,
        f"its name differs from that of {base_name(recording)} only in"
        f" {_differs([recording], [sidecar])}, and that has a sidecar of its exact name",
        "remove the wrong one of the two, or name it exactly like its own recording",
    )


def _differs(recordings: Iterable[str], sidecars: Sequence[Entry]) -> str:
    kinds = set[str]()
    for recording in recordings:
        for key in (described(each.path) for each in sidecars):
            kinds.add(
                difference(key, recording if fold(key) == fold(recording) else stem(recording))
            )
    return " or ".join(sorted(kinds))
