"""The connection's requirements for recordings, as ``Rules``."""

import itertools
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.units import parse_duration
from batch_uploader.prepare.audio import AudioRules, Convert, EndMark, RawFormat
from batch_uploader.prepare.callid import CallIds
from batch_uploader.prepare.filters import Filters, Sample, parse_since, parse_until
from batch_uploader.prepare.rules import Rules, SidecarMode
from batch_uploader.prepare.sidecar import FieldType, Kind, Schema
from batch_uploader.settings.given import RawSetting, closest
from batch_uploader.settings.legs import read_channels, read_legs

_T = TypeVar("_T")

if TYPE_CHECKING:
    from batch_uploader.prepare.about.rules import MetadataRules

_RATES = (6_000, 48_000)
_MOST_CHANNELS = 16
_FIELD_KEYS = frozenset({"type", "required"})


class OtherFields(StrEnum):
    """What to do with fields that the connection does not declare."""

    ALLOW = "allow"
    REFUSE = "refuse"


def read_rules(layers: ChainMap[str, RawSetting]) -> Rules:
    """The rules of these settings. Raises ConfigError."""
    kind = layers["kind"].one_of(Kind) if "kind" in layers else None
    sidecar = layers["sidecar"].one_of(SidecarMode) if "sidecar" in layers else SidecarMode.REQUIRED
    channels = kind.channels if kind else None
    schema = _schema(layers, kind)
    ogg_end = layers["ogg-end"].one_of(EndMark) if "ogg-end" in layers else EndMark.REQUIRED
    convert = layers["convert"].one_of(Convert) if "convert" in layers else None
    audio = AudioRules(channels, _raw(layers), ogg_end=ogg_end, convert=convert)
    about = _about(layers)
    ids = _call_ids(layers, schema, only_fields=about is None)
    split = "split-long" in layers and layers["split-long"].switch()
    filters, legs = _filters(layers, about), read_legs(layers)
    return Rules(schema, audio, sidecar, ids, filters, about, legs, read_channels(layers), split)


def _about(layers: ChainMap[str, RawSetting]) -> "MetadataRules | None":
    if not any(name in layers for name in ("metadata", "names", "timezone")):
        return None
    from batch_uploader.settings.metadata import read_about  # most runs do without

    return read_about(layers)


def _filters(layers: ChainMap[str, RawSetting], about: "MetadataRules | None") -> Filters:
    dated = "since" in layers or "until" in layers
    timezone = about.timezone if about is not None and dated else None

    def given(name: str, parse: Callable[[str], _T]) -> _T | None:
        return layers[name].read(parse) if name in layers else None

    def length(name: str) -> float | None:
        return layers[name].limit(parse_duration) if name in layers else None

    since = given("since", partial(parse_since, timezone=timezone))
    until = given("until", partial(parse_until, timezone=timezone))
    shortest, longest = length("min-length"), length("max-length")
    if since is not None and until is not None and since >= until:
        layers["until"].refuse("it ends before --since begins", "specify a later one")
    if shortest is not None and longest is not None and shortest > longest:
        layers["max-length"].refuse("it is less than --min-length", "specify a longer one")
    return Filters(
        shortest,
        longest,
        "skip-empty" in layers and layers["skip-empty"].switch(),
        since,
        until,
        given("sample", Sample.parse),
        timezone,
    )


def _call_ids(layers: ChainMap[str, RawSetting], schema: Schema, *, only_fields: bool) -> CallIds:
    if "call-id" not in layers:
        return CallIds()
    given = layers["call-id"]
    if isinstance(given.value, list):
        given = RawSetting(",".join(given.texts()), given.origin, given.base)
    ids = given.read(CallIds.parse)
    for name in sorted(ids.named) if only_fields else ():
        if problem := schema.check_name(name):
            given.refuse(f"the field {name!r}: {problem.message}", problem.cure)
    return ids


def _raw(layers: ChainMap[str, RawSetting]) -> RawFormat | None:
    rate, channels = layers.get("raw-rate"), layers.get("raw-channels")
    if rate and channels:
        return RawFormat(rate.count(*_RATES), channels.count(1, _MOST_CHANNELS))
    if rate:
        rate.refuse("the number of channels of raw PCM is missing", "add --raw-channels N")
    if channels:
        channels.refuse("the sample rate of raw PCM is missing", "add --raw-rate HZ")
    return None


