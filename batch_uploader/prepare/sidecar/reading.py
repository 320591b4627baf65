"""Turns a tree of values into metadata, by a schema."""

from collections.abc import Callable, Mapping
from typing import Final

from batch_uploader.core.model import Defect, Metadata, Role, User
from batch_uploader.prepare.sidecar.schema import Schema, unknown_name
from batch_uploader.prepare.sidecar.tree import (
    MalformedSidecar,
    Object,
    Problem,
    bad_key,
    bad_text,
    broken_text,
    canonical,
    decode,
    load,
    shown,
)

DEFECT_LIMIT: Final = 100
"""Reading stops after this many defects: the first ones are fixed first."""

_MOST_JUDGED: Final = 500
_FULL_FORM: Final = frozenset({"fields", "users"})
_USER_KEYS: Final = frozenset({"id", "role", "fields"})
_ROLES: Final = {role.value: role for role in (Role.OPERATOR, Role.CLIENT, Role.BOT)}


def parse(
    data: bytes, path: str, schema: Schema, user_path: Callable[[str], str] = str
) -> Metadata | tuple[Defect, ...]:
    """The metadata of the sidecar at ``path``, or its defects, up to ``DEFECT_LIMIT``.

    ``user_path`` returns the path for the commands of a cure.
    """
    try:
        top = load(decode(data, lambda: user_path(path)))
    except MalformedSidecar as error:
        return (Defect(path, *error.problem),)
    return _Reading(path, schema).run(top)


def without_sidecar(path: str, schema: Schema) -> Metadata | tuple[Defect, ...]:
    """The metadata of the recording at ``path`` without a sidecar: only the defaults."""
    return _Reading(path, schema).run(Object())


def read_tree(
    top: object, path: str, schema: Schema, missing: Callable[[str], Problem]
) -> Metadata | tuple[Defect, ...]:
    """The metadata of a tree of ``tree``, or its defects; ``missing`` is that of a field."""
    return _Reading(path, schema, missing).run(top)


def _not_in_sidecar(name: str) -> Problem:
    return Problem(
        "sidecar-required",
        "this required field is missing",
        f"add it to the sidecar, or specify --default {name}=VALUE for all",
    )


class _Enough(Exception):  # noqa: N818 - never leaves this module
    """The limit of defects is reached."""


