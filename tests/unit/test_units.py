"""The notation of durations and sizes, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("2h", 7200.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("7d", 604800.0),
        ("0", 0.0),
        (" 2h ", 7200.0),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("1000", 1000),
        ("512K", 512 * 1024),
        ("8M", 8 * 1024**2),
        ("1G", 1024**3),
        ("2T", 2 * 1024**4),
        ("1.5K", 1536),
        ("0", 0),
    ],
)
def test_a_size_is_read(text, nbytes):
    assert parse_size(text) == nbytes


WRONG = ["", "x", "-1", "+1", "1e3", "nan", "inf", "1 0", "1w", "5 m", "٣", "9" * 5000, "1.", ".5"]


@pytest.mark.parametrize("text", [*WRONG, "8M", "2H", "1h30m"])
def test_what_is_no_duration_is_refused_with_the_notation(text):
    with pytest.raises(ValueError, match="is not a duration; write it as 90, 90s, 30m or 2h"):
        parse_duration(text)


@pytest.mark.parametrize("text", [*WRONG, "8MB", "8MiB", "8m", "2h"])
def test_what_is_no_size_is_refused_with_the_notation(text):
    with pytest.raises(ValueError, match="is not a size; write it as 1000, 512K, 8M or 1G"):
        parse_size(text)


def test_a_fraction_of_a_byte_is_refused():
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_size("0.3K")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.9999, "1s"),
        (4.5, "4.5s"),
        (9.96, "10s"),
        (59.6, "1m"),
        (90, "1m 30s"),
        (61, "1m 01s"),
        (1800, "30m"),
        (7200, "2h"),
        (7500, "2h 05m"),
        (3599.7, "1h"),
        (273_600, "3d 04h"),
        (-90, "-1m 30s"),
    ],
)
def test_a_duration_is_written(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1K"),
        (1536, "1.5K"),
        (8 * 1024**2, "8M"),
        (1024**2 - 1, "1M"),
        (150 * 1024**2, "150M"),
        (3 * 1024**4, "3T"),
        (5000 * 1024**4, "5000T"),
    ],
)
def test_a_size_is_written(nbytes, text):
    assert format_size(nbytes) == text


@given(st.integers(min_value=0, max_value=10**15))
def test_a_written_size_reads_back_to_about_the_same(nbytes):
    text = format_size(nbytes)
    if "." in text:
        whole, fraction = text[:-1].split(".")
        read = int(whole + fraction) / 10 * parse_size("1" + text[-1])
    else:
        read = parse_size(text)
    assert read == pytest.approx(nbytes, rel=0.05)


@given(st.floats(min_value=0, max_value=10**9))
def test_a_written_duration_reads_back_to_about_the_same(seconds):
    read = sum(parse_duration(part) for part in format_duration(seconds).split())
    assert read == pytest.approx(seconds, rel=0.06, abs=0.001)
