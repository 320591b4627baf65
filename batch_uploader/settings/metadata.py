"""Where metadata come from, as ``MetadataRules``: ``[metadata]``, layouts and their flags."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from msgspec import ValidationError, convert
from msgspec.structs import replace

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.foreign import DeclaredSidecar
from batch_uploader.prepare.about.lookups import LookupSpec
from batch_uploader.prepare.about.mapping import FieldMap
from batch_uploader.prepare.about.names import NamePattern
from batch_uploader.prepare.about.rules import MetadataRules
from batch_uploader.prepare.about.tables.address import Address
from batch_uploader.prepare.about.tables.spec import DATABASES, TableSpec
from batch_uploader.settings.given import RawSetting
from batch_uploader.settings.misfits import misfit

_T = TypeVar("_T")
_Table = TableSpec | LookupSpec
_Declared = TypeVar("_Declared", DeclaredSidecar, TableSpec, LookupSpec)
_MOST_DIGESTED = 16 * 1024 * 1024
_KEYS = frozenset({"order", "names", "timezone", "sidecar", "table", "lookup", "map"})
_ALSO_FLAGS = frozenset({"names", "timezone"})
_TABLE_HINT = "write it as [NAME], with a line for each key"


def read_about(layers: ChainMap[str, RawSetting]) -> MetadataRules:
    """The rules of these settings. Raises ConfigError."""
    found = _Found(layers)
    declared: list[_Table] = [
        *(found.read("table", partial(_each, TableSpec)) or ()),
        *(found.read("lookup", partial(_each, LookupSpec)) or ()),
    ]
    specs = _with_files(declared, layers.get("metadata"))
    rules = MetadataRules(
        names=found.read("names", _pattern),
        timezone=found.read("timezone", _zone),
        sidecars=found.read("sidecar", partial(_each, DeclaredSidecar)) or (),
        tables=tuple(each for each in specs if isinstance(each, TableSpec)),
        lookups=tuple(
            replace(each, content=_content(each)) for each in specs if isinstance(each, LookupSpec)
        ),
    )
    order = found.read("order", lambda given: replace(rules, order=given.texts()).order)
    return replace(rules, order=order or (), map=_map(found, rules))


class _Found:
    """The settings of all layers; the highest one that has a setting decides."""

    def __init__(self, layers: ChainMap[str, RawSetting]) -> None:
        self._layers = [(layer, _section(layer)) for layer in layers.maps]

    def all(self, name: str) -> Iterator[RawSetting]:
        """The values of all layers, the highest first."""
        for layer, section in self._layers:
            if name in _ALSO_FLAGS and name in layer:
                yield layer[name]
            elif name in section:
                yield section[name]

    def read(self, name: str, convert_it: Callable[[RawSetting], _T]) -> _T | None:
        """The value of a setting, None if it is not given."""
        for given in self.all(name):
            try:
                return convert_it(given)
            except ConfigError as error:
                if error.problem.startswith(given.origin):
                    raise
                given.refuse(error.problem.removeprefix(f"{name}: "), error.hints)
        return None


def _section(layer: Mapping[str, RawSetting]) -> dict[str, RawSetting]:
    """The settings of ``[metadata]`` in a layer."""
    section = layer.get("metadata")
    if section is None or isinstance(section.value, list):
        return {}
    return section.entries(_TABLE_HINT, _KEYS)


def _map(found: _Found, rules: MetadataRules) -> dict[str, str]:
    """The expressions by field; those of a higher layer take the place of others."""
    layers = reversed(list(found.all("map")))
    named = (
        RawSetting(
            each.value, each.origin.replace("map in [metadata]", "[metadata.map]"), each.base
        )
        for each in layers
    )
    merged = {name: given for layer in named for name, given in layer.entries(_TABLE_HINT).items()}
    texts: dict[str, Any] = {name: given.value for name, given in merged.items()}
    try:
        lookups = {each.source: _no_value for each in rules.lookups}
        FieldMap(texts, rules.sources, functions.of(None, lookups))
    except ConfigError as error:
        setting = error.setting or ""
        problem = error.problem.removeprefix(f"{setting}: ")
        merged[setting.removeprefix("metadata.map.")].refuse(problem, error.hints)
    return texts


def _no_value(key: str) -> None:
    """What a second table has before it is read."""
    del key


def _pattern(given: RawSetting) -> str:
    NamePattern.parse(text := given.text())
    return text


def _zone(given: RawSetting) -> str:
    time_zone(name := given.word())
    return name


def _with_files(specs: Sequence[_Table], files: RawSetting | None) -> list[_Table]:
    """Tables and lookups, with the files of ``--metadata`` in place of their own.

    One of another name is that of the only table.
    """
    found = list(specs)
    taken: set[int] = set()
    texts = files.texts() if files is not None and isinstance(files.value, list) else ()
    for text in texts:
        assert files is not None  # noqa: S101 - it has texts
        path = files.base / Path(text).expanduser()
        alike = _meant(specs, path)
        if not alike:
            files.refuse(
                f"nothing says how the rows of {text} belong to recordings",
                "let batch-uploader init DIRECTORY --metadata TABLE find out, specify a --layout,"
                " or declare it as [[metadata.table]] in the settings file",
            )
        if len(alike) > 1:
            files.refuse(
                f"{text} may be any of {len(alike)} tables of the settings",
                "set it as file of the right one, in [[metadata.table]]",
            )
        [at] = alike
        if at in taken:
            files.refuse(
                f"{text} is another file of the same table",
                "specify all of its files as one pattern, in quotes, like 'cdr*.csv'",
            )
        taken.add(at)
        is_file = found[at].file is not None
        found[at] = replace(found[at], **{"file": str(path)} if is_file else _sqlite(path))
    return found


def _meant(specs: Sequence[_Table], path: Path) -> list[int]:
    """Which of them a file may be: those of its name, else all tables that are read like it."""
    names = {
        at: Path(spec.file or Address(spec.database or "").file or "").name
        for at, spec in enumerate(specs)
        if (spec.file is None) == (path.suffix.lower() in DATABASES)
    }
    named = [at for at, name in names.items() if name and fnmatchcase(path.name, name)]
    tables = [at for at in names if isinstance(specs[at], TableSpec)]
    return named or tables or list(names)


def _sqlite(path: Path) -> dict[str, str]:
    return {"database": f"sqlite:{path}"}


def _content(lookup: LookupSpec) -> str:
    """A digest of a second table; its errors are for those who read it."""
    if lookup.file is None:
        return ""
    try:
        with Path(lookup.file).open("rb") as file:
            return blake2b(file.read(_MOST_DIGESTED), digest_size=16).hexdigest()
    except OSError:
        return ""


def _each(kind: type[_Declared], given: RawSetting) -> tuple[_Declared, ...]:
    """The values of a list of tables. Paths become absolute."""
    try:
        specs: Any = convert(given.value, tuple[kind, ...])  # type: ignore[valid-type]
    except ValidationError as error:
        given.refuse(*misfit(error, kind))
    return tuple(_absolute(each, given.base) for each in specs)


def _absolute(spec: _Declared, base: Path) -> _Declared:
    if isinstance(spec, DeclaredSidecar):
        return spec
    if spec.file is not None:
        return replace(spec, file=str(base / Path(spec.file).expanduser()))
    path = Address(spec.database or "").file
    return spec if path is None else replace(spec, **_sqlite(base / path))
