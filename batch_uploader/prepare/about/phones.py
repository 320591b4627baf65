"""What stands behind a telephone number: the extension to dial once it answers."""

import re

_EXTENSION = re.compile(
    r"[\s,;(]*(?:#|доб(?:\.|ав\w*)?|вн(?:\.|утр\w*\.?)?|ext(?:\.|n\.?|ension)?|x)"
    r"\s*[.:=№]?\s*[0-9]{1,6}\s*\)?\s*",
    re.IGNORECASE,
)
_LONGEST = 32
"""Characters of what is cut off: a text of any length takes no longer."""
_SHORTEST = 7
"""Digits of a number that has an extension."""


def without_extension(text: str) -> str:
    """A number without its extension: ``8 900 123-45-67 доб. 12`` without ``доб. 12``."""
    for at in range(max(1, len(text) - _LONGEST), len(text)):
        if _EXTENSION.fullmatch(text, at) and sum(map(str.isdigit, text[:at])) >= _SHORTEST:
            return text[:at]
    return text
