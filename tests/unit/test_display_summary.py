"""What is said at the end: never more than a screen, and what to do about each."""

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.cells import cells

from batch_uploader.core import events
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.ui.stream import ScreenSize, plain_text
from batch_uploader.ui.summary import (
    MOST_ROWS,
    alike,
    attention_table,
    print_summary,
    summary_lines,
)
from batch_uploader.ui.tally import Tally

MANIFEST = Path("/data/calls/manifest.jsonl")
CURE = "there is no sidecar; put a JSON file of the same name beside it"


def bad(path, status=Status.INVALID, code="sidecar-missing", message=CURE):
    return Outcome(path, status, Version(1, 0), failure=Failure(code, message))


def summary(
    attention=(), ending=Ending.COMPLETED, *, uploaded=0, already_there=0, reason=None, counts=None
):
    return Summary(
        ending=ending,
        counts=counts or {**Counter(o.status for o in attention), Status.UPLOADED: uploaded},
        already_there=already_there,
        waiting=0,
        outdated=0,
        uploaded_bytes=uploaded * 3 * 2**20,
        uploaded_duration=uploaded * 900.0,
        elapsed=10.0,
        attention=tuple(attention)[:20],
        reason=reason,
    )


def text_of(summary, width=80, height=24, stats=None, manifest=MANIFEST):
    lines = summary_lines(
        summary, ScreenSize(width, height), manifest, "/data/my calls", stats=stats
    )
    return plain_text(lines)


def test_a_good_run_is_three_lines():
    assert text_of(summary(uploaded=1234, already_there=20_000)) == (
        "Uploaded 1,234 recordings in 10s: 3.6G, 308.5h of audio, 370M/s\n"
        "already there 20,000\n"
        "manifest /data/calls/manifest.jsonl\n"
    )


def test_nothing_new():
    """Fault 76."""
    text = text_of(summary(already_there=5), manifest=None)
    assert text == "Nothing new in 10s\nalready there 5\n"


def test_what_needs_attention_comes_with_its_cure():
    doubt = bad("d[/y].wav", Status.IN_DOUBT, "DEADLINE_EXCEEDED", "no answer;\nrun again")
    text = text_of(summary([bad("a\x1b[31m.wav"), doubt], uploaded=1))
    assert text.endswith(
        "\n\n2 recordings need attention\n"
        "invalid   a\\x1b[31m.wav\n"
        "          sidecar-missing: there is no sidecar; put a JSON file of the same name\n"
        "          beside it\n"
        "in doubt  d[/y].wav\n"
        "          DEADLINE_EXCEEDED: no answer; run again\n"
        "hint: batch-uploader status '/data/my calls'\n"
        "hint: if no run finds it, check the console, then decide:\n"
        "  batch-uploader resolve '/data/my calls' PATH"
        " --talk-id ID | --give-up | --resend (may bill it twice)\n"
    )


def test_without_a_doubt_nothing_is_to_be_decided():
    text = text_of(summary([bad("a.wav"), bad("b.wav", Status.REJECTED, "INVALID_ARGUMENT")]))
    assert text.endswith("\nhint: batch-uploader status '/data/my calls'\n")
    assert "resolve" not in text


def test_a_conflict_is_to_be_decided():
    assert "resolve '/data/my calls' PATH" in text_of(summary([bad("a.wav", Status.CONFLICT)]))


def test_on_a_wide_screen_the_cure_stands_beside():
    text = text_of(summary([bad("a.wav")]), width=160)
    (row,) = [line for line in text.splitlines() if "a.wav" in line]
    assert row == f"invalid   a.wav{' ' * 50}sidecar-missing: {CURE}"


