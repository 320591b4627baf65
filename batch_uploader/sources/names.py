"""The names of files in paths: escaped once, and reversibly."""

import os
import re

from batch_uploader.core.errors import SourceError

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_RAW_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_NEVER_PLAIN = frozenset("\\\0")
_NO_NAMES = frozenset({"", ".", ".."})


def escape_name(name: str) -> str:
    r"""A file's name, as the system gave it, as valid Unicode; reversible.

    A name that is UTF-8 and contains nothing like ``\x5c`` stays as it is. In any other, each
    backslash becomes ``\x5c`` and each byte that is not UTF-8 ``\xNN``.
    """
    if name.isascii() and "\\" not in name:
        return name
    # By its bytes, so that a name is the same under any locale.
    raw = os.fsencode(name)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not _ESCAPE.search(text):
            return text
    return raw.replace(b"\\", rb"\x5c").decode(errors="backslashreplace")


def unescape_name(name: str) -> str:
    """The system's name from which ``escape_name`` made this.

    Raises UnicodeError for what ``escape_name`` cannot return.
    """
    raw = _RAW_ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), name.encode())
    return os.fsdecode(raw)


def path_parts(path: str) -> list[str]:
    """The system's names of a path's parts; SourceError if it cannot be a listed path."""
    plain = path.split("/")
    if path.isascii() and _NEVER_PLAIN.isdisjoint(path) and _NO_NAMES.isdisjoint(plain):
        return plain
    parts: list[str] = []
    for part in plain:
        try:
            name = unescape_name(part)
            proper = escape_name(name) == part and name not in _NO_NAMES
        except UnicodeError:
            name, proper = part, False
        # An escape may decode to a character that names cannot have.
        if not proper or not {"/", "\0", os.sep}.isdisjoint(name):
            shown = path.encode(errors="backslashreplace").decode()
            raise SourceError(
                f"{shown} cannot be a path in a source", hint="use one that it listed"
            )
        parts.append(name)
    return parts
