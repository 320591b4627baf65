"""The ids of a call, made of its metadata."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.model import Metadata
from batch_uploader.prepare.callid import NO_ID, CallIds

CALL = {"date": "2025-04-24T14:34:19+03:00", "operator_id": "7", "client_id": "+79990000000"}
WORDS = st.text(min_size=1).filter(str.strip)


def default_id(**changed):
    return CallIds().default_id(Metadata({**CALL, **changed}))


def named_id(fields, *names):
    return CallIds(frozenset(names)).named_id(Metadata(fields))


@pytest.mark.parametrize(
    "same",
    [
        "2025-04-24T11:34:19Z",
        "2025-04-24T11:34:19.000Z",
        "2025-04-24T11:34:19,0+00:00",
        "2025-04-24t11:34:19z",
        "2025-04-24 14:34:19+0300",
        "2025-04-24T14:34:19+03",
        "2025-04-25T01:34:19+14:00",
        " 2025-04-24T11:34:19Z ",
    ],
)
def test_a_date_is_compared_as_an_instant(same):
    assert default_id(date=same) == default_id() != NO_ID
    by_date = ("date", "operator_id")
    assert named_id({**CALL, "date": same}, *by_date) == named_id(CALL, *by_date)


@pytest.mark.parametrize(
    "no_moment",
    [
        "",
        "2025-04-24",
        "2025-04-24T14:34:19",
        "24.04.2025 14:34:19",
        "1745494459",
        "2025-02-30T14:34:19Z",
        "2025-04-24T24:00:00Z",
        "2025-04-24T14:34:60Z",
        "2025-04-24T00:00:00+03:00",
        "2025-04-24T00:00Z",
        "2025-04-24T00:00:00.000Z",
        "2025-04-24T14:34:19+99:00",
        "٢٠٢٥-04-24T14:34:19Z",
    ],
)
def test_a_date_without_time_or_offset_makes_no_default_id(no_moment):
    assert default_id(date=no_moment) == NO_ID


def test_a_moment_near_midnight_and_one_at_the_ends_of_time_make_an_id():
    dates = [
        "2025-04-24T00:00:01Z",
        "2025-04-24T00:00:00.001Z",
        "2025-04-24T21:00:00Z",
        "0001-01-01T00:00:01+14:00",
        "9999-12-31T23:59:59-14:00",
    ]
    ids = {default_id(date=date) for date in dates}
    assert len(ids) == len(dates)
    assert NO_ID not in ids


@pytest.mark.parametrize("field", CALL)
def test_a_part_that_is_missing_empty_or_from_the_settings_makes_no_id(field):
    without = {name: value for name, value in CALL.items() if name != field}
    for ids in (CallIds(), CallIds(frozenset(CALL))):
        for metadata in (
            Metadata(without),
            Metadata({**CALL, field: " "}),
            Metadata(CALL, defaulted=frozenset({field})),
        ):
            assert ids.default_id(metadata) == NO_ID
            assert ids.named_id(metadata) == NO_ID


def test_other_fields_do_not_matter():
    assert default_id(path="archive/a.wav", exported="2025-05-01T00:00:00Z") == default_id()


def test_none_turns_the_default_ids_off():
    assert CallIds.parse("none").default_id(Metadata(CALL)) == NO_ID
    assert CallIds.parse("none").named_id(Metadata(CALL)) == NO_ID


def test_named_ids_of_other_definitions_differ_in_their_first_bytes():
    fields = {"a": "1", "b": "1"}
    by_a, by_b, both = (named_id(fields, *names) for names in ("a", "b", "ab"))
    assert len({by_a[:8], by_b[:8], both[:8]}) == 3
    assert by_a[8:] == by_b[8:] != both[8:]
    assert len(by_a) == 24
    assert named_id(fields) == NO_ID
    assert len(default_id()) == 16


@given(st.dictionaries(WORDS, WORDS, min_size=1, max_size=4), st.randoms())
def test_the_order_of_fields_does_not_matter(fields, random):
    names, items = list(fields), list(fields.items())
    random.shuffle(names)
    random.shuffle(items)
    assert named_id(dict(items), *names) == named_id(fields, *fields) != NO_ID


@given(st.lists(WORDS, min_size=2, max_size=3), st.lists(WORDS, min_size=2, max_size=3))
def test_ids_are_equal_only_if_all_values_are(some, others):
    """Also values that only seem alike when they are put together: ["a", "bc"], ["ab", "c"]."""
    some, others = ([value.strip() for value in values] for values in (some, others))
    ids = [
        named_id(dict(zip("abc", values, strict=False)), *"abc"[: len(values)])
        for values in (some, others)
    ]
    assert (ids[0] == ids[1]) == (some == others)


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis's
OFFSETS = st.integers(-14 * 4, 14 * 4).map(
    lambda quarters: timezone(timedelta(minutes=15 * quarters))
)


@given(MOMENTS, OFFSETS, OFFSETS)
def test_an_instant_has_one_id_whatever_its_offset(moment, here, there):
    dates = [moment.astimezone(zone) for zone in (here, there)]
    ids = [default_id(date=date.isoformat()) for date in dates]
    for date, made in zip(dates, ids, strict=True):
        midnight = (date.hour, date.minute, date.second, date.microsecond) == (0, 0, 0, 0)
        assert (made == NO_ID) == midnight
    assert NO_ID in ids or ids[0] == ids[1]
    later = (moment + timedelta(microseconds=1)).astimezone(here).isoformat()
    assert default_id(date=later) not in ids


@given(MOMENTS, st.text("0123456789", min_size=1, max_size=12))
def test_zeros_behind_a_fraction_do_not_matter(moment, digits):
    def dated(fraction):
        return default_id(date=f"{moment:%Y-%m-%dT%H:%M}:01.{fraction}Z")

    assert dated(digits) == dated(f"{digits}000")
    assert dated(digits) != dated(f"{digits}1")


@pytest.mark.parametrize(
    ("text", "named"), [("call", {"call"}), ("call, part", {"call", "part"}), ("none", set())]
)
def test_fields_are_named_with_commas(text, named):
    ids = CallIds.parse(text)
    assert (ids.named, ids.default) == (named, bool(named))


@pytest.mark.parametrize("wrong", ["", ",", "a,", "a,,b", "a,none", "a,b,a"])
def test_a_list_of_fields_with_a_fault_is_refused(wrong):
    with pytest.raises(BadValue):
        CallIds.parse(wrong)


def test_wrong_ids_are_refused():
    for wrong in ({"named": "call"}, {"named": frozenset({""})}, {"default": "none"}):
        with pytest.raises(ConfigError):
            CallIds(**wrong)
