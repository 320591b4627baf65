"""How durations, sizes and rates are written: ``90s``, ``30m``, ``2h``; ``512K``, ``8M``; ``20/s``.

A bare number is seconds or bytes. The letters of sizes are powers of 1,024; capitals
belong to sizes, small letters to durations.
"""

import re

from batch_uploader.core.errors import BadValue

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_DURATION = re.compile(_NUMBER + r"(ms|s|m|h|d)?")
_SIZE = re.compile(_NUMBER + r"([KMGT])?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_LETTERS = "KMGT"
_RATE = re.compile(_NUMBER + r"/(s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds. Raises BadValue."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise BadValue(f"{text!r} is not a duration", hint="write it as 90, 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[(match[2] or "s")]


def parse_size(text: str) -> int:
    """Bytes. Raises BadValue."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadValue(f"{text!r} is not a size", hint="write it as 1000, 512K, 8M or 1G")
    power = _SIZE_LETTERS.index(match[2]) + 1 if match[2] else 0
    nbytes = float(match[1]) * 1024**power
    if not nbytes.is_integer():
        raise BadValue(
            f"{text!r} is not a whole number of bytes", hint="write it as 1000, 512K or 8M"
        )
    return int(nbytes)


def parse_rate(text: str) -> float:
    """Times a second. Raises BadValue."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise BadValue(f"{text!r} is not a rate", hint="write it as 20/s, 300/m or 1000/h")
    rate = float(match[1]) / _SECONDS[match[2]]
    if rate == 0:
        raise BadValue(
            f"{text!r} allows nothing", hint="write it as 20/s, or leave it out for no limit"
        )
    return rate


def parse_hours(text: str) -> float:
    """Seconds; a bare number is hours. Raises BadValue."""
    bare = text.strip()
    try:
        return parse_duration(f"{bare}h" if bare.replace(".", "", 1).isdecimal() else bare)
    except BadValue:
        raise BadValue(
            f"{text!r} is not a number of hours", hint="write it as 2.5, 90m or 10h"
        ) from None


def format_duration(seconds: float) -> str:
    """A duration in two units at most: ``250ms``, ``4.5s``, ``1m 30s``, ``2h``, ``3d 04h``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    # Beyond these limits rounding would show 1000ms or 60s.
    if 0 < seconds < 0.9995:  # noqa: PLR2004
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:  # noqa: PLR2004
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    parts = (
        (whole // 86400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "m"),
        (whole % 60, "s"),
    )
    first = next(index for index, (count, _) in enumerate(parts) if count)
    text = "{}{}".format(*parts[first])
    if first + 1 < len(parts) and parts[first + 1][0]:
        text += " {:02}{}".format(*parts[first + 1])
    return text


def format_size(nbytes: int) -> str:
    """A size for people, in the notation that ``parse_size`` reads: ``512``, ``1.5K``, ``8M``."""
    value, letter = float(nbytes), ""
    for next_letter in _SIZE_LETTERS:
        # From 1023.5 on the number would be rounded to 1024.
        if abs(value) < (1024 if not letter else 1023.5):
            break
        value, letter = value / 1024, next_letter
    digits = 1 if letter and abs(value) < 99.95 else 0  # noqa: PLR2004 - where 100.0 would show
    return (f"{value:.{digits}f}".removesuffix(".0") if digits else f"{value:.0f}") + letter