def _schema(layers: ChainMap[str, RawSetting], kind: Kind | None) -> Schema:
    types, required = _fields(layers)
    required |= {name for given in _everywhere(layers, "require") for name in given.texts()}
    declared = _declared(layers, kind, types)
    stamp_field = layers["stamp-field"].word() if "stamp-field" in layers else None
    try:
        if kind is None:
            bare = Schema({}, frozenset(required), types, declared, stamp_field)
        else:
            bare = Schema.for_kind(
                kind, required=required, types=types, declared=declared, stamp_field=stamp_field
            )
    except ConfigError as error:
        raise ConfigError(
            f"the fields of the connection: {error.problem}",
            hint=(*error.hints, 'see [connection.fields], --require and other-fields = "refuse"'),
        ) from error
    return Schema(
        _defaults(layers, bare), bare.required, bare.types, bare.declared, bare.stamp_field
    )


def _fields(layers: ChainMap[str, RawSetting]) -> tuple[dict[str, FieldType], set[str]]:
    """The declared fields' types, and the required ones; the highest layer wins by name."""
    types: dict[str, FieldType] = {}
    required: set[str] = set()
    for given in reversed(_everywhere(layers, "fields")):
        for name, form in _table(given).items():
            here = RawSetting(form, f"{name} of {given.origin}", given.base)
            kind, needed = _field(here)
            types[name] = kind
            (required.add if needed else required.discard)(name)
    return types, required


def _field(given: RawSetting) -> tuple[FieldType, bool]:
    if not isinstance(given.value, dict):
        return given.one_of(FieldType), False
    for key in given.value:
        if key not in _FIELD_KEYS:
            given.refuse(f"unknown key {key!r}", closest(key, _FIELD_KEYS, "keys"))
    kind = RawSetting(given.value.get("type", "string"), f"type of {given.origin}", given.base)
    required = RawSetting(
        given.value.get("required", False), f"required of {given.origin}", given.base
    )
    return kind.one_of(FieldType), required.switch()


def _declared(
    layers: ChainMap[str, RawSetting], kind: Kind | None, types: Iterable[str]
) -> frozenset[str] | None:
    if "other-fields" not in layers:
        return None
    others = layers["other-fields"]
    if others.one_of(OtherFields) is OtherFields.ALLOW:
        return None
    declared = frozenset(types)
    if not declared and kind is None:
        others.refuse(
            "no field is declared, so every sidecar would be invalid",
            "declare them in [connection.fields], or set connection.kind",
        )
    return declared


def _defaults(layers: ChainMap[str, RawSetting], schema: Schema) -> dict[str, str]:
    """The values by field; the highest layer wins by name."""
    defaults: dict[str, str] = {}
    for layer in reversed(layers.maps):
        found = [layer[name] for name in ("defaults", "default") if name in layer]
        for given, (name, value) in itertools.chain.from_iterable(map(_pairs, found)):
            problem = schema.check_name(name) or schema.check_value(name, value)
            if problem:
                given.refuse(f"the field {name!r}: {problem.message}", problem.cure)
            defaults[name] = value
    return defaults


def _pairs(given: RawSetting) -> list[tuple[RawSetting, tuple[str, str]]]:
    if isinstance(given.value, dict):
        return [(given, (name, _value(given, name))) for name in given.value]
    pairs = []
    for text in given.texts():
        name, equals, value = text.partition("=")
        if not equals or not name:
            given.refuse(f"{text!r} is not NAME=VALUE", "write it like language=ru-RU")
        pairs.append((given, (name, value)))
    return pairs


def _value(given: RawSetting, name: str) -> str:
    """A field's value, converted as a sidecar's."""
    match _table(given)[name]:
        case bool() as value:
            return "true" if value else "false"
        case int() as value:
            return str(value)
        case Decimal() as value if value.is_finite():
            text = format(value, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case date() | datetime() | time() as value:
            return value.isoformat()
        case str() as value:
            return value
        case _:
            raise ConfigError(
                f"{given.origin}: the field {name!r}: not a single value",
                hint='write it like "..."',
            )


def _table(given: RawSetting) -> Mapping[str, object]:
    if not isinstance(given.value, dict):
        given.refuse("not a table", "write a line NAME = VALUE for each")
    return given.value


def _everywhere(layers: ChainMap[str, RawSetting], name: str) -> list[RawSetting]:
    """The values of all layers, the highest first, for settings that add up."""
    return [layer[name] for layer in layers.maps if name in layer]
