"""A table: brought up to date once a run, then asked for the row of each recording."""

import glob
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from msgspec import Struct, json, msgpack

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Defect
from batch_uploader.core.text import printable
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.choose import Condition, choose, rules
from batch_uploader.prepare.about.tables.index import MOST_ROWS, FoundRow, Index, copy_index
from batch_uploader.prepare.about.tables.match import WantedRows, matcher
from batch_uploader.prepare.about.tables.reading import refreshed
from batch_uploader.prepare.about.tables.recordings import Recordings
from batch_uploader.prepare.about.tables.sharing import Rivals
from batch_uploader.prepare.about.tables.spec import TableSpec
from batch_uploader.prepare.about.values import Values

_NAMED: Final = 5
"""How many rows a message names."""
_MOST_RIVALS: Final = 100
"""How many other recordings are looked at that a row may be of."""

_BY_NUMBER: Final = "match by an id in the name, or with a smaller window"
_BY_NAME: Final = (
    "match by a column that has the folder as well, or by an id in the name;"
    " or leave one of them out (--exclude)"
)


class _Part(Struct):
    """One file of a table, or its query."""

    name: str
    index: Index


class Table:
    """A table of the settings. ``folder`` is for its indexes.

    ``origin`` is a folder with indexes that are copied first, and left as they are. ``compiled``
    makes a condition of an expression. No two of the ``recordings`` get one row. Threads may ask at
    the same time. Everything here blocks; it raises ConfigError, and OSError if the disk does.
    """

    def __init__(
        self,
        spec: TableSpec,
        folder: Path,
        compiled: Callable[[str], Condition],
        origin: Path | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        self.spec = spec
        self._folder = folder
        self._origin = origin
        self._rules = rules(spec.choose, compiled)
        self._conditions = [rule for rule in self._rules if rule.condition is not None]
        self._matcher = matcher(spec.match, spec.zone())
        self._recordings = recordings
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        """Bring the indexes up to date."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, where in self._sources():
                path = self._index_path(where)
                if self._origin is not None:
                    copy_index(self._origin / path.name, path)
                try:
                    index = refreshed(self.spec, where, path, self._matcher)
                except ConfigError as error:
                    raise ConfigError(f"{name}: {error.problem}", hint=error.hints) from None
                self._parts.append(_Part(name, index))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the indexes."""
        for part in self._parts:
            part.index.close()
        self._parts.clear()

    def _sources(self) -> list[tuple[str, Path | Address]]:
        """What it is read from: names for people, and files or a database."""
        if self.spec.file is None:
            address = Address(self.spec.database or "")
            if file := address.file:
                return [(file.name, Address(f"sqlite:{file}"))]
            return [(address.shown, address)]
        path = Path(self.spec.file).expanduser()
        if path.exists() or not glob.has_magic(self.spec.file):
            return [(path.name, path)]
        # A folder that exists is not a pattern, whatever is in its name.
        root = next(folder for folder in path.parents if folder.is_dir())
        found = sorted(root.glob(str(path.relative_to(root))))
        if not found:
            raise ConfigError(
                f"{self.spec.file}: there is no such file",
                hint="specify where the table is: --metadata FILE, or file in [[metadata.table]]",
            )
        return [(each.name, each) for each in found]

    def _index_path(self, where: Path | Address) -> Path:
        if isinstance(where, Path):
            identity = json.encode([str(where.absolute())])
            name = where.stem
        else:
            # The digest of a password would be one to guess it by.
            identity = json.encode([where.shown, self.spec.query])
            name = "query"
        digest = blake2b(identity, digest_size=8).hexdigest()
        plain = "".join(each if each.isalnum() else "-" for each in name)[:40]
        return self._folder / f"{plain}-{digest}.db"

    # What recordings ask

    def about(
        self, wanted: WantedRows, rivals: Rivals | None = None
    ) -> Values | tuple[Defect, ...] | None:
        """What its row says of a recording; defects if it is unclear which one; None without one.

        ``rivals`` looks at others that the row may be of; without it, these do not matter.
        """
        found: dict[bytes, tuple[_Part, FoundRow]] = {}
        for part in self._parts:
            columns = part.index.state.columns
            for key, between in self._matcher.sought(wanted):
                there = part.index.rows(key, columns, between)
                if len(there) == MOST_ROWS:
                    return (_too_many(wanted.path, part.name),)
                for row in there:
                    # The first of identical rows: exports overlap.
                    found.setdefault(msgpack.encode(row.fields, order="sorted"), (part, row))
        every = [row for _, row in found.values()]
        groups = self._matcher.fitting(wanted, every)
        if len(groups) > 1 and self.spec.match.time is not None:
            # Only rows that a condition means are candidates.
            meant = choose([row for rows in groups for row in rows], self._conditions)
            groups = [[row] for row in meant]
        if not groups:
            return None
        origins = {id(row): f"{part.name}, line {row.line}" for part, row in found.values()}
        if len(groups) > 1:
            named = [origins[id(rows[0])] for rows in groups]
            return (_several_calls(wanted.path, named),)
        rows = choose(groups[0], self._rules)
        if len(rows) > 1:
            return (_several_rows(wanted.path, [origins[id(row)] for row in rows]),)
        [row] = rows
        if rivals is not None and (sharing := self._sharing(wanted, row, every, rivals)):
            cure = _BY_NUMBER if self.spec.match.time is not None else _BY_NAME
            return (_shared(wanted.path, origins[id(row)], sharing, cure),)
        return Values(self.spec.source, row.fields, origins[id(row)])

    def announce(self, files: Mapping[str, str], wanted_at: Callable[[str], WantedRows]) -> None:
        """Remember recordings before any is asked about, so that no two of them get one row.

        ``files`` has a file of each by each of its names.
        """
        if self._recordings is None:
            return
        known = self._recordings.known(list(files))
        self._recordings.add(
            [
                (path, file, key, None if between is None else (between[0] + between[1]) // 2)
                for path, file in files.items()
                if path not in known
                for key, between in self._matcher.sought(wanted_at(path))
            ]
        )

    def _sharing(
        self, wanted: WantedRows, row: FoundRow, rows: Sequence[FoundRow], rivals: Rivals
    ) -> list[str]:
        """The recordings of other calls that the row may be of."""
        if self._recordings is None:
            return []
        files: dict[str, str] = {}
        for key, between in self._matcher.near(wanted, row):
            files |= self._recordings.found(key, between)
        mine = files.get(wanted.path, wanted.path)
        others = sorted(path for path, file in files.items() if file != mine)
        takers = self._matcher.takers(wanted, row, rows, others)[:_MOST_RIVALS]
        # A call of two legs has several names.
        calls = {files[path]: path for path in reversed(takers)}
        seen = [(path, rivals.at(file, path)) for file, path in sorted(calls.items())]
        there = {path: entry for path, entry in seen if entry is not None}
        own = rivals.at(mine, wanted.path) if there else None
        if own is None or not rivals.are_several_calls([own, *there.values()]):
            return []
        return list(there)

    # What a run asks

    @property
    def generation(self) -> str:
        """Which state of the table this is, to ask later what has changed since."""
        parts = [f"{part.index.state.id}:{part.index.state.generation}" for part in self._parts]
        return " ".join(parts if self._recordings is None else [*parts, f"{self._recordings.id}:0"])

    def changed_since(self, generation: str) -> frozenset[int] | None:
        """The keys whose rows have changed since it was in that state; None if it may be all."""
        before = dict(each.split(":") for each in generation.split() if ":" in each)
        if not before:
            return None
        if self._recordings is not None and before.pop(self._recordings.id, None) is None:
            return None
        keys: set[int] = set()
        for part in self._parts:
            known = before.pop(part.index.state.id, None)
            # A new part changes what it has rows for.
            index = part.index
            changed = index.keys() if known is None else index.changed_since(int(known))
            if changed is None:
                return None
            keys |= changed
        # What the rows of a part were that is gone is not known any more.
        return None if before else frozenset(keys)

    def touched_since(self, generation: str) -> frozenset[str] | None:
        """The recordings that may have other rows since then, of all that were announced."""
        keys = self.changed_since(generation)
        return None if keys is None or not self._recordings else self._recordings.with_keys(keys)

    @property
    def rows(self) -> int:
        """How many rows it has, with those of no recording."""
        return sum(part.index.state.rows for part in self._parts)

    @property
    def fault_count(self) -> int:
        """How many of its rows cannot be used."""
        return sum(part.index.state.faults for part in self._parts)

    def faults(self) -> list[Defect]:
        """The first rows that cannot be used."""
        return [
            Defect(part.name, kind, f"line {line}: {message}", cure, field)
            for part in self._parts
            for line, kind, message, cure, field in part.index.faults()
        ]


def _listed(origins: Sequence[str]) -> str:
    named = " and ".join(origins[:_NAMED])
    more = len(origins) - _NAMED
    return f"{named}, and {more:,} more" if more > 0 else named


def _several_calls(path: str, origins: Sequence[str]) -> Defect:
    return Defect(
        path,
        "table-ambiguous",
        f"rows of different recordings may be its own: {_listed(origins)}",
        "match by what tells them apart, such as the path or an id in the name",
    )


def _several_rows(path: str, origins: Sequence[str]) -> Defect:
    return Defect(
        path,
        "table-several",
        f"it has several rows: {_listed(origins)}",
        "specify with choose which one counts, or remove the others",
    )


def _too_many(path: str, table: str) -> Defect:
    return Defect(
        path,
        "table-several",
        f"{table} has {MOST_ROWS:,} rows or more that may be its own",
        "match by a column that is different for each recording",
    )


def _shared(path: str, origin: str, sharing: Sequence[str], cure: str) -> Defect:
    return Defect(
        path,
        "table-shared",
        f"{origin} may be of another recording as well: {_listed(list(map(printable, sharing)))}",
        cure,
    )
