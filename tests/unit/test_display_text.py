"""Names made harmless, measured and shortened: faults 39, 40, 63 and 64 on the screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from batch_uploader.core.text import plural, printable, sentence
from batch_uploader.ui.stream import Span
from batch_uploader.ui.text import (
    cell_width,
    clip,
    fold,
    format_hours,
    format_left,
    shorten,
    wrap,
)

any_text = st.text(st.characters(categories=None), max_size=80)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("2025/01/call [1].wav", "2025/01/call [1].wav"),
        ("x[/y].wav", "x[/y].wav"),
        ("Иванов/通話.wav", "Иванов/通話.wav"),
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("gnp\u202ewav.exe", "gnp\\u202ewav.exe"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("zero\u200bwidth\u200d", "zero\\u200bwidth\\u200d"),
        ("\ufeffbom", "\\ufeffbom"),
        ("c1\x9b31m", "c1\\x9b31m"),
        ("lone\udcff", "lone\\udcff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("nbsp\xa0", "nbsp\\xa0"),
        ("line\u2028", "line\\u2028"),
        ("heart\u2764\ufe0f", "heart\u2764\\ufe0f"),
        ("filler\u3164", "filler\\u3164"),
        ("и\u0306", "и\u0306"),
    ],
)
def test_what_cannot_be_seen_is_escaped(name, shown):
    """Faults 63, 64."""
    assert printable(name) == shown


@given(any_text)
def test_nothing_that_acts_on_a_terminal_gets_through(text):
    """Fault 64."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode("utf-8")


@given(any_text, st.integers(0, 60))
def test_shortened_text_fits_and_keeps_its_ends(text, width):
    shown = printable(text)
    short = shorten(shown, width)
    assert cell_width(short) <= width
    if cell_width(shown) <= width:
        assert short == shown
    elif width:
        head, _, tail = short.partition("…")
        assert shown.startswith(head)
        assert shown.endswith(tail)


@given(any_text, st.integers(0, 60))
def test_clipped_text_fits(text, width):
    assert cell_width(clip(printable(text), width)) <= width


@given(any_text, st.integers(4, 60), st.integers(1, 3))
def test_wrapped_text_fits(text, width, lines):
    wrapped = wrap(sentence(text.replace("`", "")), width, lines)
    assert len(wrapped) <= lines
    assert all(0 < cell_width(line) <= width for line in wrapped)


def test_rich_measures_letters_as_we_do():
    for text in ("plain", "звонок", "通話録音", "\uff46\uff55\uff4c", "и\u0306", "한글", "🎧.wav"):
        assert cell_width(text) == cell_len(text)


def test_a_path_keeps_its_name():
    assert shorten("2025/01/15/operator-17/call-000123.wav", 26) == "2025/01/…7/call-000123.wav"
    assert shorten("通話録音/二〇二五年/対応.wav", 16) == "通話…年/対応.wav"


def test_a_long_message_is_wrapped_and_cut():
    assert wrap("one two three four five six", 9, 2) == ["one two", "three…"]
    assert wrap("", 9, 2) == []


COMMAND = "`mv -n a.wav a.wav.orig && sox a.wav.orig -b 16 a.wav`"


def test_a_command_is_pasted_whole_or_not_at_all():
    told = f"it is 24-bit; convert it with {COMMAND}, then run the upload again"
    assert wrap(told, 30, 9) == [
        "it is 24-bit; convert it with",
        f"{COMMAND},",
        "then run the upload again",
    ]
    assert wrap(told, 30, 4)[-2:] == [f"{COMMAND},", "then run the upload again"]
    assert wrap(told, 30, 3)[-1] == f"{COMMAND},", "its two lines, and no third one"
    assert wrap(told, 30, 2) == ["it is 24-bit; convert it with…"]


def test_ours_is_recognised_by_its_name():
    command = "batch-uploader status 'my calls' --connection-id calls"
    assert wrap(f"and 9 more: {command}", 20, 9) == ["and 9 more:", command]
    assert wrap("batch-uploader sends nothing", 20, 9) == ["batch-uploader sends", "nothing"]


def texts(rows):
    return ["".join(span.text for span in row) for row in rows]


def test_a_line_is_folded_between_words_in_its_colours():
    line = [Span("hint", "bold"), Span(": to see them all, in any order: "), Span("  x", "dim")]
    rows = fold(line, 12)
    assert texts(rows) == ["hint: to see", "them all, in", "any order:", "x"]
    assert rows[0][0] == Span("hint", "bold")
    assert rows[-1] == [Span("x", "dim")]
    assert fold(line, 80) == [line]
    assert texts(fold([Span("    batch-uploader check x")], 8)) == ["    batch-uploader check x"]


def test_what_is_joined_to_a_command_stays_with_it():
    told = "of `a b`/`c d`, or (`e f`)`"
    rows = ["of", "`a b`/`c d`,", "or", "(`e f`)`"]
    assert wrap(told, 6, 9) == texts(fold([Span(told)], 6)) == rows


@given(st.lists(any_text, min_size=1, max_size=4), st.integers(4, 60))
def test_folding_breaks_no_word_and_loses_none(parts, width):
    line = [Span(sentence(part), str(number)) for number, part in enumerate(parts)]
    (text,) = texts([line])
    rows = texts(fold(line, width))
    assert " ".join(" ".join(rows).split()) == " ".join(text.split())
    assert all(cell_width(row) <= width or " " not in row.strip() for row in rows if "`" not in row)


def test_numbers_for_humans():
    assert plural(1, "recording") == "1 recording"
    assert plural(12_345, "recording") == "12,345 recordings"
    assert format_hours(4_444_200) == "1,234.5h"
    assert format_hours(95.4) == "1m 35s"
    assert format_left(0.2) == "1s"
    assert format_left(134.4) == "2m 14s"
