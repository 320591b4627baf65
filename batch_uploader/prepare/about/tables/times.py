"""Moments in tables and in names of files, to compare the two."""

import re
from datetime import UTC, datetime
from typing import Final, Self
from zoneinfo import ZoneInfo

_MILLISECONDS: Final = 100_000_000_000
"""An epoch time of more than that is in milliseconds: in seconds, it would be the year 5138."""
_EPOCH: Final = re.compile(r"[0-9]{9,13}(?:[.,][0-9]+)?")
_COMPACT: Final = re.compile(r"(?:19|20)[0-9]{12}")
_DAY_FIRST: Final = re.compile(
    r"([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
)
_SEPARATED: Final = re.compile(
    r"((?:19|20)[0-9]{2})[^0-9]?([0-9]{2})[^0-9]?([0-9]{2})[^0-9]{0,2}"
    r"([0-9]{2})[^0-9]?([0-9]{2})[^0-9]?([0-9]{2})(?:[^0-9][0-9]{1,6})?"
)


class Moment(float):
    """Seconds since the epoch; of the wall clock if it is ``local``, without a zone."""

    __slots__ = ("local",)
    local: bool

    def __new__(cls, seconds: float, *, local: bool = False) -> Self:
        """A moment."""
        made = super().__new__(cls, seconds)
        made.local = local
        return made


def moment(value: object, pattern: str | None, zone: ZoneInfo | None) -> Moment | None:
    """A value as a moment, None if it is none; ``pattern`` is one of ``strptime``.

    What has no offset is a time in ``zone``, or of the wall clock if that is None.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if pattern is None and _EPOCH.fullmatch(text):
        seconds = float(text.replace(",", "."))
        return Moment(seconds / 1000 if seconds > _MILLISECONDS else seconds)
    found = _parsed(text, pattern)
    if found is None:
        return None
    if found.tzinfo is None and zone is not None:
        found = found.replace(tzinfo=zone)
    local = found.tzinfo is None
    return Moment((found.replace(tzinfo=UTC) if local else found).timestamp(), local=local)


def _parsed(text: str, pattern: str | None) -> datetime | None:
    try:
        if pattern is not None:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone comes later
        if _COMPACT.fullmatch(text):
            return datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - the same
        if match := _DAY_FIRST.fullmatch(text):
            day, month, year, hour, minute, second = (int(each or 0) for each in match.groups())
            return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the same
        if match := _SEPARATED.fullmatch(text):
            return datetime(*map(int, match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
        return datetime.fromisoformat(text)
    except ValueError:
        return None
