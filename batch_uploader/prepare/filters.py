"""Filters: which recordings are left out on purpose, by length, date and sample; pure.

A sample is drawn by hashes of paths, so a larger one includes each smaller one. It is decided
without opening a file, the date by the sidecar, the length by the audio's header.
"""

import hashlib
import re
from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.checks import require_number, require_type, require_whole
from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.model import AudioInfo, Defect, Metadata, Outcome
from batch_uploader.core.states import BY_RULES, FILTERED, Status
from batch_uploader.core.units import format_duration
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.audio import DefectKind

_DATE_FIELD: Final = "date"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%")
_HASH_SIZE: Final = 8
_ALL: Final = 256**_HASH_SIZE
_MOST: Final = 1_000_000
"""The largest number in a sample, since these hashes are kept in memory."""
_SECOND: Final = 1_000_000_000
_MOMENT_SIZE: Final = 12
_EARLIEST: Final = 1 << 80
_SINCE: Final = b"since"
_UNTIL: Final = b"until"
_AFTER_UNTIL: Final = b"until~"


class Filter(StrEnum):
    """What left a recording out; the value is the flag without its dashes."""

    SAMPLE = "sample"
    SINCE = "since"
    UNTIL = "until"
    SKIP_EMPTY = "skip-empty"
    MIN_LENGTH = "min-length"
    MAX_LENGTH = "max-length"
    LEGS = "legs"


class LeftOut(Struct, frozen=True):
    """Why a recording is left out, and its length and format as far as they were looked at."""

    by: Filter
    message: str
    audio: AudioInfo | None = None


class Sample(Struct, frozen=True):
    """A part of the recordings, always the same: ``count`` of them, or ``percent``.

    Raises ConfigError unless exactly one of them is given, and possible.
    """

    count: int | None = None
    percent: float | None = None

    def __post_init__(self) -> None:
        require_whole("count", self.count, least=1, most=_MOST, optional=True)
        require_number("percent", self.percent, above=0, optional=True)
        if (self.count is None) == (self.percent is None):
            raise ConfigError("a sample has either a count or a percentage", hint="give one")
        if self.percent is not None and self.percent > 100:  # noqa: PLR2004
            raise ConfigError("a sample has at most 100 percent", hint="give less")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``N`` or ``P%``. Raises BadValue."""
        bare = text.strip()
        try:
            if bare.isascii() and bare.isdigit():
                return cls(count=int(bare))
            if match := _PERCENT.fullmatch(bare):
                return cls(percent=float(match[1]))
        except (ConfigError, ValueError):
            pass
        raise BadValue(
            f"{text!r} is not a sample",
            hint=f"write a number of recordings up to {_MOST:,}, like 3, or a percentage, like 5%",
        )

    def __str__(self) -> str:
        """As it is written in a flag."""
        if self.count is not None:
            return str(self.count)
        return f"{Decimal(repr(self.percent)).normalize():f}%"

    def takes(self, path: str, drawn: Collection[int] | None) -> bool:
        """Whether a recording is in the sample; a count is ``drawn`` before, as hashes."""
        if self.percent is not None:
            return path_hash(path) < int(_ALL * self.percent / 100)
        return drawn is not None and path_hash(path) in drawn


def path_hash(path: str) -> int:
    """The number by which samples are drawn."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=_HASH_SIZE).digest())


