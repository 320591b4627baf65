"""Which ready-made layouts fit an archive, how well, and why. Pure: ``seen`` has what was read.

Three things are compared: the names of recordings with the pattern of a layout, the sidecars beside
them with those that it declares, and the columns of tables with those that its expressions use. A
pattern that fits any name says nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import Struct, field

from batch_uploader.core.naming import base_name
from batch_uploader.core.text import plural, printable
from batch_uploader.layouts import Layout
from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.foreign import DeclaredSidecar, SidecarFormat
from batch_uploader.prepare.about.mapping import FieldMap
from batch_uploader.prepare.about.names import NamePattern

SURE: Final = 0.85
"""A fit from this on is most probably right."""
LIKELY: Final = 0.5
"""A fit below this is not mentioned."""

_DECOYS: Final = (
    *("call", "recording 12", "Anna_2", "0001", "2026/03/27/voice-message"),
    "0f1e2d3c-4b5a-4968-8776-655443322110",
)
"""Names that say nothing: a pattern that fits one of these proves nothing."""
_WITHOUT_TABLE: Final = 0.6
"""How well a layout fits by its table if that was not given."""
_OWN: Final = frozenset({"name", "file", "tags"})
_MOST_NAMED: Final = 4


class Head(Struct, frozen=True):
    """The beginning of a table: its path as given, the names of its columns, how many there are.

    ``columns`` are empty if it has no header. ``rows`` are some by the names of the columns. A
    database has the columns of all its tables, and as ``parts`` each with the ``query`` for it.
    """

    path: str
    columns: tuple[str, ...]
    width: int
    rows: tuple[Mapping[str, object], ...] = ()
    query: str | None = None
    parts: tuple["Head", ...] = ()


class Beside(Struct, frozen=True):
    """What lies beside recordings of the sidecars that a layout declares.

    ``share`` is that of the recordings with one, ``fields`` the names in some that were read.
    """

    share: float
    fields: frozenset[str] = frozenset()


class Seen(Struct, frozen=True):
    """A sample of an archive: paths of recordings, their sidecars by layout, heads of tables."""

    recordings: tuple[str, ...]
    beside: Mapping[str, Beside] = field(default_factory=dict)
    tables: tuple[Head, ...] = ()


class Fit(Struct, frozen=True):
    """How well a layout fits, from 0 to 1; what speaks for it, and what it needs besides.

    ``files`` has the given table for each file of the layout that was found, ``absent`` the files
    that are not there.
    """

    layout: Layout
    score: float
    evidence: tuple[str, ...]
    lacks: tuple[str, ...]
    files: Mapping[str, str]
    absent: tuple[str, ...]

    @property
    def described(self) -> bool:
        """Whether it reads a table or sidecars, and knows what these say."""
        metadata = self.layout.settings.get("metadata", {})
        return bool(metadata.get("map")) and ("table" in metadata or "sidecar" in metadata)


def recognise(seen: Seen, layouts: Iterable[Layout]) -> list[Fit]:
    """The layouts that may be meant, the best one first."""
    fits = [fit(seen, layout) for layout in layouts]
    return sorted((each for each in fits if each.score >= LIKELY), key=_rank)


def fit(seen: Seen, layout: Layout) -> Fit:
    """How well one layout fits."""
    needs = _Needs(layout)
    parts: list[float] = []
    evidence: list[str] = []
    lacks: list[str] = []
    files: dict[str, str] = {}
    if needs.pattern is not None and not _fits_anything(needs.pattern):
        parts.append(_by_names(needs.pattern, seen.recordings, evidence))
    if needs.sidecars:
        parts.append(_by_sidecars(needs, seen.beside.get(layout.name), evidence))
    for table in needs.tables:
        best = _best(table, seen.tables, needs.of_table(table))
        if best is None or best[1] < LIKELY:
            lacks.append(f"its table, {needs.file(table)}")
            parts.append(_WITHOUT_TABLE if any(part >= SURE for part in parts) else 0.0)
            continue
        head, share, told = best
        parts.append(share)
        files[needs.file(table)] = _all_of(needs.file(table), head, seen.tables)
        evidence.append(told)
    absent = []
    for lookup in needs.lookups:
        found = _lookup(lookup, seen.tables)
        if found is None:
            absent.append(str(lookup["file"]))
        else:
            files[str(lookup["file"])] = found.path
            evidence.append(f"{printable(found.path)} has the names for {lookup['as']}")
    score = sum(parts) / len(parts) if parts and seen.recordings else 0.0
    return Fit(layout, score, tuple(evidence), tuple(lacks), files, tuple(absent))


def declared_by(layout: Layout) -> tuple[DeclaredSidecar, ...]:
    """The sidecars that a layout declares."""
    return _Needs(layout).sidecars


def _rank(found: Fit) -> tuple[float, int, str]:
    # A name that several patterns fit is told best by the one that finds most in it.
    groups = found.layout.settings.get("metadata", {}).get("names", "").count("(?P<")
    return -round(found.score, 2), -groups, found.layout.name


class _Needs:
    """What a layout reads."""

    def __init__(self, layout: Layout) -> None:
        metadata: Mapping[str, Any] = layout.settings.get("metadata", {})
        names = metadata.get("names")
        self.pattern = NamePattern.parse(names) if names else None
        self.sidecars = tuple(map(_declared, metadata.get("sidecar", ())))
        self.tables: Sequence[Mapping[str, Any]] = metadata.get("table", ())
        self.lookups: Sequence[Mapping[str, Any]] = metadata.get("lookup", ())
        self._sources = [str(table.get("as", "table")) for table in self.tables]
        lookups: dict[str, Callable[[str], object]] = {
            str(each["as"]): lambda _key: None for each in self.lookups
        }
        sources = ["sidecar", *_OWN, *self._sources]
        mapped = FieldMap(metadata.get("map", {}), sources, functions.of(None, lookups))
        self._uses = {path for target in mapped.targets for path in mapped.needs(target)}

    def of_table(self, table: Mapping[str, Any]) -> frozenset[str]:
        """The columns that it uses of a table; they may be in names or sidecars as well."""
        match = table.get("match", {})
        columns = {match.get("column"), match.get("time"), *match.get("number", ())} - {None}
        return frozenset(map(_top, columns)) | self._fields(str(table.get("as", "table")))

    def of_sidecars(self) -> frozenset[str]:
        """The fields that it uses of sidecars."""
        return self._fields("sidecar")

    @staticmethod
    def file(table: Mapping[str, Any]) -> str:
        """Where a table is, as the layout has it."""
        return str(table.get("file") or table.get("database"))

    def _fields(self, source: str) -> frozenset[str]:
        groups = frozenset(self.pattern.groups if self.pattern else ())
        others = {"sidecar", *_OWN, *self._sources} - {source}
        return frozenset(
            path[1] if path[0] == source and len(path) > 1 else path[0]
            for path in self._uses
            if path[0] not in others and path[0] not in groups
        )


def _declared(raw: Mapping[str, Any]) -> DeclaredSidecar:
    return DeclaredSidecar(
        raw["name"],
        SidecarFormat(raw["format"]) if "format" in raw else None,
        raw.get("records"),
        raw.get("match"),
        raw.get("encoding"),
    )


def _fits_anything(pattern: NamePattern) -> bool:
    return any(pattern.values(f"{decoy}.wav") is not None for decoy in _DECOYS)


def _by_names(pattern: NamePattern, recordings: Sequence[str], evidence: list[str]) -> float:
    fitting = sum(pattern.values(path) is not None for path in recordings)
    if fitting:
        total = plural(len(recordings), "name")
        evidence.append(f"its pattern fits {fitting:,} of {total}")
    return fitting / max(len(recordings), 1)


def _by_sidecars(needs: _Needs, beside: Beside | None, evidence: list[str]) -> float:
    if beside is None or not beside.share:
        return 0.0
    names = " and ".join(each.name for each in needs.sidecars)
    evidence.append(f"{beside.share:.0%} of the recordings have {names}")
    wanted = needs.of_sidecars()
    there = wanted & beside.fields
    if wanted and there:
        evidence.append(f"the fields that it uses are there: {_some(there)}")
    return beside.share * (len(there) / len(wanted) if wanted else 1.0)


def _best(
    table: Mapping[str, Any], heads: Sequence[Head], wanted: frozenset[str]
) -> tuple[Head, float, str] | None:
    found = [(head, *_shared(table, head, wanted)) for head in heads]
    return max(found, key=lambda each: each[1], default=None)


def _shared(table: Mapping[str, Any], head: Head, wanted: frozenset[str]) -> tuple[float, str]:
    """How well a table fits, and why."""
    name = printable(head.path)
    if table.get("header") is False:
        columns = len(table.get("columns", ()))
        like = _is_like(head.path, str(table.get("file", "")))
        if head.columns or head.width < columns:
            return 0.0, ""
        told = f"{name} has no header and {plural(head.width, 'column')}"
        return (1.0 if like or head.width == columns else LIKELY), told
    there = wanted & frozenset(head.columns)
    return len(there) / max(len(wanted), 1), f"{name} has the columns {_some(there)}"


def _is_like(path: str, pattern: str) -> bool:
    return fnmatchcase(base_name(path).lower(), pattern.lower())


def _all_of(pattern: str, head: Head, heads: Sequence[Head]) -> str:
    """The path of a table; the pattern itself if it fits more files beside the table."""
    folder, slash, _ = head.path.rpartition("/")
    beside = [each.path for each in heads if each.path.rpartition("/")[0] == folder]
    alike = [path for path in beside if _is_like(path, pattern)]
    return f"{folder}{slash}{pattern}" if head.path in alike and len(alike) > 1 else head.path


def _lookup(lookup: Mapping[str, Any], heads: Sequence[Head]) -> Head | None:
    wanted = {lookup["key"], lookup["value"]}
    return next((head for head in heads if wanted <= set(head.columns)), None)


def _top(column: str) -> str:
    return column.partition(".")[0]


def _some(names: Iterable[str]) -> str:
    listed = sorted(map(printable, names))
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + more
