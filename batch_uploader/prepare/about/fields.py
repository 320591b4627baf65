"""The fields of a recording: what is mapped, what is named like a field, what a sidecar has."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from batch_uploader.core.model import Defect, Metadata
from batch_uploader.prepare.about.functions import TimeFunctions, boolean
from batch_uploader.prepare.about.mapping import UNFIT, FieldMap, Scope, text_of
from batch_uploader.prepare.about.values import Unfit, Values
from batch_uploader.prepare.sidecar import FieldType, Schema
from batch_uploader.prepare.sidecar.reading import read_tree
from batch_uploader.prepare.sidecar.tree import Number, Object, Problem, shown

DEFAULT: Final = "a default of the settings"
REQUIRED: Final = "metadata-required"


class MadeMetadata(Struct, frozen=True):
    """Metadata, or what is wrong with it, and the origin of each field."""

    metadata: Metadata | tuple[Defect, ...]
    origins: Mapping[str, str]


class Fields(Struct, frozen=True):
    """Makes the fields that ``schema`` wants.

    A field of ``mapped`` has the value of its expression. Any other one that the schema knows has
    that of the first source with a field of its name. A sidecar in our own form keeps its others.
    A date or a boolean is made what the schema takes if it can be read. ``ids`` are the names that
    tell calls apart.
    """

    schema: Schema
    mapped: FieldMap
    clock: TimeFunctions
    ids: frozenset[str] = frozenset()

    def make(self, path: str, scope: Scope, own: Values | None) -> MadeMetadata:
        """The fields of the recording at this path; ``own`` is its sidecar in our own form."""
        making = _Making(self, scope)
        kept, users = _kept(own)
        for name, value in kept.items():
            making.put(name, value, _origin(name, own))
        for name in self._known() - kept.keys():
            making.find(name)
        for name in self.mapped.targets:
            making.map(name)
        top = Object(making.fields.items())
        if users:
            top = Object([("fields", top), *users.items()])
        found = read_tree(_tree(top), path, self.schema, making.missing)
        wrong = [
            Defect(path, *problem, field=shown(name)) for name, problem in making.wrong.items()
        ]
        if isinstance(found, tuple):
            wrong += [each for each in found if each.field not in making.wrong]
        if wrong or isinstance(found, tuple):
            return MadeMetadata(tuple(wrong), making.origins)
        constant = found.defaulted | (making.constant & found.fields.keys())
        origins = making.origins | dict.fromkeys(found.defaulted, DEFAULT)
        ids = {name: text for name in self.ids if (text := _id(scope, name)) is not None}
        return MadeMetadata(Metadata(found.fields, found.users, constant, ids), origins)

    def _known(self) -> frozenset[str]:
        schema = self.schema
        known = schema.required | schema.types.keys() | (schema.declared or frozenset())
        return frozenset(known) - {*self.mapped.targets, schema.stamp_field or ""}


class _Making:
    """The fields of one recording, as far as they are made."""

    def __init__(self, rules: Fields, scope: Scope) -> None:
        self.fields: dict[str, object] = {}
        self.origins: dict[str, str] = {}
        self.wrong: dict[str, Problem] = {}
        self.constant: set[str] = set()
        self._rules = rules
        self._scope = scope
        self._empty: dict[str, str] = {}

    def put(self, name: str, value: object, origin: str) -> None:
        """Set a field."""
        self.origins[name] = origin
        try:
            self.fields[name] = self._typed(name, value)
        except Unfit as error:
            self.fields.pop(name, None)
            self.wrong[name] = Problem(UNFIT, f"{error.message} ({origin})", error.cure)

    def find(self, name: str) -> None:
        """Set a field that a source has by the same name."""
        source = self._scope.find(name)
        value = None if source is None else source.fields[name]
        if source is not None and value not in (None, ""):
            self.put(name, value, f"{name} of {source.origin}")

    def map(self, name: str) -> None:
        """Set a field by its expression."""
        made = self._rules.mapped.make(name, self._scope)
        self.fields.pop(name, None)
        self.wrong.pop(name, None)
        if isinstance(made, Problem):
            self.wrong[name] = made
        elif made.text is None:
            self._empty[name] = made.origin
        else:
            self.put(name, made.text, made.origin)
            if made.constant:
                self.constant.add(name)

    def missing(self, name: str) -> Problem:
        """The problem of a required field that nothing sets."""
        if name in self._empty:
            return Problem(
                REQUIRED,
                f"its expression gives nothing ({self._empty[name]})",
                f"say what counts then, like or 'unknown', or specify --default {name}=VALUE",
            )
        return Problem(
            REQUIRED,
            "this required field is missing: no source has it",
            f"say what it is made of in [metadata.map], or specify --default {name}=VALUE for all",
        )

    def _typed(self, name: str, value: object) -> object:
        """A value in the form of its field's type, if it can be read as such."""
        wanted = self._rules.schema.types.get(name)
        if wanted not in (FieldType.DATE, FieldType.BOOLEAN):
            return value
        if isinstance(value, str) and self._rules.schema.check_value(name, value) is None:
            return value
        made = boolean(value) if wanted is FieldType.BOOLEAN else self._rules.clock.time(value)
        return text_of(made)


def _kept(own: Values | None) -> tuple[Mapping[str, object], dict[str, object]]:
    """The fields of a sidecar in our own form, and what it has beside them in the full form.

    One with nested values is another system's: of that, only what is named counts.
    """
    if own is None:
        return {}, {}
    inner = own.fields.get("fields")
    if isinstance(inner, Mapping):
        return inner, {key: value for key, value in own.fields.items() if key != "fields"}
    if any(isinstance(value, Mapping | list) for value in own.fields.values()):
        return {}, {}
    return own.fields, {}


def _origin(name: str, own: Values | None) -> str:
    return name if own is None else f"{name} of {own.origin}"


def _id(scope: Scope, name: str) -> str | None:
    try:
        return text_of(scope.value(tuple(name.split("."))))
    except Unfit:
        return None


def _tree(value: object) -> object:
    """Values of sources as ``sidecar.tree`` has them."""
    match value:
        case Object():
            return Object((key, _tree(each)) for key, each in value)
        case Mapping():
            return Object((str(key), _tree(each)) for key, each in value.items())
        case list() | tuple():
            return [_tree(each) for each in value]
        case bool() | str() | None:
            return value
    try:
        return Number(text_of(value) or "")
    except Unfit:
        return str(value)
