"""Turns the bytes of another system's sidecar into values as JSON has them, nested ones included.

A number becomes an int or a float if that is exact, else it stays the text that was written.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import unquote

from batch_uploader.prepare.about.foreign.declared import DeclaredSidecar, SidecarFormat
from batch_uploader.prepare.about.foreign.xmltree import load_xml
from batch_uploader.prepare.sidecar.tree import (
    SIZE_LIMIT,
    MalformedSidecar,
    NoNumber,
    Number,
    Object,
    decode,
    load,
    shown,
)

FOLDER_SIZE_LIMIT: Final = 4 * SIZE_LIMIT
"""The largest file that describes a folder, in bytes."""

_MOST_DIGITS = 40
_DECLARES_ENCODING: Final = re.compile(rb"\s*<\?xml[^>]*\sencoding\s*=")
_FREESWITCH: Final = frozenset({"variables", "callflow"})


def limit_of(declared: DeclaredSidecar) -> int:
    """The most bytes that such a sidecar may have."""
    return FOLDER_SIZE_LIMIT if declared.of_folder else SIZE_LIMIT


def read_tree(data: bytes, declared: DeclaredSidecar, user_path: Callable[[], str]) -> object:
    """The values in a sidecar; ``user_path`` is its path for commands. Raises MalformedSidecar."""
    if len(data) > limit_of(declared):
        raise _too_large(declared)
    if not data.strip():
        raise MalformedSidecar("sidecar-empty", "it is empty", "write it again, or remove it")
    try:
        tree = _read(data, declared, user_path)
    except MalformedSidecar as error:
        kind, message, cure = error.problem
        if kind == "sidecar-encoding" and declared.encoding is None:
            cure += '; for all of them, specify encoding = "..." in [[metadata.sidecar]]'
        raise MalformedSidecar(kind, message, cure) from None
    if isinstance(tree, dict) and tree.keys() >= _FREESWITCH:
        return {**tree, "variables": _unquoted(tree["variables"])}
    return tree


def _read(data: bytes, declared: DeclaredSidecar, user_path: Callable[[], str]) -> object:
    if declared.encoding is not None:
        data = _recoded(data, declared.encoding)
    if declared.written_as is SidecarFormat.JSON:
        return _plain(load(decode(data, user_path, limit_of(declared))), "")
    if not data.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")) and (
        declared.encoding is not None or not _DECLARES_ENCODING.match(data)
    ):
        decode(data, user_path, limit_of(declared))  # which tells other encodings apart
        return load_xml(data, "utf-8")
    return load_xml(data, None)


def _recoded(data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError:
        raise MalformedSidecar(
            "sidecar-encoding",
            f"it is not {encoding}, which the settings declare",
            "specify its encoding in [[metadata.sidecar]], or leave encoding out for UTF-8",
        ) from None


def _plain(value: object, where: str) -> object:
    """A value of ``sidecar.tree`` with Python's own types."""
    match value:
        case Object():
            return _object(value, where)
        case list():
            return [_plain(each, f"{where}[{index}]") for index, each in enumerate(value)]
        case Number():
            return _number(str(value))
        case NoNumber():
            return None
    return value


def _object(pairs: Object, where: str) -> Mapping[str, object]:
    values: dict[str, object] = {}
    where = f"{where}." if where else ""
    for key, value in pairs:
        if key in values:
            raise MalformedSidecar(
                "sidecar-duplicate-key", f"duplicate key {shown(where + key)}", "keep one"
            )
        values[key] = _plain(value, f"{where}{key}")
    return values


def _number(text: str) -> int | float | str:
    if len(text) > _MOST_DIGITS:
        return text
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        exact, near = Decimal(text), float(text)
        return near if Decimal(repr(near)) == exact else text
    except (InvalidOperation, OverflowError):
        return text


def _unquoted(value: object) -> object:
    """The variables of a FreeSWITCH record, whose values are encoded like those of a URL."""
    match value:
        case str():
            return unquote(value)
        case list():
            return [_unquoted(each) for each in value]
        case dict():
            return {key: _unquoted(each) for key, each in value.items()}
    return value


def _too_large(declared: DeclaredSidecar) -> MalformedSidecar:
    cure = "keep only what describes this recording in it"
    if declared.of_folder:
        cure = "declare it as a table instead, with [[metadata.table]] or --metadata"
    message = f"it is larger than {limit_of(declared):,} bytes"
    return MalformedSidecar("sidecar-too-large", message, cure)
