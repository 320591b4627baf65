"""Says what is wrong with settings that msgspec refuses."""

import re
from typing import Final

from msgspec import Struct, ValidationError
from msgspec.structs import fields

from batch_uploader.settings.given import closest

_EXAMPLE: Final = "docs/metadata.md has an example"
_PLACE: Final = re.compile(r"(?P<said>.*) - at `\$(?:\[(?P<number>\d+)\])?(?P<path>.*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_OTHER: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
_WORDS: Final = {
    "object": "a table",
    "array": "a list",
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
}


def misfit(error: ValidationError, kind: type[Struct]) -> tuple[str, str]:
    """What is wrong with a list of tables of this kind, and what to do."""
    place = _PLACE.fullmatch(str(error))
    said, path = (place["said"], place["path"].strip(".")) if place else (str(error), "")
    number = int(place["number"] or 0) + 1 if place else 1
    within = f"number {number}: " if number > 1 else ""
    if unknown := _UNKNOWN.fullmatch(said):
        there = f" in {path}" if path else ""
        hint = closest(unknown[1], _names(kind, path), f"settings{there or ' there'}")
        return f"{within}unknown setting {unknown[1]!r}{there}", hint
    where = f"{path}: " if path else ""
    if missing := _MISSING.fullmatch(said):
        return f"{within}{where}{missing[1]} is missing", _EXAMPLE
    if other := _OTHER.fullmatch(said):
        wanted, got = (_word(each) for each in other.groups())
        return f"{within}{where}it is {got} and should be {wanted}", _EXAMPLE
    return f"{within}{where}{said}", _EXAMPLE


def _names(kind: type[Struct], path: str) -> list[str]:
    """The settings of a kind, or of what stands at a path within it."""
    for part in filter(None, path.split(".")):
        inner = {each.encode_name: each.type for each in fields(kind)}.get(part)
        if isinstance(inner, type) and issubclass(inner, Struct):
            kind = inner
    return [each.encode_name for each in fields(kind)]


def _word(types: str) -> str:
    names = [_WORDS.get(each, each) for each in types.split(" | ") if each != "null"]
    return " or ".join(dict.fromkeys(names)) or "empty"
