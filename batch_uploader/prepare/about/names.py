"""What the name of a recording and of its folders says, by a pattern with named groups.

A pattern without ``/`` describes the name, one with ``/`` the path: all of it, or else as many of
the last folders as it has. It must fit from beginning to end; the extension may be left out.
"""

import re
from typing import Self
from unicodedata import normalize

from msgspec import Struct

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.naming import stem
from batch_uploader.prepare.about.patterns import compiled
from batch_uploader.prepare.about.values import Values

SOURCE = "name"
SETTING = "names"
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
"""``[^/]`` names no folder."""


class NamePattern(Struct, frozen=True):
    """A compiled pattern of names."""

    expression: re.Pattern[str]
    folders: int

    @classmethod
    def parse(cls, pattern: str) -> Self:
        """The pattern of ``--names``. Raises ConfigError."""
        expression = compiled(normalize("NFC", pattern), SETTING)
        if not expression.groupindex:
            raise ConfigError(
                f"{SETTING}: {pattern!r} has no named group",
                hint="name what a part of the name means, like (?P<operator_id>[0-9]+)",
                setting=SETTING,
            )
        return cls(expression, _CLASS.sub("", pattern).count("/"))

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of its groups."""
        return tuple(self.expression.groupindex)

    def values(self, path: str) -> Values | None:
        """What the name of a recording says, None if it does not fit.

        A group that took no part is None.
        """
        whole = normalize("NFC", path)
        end = "/".join(whole.split("/")[-1 - self.folders :])
        texts = [whole, end] if self.folders else [end]
        for text in texts:
            found = self.expression.fullmatch(stem(text)) or self.expression.fullmatch(text)
            if found is not None:
                return Values(SOURCE, found.groupdict(), "its path" if self.folders else "its name")
        return None