class Filters(Struct, frozen=True):
    """Which recordings are left out, though nothing is wrong with them. Raises ConfigError.

    Lengths are in seconds. ``skip_empty`` leaves out files without any audio, which are defects
    otherwise. ``since`` is the first moment that is taken, ``until`` the first that is not, both in
    UTC nanoseconds since the epoch; they are compared with the metadata's ``date``, or with the
    file's modification time where there is no date that can be read. ``timezone`` is the IANA zone
    of dates without an offset, None for this machine's.
    """

    min_length: float | None = None
    max_length: float | None = None
    skip_empty: bool = False
    since: int | None = None
    until: int | None = None
    sample: Sample | None = None
    timezone: str | None = None

    def __post_init__(self) -> None:
        require_number("min_length", self.min_length, above=0, optional=True)
        require_number("max_length", self.max_length, above=0, optional=True)
        require_type("skip_empty", self.skip_empty, bool)
        for name, moment in (("since", self.since), ("until", self.until)):
            require_type(name, moment, int, optional=True)
            if moment is not None and abs(moment) >= _EARLIEST:
                raise ConfigError(
                    f"{name} is not a moment in nanoseconds since the epoch",
                    hint="specify whole nanoseconds, like 1774592717 * 10**9",
                )
        require_type("sample", self.sample, Sample, optional=True)
        if self.timezone is not None:
            time_zone(self.timezone)
        for low, high, names in (
            (self.min_length, self.max_length, "min_length and max_length"),
            (self.since, self.until, "since and until"),
        ):
            if low is not None and high is not None and low > high:
                raise ConfigError(
                    f"{names} contradict each other: nothing is between them",
                    hint="exchange them, or leave one out",
                )

    def digests(self, rules: bytes) -> "Digests":
        """The digests of these filters and of the rules that this digest is of."""
        return _digests(self, rules)

    @property
    def dated(self) -> bool:
        """Whether dates count."""
        return self.since is not None or self.until is not None

    @property
    def measure(self) -> bool:
        """Whether lengths count."""
        return self.skip_empty or self.min_length is not None or self.max_length is not None

    def by_sample(self, path: str, drawn: Collection[int] | None) -> LeftOut | None:
        """Whether a recording is left out, by its path alone."""
        if self.sample is None or self.sample.takes(path, drawn):
            return None
        return LeftOut(Filter.SAMPLE, f"it is outside --sample {self.sample}")

    def by_date(self, metadata: Metadata | tuple[Defect, ...], mtime_ns: int) -> LeftOut | None:
        """Whether a recording is left out, by its metadata and the time of its file."""
        if not self.dated:
            return None
        told = None if isinstance(metadata, tuple) else metadata.fields.get(_DATE_FIELD)
        moment = None if told is None else moment_of(told, self.timezone)
        # Without its value: that is metadata, which the manifest does not have.
        what = "its date" if moment is not None else "the time of its file, which has no date,"
        if moment is None:
            moment = mtime_ns
        if self.since is not None and moment < self.since:
            return LeftOut(Filter.SINCE, f"{what} is before {_shown(self.since)} (--since)")
        if self.until is not None and moment >= self.until:
            return LeftOut(Filter.UNTIL, f"{what} is not before {_shown(self.until)} (--until)")
        return None

    def by_length(self, seen: AudioInfo | Defect, longest: float) -> LeftOut | None:
        """Whether a recording is left out, by what is in its audio; a defect that hides it stays.

        ``longest`` is the length from which on a recording has a defect. A file without audio is
        also shorter than any length.
        """
        if isinstance(seen, Defect):
            return self._by_defect(seen, longest)
        length = format_duration(seen.duration)
        if self.min_length is not None and seen.duration < self.min_length:
            least = format_duration(self.min_length)
            return LeftOut(Filter.MIN_LENGTH, f"it is {length} long, --min-length is {least}", seen)
        if self.max_length is not None and seen.duration > self.max_length:
            most = format_duration(self.max_length)
            return LeftOut(Filter.MAX_LENGTH, f"it is {length} long, --max-length is {most}", seen)
        return None

    def _by_defect(self, seen: Defect, longest: float) -> LeftOut | None:
        """What is known of the length of audio that has a defect."""
        empty = seen.kind == DefectKind.EMPTY
        if empty and self.skip_empty:
            return LeftOut(Filter.SKIP_EMPTY, seen.message)
        if empty and self.min_length is not None:
            return LeftOut(Filter.MIN_LENGTH, f"{seen.message}, less than --min-length")
        too_long = seen.kind == DefectKind.TOO_LONG
        if too_long and self.max_length is not None and self.max_length <= longest:
            return LeftOut(Filter.MAX_LENGTH, f"{seen.message}, more than --max-length")
        return None


