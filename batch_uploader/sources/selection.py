"""Which files are used, by their names.

A pattern without ``/`` is matched with a name, in any folder; one with ``/`` with the whole path
from the root. ``*`` and ``?`` do not match ``/``, ``**`` does, ``[abc]`` and ``[!abc]`` match one
character. Case and the composition of letters are ignored. A pattern that excludes a folder
excludes all below it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.naming import composed


class FileKind(Enum):
    """The kind of a file, by its name."""

    AUDIO = auto()
    SIDECAR = auto()
    OTHER = auto()
    EXCLUDED_AUDIO = auto()
    EXCLUDED = auto()


# The extensions that are known by default.
_KNOWN = {
    ".wav": FileKind.AUDIO,
    ".mp3": FileKind.AUDIO,
    ".ogg": FileKind.AUDIO,
    ".oga": FileKind.AUDIO,
    ".opus": FileKind.AUDIO,
    ".json": FileKind.SIDECAR,
}

_TOKEN = re.compile(
    r"(?P<folders>\*\*/)|(?P<all>\*\*)|(?P<some>\*)|(?P<one>\?)"
    r"|\[(?P<none>!?)(?P<set>\]?[^\]/]*)\]|(?P<literal>.)",
    re.DOTALL,
)
_BELOW = "(?:/.*)?"
_FIXED = {"folders": "(?:.*/)?", "all": ".*", "some": "[^/]*", "one": "[^/]"}


class Selection:
    """The known extensions, with what ``--include`` adds and ``--exclude`` removes.

    ``sidecars`` are patterns of the sidecars of other systems. Raises ConfigError for a pattern
    that cannot be read.
    """

    def __init__(
        self,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        sidecars: Sequence[str] = (),
    ) -> None:
        self.takes = "" if not (include or exclude) else _digest(include, exclude)
        self._include = _compile(include)
        # What is in an excluded folder is, too: it is asked of what nobody lists.
        self._exclude = _compile(exclude, _BELOW)
        self._sidecars = _compile(sidecars)
        self.certain = _KNOWN if self._exclude is None else {}
        """The ``kind`` of all files with an extension, for callers with a million files."""

    def kind(self, path: str) -> FileKind:
        """The kind of a file. An excluded folder has an excluded kind, whatever its name."""
        kind = _KNOWN.get(path[path.rfind(".") :].lower(), FileKind.OTHER)
        path = composed(path)
        if self._sidecars is not None and kind is FileKind.OTHER and self._sidecars.fullmatch(path):
            kind = FileKind.SIDECAR
        if self._include is not None and kind is FileKind.OTHER and self._include.fullmatch(path):
            kind = FileKind.AUDIO
        if self._exclude is not None and self._excludes(self._exclude, path):
            return FileKind.EXCLUDED_AUDIO if kind is FileKind.AUDIO else FileKind.EXCLUDED
        return kind

    @staticmethod
    def _excludes(patterns: re.Pattern[str], path: str) -> bool:
        # ``old/**`` matches all in the folder, so the folder need not be entered.
        return bool(patterns.fullmatch(path) or patterns.fullmatch(f"{path}/"))


def matches(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path fits one of these patterns, or a folder above it does. Raises ConfigError."""
    regex = _compile(patterns, _BELOW)
    return lambda path: regex is not None and regex.fullmatch(composed(path)) is not None


def literal(text: str) -> str:
    """A pattern, or a part of one, that matches only this text."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _digest(*patterns: Iterable[str]) -> str:
    text = json.dumps([sorted(each) for each in patterns])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _compile(patterns: Sequence[str], rest: str = "") -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile(f"(?:{'|'.join(map(_regex, patterns))}){rest}", re.IGNORECASE | re.DOTALL)


def _regex(pattern: str) -> str:
    if not pattern.strip("/"):
        raise ConfigError(f"the pattern {pattern!r} matches nothing", hint="leave it out")
    where = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    tokens = _TOKEN.finditer(composed(pattern.strip("/")))
    regex = where + "".join(map(_translate, tokens))
    try:
        re.compile(regex)
    except re.error as error:
        raise ConfigError(f"the pattern {pattern!r} cannot be read: {error}") from error
    return f"(?:{regex})"


def _translate(token: re.Match[str]) -> str:
    if token["set"] is not None:
        members = re.sub(r"([\\\[\]^&~|])", r"\\\1", token["set"])
        return f"(?!/)[{'^' if token['none'] else ''}{members}]"
    if token["literal"] is not None:
        return re.escape(token["literal"])
    return _FIXED[str(token.lastgroup)]
