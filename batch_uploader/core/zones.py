"""Time zones by their IANA names."""

from functools import lru_cache
from typing import TYPE_CHECKING

from batch_uploader.core.errors import BadValue

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@lru_cache(maxsize=100)
def time_zone(name: str) -> "ZoneInfo":
    """The time zone of this IANA name. Raises BadValue, with the names that are close."""
    from zoneinfo import ZoneInfo, available_timezones  # most runs do without

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        pass
    from difflib import get_close_matches

    last = name.rpartition("/")[2].casefold()
    names = {each.rpartition("/")[2].casefold(): each for each in sorted(available_timezones())}
    close = [names[each] for each in get_close_matches(last, names, 3)]
    known = ", ".join(close or ("Europe/Moscow", "Asia/Yekaterinburg", "UTC"))
    raise BadValue(
        f"{name!r} is not the IANA name of a time zone",
        hint=f"did you mean {known}?" if close else f"write it like {known}",
        setting="timezone",
    )
