"""Regular expressions of the settings: compiled with errors that show where, and only if they end.

A repeat within a repeat can take centuries on a short text that does not fit, and nothing can stop
it. Such a pattern is refused; a possessive repeat inside, ``++`` or ``*+``, makes it sound.
"""

import re
import warnings
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

from batch_uploader.core.errors import ConfigError

_LENGTH_LIMIT: Final = 2000
_MANY: Final = 64
"""A repeat of more than this is as good as unbounded."""


def compiled(pattern: str, setting: str) -> re.Pattern[str]:
    """The pattern, for whole Unicode texts. Raises ConfigError."""
    if len(pattern) > _LENGTH_LIMIT:
        raise ConfigError(
            f"{setting}: the pattern is longer than {_LENGTH_LIMIT:,} characters",
            hint="shorten it",
            setting=setting,
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            expression = re.compile(pattern)
            tree = parser.parse(pattern)
    except re.error as error:
        raise ConfigError(
            f"{setting}: {error.msg}{_shown(pattern, error.pos)}",
            hint="fix the pattern there",
            setting=setting,
        ) from None
    except (RecursionError, OverflowError, Warning) as error:
        raise ConfigError(
            f"{setting}: {error}", hint="write the pattern another way", setting=setting
        ) from None
    if _may_explode(tree):
        raise ConfigError(
            f"{setting}: it has a repeat within a repeat, which may take for ever on some names",
            hint="make the inner one possessive: ++ in place of +, *+ in place of *",
            setting=setting,
        )
    return expression


def _shown(pattern: str, position: int | None) -> str:
    if position is None:
        return ""
    return f" at character {position + 1}, where it says {pattern[position : position + 20]!r}"


def _may_explode(tree: Any, *, within: bool = False) -> bool:
    """Whether a repeat that gives back what it took is within an endless one."""
    for operator, argument in tree:
        inside = within
        if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, _ = argument
            if within and most > max(least, 1):
                return True
            inside = within or most > _MANY
        elif operator in (sre.POSSESSIVE_REPEAT, sre.ATOMIC_GROUP):
            # What these took they keep, so nothing above them tries it another way.
            inside = False
        if any(_may_explode(part, within=inside) for part in _parts(operator, argument)):
            return True
    return False


def _parts(operator: Any, argument: Any) -> list[Any]:
    """The patterns within one part of a pattern."""
    match operator:
        case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
            parts = [argument[2]]
        case sre.SUBPATTERN:
            parts = [argument[3]]
        case sre.ATOMIC_GROUP:
            parts = [argument]
        case sre.BRANCH | sre.ASSERT | sre.ASSERT_NOT:
            parts = argument[1] if operator is sre.BRANCH else [argument[1]]
        case sre.GROUPREF_EXISTS:
            parts = [part for part in argument[1:] if part is not None]
        case _:
            parts = []
    return parts
