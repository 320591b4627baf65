"""Times as PBXs, spreadsheets and databases write them, made ISO 8601 with an offset.

A local time is read in a time zone by its rules of that day. One that happened twice there (when
clocks were put back) or never is not guessed.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Final

from batch_uploader.prepare.about.values import Unfit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - Excel counts local days
_YEARS: Final = range(1980, 2100)
_STEP: Final = timedelta(minutes=30)
"""Nearly all zones differ from UTC by a multiple of this; a rarer one has to be named."""
_EARLIER: Final = timedelta(seconds=5)
_LATER: Final = timedelta(minutes=5)
"""How much earlier or later a recording begins than the UTC second that its name has as well."""
_LONGEST: Final = timedelta(minutes=59)
"""The same where the zone is known: a call may have waited in a queue."""

_CLOCK = r"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?"
_OFFSET = r"\s*(?P<offset>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
_WRITTEN: Final = tuple(
    re.compile(day + clock + _OFFSET, re.ASCII)
    for day, clock in (
        (r"(?P<Y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})", rf"[Tt _,]\s*{_CLOCK}"),
        (r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<Y>\d{4})", rf"[Tt _,]\s*{_CLOCK}"),
        (
            r"(?P<Y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)",
            r"[-_ Tt]?(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?",
        ),
    )
)
_NUMBER = re.compile(r"\d{5,16}(?:[.,]\d{1,15})?", re.ASCII)
_UNIQUE_ID = re.compile(r"(?:.*-)?(?P<seconds>\d{9,10})(?:\.\d+)?", re.ASCII | re.DOTALL)
_DIGITS: Final = {"s": (9, 10), "ms": (12, 13), "us": (15, 16)}
_UNITS: Final = {"s": 1, "ms": 1000, "us": 1_000_000}
_EXCEL_DIGITS: Final = 5
_MONTHS: Final = {
    word: english
    for english, words in {
        "Jan": "янв jän",
        "Feb": "фев",
        "Mar": "мар mär mrz",
        "Apr": "апр",
        "May": "май мая mai",
        "Jun": "июн",
        "Jul": "июл",
        "Aug": "авг",
        "Sep": "сен",
        "Oct": "окт okt",
        "Nov": "ноя",
        "Dec": "дек dez",
    }.items()
    for word in (english.lower(), *words.split())
}
_WORD = re.compile(r"[^\W\d_]{3,}\.?")


def aware(
    value: object,
    formats: Iterable[str],
    where: tzinfo | None,
    *,
    fold: object = None,
    utc: object = None,
) -> datetime:
    """A time as a moment. Raises Unfit.

    ``where`` is the zone of what has no offset. ``fold`` chooses one of two moments. ``utc`` is
    about the same moment in UTC seconds, as in Asterisk's uniqueid.
    """
    read = _sane(_read(value, tuple(formats), where))
    if read.tzinfo is not None:
        return read
    if utc is not None and utc != "":
        return _beside(read, where, _seconds_of(utc))
    if where is None:
        raise Unfit(
            "it has a time without a time zone", "specify the zone of its clock with --timezone"
        )
    return _located(read, where, fold)


def epoch(value: object, unit: str | None, where: tzinfo | None) -> datetime:
    """Seconds, milliseconds or microseconds since 1970 as a moment. Raises Unfit."""
    number = _number(value)
    if number is None:
        raise Unfit("it has no number of seconds since 1970", "use time for other forms")
    if unit is None:
        digits = len(str(int(number)))
        unit = next((name for name, fit in _DIGITS.items() if digits in fit), None)
    if unit not in _UNITS:
        raise Unfit(
            "whether it counts seconds or milliseconds is unclear",
            "write epoch('s'), epoch('ms') or epoch('us')",
        )
    try:
        moment = _EPOCH + timedelta(microseconds=int(number * (1_000_000 // _UNITS[unit])))
        return _sane(moment).astimezone(where or UTC)
    except OverflowError:
        raise _unlikely() from None


def excel(value: object, where: tzinfo | None, *, fold: object = None) -> datetime:
    """A day of Excel with its fraction as a moment. Raises Unfit."""
    number = _number(value)
    if number is None or len(str(int(number))) != _EXCEL_DIGITS:
        raise Unfit("it is not a day as Excel counts them", "use time for other forms")
    return aware(_excel(number), (), where, fold=fold)


def derived_offset(local: datetime, seconds: int) -> timedelta | None:
    """The offset from UTC of a local time, from about the same moment in UTC seconds.

    None if they are too far apart to tell.
    """
    ahead = local.replace(tzinfo=UTC) - (_EPOCH + timedelta(seconds=seconds))
    offset = (ahead + _EARLIER) // _STEP * _STEP
    if ahead - offset > _LATER or not -12 * 2 * _STEP <= offset <= 14 * 2 * _STEP:
        return None
    return offset


def text_of(moment: datetime) -> str:
    """A moment as ISO 8601, with its offset."""
    whole = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    return moment.isoformat(timespec=whole if moment.microsecond else "seconds")


def _read(value: object, formats: tuple[str, ...], where: tzinfo | None) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        raise _dateless()
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Unfit("it is not a time", "name the field that has one")
    if formats:
        return _by_formats(str(value).strip(), formats)
    if (number := _number(value)) is not None:
        if len(str(int(number))) == _EXCEL_DIGITS and number % 1:
            return _excel(number)
        if not re.fullmatch(r"(19|20)\d{12}", str(int(number))):
            return epoch(number, None, where)
    return _written(str(value).strip())


def _written(text: str) -> datetime:
    for form in _WRITTEN:
        if found := form.fullmatch(text):
            return _of_parts(found.groupdict())
    if re.fullmatch(r"\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.\d{4}", text):
        raise _dateless()
    if re.match(r"\d{1,2}/\d{1,2}/\d{2,4}\b", text):
        raise Unfit(
            "which of its numbers is the month is unclear",
            "write time('%m/%d/%Y %H:%M:%S') or time('%d/%m/%Y %H:%M:%S')",
        )
    raise Unfit(
        "its time is written in an unknown way",
        "say how, like time('%d.%m.%Y %H:%M:%S')",
    )


def _of_parts(parts: dict[str, str | None]) -> datetime:
    day = f"{int(parts['Y'] or 0):04}-{int(parts['m'] or 0):02}-{int(parts['d'] or 0):02}"
    clock = f"{int(parts['H'] or 0):02}:{parts['M']}:{parts['S'] or '00'}"
    fraction = f".{parts['f'][:6]:0<6}" if parts["f"] else ""
    offset = (parts["offset"] or "").upper()
    offset = "+00:00" if offset in {"Z", "UTC", "GMT"} else offset
    try:
        return datetime.fromisoformat(f"{day}T{clock}{fraction}{offset}")
    except ValueError:
        raise _impossible() from None


def _by_formats(text: str, formats: tuple[str, ...]) -> datetime:
    for form in formats:
        # Python's names of months depend on the system's language.
        words, plain = text, form
        if "%b" in form or "%B" in form:
            words, plain = _WORD.sub(_month, text), form.replace("%B", "%b")
        try:
            return datetime.strptime(words, plain)  # noqa: DTZ007 - the zone comes later
        except ValueError as error:
            if "format" in str(error) and "does not match" not in str(error):
                raise Unfit(
                    f"the format {form!r} is wrong", "see the formats of strptime"
                ) from None
        except (re.error, IndexError, OverflowError, TypeError):
            raise Unfit(f"the format {form!r} is wrong", "see the formats of strptime") from None
    shown = " or ".join(map(repr, formats))
    raise Unfit(f"its time is not written like {shown}", "correct the format, or add another one")


def _month(word: re.Match[str]) -> str:
    return _MONTHS.get(word[0][:3].lower(), word[0])


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    text = str(value).strip()
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None


def _excel(number: Decimal) -> datetime:
    seconds = number % 1 * 86_400
    _, digits, exponent = number.as_tuple()
    if digits and isinstance(exponent, int) and -_EXCEL_DIGITS < exponent < 0 and seconds % 900:
        raise Unfit(
            "its time was rounded by a spreadsheet",
            "export it once more with the column formatted as date and time",
        )
    return _EXCEL_EPOCH + timedelta(days=int(number), milliseconds=round(seconds * 1000))


def _sane(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise _unlikely()
    return moment


def _seconds_of(utc: object) -> int:
    found = _UNIQUE_ID.fullmatch(str(utc))
    if found is None:
        raise Unfit("its UTC seconds cannot be read", "write them like 1774592717.512")
    return int(found["seconds"])


def _beside(read: datetime, where: tzinfo | None, seconds: int) -> datetime:
    """A local time next to which is about the same moment in UTC."""
    if where is None:
        offset = derived_offset(read, seconds)
        if offset is None:
            raise Unfit(
                "its time zone cannot be derived: its local time and its UTC seconds are no"
                " multiple of half an hour apart",
                _cure_of(read),
            )
        return read.replace(tzinfo=timezone(offset))
    about = _EPOCH + timedelta(seconds=seconds)
    moments = [moment for fold in (0, 1) if (moment := _moment(read, where, fold)) is not None]
    fitting = [each for each in moments if -_EARLIER <= each - about <= _LONGEST]
    if fitting:
        return min(fitting, key=lambda each: abs(each - about))
    raise Unfit(
        f"its local time is not that of its UTC seconds in {where}",
        _cure_of(read),
    )


def _cure_of(read: datetime) -> str:
    zone = "specify the zone of its clock with --timezone"
    if read.second:
        return zone
    return f"export it with its seconds, if a spreadsheet has cut them off; or {zone}"


def _located(read: datetime, where: tzinfo, fold: object) -> datetime:
    first, second = (_moment(read, where, each) for each in (0, 1))
    if first is None or second is None:
        raise Unfit(
            f"its time never was in {where}: clocks were put forward over it",
            "specify the zone of its clock with --timezone",
        )
    if first.utcoffset() == second.utcoffset():
        return first
    if fold is None:
        raise Unfit(
            f"its time was twice in {where}: clocks were put back",
            "choose with time(fold='first') or time(fold='second'), or export it in UTC",
        )
    if fold not in ("first", "second"):
        raise Unfit("fold has an unknown value", "write fold='first' or fold='second'")
    return first if fold == "first" else second


def _moment(read: datetime, where: tzinfo, fold: int) -> datetime | None:
    """A local time in a zone, None if clocks skipped it."""
    moment = read.replace(tzinfo=where, fold=fold)
    back = moment.astimezone(UTC).astimezone(where)
    return moment if back.replace(tzinfo=None, fold=0) == read.replace(fold=0) else None


def _impossible() -> Unfit:
    return Unfit("there is no such date or time", "correct it where it comes from")


def _unlikely() -> Unfit:
    return Unfit(
        f"its year is not between {_YEARS[0]} and {_YEARS[-1]}",
        "correct it, or its format",
    )


def _dateless() -> Unfit:
    return Unfit("it has a date without a time of day", "name the field that has both")
