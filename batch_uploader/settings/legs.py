"""Which files are legs, and where the agent is heard: ``--legs``, ``[legs]`` and ``[stereo]``."""

from collections import ChainMap
from collections.abc import Iterator
from typing import Final

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.legs.pattern import LegPattern
from batch_uploader.prepare.legs.rules import Channels, LegRules, Side, Speaker, SpeakerColumn
from batch_uploader.settings.given import RawSetting

_KEYS: Final = {
    "legs": frozenset({"pattern", "first", "offsets", "files", "table"}),
    "stereo": frozenset({"left"}),
}
_OF_COLUMN: Final = frozenset({"column", *(each.value for each in Speaker)})
_HOW: Final = "docs/audio.md has examples"


def read_legs(layers: ChainMap[str, RawSetting]) -> LegRules | None:
    """Which files are legs; None if none are. Raises ConfigError."""
    patterns = next(_patterns(layers), None)
    alone, files = layers.get("legs-alone"), _first(layers, "legs", "files")
    if patterns is None and files is None:
        if alone is not None and alone.switch():
            alone.refuse("it is not said which files are legs", "add --legs, like --legs=-in/-out")
        return None
    return LegRules(
        tuple(each.read(LegPattern.parse) for each in patterns or ()),
        _speaker(_first(layers, "legs", "first")),
        alone is not None and alone.switch(),
        _offsets(_first(layers, "legs", "offsets")),
        () if files is None else files.texts(),
        None if (table := _first(layers, "legs", "table")) is None else table.word(),
    )


def read_channels(layers: ChainMap[str, RawSetting]) -> Channels:
    """Where the agent is to be heard, and is. Raises ConfigError."""
    agent = layers["agent-channel"].one_of(Side) if "agent-channel" in layers else None
    return Channels(agent, _speaker(_first(layers, "stereo", "left")))


def _patterns(layers: ChainMap[str, RawSetting]) -> Iterator[list[RawSetting]]:
    """The patterns of each layer that has any, the highest first."""
    for layer in layers.maps:
        given = layer.get("legs")
        if given is not None and isinstance(given.value, dict):
            given = _section(given, "legs").get("pattern")
        if given is not None:
            texts = [given.text()] if isinstance(given.value, str) else given.texts()
            yield [RawSetting(text, given.origin, given.base) for text in texts]


def _first(layers: ChainMap[str, RawSetting], name: str, key: str) -> RawSetting | None:
    """A setting of a section, of the highest layer that has it."""
    sections = (layer[name] for layer in layers.maps if name in layer)
    tables = (_section(each, name) for each in sections if isinstance(each.value, dict))
    return next((each[key] for each in tables if key in each), None)


def _section(given: RawSetting, name: str) -> dict[str, RawSetting]:
    return given.entries(_HOW, _KEYS[name])


def _offsets(given: RawSetting | None) -> tuple[str, str] | None:
    if given is None:
        return None
    names = given.texts()
    if len(names) != 2 or not all(names):  # noqa: PLR2004 - legs
        given.refuse("not two fields", 'name one for each leg, like ["start_in", "start_out"]')
    return names[0], names[1]


def _speaker(given: RawSetting | None) -> Speaker | SpeakerColumn | None:
    if given is None:
        return None
    if not isinstance(given.value, dict):
        return given.one_of(Speaker)
    found = given.entries(_HOW, _OF_COLUMN)
    try:
        column = found.pop("column").word() if "column" in found else ""
        return SpeakerColumn(column, **{name: each.texts() for name, each in found.items()})
    except ConfigError as error:
        if error.problem.startswith(given.origin):
            raise
        given.refuse(error.problem, error.hints)
