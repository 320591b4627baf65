"""Makes fields of metadata from what sources say, by the expressions of ``[metadata.map]``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about import times
from batch_uploader.prepare.about.expressions import AbsentValue, Expression, Language, Path
from batch_uploader.prepare.about.values import Unfit, Values
from batch_uploader.prepare.sidecar.tree import Problem, shown

CONSTANT: Final = "the settings"
MISSING: Final = "metadata-missing"
UNFIT: Final = "metadata-value"
_MOST_SHOWN: Final = 12
_PART: Final = "_"
_DIGITS: Final = 1000


class MappedValue(NamedTuple):
    """A value of a field, None if it has none, and where it comes from.

    ``constant`` is whether it says nothing about this recording.
    """

    text: str | None
    origin: str
    constant: bool


class Scope:
    """What all sources say about one recording, in the order in which they count.

    ``absent`` says why a source says nothing, by its name.
    """

    def __init__(
        self, described: Iterable[Values], order: Sequence[str], absent: Mapping[str, str]
    ) -> None:
        places = {name: place for place, name in enumerate(order)}
        self._described = sorted(described, key=lambda each: places.get(each.source, len(places)))
        self._order = frozenset(order)
        self._absent = absent
        self.sources: dict[str, Mapping[str, object]] = {}
        for each in self._described:
            # Of several sidecars the first one counts.
            self.sources[each.source] = {**each.fields, **self.sources.get(each.source, {})}

    def find(self, name: str) -> Values | None:
        """The first source with a field of this name; one with a value before one without."""
        having = [
            each for each in self._described if name in each.fields and each.source in self._order
        ]
        return next((each for each in having if each.fields[name] not in (None, "")), None) or (
            having[0] if having else None
        )

    def values(self, names: Iterable[str]) -> dict[str, object]:
        """The fields of these names that there are."""
        found = ((name, self.find(name)) for name in names)
        return {name: source.fields[name] for name, source in found if source is not None}

    def value(self, path: Path) -> object:
        """The value of a name of an expression, None if it is not there."""
        for source in self._of(path):
            value: object = source.fields
            for step in path[1:] if len(path) > 1 and path[0] == source.source else path:
                value = value[int(step)] if isinstance(value, list | tuple) else value[step]  # type: ignore[index]
            return value
        return None

    def has(self, path: Path) -> bool:
        """Whether a name of an expression is there."""
        return bool(self._of(path))

    def origin(self, paths: Iterable[Path]) -> str:
        """Where names of an expression come from, source by source; "" if none is there."""
        found: dict[str, dict[str, None]] = {}
        for path in paths:
            for source in self._of(path)[:1]:
                within = path[1:] if path[0] == source.source and len(path) > 1 else path
                found.setdefault(source.origin, {})[".".join(within)] = None
        return "; ".join(f"{', '.join(names)} of {origin}" for origin, names in found.items())

    def lacking(self, path: Path) -> str:
        """Says that a name is not there, and what is."""
        name, known = path[0], set(self.sources) | set(self._absent)
        if len(path) > 1 and name in known:
            if name in self._absent:
                return f"{'.'.join(path)} is missing: {self._absent[name]}"
            having = _listed(self.sources[name])
            return f"{'.'.join(path)} is missing; {name} has {having}"
        there = [f"{each.source} has {_listed(each.fields)}" for each in self._described]
        reasons = [*there, *self._absent.values()]
        return f"{'.'.join(path)} is missing: {'; '.join(reasons)}"

    def _of(self, path: Path) -> list[Values]:
        if len(path) > 1 and path[0] in self.sources:
            return [
                each
                for each in self._described
                if each.source == path[0] and _has(each.fields, path[1:])
            ]
        source = self.find(path[0])
        return [source] if source is not None and _has(source.fields, path) else []


class FieldMap:
    """The compiled expressions of all targets. Raises ConfigError.

    One whose name begins with ``_`` is not a field, but a part that others may use.
    ``sources`` are the names that an expression may put before a field.
    """

    def __init__(
        self,
        targets: Mapping[str, str],
        sources: Iterable[str],
        functions: Mapping[str, Callable[..., object]],
    ) -> None:
        language = Language(frozenset(sources), functions)
        texts = {name: _required_text(name, text) for name, text in targets.items()}
        parts = {name: text for name, text in texts.items() if name.startswith(_PART)}
        compiled = {
            name: language.compile(text, f"metadata.map.{name}", parts)
            for name, text in texts.items()
        }
        self._expressions = {name: each for name, each in compiled.items() if name not in parts}

    @property
    def targets(self) -> tuple[str, ...]:
        """The fields that it makes, in the order of the settings."""
        return tuple(self._expressions)

    def uses(self, target: str) -> tuple[Path, ...]:
        """The names in the expression of a field."""
        return self._expressions[target].uses

    def needs(self, target: str) -> tuple[Path, ...]:
        """Those among them without a default."""
        return self._expressions[target].needs

    def make(self, target: str, scope: Scope) -> MappedValue | Problem:
        """The value of one field, or what is wrong with it."""
        expression = self._expressions[target]
        origin = scope.origin(expression.uses)
        try:
            value = expression(scope.values(path[0] for path in expression.uses), scope.sources)
            return MappedValue(text_of(value), origin or CONSTANT, constant=not expression.uses)
        except Unfit as error:
            return Problem(UNFIT, f"{error.message} ({_context(expression, origin)})", error.cure)
        except AbsentValue:
            return _missing(expression, scope)


def _missing(expression: Expression, scope: Scope) -> Problem:
    lacking = [path for path in expression.uses if not scope.has(path)]
    message = scope.lacking(lacking[0]) if lacking else "a part of it is missing"
    return Problem(
        MISSING,
        f"{message} ({expression.text})",
        "correct the name, or say what counts instead, like | default('')",
    )


def _context(expression: Expression, origin: str) -> str:
    return f"{expression.text}: {origin}" if origin else expression.text


def _required_text(name: str, text: object) -> str:
    if isinstance(text, str):
        return text
    raise ConfigError(
        f"metadata.map.{name}: it is not a text",
        hint=f"write an expression in quotes; a constant has quotes within: \"'{text}'\"",
        setting=f"metadata.map.{name}",
    )


def text_of(value: object) -> str | None:
    """A result as it is sent, None for an empty one. Raises Unfit."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal):
        return _plain(Decimal(str(value)))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return times.text_of(value)
    if isinstance(value, date):
        raise Unfit("it is a time without a time zone", "use | time")
    raise Unfit("it gives several values", "choose one, like | first, or use | join")


def _plain(number: Decimal) -> str:
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS:
        raise Unfit("it is not a number that can be written out", "correct it")
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if not number else text


def _has(fields: object, path: Path) -> bool:
    for step in path:
        if isinstance(fields, Mapping):
            if step not in fields:
                return False
            fields = fields[step]
        elif isinstance(fields, list | tuple) and step.isdigit():
            if int(step) >= len(fields):
                return False
            fields = fields[int(step)]
        else:
            return False
    return True


def _listed(fields: Iterable[str]) -> str:
    names = [shown(name) for name in fields]
    more = ", ..." if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more if names else "nothing"
