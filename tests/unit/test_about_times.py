# ruff: noqa: DTZ001 - what has no zone is what is tested
"""Times of archives: every way to write them, zones with their history, folds and gaps."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from batch_uploader.core.errors import BadValue
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.about import times
from batch_uploader.prepare.about.functions import TimeFunctions
from batch_uploader.prepare.about.values import Unfit
from batch_uploader.prepare.sidecar import FieldType, Schema

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
CLOCK = TimeFunctions(MOSCOW)
LOCAL = "2026-03-27T09:25:17+03:00"
ZONES = [
    *("Europe/Moscow", "Europe/Berlin", "Asia/Yekaterinburg", "Asia/Kolkata", "America/New_York"),
    *("Australia/Lord_Howe", "Europe/Samara", "UTC", "Asia/Novosibirsk", "Pacific/Apia"),
]


@pytest.mark.parametrize(
    "written",
    [
        *(
            "2026-03-27 09:25:17",
            "2026-03-27T09:25:17",
            "2026/03/27 9:25:17",
            "2026.03.27 09:25:17",
        ),
        *("27.03.2026 9:25:17", "27.03.2026 09:25:17", "27.03.2026, 09:25:17"),
        *("20260327-092517", "20260327092517", "20260327_092517", "20260327T092517"),
        *("2026-03-27T06:25:17Z", "2026-03-27 06:25:17 UTC", "2026-03-27T06:25:17+0000"),
        *("2026-03-27 09:25:17+03:00", "2026-03-27T09:25:17+0300", "2026-03-27T07:25:17 +01"),
        *("2026-03-27T09:25:17.000", "2026-03-27T09:25:17.000000000Z".replace("09", "06", 1)),
        *(1774592717, "1774592717", 1774592717000, "1774592717000", "1774592717000000"),
        *(1774592717.0, "1774592717.0", Decimal(1774592717)),
        *(datetime(2026, 3, 27, 9, 25, 17), datetime(2026, 3, 27, 6, 25, 17, tzinfo=UTC)),
        *("46108.3925578704", 46108.3925578704, "46108,3925578704"),
    ],
)
def test_one_moment_in_all_ways_that_are_unambiguous(written):
    made = CLOCK.time(written)
    assert datetime.fromisoformat(made) == datetime.fromisoformat(LOCAL)
    assert Schema(types={"date": FieldType.DATE}).check_value("date", made) is None


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("03/27/2026 09:25:17 AM", "%m/%d/%Y %I:%M:%S %p"),
        ("27/03/2026 09:25:17", "%d/%m/%Y %H:%M:%S"),
        ("27 марта 2026 09:25:17", "%d %B %Y %H:%M:%S"),
        ("27. März 2026 09:25:17", "%d. %B %Y %H:%M:%S"),
        ("2026/Mar/27 09:25:17", "%Y/%b/%d %H:%M:%S"),
        ("2026_03_27__09_25_17_000", "%Y_%m_%d__%H_%M_%S_%f"),
        ("260327092517", "%y%m%d%H%M%S"),
    ],
)
def test_other_ways_are_read_by_their_format(written, form):
    assert CLOCK.time(written, "%Y", form) == LOCAL


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("03/04/2026 10:00:00", "month is unclear"),
        ("2026-03-27", "without a time of day"),
        ("27.03.2026", "without a time of day"),
        ("yesterday", "written in an unknown way"),
        ("2026-02-30 10:00:00", "no such date"),
        ("2026-03-27 25:00:00", "no such date"),
        ("0026-03-27 10:00:00", "year is not between 1980 and 2099"),
        ("46108.39", "rounded by a spreadsheet"),
        ("99999999999999", "seconds or milliseconds is unclear"),
        (True, "not a time"),
        ([1], "not a time"),
    ],
)
def test_what_is_no_clear_time_is_told(value, message):
    with pytest.raises(Unfit) as caught:
        CLOCK.time(value)
    assert message in caught.value.message
    assert caught.value.cure


def test_a_wrong_format_is_told_as_such():
    for form in ("%Q", "%"):
        with pytest.raises(Unfit, match=r"format .* is wrong"):
            CLOCK.time("27", form)
    with pytest.raises(Unfit, match="not written like '%H:%M'"):
        CLOCK.time("2026", "%H:%M")
    with pytest.raises(Unfit, match="year"):
        CLOCK.time("10:00", "%H:%M")


def test_a_local_time_needs_a_zone():
    with pytest.raises(Unfit) as caught:
        TimeFunctions(None).time("2026-03-27 09:25:17")
    assert "--timezone" in caught.value.cure
    assert TimeFunctions(None).time("2026-03-27T09:25:17Z") == "2026-03-27T09:25:17+00:00"
    assert (
        TimeFunctions(None).time("2026-03-27 06:25:17", zone="UTC") == "2026-03-27T06:25:17+00:00"
    )


def test_what_says_nothing_stays_as_it_is():
    assert [CLOCK.time(""), CLOCK.time(None), CLOCK.epoch(""), CLOCK.excel(None)] == [
        *("", None, "", None)
    ]


def test_the_zone_is_that_of_the_day():
    # Moscow had summer time until 2010, then UTC+4, and UTC+3 since 26 October 2014.
    offsets = [
        CLOCK.time(f"{day} 12:00:00")[-6:]
        for day in ("2010-01-15", "2010-07-15", "2011-07-15", "2012-01-15", "2014-10-25")
    ]
    assert offsets == ["+03:00", "+04:00", "+04:00", "+04:00", "+04:00"]
    assert CLOCK.time("2014-10-27 12:00:00")[-6:] == "+03:00"
    saratov = TimeFunctions(ZoneInfo("Europe/Saratov"))
    assert saratov.time("2016-06-01 12:00:00")[-6:] == "+03:00"
    assert saratov.time("2017-06-01 12:00:00")[-6:] == "+04:00"


def test_a_time_that_was_twice_is_chosen_and_not_guessed():
    """Fault 117."""
    clock = TimeFunctions(BERLIN)
    with pytest.raises(Unfit, match="was twice in Europe/Berlin"):
        clock.time("2026-10-25 02:30:00")
    assert clock.time("2026-10-25 02:30:00", fold="first") == "2026-10-25T02:30:00+02:00"
    assert clock.time("2026-10-25 02:30:00", fold="second") == "2026-10-25T02:30:00+01:00"
    with pytest.raises(Unfit, match="unknown value"):
        clock.time("2026-10-25 02:30:00", fold=1)
    with pytest.raises(Unfit, match="was twice"):
        CLOCK.time("2014-10-26 01:30:00")


def test_a_time_that_never_was_is_told():
    """Fault 117."""
    with pytest.raises(Unfit, match="never was in Europe/Berlin"):
        TimeFunctions(BERLIN).time("2026-03-29 02:30:00", fold="first")
    with pytest.raises(Unfit, match="never was"):
        CLOCK.time("2011-03-27 02:30:00")


def test_the_unique_id_of_asterisk_tells_the_zone_and_which_of_two():
    nowhere, berlin = TimeFunctions(None), TimeFunctions(BERLIN)
    assert nowhere.time("20260327-092517", utc="1774592717.512") == LOCAL
    assert nowhere.time("20260327-092519", utc="pbx-1-1774592717.512") == LOCAL.replace("17", "19")
    assert nowhere.time("20260327-115517", utc=1774592717).endswith("+05:30")
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp())
    for seconds, offset in ((first, "+02:00"), (first + 3600, "+01:00")):
        made = berlin.time("2026-10-25 02:30:00", utc=f"{seconds - 60}.7")
        assert made == f"2026-10-25T02:30:00{offset}"


@pytest.mark.parametrize(
    ("clock", "utc", "message"),
    [
        (TimeFunctions(None), "1774592117.512", "cannot be derived"),
        (TimeFunctions(None), "1774000000.1", "cannot be derived"),
        (TimeFunctions(None), "tomorrow", "cannot be read"),
        (TimeFunctions(BERLIN), "1774592717.512", "not that of its UTC seconds in Europe/Berlin"),
    ],
)
def test_a_unique_id_that_does_not_fit_is_told(clock, utc, message):
    with pytest.raises(Unfit, match=message):
        clock.time("20260327-092517", utc=utc)


@pytest.mark.parametrize("clock", [TimeFunctions(None), CLOCK])
def test_seconds_that_a_spreadsheet_has_cut_off_are_not_taken_for_another_zone(clock):
    for local, told in (("27.03.2026 9:25", True), ("27.03.2026 9:25:59", False)):
        with pytest.raises(Unfit) as caught:
            clock.time(local, utc="1774592737.512" if told else "1774592900.1")
        assert ("export it with its seconds" in caught.value.cure) is told


def test_epoch_counts_what_it_says():
    assert CLOCK.epoch("1774592717") == LOCAL
    assert CLOCK.epoch(1774592717123) == LOCAL.replace("17+", "17.123+")
    assert CLOCK.epoch("1774592717,5", "s") == LOCAL.replace("17+", "17.500+")
    assert TimeFunctions(None).epoch(1774592717) == "2026-03-27T06:25:17+00:00"
    for value, unit in (("17745927170", None), ("x", None), ("1774592717", "h"), ("123456", "s")):
        with pytest.raises(Unfit):
            CLOCK.epoch(value, unit)


def test_excel_counts_days_of_a_local_clock():
    assert CLOCK.excel("46108.3925578704") == LOCAL
    assert CLOCK.excel(46108) == "2026-03-27T00:00:00+03:00"
    assert CLOCK.excel("46108,5") == "2026-03-27T12:00:00+03:00"
    for value in ("46108.39", "461.5", "x"):
        with pytest.raises(Unfit):
            CLOCK.excel(value)


@pytest.mark.parametrize("name", ["Moscow", "Europe/Moskow", "MSK", "", "../etc/passwd", "Europe"])
def test_a_zone_that_does_not_exist_is_told_with_those_that_are_close(name):
    with pytest.raises(BadValue) as caught:
        time_zone(name)
    assert caught.value.hints
    if name in {"Moscow", "Europe/Moskow"}:
        assert "Europe/Moscow" in caught.value.hints[0]


@given(
    st.datetimes(datetime(1981, 1, 2), datetime(2099, 12, 30)).map(
        lambda at: at.replace(microsecond=0)
    ),
    st.sampled_from(ZONES),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S"]),
)
@example(datetime(2014, 10, 25, 21, 30), "Europe/Moscow", "%Y-%m-%d %H:%M:%S")
@example(datetime(2014, 10, 25, 22, 30), "Europe/Moscow", "%Y-%m-%d %H:%M:%S")
@example(datetime(2026, 10, 25, 1, 30), "Europe/Berlin", "%d.%m.%Y %H:%M:%S")
@example(datetime(2026, 4, 4, 15, 0), "Australia/Lord_Howe", "%Y%m%d%H%M%S")
def test_every_moment_comes_back_from_its_local_time(utc, name, form):
    moment = utc.replace(tzinfo=UTC)
    here = moment.astimezone(ZoneInfo(name))
    written = here.strftime(form)
    clock = TimeFunctions(ZoneInfo(name))
    other = here.replace(fold=1 - here.fold)
    made = clock.time(written, utc=int(moment.timestamp()))
    assert datetime.fromisoformat(made) == moment
    if other.utcoffset() != here.utcoffset():
        made = clock.time(written, fold="second" if here.fold else "first")
    else:
        made = clock.time(written)
    assert datetime.fromisoformat(made) == moment


@given(st.datetimes(datetime(1981, 1, 2), datetime(2099, 12, 30)), st.sampled_from(ZONES))
@example(datetime(2011, 3, 27, 2, 30), "Europe/Moscow")
@example(datetime(2011, 12, 30, 12, 0), "Pacific/Apia")
def test_a_local_time_is_a_moment_of_that_zone_or_is_told(local, name):
    zone = ZoneInfo(name)
    try:
        made = datetime.fromisoformat(TimeFunctions(zone).time(local.isoformat(sep=" ")))
    except Unfit:
        there = {local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
        assert len(there) == 2
    else:
        assert made.astimezone(zone).replace(tzinfo=None) == local


@given(
    st.datetimes(datetime(1981, 1, 2), datetime(2099, 12, 30)).map(
        lambda at: at.replace(microsecond=0)
    ),
    st.integers(-23, 27),
    st.integers(-5, 300),
)
def test_an_offset_is_derived_from_utc_seconds_of_minutes_before(utc, halves, later):
    offset = timedelta(minutes=30 * halves)
    local = utc + offset + timedelta(seconds=later)
    seconds = int(utc.replace(tzinfo=UTC).timestamp())
    assume(seconds >= 10**8)
    assert times.derived_offset(local, seconds) == offset
    assert times.derived_offset(local + timedelta(minutes=10), seconds) is None
