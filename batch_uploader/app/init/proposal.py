"""Writes the settings file of an archive: a layout with the answers that only its owner has."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from batch_uploader.layouts import Layout
from batch_uploader.prepare.sidecar import FieldType, Kind

_ZONE: Final = re.compile(r'^(?:# )?timezone = ".*"$', re.MULTILINE)
_OPEN_ZONE: Final = re.compile(r'^# timezone = ".*"$', re.MULTILINE)
_TABLES_BEGIN: Final = re.compile(r"^\[", re.MULTILINE)
_BLOCK: Final = re.compile(r"^\[\[metadata\.lookup\]\]\n(?:(?!\[)(?!\n).*\n)+", re.MULTILINE)
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


class Answers(Struct, frozen=True):
    """What a settings file has beside its layout.

    ``settings`` are keys of the top level, such as ``connection-id``. ``files`` has a path for each
    file that the layout names, ``absent`` those that are not there. ``kind`` and ``fields`` are
    those of the connection, ``talk_id`` the talk that these were learned from.
    """

    settings: Mapping[str, str | bool | Sequence[str]] = field(default_factory=dict)
    timezone: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    kind: Kind | None = None
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    talk_id: str | None = None


def needs_timezone(layout: Layout | None) -> bool:
    """Whether a layout has times without a zone, and does not know which one they are in."""
    return layout is not None and _OPEN_ZONE.search(layout.text) is not None


def compose(layout: Layout | None, answers: Answers, title: str) -> str:
    """The text of the settings file, with a comment at its top."""
    text = "" if layout is None else layout.text
    if layout is None and answers.timezone is not None:
        text = "[metadata]\n"
    text = _answered(text, answers)
    first = _TABLES_BEGIN.search(text)
    keys, tables = (text[: first.start()], text[first.start() :]) if first else (text, "")
    parts = [
        f"# {title}",
        "# Check it with: batch-uploader check DIRECTORY; docs/metadata.md explains [metadata].",
        "",
        *(f"{name} = {_value(value)}" for name, value in answers.settings.items()),
    ]
    if "connection-id" not in answers.settings:
        parts.append('# connection-id = "..."  # from the console of SpeechSense')
    whole = ["\n".join(parts), keys.strip("\n"), tables.strip("\n"), _connection(answers)]
    return "\n\n".join(part for part in whole if part) + "\n"


def _answered(text: str, answers: Answers) -> str:
    """A layout with the files, and the time zone."""
    for name, path in answers.files.items():
        for key in ("file", "database"):
            was, now = (f"\n{key} = {quoted(each)}\n" for each in (name, path))
            text = text.replace(was, now)
    text = _without_lookups(text, answers.absent)
    if answers.timezone is None:
        return text
    zone = f"timezone = {quoted(answers.timezone)}"
    if _ZONE.search(text):
        return _ZONE.sub(zone.replace("\\", r"\\"), text, count=1)
    return text.replace("[metadata]\n", f"[metadata]\n{zone}\n", 1)


def _without_lookups(text: str, absent: Iterable[str]) -> str:
    """Turn what reads a second table that is not there into comments."""
    for name in absent:
        for block in _BLOCK.findall(text):
            if f"file = {quoted(name)}\n" not in block:
                continue
            source = re.search(r'^as = "(.*)"$', block, re.MULTILINE)
            commented = "".join(f"# {line}\n" for line in block.splitlines())
            hint = "# A table of names; then put | lookup behind what it is about, below.\n"
            text = text.replace(block, hint + commented)
            if source is not None:
                call = re.escape(f" | lookup('{source[1]}')")
                # Layouts have the key itself where the table lacks it.
                text = re.sub(rf"(\w+){call} or \1\b", r"\1", text)
                text = re.sub(call, "", text)
    return text


def _connection(answers: Answers) -> str:
    lines = []
    if answers.kind is not None:
        lines += ["[connection]", f"kind = {quoted(answers.kind)}"]
    if answers.fields:
        lines += ["", f"# Learned from the talk {answers.talk_id}.", "[connection.fields]"]
        lines += [f"{_key(name)} = {quoted(kind)}" for name, kind in answers.fields.items()]
    return "\n".join(lines).strip("\n")


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) else quoted(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return quoted(str(value))


def quoted(text: str) -> str:
    """A basic string of TOML, which JSON's strings are as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
