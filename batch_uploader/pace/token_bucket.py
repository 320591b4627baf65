"""The user's limit of bytes a second, by time of day."""

import re
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Self

from msgspec import Struct

from batch_uploader.core.checks import require_whole
from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.units import parse_size

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_OFF = "off"
_LAST_MINUTE = 24 * 60 - 1
_STEP = 30.0  # seconds after which the timetable is checked again


def local_minute() -> int:
    """Minutes since midnight on the wall clock."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Timetable(Struct, frozen=True):
    """The maximum of bytes a second, by time of day. Raises ConfigError for nonsense.

    Each entry is the minute of the day that it begins at, and the bytes a second, None for
    unlimited. Entries are sorted by minute; the last one continues past midnight.
    """

    entries: tuple[tuple[int, int | None], ...]

    def __post_init__(self) -> None:
        minutes = [minute for minute, _ in self.entries]
        if not minutes or minutes != sorted(set(minutes)):
            raise ConfigError("entries are empty, or not sorted by different minutes of the day")
        for minute, size in self.entries:
            require_whole("minute", minute, most=_LAST_MINUTE)
            require_whole("bandwidth", size, least=1, optional=True)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``8M`` or ``08:00 2M 20:00 off``. Raises BadValue."""
        words = text.split()
        if len(words) == 1:
            words.insert(0, "00:00")
        entries: dict[int, int | None] = {}
        if not words or len(words) % 2:
            raise BadValue(
                f"{text!r} is not a bandwidth", hint="write it as 8M or '08:00 2M 20:00 off'"
            )
        for moment, size in zip(words[::2], words[1::2], strict=True):
            match = _TIME.fullmatch(moment)
            if match is None:
                raise BadValue(f"{moment!r} is not a time of day", hint="write it as 08:00")
            minute = int(match[1]) * 60 + int(match[2])
            if minute in entries:
                raise BadValue(f"{moment} stands there twice", hint="name each time once")
            entries[minute] = None if size == _OFF else parse_size(size)
            if entries[minute] == 0:
                raise BadValue("a bandwidth of 0 sends nothing", hint="write off for no limit")
        return cls(tuple(sorted(entries.items())))

    def at(self, minute: int) -> int | None:
        """Bytes a second at a minute of the day; None is unlimited."""
        place = bisect_right(self.entries, minute, key=lambda entry: entry[0])
        return self.entries[place - 1][1]

    @property
    def least(self) -> int | None:
        """The lowest limit in it."""
        return min((size for _, size in self.entries if size is not None), default=None)


class TokenBucket:
    """Lets bytes through at the timetable's rate; each request waits for the debt of those before.

    So a single piece of any size is sent at once, and the next one waits. ``now`` is in seconds.
    """

    def __init__(
        self, timetable: Timetable | None, now: float, minute: Callable[[], int] = local_minute
    ) -> None:
        self.timetable = timetable
        self._minute = minute
        self._debt = 0.0
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until bytes may be sent, or until to ask again."""
        rate = self._settle(now)
        return 0.0 if rate is None else min(self._debt / rate, _STEP)

    def take(self, now: float, nbytes: int) -> None:
        """``nbytes`` are sent."""
        if self._settle(now) is not None:
            self._debt += nbytes

    def give_back(self, now: float, nbytes: int) -> None:
        """``nbytes`` that were taken are not sent."""
        if self._settle(now) is not None:
            self._debt = max(0.0, self._debt - nbytes)

    def _settle(self, now: float) -> int | None:
        rate = self.timetable.at(self._minute()) if self.timetable else None
        paid = self._debt if rate is None else (now - self._at) * rate
        self._debt = max(0.0, self._debt - paid)
        self._at = now
        return rate