class Digests(Struct, frozen=True):
    """By these it is known whether rules and filters are still those on record.

    ``rules`` is without filters, ``filtered`` with all of them: the same if there are none. What
    was left out has ``dateless``, followed by the date that left it out, if one did. So it stays
    left out, unopened, while that date moves on, as in runs over the last seven days.
    """

    rules: bytes
    filtered: bytes
    dateless: bytes
    since: bytes | None = None
    until: bytes | None = None

    def of(self, outcome: Outcome) -> bytes | None:
        """The one to record with an outcome, None if nothing but its files decides about it."""
        if outcome.status not in BY_RULES:
            return None
        if outcome.status is not Status.LEFT_OUT:
            return self.filtered if outcome.status in FILTERED else self.rules
        by = None if outcome.failure is None else outcome.failure.code
        dates = {Filter.SINCE.value: self.since, Filter.UNTIL.value: self.until}
        return self.dateless + (dates.get(by or "") or b"")

    @property
    def leaving_out(self) -> tuple[tuple[bytes, bytes], ...]:
        """The first and the last of the digests by which something is still left out."""
        if self.filtered == self.rules:
            return ()
        ranges = [(self.dateless, self.dateless)]
        if self.since is not None:
            ranges.append((self.dateless + _SINCE, self.dateless + self.since))
        if self.until is not None:
            ranges.append((self.dateless + self.until, self.dateless + _AFTER_UNTIL))
        return tuple(ranges)

    def leave_out(self, policy: bytes | None) -> bool:
        """Whether what was left out under this digest still is."""
        return policy is not None and any(
            first <= policy <= last for first, last in self.leaving_out
        )


@lru_cache(maxsize=16)
def _digests(filters: Filters, rules: bytes) -> Digests:
    # Kept, since a planner asks for each file.
    since, until = filters.since, filters.until
    return Digests(
        rules,
        _digest(filters, rules),
        _digest(replace(filters, since=None, until=None), rules),
        None if since is None else _SINCE + _sortable(since),
        None if until is None else _UNTIL + _sortable(until),
    )


def _digest(filters: Filters, rules: bytes) -> bytes:
    if filters == Filters():
        return rules
    return hashlib.sha256(rules + repr(filters).encode()).digest()


def _sortable(moment: int) -> bytes:
    """Bytes in the order of the moments."""
    return (moment + _EARLIEST).to_bytes(_MOMENT_SIZE)


def moment_of(text: str, timezone: str | None = None) -> int | None:
    """The moment of a date in ISO 8601, in UTC nanoseconds; None if it cannot be read.

    Without an offset it is in this time zone, or in this machine's; a date without a time begins
    its day.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None and timezone is not None:
            moment = moment.replace(tzinfo=time_zone(timezone))
        moment = moment.astimezone()
    except (ValueError, OverflowError, OSError):
        return None
    return _nanoseconds(moment)


def parse_since(text: str, timezone: str | None = None) -> int:
    """The first moment of a date, or of a date and time. Raises BadValue."""
    moment = moment_of(text, timezone)
    if moment is None:
        raise BadValue(
            f"{text!r} is not a date", hint="write it like 2025-04-24 or 2025-04-24T14:30:00+03:00"
        )
    return moment


def parse_until(text: str, timezone: str | None = None) -> int:
    """The first moment after a date, or a date and time itself. Raises BadValue."""
    bare = text.strip()
    begins = parse_since(bare, timezone)
    if _DAY.fullmatch(bare) is None:
        return begins
    try:
        day = date.fromisoformat(bare) + timedelta(days=1)
    except OverflowError:
        return begins
    return parse_since(day.isoformat(), timezone)


def _nanoseconds(moment: datetime) -> int:
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * _SECOND + moment.microsecond * 1_000


def _shown(moment: int) -> str:
    try:
        return datetime.fromtimestamp(moment // _SECOND).astimezone().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{moment // _SECOND} s since 1970"
