"""Which files matter, by their names alone.

A pattern without ``/`` is matched with a name, wherever it lies; one with ``/`` with the whole path
from the root. ``*`` and ``?`` stop at ``/``, ``**`` does not, ``[abc]`` and ``[!abc]`` are one
character of a set. Case never matters. A pattern that excludes a folder excludes all below it.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Entry
from batch_uploader.core.naming import described, is_sidecar, stem


class Kind(Enum):
    """What a file is to us, by its name."""

    AUDIO = auto()
    SIDECAR = auto()
    OTHER = auto()
    EXCLUDED_AUDIO = auto()
    EXCLUDED = auto()


# What is known without being asked for.
_KNOWN = {
    ".wav": Kind.AUDIO,
    ".mp3": Kind.AUDIO,
    ".ogg": Kind.AUDIO,
    ".opus": Kind.AUDIO,
    ".json": Kind.SIDECAR,
}

_TOKEN = re.compile(
    r"(?P<folders>\*\*/)|(?P<all>\*\*)|(?P<some>\*)|(?P<one>\?)"
    r"|\[(?P<none>!?)(?P<set>\]?[^\]/]*)\]|(?P<literal>.)",
    re.DOTALL,
)
_FIXED = {"folders": "(?:.*/)?", "all": ".*", "some": "[^/]*", "one": "[^/]"}


class Selection:
    """What ``--include`` adds to the well-known extensions, and ``--exclude`` takes away.

    Raises ConfigError for a pattern that cannot be read.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _compile(include)
        self._exclude = _compile(exclude)
        self.certain = _KNOWN if self._exclude is None else {}
        """What ``kind`` says of all files with such an ending, for who has a million to ask of."""

    def kind(self, path: str) -> Kind:
        """What a file is. A folder that is excluded is some kind of excluded, whatever its name."""
        kind = _KNOWN.get(path[path.rfind(".") :].lower(), Kind.OTHER)
        if self._include is not None and kind is Kind.OTHER and self._include.fullmatch(path):
            kind = Kind.AUDIO
        if self._exclude is not None and self._excludes(self._exclude, path):
            return Kind.EXCLUDED_AUDIO if kind is Kind.AUDIO else Kind.EXCLUDED
        return kind

    def without_sidecars_of(self, excluded: Sequence[str], entries: list[Entry]) -> list[Entry]:
        """Drop the sidecars of one folder that belong to excluded recordings and to no others."""
        if not excluded:
            return entries
        kept = _described_by(entry.path for entry in entries if not is_sidecar(entry.path))
        dropped = _described_by(excluded) - kept
        return [
            entry
            for entry in entries
            if not (is_sidecar(entry.path) and described(entry.path) in dropped)
        ]

    @staticmethod
    def _excludes(patterns: re.Pattern[str], path: str) -> bool:
        # ``old/**`` means all that is in the folder, so that there is no need to enter it.
        return bool(patterns.fullmatch(path) or patterns.fullmatch(f"{path}/"))


def literal(text: str) -> str:
    """A pattern, or a part of one, that matches this text alone."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _described_by(audio: Iterable[str]) -> set[str]:
    return {key for path in audio for key in (path, stem(path))}


def _compile(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(map(_regex, patterns)), re.IGNORECASE | re.DOTALL)


def _regex(pattern: str) -> str:
    if not pattern.strip("/"):
        raise ConfigError(f"the pattern {pattern!r} matches nothing", hint="leave it out")
    where = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    regex = where + "".join(map(_translate, _TOKEN.finditer(pattern.strip("/"))))
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
