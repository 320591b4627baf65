"""What the settings say about where metadata come from: ``[metadata]``."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from batch_uploader.core.checks import require_texts, require_type
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.about import names
from batch_uploader.prepare.about.foreign import DeclaredSidecar, reader, tags
from batch_uploader.prepare.about.lookups import LookupSpec
from batch_uploader.prepare.about.tables.spec import BY_PATH, TableSpec

SIDECAR: Final = reader.SOURCE
NAME: Final = names.SOURCE
TAGS: Final = tags.SOURCE
FILE: Final = "file"


class MetadataRules(Struct, frozen=True):
    """Where the metadata of recordings come from. Raises ConfigError.

    ``order`` are the sources by which an expression finds a field that it names alone; those left
    out count only by name (``tags.title``). Without it: sidecars, tables as they are declared, the
    name. ``names`` is the pattern of names, ``timezone`` the IANA zone of times without an offset.
    ``sidecars`` are those of other systems, ``lookups`` second tables; their paths are absolute.
    ``map`` has an expression for each field that it makes.
    """

    order: tuple[str, ...] = ()
    names: str | None = None
    timezone: str | None = None
    sidecars: tuple[DeclaredSidecar, ...] = ()
    tables: tuple[TableSpec, ...] = ()
    lookups: tuple[LookupSpec, ...] = ()
    map: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        require_texts("order", self.order)
        for name, kind in _KINDS.items():
            for each in getattr(self, name):
                require_type(name, each, kind)
        _require_own_names(self.table_names)
        _require_own_names([each.source for each in self.lookups])
        for name in self.order:
            if name not in self.sources:
                raise ConfigError(
                    f"order names {name!r}, which no source has",
                    hint=f"the sources are {', '.join(sorted(self.sources))}",
                )
        self._require_groups()
        if self.timezone is not None:
            time_zone(self.timezone)

    def _require_groups(self) -> None:
        """A part of names by which rows are found must be in their pattern: else none ever is."""
        groups = () if self.names is None else names.NamePattern.parse(self.names).groups
        for table in self.tables:
            for setting, group in table.match.groups.items():
                if group in groups:
                    continue
                there = f"names has {', '.join(groups)}" if groups else "there is no pattern"
                others = f"{', '.join(BY_PATH)} or " if setting == "with" else ""
                raise ConfigError(
                    f"match: {setting} is {group!r}, which is not a group of names ({there})",
                    hint=f"write {others}a group of names, like (?P<{group}>[0-9]+)",
                )

    @property
    def table_names(self) -> tuple[str, ...]:
        """The names of the tables in expressions."""
        return tuple(each.source for each in self.tables)

    @property
    def sources(self) -> frozenset[str]:
        """The names that an expression may put before a field."""
        return frozenset({SIDECAR, NAME, TAGS, FILE, *self.table_names})

    @property
    def sidecar_patterns(self) -> tuple[str, ...]:
        """Patterns of the names of other systems' sidecars, as ``--include`` takes them."""
        return tuple(each.pattern for each in self.sidecars)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the tables."""
        named = [*(each.file for each in self.tables), *(each.file for each in self.lookups)]
        return tuple(Path(file) for file in named if file is not None)

    @property
    def in_order(self) -> tuple[str, ...]:
        """The sources by which a field is found that is named alone."""
        return self.order or (SIDECAR, *self.table_names, NAME)

    def digest(self) -> bytes:
        """The digest of all of it: other rules may make other metadata of the same files."""
        form = (
            self.in_order,
            self.names,
            self.timezone,
            self.sidecars,
            self.tables,
            self.lookups,
            sorted(self.map.items()),
        )
        return hashlib.sha256(repr(form).encode(errors="backslashreplace")).digest()


_KINDS: Final = {"sidecars": DeclaredSidecar, "tables": TableSpec, "lookups": LookupSpec}


def _require_own_names(named: Sequence[str]) -> None:
    for name in named:
        if not name.isidentifier() or name in {SIDECAR, NAME, TAGS, FILE}:
            raise ConfigError(
                f"a table is named {name!r}",
                hint="give it a name of letters, like cdr, that no other source has",
            )
    if len(set(named)) < len(named):
        raise ConfigError(
            "two tables have the same name", hint='name each for expressions, like as = "cdr"'
        )
