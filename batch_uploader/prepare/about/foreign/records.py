"""Which record of a file is about a recording: one file may describe all of a folder.

A record names its file by its name, with or without extension, or with folders before it or as a
URL. The exact name counts before one that differs in case, and that before the name without its
extension, since files are converted. Of records that name files of the same name in other folders,
the one whose folders are those of the recording counts.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from batch_uploader.core.naming import stem
from batch_uploader.prepare.about.foreign.declared import DeclaredSidecar
from batch_uploader.prepare.sidecar.tree import MalformedSidecar, Problem, shown

_MOST_NAMED: Final = 3


class FoundRecord(NamedTuple):
    """The fields of a record, and where it is in its file (``metadata[2]``)."""

    fields: Mapping[str, object]
    where: str


class _Record(NamedTuple):
    folders: tuple[str, ...]
    found: FoundRecord


class Records:
    """The records of one file. Raises MalformedSidecar if it has none where they should be."""

    def __init__(self, tree: object, declared: DeclaredSidecar) -> None:
        self._everyones: FoundRecord | None = None
        self._by_name: dict[tuple[int, str], list[_Record]] = {}
        if declared.records is None and declared.match is None:
            if not isinstance(tree, dict):
                raise _no_object(tree)
            self._everyones = FoundRecord(tree, "")
            return
        path = declared.records or ""
        inner, rest = _take(tree, path.split(".") if path else [])
        for name, record, where in _records(inner, path, declared.match):
            file = _last(name)
            # What stands beside the records is about each of them.
            each = _Record(file[:-1], FoundRecord({**rest, **record}, where))
            for key in _keys(file[-1]):
                self._by_name.setdefault(key, []).append(each)

    def of(self, recording: str) -> FoundRecord | Problem | None:
        """The record of the recording at this path, None if there is none."""
        if self._everyones is not None:
            return self._everyones
        *folders, name = _last(recording)
        for key in _keys(name):
            if found := self._by_name.get(key):
                return _closest(found, folders)
        return None


def _closest(records: list[_Record], folders: list[str]) -> FoundRecord | Problem:
    most = max(_fit(each.folders, folders) for each in records)
    best = [each.found for each in records if _fit(each.folders, folders) == most]
    if all(each.fields == best[0].fields for each in best[1:]):
        return best[0]
    places = ", ".join(each.where for each in best[:_MOST_NAMED])
    more = ", ..." if len(best) > _MOST_NAMED else ""
    return Problem(
        "sidecar-two-records",
        f"records that differ name this recording: {places}{more}",
        "keep the right one",
    )


def _fit(named: tuple[str, ...], folders: list[str]) -> tuple[int, bool]:
    """How many of the last folders are the same, and whether the one before does not differ."""
    count = 0
    for left, right in zip(reversed(named), reversed(folders), strict=False):
        if left != right:
            return count, False
        count += 1
    return count, True


def _take(tree: object, steps: list[str]) -> tuple[object, Mapping[str, object]]:
    """What is at the end of a path, and the rest of the outermost object without it."""
    inner: object = tree
    for step in steps:
        if not isinstance(inner, dict) or step not in inner:
            there = ", ".join(sorted(map(shown, inner))) if isinstance(inner, dict) else ""
            raise MalformedSidecar(
                "sidecar-records",
                f"it has no {shown('.'.join(steps))}, where the settings say its records are",
                f'specify records = "..."; there is {there}' if there else "fix it, or records",
            )
        inner = inner[step]
    if not steps or not isinstance(tree, dict):
        return inner, {}
    return inner, {key: value for key, value in tree.items() if key != steps[0]}


def _records(
    inner: object, path: str, match: str | None
) -> Iterator[tuple[str, Mapping[str, object], str]]:
    """Each record with the name of its file, and where it is."""
    if isinstance(inner, dict) and match is None:
        for name, record in inner.items():
            if isinstance(record, dict):
                yield name, record, f"{path}.{name}" if path else name
        return
    if match is None:
        raise MalformedSidecar(
            "sidecar-records",
            "its records are a list, and nothing says which field names their files",
            'specify match = "..." in [[metadata.sidecar]]',
        )
    several = inner if isinstance(inner, list) else [inner]
    named = False
    for index, record in enumerate(several):
        name = _field(record, match)
        if isinstance(record, dict) and isinstance(name, str | int) and str(name).strip():
            named = True
            yield str(name), record, f"{path}[{index}]"
    if several and not named:
        raise MalformedSidecar(
            "sidecar-records",
            f"none of its records has the field {shown(match)}, which should name their files",
            'specify match = "..." in [[metadata.sidecar]]',
        )


def _field(record: object, path: str) -> object:
    for step in path.split("."):
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _last(name: str) -> tuple[str, ...]:
    """The folders and the name in a path or URL, as they are compared."""
    text = name.strip()
    scheme, found, rest = text.partition("://")
    if found and scheme.isalnum():
        text = rest.partition("?")[0].partition("#")[0]
    text = unquote(text.replace("\\", "/")).rstrip("/")
    return tuple(unicodedata.normalize("NFC", part) for part in text.split("/"))


def _keys(name: str) -> tuple[tuple[int, str], ...]:
    """What names are compared by, one after the other."""
    return (0, name), (1, name.casefold()), (2, stem(name).casefold())


def _no_object(tree: object) -> MalformedSidecar:
    if isinstance(tree, list):
        return MalformedSidecar(
            "sidecar-records",
            "it is a list, and the settings do not say which record is about which recording",
            'specify match = "..." in [[metadata.sidecar]]: the field that names the file',
        )
    return MalformedSidecar(
        "sidecar-shape", "it has a value and no fields", 'write {"name": "value"}'
    )
