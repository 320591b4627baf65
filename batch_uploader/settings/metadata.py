"""Where metadata come from, as ``MetadataRules``: ``[metadata]``, layouts and their flags."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from msgspec import ValidationError, convert
from msgspec.structs import replace

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about import functions, times
from batch_uploader.prepare.about.foreign import DeclaredSidecar
from batch_uploader.prepare.about.mapping import FieldMap
from batch_uploader.prepare.about.names import NamePattern
from batch_uploader.prepare.about.rules import MetadataRules
from batch_uploader.settings.given import RawSetting, closest

_T = TypeVar("_T")
_KEYS = frozenset({"order", "names", "timezone", "sidecar", "map"})
_ALSO_FLAGS = frozenset({"names", "timezone"})
_TABLE_HINT = "write it as [NAME], with a line for each key"


def read_about(layers: ChainMap[str, RawSetting]) -> MetadataRules:
    """The rules of these settings. Raises ConfigError."""
    if "metadata" in layers and isinstance(layers["metadata"].value, list):
        layers["metadata"].refuse("tables cannot be read yet", "leave it out")
    found = _Found(layers)
    rules = MetadataRules(
        names=found.read("names", _pattern),
        timezone=found.read("timezone", _zone),
        sidecars=found.read("sidecar", _sidecars) or (),
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
    settings = dict(_entries(section))
    for name in settings.keys() - _KEYS:
        settings[name].refuse("unknown setting", closest(name, _KEYS, "settings there"))
    return settings


def _entries(given: RawSetting) -> Iterator[tuple[str, RawSetting]]:
    value: Any = given.value
    if not isinstance(value, dict):
        given.refuse("not a table", _TABLE_HINT)
    for name, each in value.items():
        yield name, RawSetting(each, f"{name} in {given.origin}", given.base)


def _map(found: _Found, rules: MetadataRules) -> dict[str, str]:
    """The expressions by field; those of a higher layer take the place of others."""
    merged: dict[str, str] = {}
    for layer in reversed(list(found.all("map"))):
        for name, given in _entries(layer):
            expression: Any = given.value
            try:
                FieldMap({name: expression}, rules.sources, functions.of(None, {}))
            except ConfigError as error:
                given.refuse(error.problem.removeprefix(f"metadata.map.{name}: "), error.hints)
            merged[name] = expression
    return merged


def _pattern(given: RawSetting) -> str:
    NamePattern.parse(text := given.text())
    return text


def _zone(given: RawSetting) -> str:
    times.zone(name := given.word())
    return name


def _sidecars(given: RawSetting) -> tuple[DeclaredSidecar, ...]:
    try:
        return convert(given.value, tuple[DeclaredSidecar, ...])
    except ValidationError as error:
        given.refuse(str(error), "write it as [[metadata.sidecar]], with name, format and records")