@pytest.mark.parametrize("width", [60, 80, 119, 120, 160, 300])
@pytest.mark.parametrize("height", [16, 24, 50])
@pytest.mark.parametrize("kinds", [1, 64])
def test_never_more_than_a_screen(width, height, kinds):
    tally = Tally()
    statuses = sorted(NEEDS_ATTENTION)
    message = "a long story about [bold]it[/bold]; mend it and run again " * 20
    for number in range(500):
        name = "通話/" * (number % 60) + f"{number}.wav"
        status = statuses[number % len(statuses)]
        tally.hear(events.Settled(bad(name, status, f"KIND_{number % kinds}", message)))
    ended = summary(
        [bad("x.wav")] * 20,
        Ending.LIMIT,
        uploaded=7,
        reason="limit " * 200,
        counts=tally.stats.counts,
    )
    text = text_of(ended, width, height, tally.stats)
    lines = text.splitlines()
    # A command is never broken: the terminal wraps it.
    assert sum(max(1, -(-cells(line) // width)) for line in lines) < height
    commands = [line for line in lines if "batch-uploader " in line]
    assert commands
    assert len(commands) == 2 or height < 24
    assert all(cells(line) <= width for line in lines if line not in commands)
    # Every recording is in a row or in the number of the others.
    table = lines[lines.index("500 recordings need attention") + 1 :]
    rows = [line for line in table if not line.startswith((" ", "hint: "))]
    alike = re.findall(r" and (\d+) like it", text)
    others = re.findall(r"^hint: and (\d+) more", text, re.MULTILINE)
    assert len(rows) + sum(map(int, alike + others)) == 500


@pytest.mark.parametrize("width", [1, 5, 11, 30])
def test_on_a_tiny_screen_it_says_at_least_where_to_look(width):
    text = text_of(summary([bad(f"{n}.wav") for n in range(20)]), width, height=3)
    assert text.endswith(
        "20 recordings need attention\nhint: to see them: batch-uploader status '/data/my calls'\n"
    )


def test_a_manifest_far_down_takes_its_lines_from_the_table():
    ended = summary([bad(f"{n}.wav", code=f"c{n}") for n in range(20)])
    short = text_of(ended).count("\n")
    far = text_of(ended, manifest=Path("/", *["far"] * 200)).count("\n")
    assert short - far >= 800 // 80


def test_many_of_a_kind_are_one_row_with_their_true_number():
    tally = Tally()
    for number in range(500):
        tally.hear(events.Settled(bad(f"{number}.wav")))
    tally.hear(events.Settled(bad("z.wav", Status.FAILED, "UNAVAILABLE", "run again")))
    ended = summary([bad(f"{n}.wav") for n in range(20)], counts=tally.stats.counts)
    text = text_of(ended, stats=tally.stats)
    assert "501 recordings need attention\n" in text
    assert "invalid   0.wav and 499 like it\n" in text
    assert "failed    z.wav\n" in text
    assert text.endswith("\nhint: batch-uploader status '/data/my calls'\n")


def test_without_a_tally_the_rest_is_named_by_its_number():
    ended = summary([bad(f"{n}.wav") for n in range(20)], counts={Status.INVALID: 500})
    text = text_of(ended)
    assert "invalid   0.wav and 19 like it\n" in text
    assert text.endswith("hint: and 480 more: batch-uploader status '/data/my calls'\n")


def test_a_few_of_a_kind_are_a_row_each():
    rows = alike([bad("a"), bad("b"), bad("c"), *[bad(f"e{n}", code="empty") for n in range(9)]])
    assert [(row.first.path, row.count) for row in rows] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
        ("e0", 9),
    ]
    lines, shown = attention_table(rows, 80, 100)
    assert shown == 12
    assert plain_text(lines).count("sidecar-missing") == 3


def test_the_table_ends_after_ten_rows():
    rows = alike(bad(f"{n}", code=f"c{n}") for n in range(30))
    _, shown = attention_table(rows, 80, 1000)
    assert shown == MOST_ROWS


def test_how_a_run_ended_is_said_first():
    refused = summary(ending=Ending.UNAUTHORIZED, reason="the key is refused")
    assert text_of(refused).startswith("error: the key is refused\nUploaded nothing")
    refused = replace(refused, hints=("make a new one", "or use a token"))
    expected = "error: the key is refused\nhint: make a new one\nhint: or use a token\n"
    assert text_of(refused).startswith(f"{expected}Uploaded nothing")
    stopped = summary(ending=Ending.INTERRUPTED, reason="interrupted")
    assert text_of(stopped).startswith("warning: interrupted; the next run continues from here\n")


@pytest.mark.parametrize("ending", [Ending.UNREACHABLE, Ending.UNAUTHORIZED])
def test_what_ended_a_run_is_told_to_its_end(ending):
    """Fault 27: the cause stands last."""
    reason = " ".join([*("nothing gets through" for _ in range(40)), "connection refused (111)"])
    stopped = summary([bad(f"{n}.wav", code=str(n)) for n in range(20)], ending, reason=reason)
    text = text_of(stopped)
    assert reason in " ".join(text.split())
    assert text.count("\n") < 24
    assert "hint: " in text
    assert text_of(stopped, height=10).count("\n") < 10


def test_it_prints_plainly_without_a_terminal():
    stream = io.StringIO()
    print_summary(summary([bad("[bold]x.wav")]), manifest=None, directory=".", stream=stream)
    assert "\x1b" not in stream.getvalue()
    assert "invalid   [bold]x.wav\n" in stream.getvalue()


def test_a_closed_stream_is_no_accident():
    """Fault 73."""
    stream = io.StringIO()
    stream.close()
    print_summary(summary(), manifest=None, directory=".", stream=stream)


def test_an_empty_directory_is_no_success_that_nobody_hears_of():
    assert text_of(summary()).startswith(
        "warning: no recordings found; check the mount and the extensions"
    )
    assert "no recordings" not in text_of(summary(already_there=3))


def test_a_run_that_was_stopped_tells_how_much_is_left():
    tally = Tally()
    tally.hear(events.ScanFinished(10, 1000))
    for number in range(7):
        tally.hear(events.Settled(Outcome(f"{number}.wav", Status.UPLOADED, Version(1, 1))))
    stopped = summary(ending=Ending.INTERRUPTED, reason="stopped by SIGINT")
    assert "stopped by SIGINT; 3 recordings left for the next run" in text_of(
        stopped, stats=tally.stats
    )
