"""What names of an unknown system consist of."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.app.init.nameparts import parts_of
from batch_uploader.prepare.about.names import NamePattern


def found_in(*paths):
    parts = parts_of(paths)
    assert parts is not None
    return parts, [dict(NamePattern.parse(parts.pattern).values(path).fields) for path in paths]


@pytest.mark.parametrize(
    ("name", "clock", "groups"),
    [
        (
            "204_79001234567_2026-03-27_09-25-17.mp3",
            "time('%Y-%m-%d_%H-%M-%S')",
            {"first": "204", "second": "79001234567", "start": "2026-03-27_09-25-17"},
        ),
        (
            "TESTCAMP_20260327093012_79001234567-all.mp3",
            "time('%Y%m%d%H%M%S')",
            {"start": "20260327093012", "first": "79001234567"},
        ),
        (
            "+79001234567-204-1774592717.512.wav",
            "epoch",
            {"first": "+79001234567", "second": "204", "start": "1774592717.512"},
        ),
        (
            "out-79001234567-204-20260327-092517-1774592717.512.wav",
            "epoch",
            {"way": "out", "first": "79001234567", "second": "204", "start": "1774592717.512"},
        ),
        (
            "call in 27.03.2026 09.25.17 (79001234567).wav",
            "time('%d.%m.%Y %H.%M.%S')",
            {"way": "in", "start": "27.03.2026 09.25.17", "first": "79001234567"},
        ),
        (
            "out-79001234567-204-20260327-092517.wav",
            "time('%Y%m%d-%H%M%S')",
            {"way": "out", "first": "79001234567", "second": "204", "start": "20260327-092517"},
        ),
    ],
)
def test_a_name_is_taken_apart(name, clock, groups):
    parts, (values,) = found_in(f"2026/{name}")
    assert (parts.clock, parts.share) == (clock, 1.0)
    assert values == groups
    assert parts.has_way == ("way" in groups)
    if clock != "epoch":
        form = clock.removeprefix("time('").removesuffix("')")
        assert datetime.strptime(groups["start"], form).replace(tzinfo=UTC).year == 2026


def test_numbers_of_any_length_are_alike_and_other_names_do_not_matter():
    alike = ["204_79001234567_20260327-092517.mp3", "79001234567_1004_20260328-101500.mp3"]
    parts = parts_of([*alike, "voice.mp3"])
    assert parts.share == pytest.approx(2 / 3)
    assert parts.one_is_short
    assert not parts_of(["79001234567_74951234567_20260327-092517.mp3"]).one_is_short
    assert all(NamePattern.parse(parts.pattern).values(path) for path in alike)


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("call.wav", "Anna.wav"),
        ("0f1e2d3c-4b5a-4968-8776-655443322110.wav",),
        ("a.wav", "b-204.wav", "c_20260327-092517.wav"),
        ("1-2026-03-27_09-25-17-2026-03-27_09-25-18.wav",),
        ("204-205-206-207.wav",),
    ],
)
def test_names_that_say_nothing_or_too_much_are_left_alone(names):
    assert parts_of(names) is None


@given(
    st.lists(st.from_regex(r"[a-z0-9_.+ ()-]{1,40}\.wav", fullmatch=True), min_size=1, max_size=4)
)
def test_a_pattern_of_any_names_can_be_read_and_fits(names):
    parts = parts_of(names)
    if parts is not None:
        assert re.compile(parts.pattern)
        pattern = NamePattern.parse(parts.pattern)
        fitting = sum(pattern.values(name) is not None for name in names)
        assert fitting >= round(parts.share * len(names))