class _Reading:
    """Reads one sidecar and collects its defects."""

    def __init__(
        self, path: str, schema: Schema, missing: Callable[[str], Problem] = _not_in_sidecar
    ) -> None:
        self._path = path
        self._missing = missing
        self._schema = schema
        self._defects: list[Defect] = []
        self._judged = 0

    def run(self, top: object) -> Metadata | tuple[Defect, ...]:
        try:
            metadata = self._metadata(top)
        except _Enough:
            return tuple(self._defects)
        return tuple(self._defects) or metadata

    def _metadata(self, top: object) -> Metadata:
        if not isinstance(top, Object):
            self._add("", Problem("sidecar-shape", "not a JSON object", 'write {"name": "value"}'))
            return Metadata({})
        if not any(key == "fields" and isinstance(value, Object) for key, value in top):
            return self._with_defaults(self._talk_fields(top))
        whole = self._keys(top, "", _FULL_FORM)
        fields = whole["fields"]
        # Not an object if the key is repeated, which is already a defect.
        talk = self._talk_fields(fields) if isinstance(fields, Object) else {}
        return self._with_defaults(talk, self._users(whole["users"]) if "users" in whole else ())

    def _with_defaults(self, fields: dict[str, str], users: tuple[User, ...] = ()) -> Metadata:
        defaults = self._schema.defaults
        lacking = frozenset(defaults.keys() - fields.keys())
        return Metadata({**fields, **{name: defaults[name] for name in lacking}}, users, lacking)

    def _talk_fields(self, pairs: Object) -> dict[str, str]:
        schema = self._schema
        values = self._keys(pairs, "")
        fields: dict[str, str] = {}
        for name, value in values.items():
            if problem := schema.check_name(name):
                self._add(name, problem)
            text = self._text(value, name)
            if text is not None:
                self._note(name, schema.check_value(name, text) or self._broken(text))
                fields[name] = text
        for name in schema.missing(values):
            self._add(name, self._missing(name))
        return fields

    def _users(self, value: object) -> tuple[User, ...]:
        if not isinstance(value, list) or isinstance(value, Object):
            problem = Problem("sidecar-shape", "not a list", 'write [{"id": "...", ...}, ...]')
            self._add("users", problem)
            return ()
        users = [self._user(user, f"users[{index}]") for index, user in enumerate(value)]
        ids: set[str] = set()
        for index, user in enumerate(users):
            if user.id and user.id in ids:
                problem = Problem(
                    "sidecar-user",
                    "another user has the same id",
                    "give each user their own id",
                )
                self._add(f"users[{index}].id", problem)
            ids.add(user.id)
        return tuple(users)

    def _user(self, value: object, where: str) -> User:
        if not isinstance(value, Object):
            cure = 'write {"id": "...", "role": "...", "fields": {...}}'
            self._add(where, Problem("sidecar-shape", "not an object", cure))
            return User("", Role.UNSPECIFIED)
        parts = self._keys(value, f"{where}.", _USER_KEYS)
        user_id = self._checked(parts["id"], f"{where}.id") if "id" in parts else ""
        if user_id == "":
            cure = "give every user an id"
            self._add(f"{where}.id", Problem("sidecar-user", "this user has no id", cure))
        fields = parts.get("fields", Object())
        if not isinstance(fields, Object):
            problem = Problem("sidecar-shape", "not an object", 'write {"name": "value"}')
            self._add(f"{where}.fields", problem)
            fields = Object()
        texts: dict[str, str] = {}
        for name, each in self._keys(fields, f"{where}.fields.").items():
            self._note(f"{where}.fields.{name}", bad_key(name))
            texts[name] = self._checked(each, f"{where}.fields.{name}") or ""
        return User(user_id or "", self._role(parts, where), texts)

    def _role(self, parts: Mapping[str, object], where: str) -> Role:
        if "role" not in parts:
            return Role.UNSPECIFIED
        value = parts["role"]
        role = _ROLES.get(value.lower()) if isinstance(value, str) else None
        if role is None:
            cure = f"write one of {', '.join(_ROLES)}"
            self._add(f"{where}.role", Problem("sidecar-role", "unknown role", cure))
            return Role.UNSPECIFIED
        return role

    def _keys(
        self, pairs: Object, where: str, allowed: frozenset[str] | None = None
    ) -> dict[str, object]:
        """The first value of each key; repeated and unknown keys are defects."""
        values: dict[str, object] = {}
        twice: set[str] = set()
        for key, value in pairs:
            if key not in values:
                values[key] = value
                if allowed is not None and key not in allowed:
                    problem = unknown_name("sidecar-unknown-key", key, allowed, "known keys here")
                    self._add(where + key, problem)
            elif key not in twice:
                twice.add(key)
                problem = Problem("sidecar-duplicate-key", "duplicate key", "keep one")
                self._add(where + key, problem)
        return values

    def _checked(self, value: object, name: str) -> str | None:
        """A value of unknown type, checked as any text that is sent."""
        text = self._text(value, name)
        if text is not None:
            self._note(name, bad_text(text) or self._broken(text))
        return text

    def _broken(self, text: str) -> Problem | None:
        # A sidecar may hold ten thousand values.
        self._judged += not text.isascii()
        return broken_text(text) if self._judged <= _MOST_JUDGED else None

    def _text(self, value: object, name: str) -> str | None:
        text = canonical(value)
        if isinstance(text, Problem):
            self._add(name, text)
            return None
        return text

    def _note(self, name: str, problem: Problem | None) -> None:
        if problem is not None:
            self._add(name, problem)

    def _add(self, name: str, problem: Problem) -> None:
        self._defects.append(Defect(self._path, *problem, field=shown(name) or None))
        if len(self._defects) == DEFECT_LIMIT:
            raise _Enough
