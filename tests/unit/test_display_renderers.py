"""The three renderers: what they print and how often; no reader ever reaches the run."""

import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from rich.console import Console

from batch_uploader.core import events
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.states import Status
from batch_uploader.ui.explain import announce, explain
from batch_uploader.ui.jsonlines import JsonView
from batch_uploader.ui.plain import PlainView
from batch_uploader.ui.progress import Progress, make_renderer
from batch_uploader.ui.renderer import MOST_QUEUED, Renderer
from batch_uploader.ui.stream import SafeStream, ScreenSize, can_draw, screen_size
from batch_uploader.ui.tally import Tally
from batch_uploader.ui.terminal import picture

SUMMARY = Summary(Ending.COMPLETED, {Status.UPLOADED: 1}, 0, 0, 0, 100, 1.0, 1.0, ())
RUN = [
    events.RunStarted("run-1", "/data/x[/y]"),
    events.FolderPlanned("", 1, 100, 2, 0),
    events.Decided("[bold]a.wav", "upload", "it is new"),
    events.ScanFinished(1, 100),
    events.UploadStarted("[bold]a.wav", 100),
    events.BytesSent("[bold]a.wav", 40),
    events.AttemptEnded("[bold]a.wav", 1, "c1", "q1", "UNAVAILABLE", "no\nanswer", 40, 1.5, 2.0),
    events.BytesSent("[bold]a.wav", 100),
    events.AttemptEnded("[bold]a.wav", 2, "c2", "q2", "OK", "", 100, 0.5, None),
    events.Settled(Outcome("[bold]a.wav", Status.UPLOADED, Version(100, 0), 2, "talk-1")),
    events.RunFinished(SUMMARY),
]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def play(progress, *, explain_decisions=False, events=RUN):
    err, out = io.StringIO(), io.StringIO()
    with make_renderer(
        progress, explain_decisions=explain_decisions, stderr=err, stdout=out
    ) as listener:
        for event in events:
            listener(event)
    return err.getvalue(), out.getvalue()


# Plain


def test_plain_says_where_it_starts_and_where_it_ended():
    err, out = play(Progress.PLAIN)
    lines = err.splitlines()
    assert lines[0] == "uploading /data/x[/y]"
    assert lines[-1] == "100 %: 100 of 100, 1 of 1 files, 140/s; uploaded 1, already there 2"
    assert len(lines) == 2
    assert out == ""


def test_plain_speaks_at_most_once_a_second_and_less_as_it_grows_old():
    """Fault 75."""
    clock, stream = Clock(), io.StringIO()
    view, tally = PlainView(SafeStream(stream), announce), Tally(clock)
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(events.FolderPlanned("", 10**6, 10**9, 0, 0))
    told = []
    for tick in range(5 * 3600):
        clock.now = 1000 + tick / 5
        tally.hear(events.AlreadyThere(f"{tick}", 1000, outdated=False))
        before = len(stream.getvalue())
        view.prepare(tally)
        view.draw((), 0)
        if len(stream.getvalue()) > before:
            told.append(tick / 5)
    assert told[0] == 0
    assert min(b - a for a, b in itertools.pairwise(told)) >= 1
    assert len([at for at in told if at < 60]) == 60
    assert len(told) == 60 + 54 + 50


def test_plain_repeats_nothing_and_tells_of_a_pause_at_once():
    clock, stream = Clock(), io.StringIO()
    view, tally = PlainView(SafeStream(stream), announce), Tally(clock)
    tally.hear(events.RunStarted("r", "/calls"))
    for _ in range(100):
        view.prepare(tally)
        view.draw((), 0)
        clock.now += 1
    assert len(stream.getvalue().splitlines()) == 2
    tally.hear(events.Paused(12, "busy"))
    view.prepare(tally)
    view.draw((), 0)
    assert "paused 12s: busy; still counting" in stream.getvalue()


@pytest.fixture
def plain():
    """A run on plain lines: what happens each fifth of a second, and the lines of it."""
    clock, stream = Clock(), io.StringIO()
    view, tally = PlainView(SafeStream(stream), announce), Tally(clock)
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(events.FolderPlanned("", 5000, 10**9, 0, 0))
    tally.hear(events.ScanFinished(5000, 10**9))
    view.prepare(tally)
    view.draw((), 0)
    clock.now += 1

    def run(seconds, happens):
        before = len(stream.getvalue().splitlines())
        for tick in range(seconds * 5):
            happens(tick / 5)
            view.prepare(tally)
            view.draw((), 0)
            clock.now += 0.2
        return stream.getvalue().splitlines()[before:]

    return run, tally


def settled(number):
    return events.Settled(Outcome(f"{number}", Status.UPLOADED, Version(100, 0)))


def test_plain_tells_of_an_outage_once_and_of_its_end_once(plain):
    """Fault 27: each probe is followed by a pause, twice as long as the one before."""
    run, tally = plain
    due, pause = 0.0, 0.1

    def probe(now):
        nonlocal due, pause
        if now >= due:
            tally.hear(events.Paused(pause, f"10.0.0.1:443 cannot be reached (try {now})"))
            due, pause = now + pause + 0.7, min(60, 2 * pause)

    lines = run(1800, probe)
    assert len(lines) == 1, lines
    assert lines[0].startswith("paused: 10.0.0.1:443 cannot be reached (try 0.0); ")
    lines = run(90, lambda now: tally.hear(settled(now)) if now == 61 else None)
    assert len([line for line in lines if line.startswith("going on; ")]) == 1
    assert not [line for line in lines if "paused" in line]
    assert run(1, lambda now: tally.hear(events.Paused(1800, "it asks for it")))[0].startswith(
        "paused 30m: it asks for it; "
    )


def test_plain_tells_the_progress_of_a_run_that_is_slowed_down(plain):
    """Many short pauses are one, in which the recordings go on."""
    run, tally = plain

    def throttled(now):
        if round(now * 5) % 2:
            tally.hear(settled(now))
        else:
            tally.hear(events.Paused(0.2, "busy"))

    lines = run(300, throttled)
    assert 50 < len(lines) < 90, "as many as without a pause"
    assert len([line for line in lines if "paused" in line]) == 1
    assert not [line for line in lines if "going on" in line]


def test_plain_tells_once_a_minute_that_it_waits_for_doubts():
    """Fault 75: a night of waiting is no thousand lines, each a second less."""
    clock, stream = Clock(), io.StringIO()
    view, tally = PlainView(SafeStream(stream), announce), Tally(clock)
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(events.ScanFinished(0, 0))
    view.prepare(tally)
    pause = 0.5
    for _ in range(10):
        tally.hear(events.DoubtsWaiting(pause, 3))
        until = clock.now + pause
        while clock.now < until + 0.5:
            view.prepare(tally)
            view.draw((), 0)
            clock.now += 0.5
        pause = min(60, 2 * pause)
    lines = stream.getvalue().splitlines()
    assert "3 recordings in doubt: searching again in 1s" in lines[1]
    assert 4 <= len(lines) <= 2 + tally.elapsed / 60


def test_plain_tells_of_a_stop():
    err, _ = play(Progress.PLAIN, events=[*RUN[:5], events.Draining("interrupted")])
    assert "stopping: finishing 1 upload (interrupted); 0 %: " in err


def test_plain_counts_no_progress_where_there_is_none():
    bad = Outcome("x.wav", Status.INVALID, Version(1, 0), failure=Failure("empty", "it is empty"))
    err, _ = play(
        Progress.PLAIN, events=[RUN[0], events.ProblemFound(bad), events.ScanFinished(0, 0)]
    )
    assert err.splitlines()[-1] == "nothing to send; invalid 1"
    refused = [*RUN[:6], events.Draining("refused"), events.ReturnedUnsent("[bold]a.wav", 100)]
    err, _ = play(Progress.PLAIN, events=refused)
    assert "/s" not in err.splitlines()[-1]


# JSON


def test_json_tells_every_event_in_order_and_no_chunk():
    err, out = play(Progress.JSON)
    told = [json.loads(line) for line in out.splitlines()]
    assert [each["event"] for each in told] == [
        "run_started",
        "folder_planned",
        "scan_finished",
        "upload_started",
        "attempt_ended",
        "attempt_ended",
        "settled",
        "run_finished",
    ]
    assert told[4]["message"] == "no\nanswer"
    assert told[6]["talk_id"] == "talk-1"
    assert err == ""


def test_json_explains_on_stdout():
    err, out = play(Progress.JSON, explain_decisions=True)
    (decided,) = [line for line in map(json.loads, out.splitlines()) if line["event"] == "decided"]
    assert decided["reason"] == "it is new"
    assert err == ""


def test_json_tells_the_numbers_once_a_second():
    clock, stream = Clock(), io.StringIO()
    now = datetime(2025, 1, 1, tzinfo=UTC)
    view, tally = JsonView(SafeStream(stream), now=lambda: now), Tally(clock)
    tally.hear(RUN[0])
    tally.hear(RUN[1])
    for _ in range(50):
        clock.now += 0.2
        view.prepare(tally)
        view.draw((), 0)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert 9 <= len(told) <= 10
    assert {each["event"] for each in told} == {"progress"}
    assert told[0]["time"] == "2025-01-01T00:00:00.000Z"
    assert told[0]["total_bytes"] == 100
    assert told[0]["eta"] is None


def test_json_survives_any_name_and_number():
    """Faults 39, 64."""
    name = "\udcff\u2028\x1b]0;x\x07\n.wav"
    odd = [
        events.UploadStarted(name, 1),
        events.AttemptEnded(name, 1, "c", None, "X", name, 0, float("nan"), float("inf")),
        events.Settled(Outcome(name, Status.FAILED, Version(1, 0), failure=Failure("X", name))),
    ]
    _, out = play(Progress.JSON, events=odd)
    told = [json.loads(line) for line in out.splitlines()]
    assert [each["path"] for each in told] == [name] * 3
    assert told[1]["retry_in"] is None
    assert out.isascii()


# -v


def test_a_folder_of_many_files_is_explained_to_the_last_one():
    def decisions():
        return (events.Decided(f"{number}.wav", "skip", "it is up") for number in range(30_000))

    err, _ = play(Progress.NONE, explain_decisions=True, events=decisions())
    assert err.count("\n") == 30_000
    assert err.endswith("skip 29999.wav: it is up\n")


def test_explanations_are_sentences_on_stderr():
    for progress in (Progress.NONE, Progress.PLAIN):
        err, out = play(progress, explain_decisions=True)
        assert "upload [bold]a.wav: it is new\n" in err
        assert (
            "attempt 1 at [bold]a.wav ended after 1.5s: UNAVAILABLE, no answer; again in 2s\n"
        ) in err
        assert "OK" not in err
        assert out == ""


def test_nobody_is_told_who_did_not_ask():
    assert play(Progress.NONE) == ("", "")


def test_names_in_explanations_are_harmless():
    """Faults 63, 64."""
    line = explain(events.Decided("x[/y]\x1b[2J\r\n.wav", "skip", "a\nb"))
    assert line == "skip x[/y]\\x1b[2J\\r\\n.wav: a b"
    assert explain(events.ReturnedUnsent("a", 1)) == "left for the next run a"


def test_something_can_be_said_above_the_display():
    err = io.StringIO()
    with make_renderer(Progress.PLAIN, stderr=err) as listener:
        listener.say("warning: the log file is full")
    assert err.getvalue() == "warning: the log file is full\n"


# The terminal


def on_a_terminal(code, **environment):
    """Run code under a terminal of 80 by 24 on stderr; what the terminal was sent."""
    pty = pytest.importorskip("pty", reason="there are no pseudo terminals here")
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment}
    env.pop("CI", None)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=env)
    os.close(theirs)
    sent = b""
    try:
        while piece := os.read(ours, 65536):
            sent += piece
    except OSError:  # Linux says EIO when the other side is gone
        pass
    os.close(ours)
    assert process.wait(30) == 0
    return sent.decode()


LIVE = """
import time
from batch_uploader.core import events as e
from batch_uploader.ui.progress import *
with make_renderer(Progress.AUTO, explain_decisions=True) as listener:
    listener(e.RunStarted("r", "/calls"))
    listener(e.FolderPlanned("", 2, 200, 0, 0))
    listener(e.UploadStarted("x[/y]\\x1b[31m.wav", 100))
    listener(e.BytesSent("x[/y]\\x1b[31m.wav", 50))
    listener(e.Decided("[bold]b.wav", "upload", "it is new"))
    listener(e.Paused(9, "busy"))
    time.sleep(0.6)
"""


def test_a_terminal_is_drawn_on_and_left_as_it_was_found():
    """Faults 63, 64."""
    sent = on_a_terminal(LIVE)
    assert "x[/y]\\x1b[31m.wav" in sent
    assert "upload [bold]b.wav: it is new\r\n" in sent
    assert "\x1b[36m" in sent, "the bar has its colour"
    assert "\x1b[31m" not in sent
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l"), "the cursor is back"
    assert "\x1b[2K" in sent[sent.rindex("\x1b[?25h") :], "the frame is gone"


def test_no_color_means_no_colour():
    sent = on_a_terminal(LIVE, NO_COLOR="1")
    assert "x[/y]\\x1b[31m.wav" in sent
    colours = [code for code in sent.split("\x1b[")[1:] if code[:2] in {"31", "33", "36", "32"}]
    assert colours == []


def test_a_dumb_terminal_gets_plain_lines():
    """Fault 75."""
    sent = on_a_terminal(LIVE, TERM="dumb")
    assert "uploading /calls\r\n" in sent
    assert "\x1b" not in sent


def test_a_console_that_records_gives_a_picture():
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    with make_renderer(Progress.AUTO, console=console) as listener:
        for event in RUN[:6]:
            listener(event)
    assert "[bold]a.wav" in console.export_text(clear=False)
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(picture(listener.tally, ScreenSize(80, 24)))
    assert "[bold]a.wav" in console.export_svg(title="upload")


def test_rich_is_not_imported_where_nothing_is_drawn():
    code = """
import io, sys
from batch_uploader.ui.progress import *
from batch_uploader.ui.summary import print_summary
from batch_uploader.core.model import *
for progress in (Progress.AUTO, Progress.PLAIN, Progress.JSON, Progress.NONE):
    with make_renderer(progress, stderr=io.StringIO(), stdout=io.StringIO()):
        pass
summary = Summary(Ending.COMPLETED, {}, 0, 0, 0, 0, 0.0, 1.0, ())
print_summary(summary, manifest=None, directory=".", stream=io.StringIO())
sys.exit("rich" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Readers that are gone, or asleep


@pytest.mark.parametrize("progress", [Progress.PLAIN, Progress.JSON, Progress.NONE])
def test_a_reader_that_went_away_does_not_end_the_run(progress):
    """Fault 73."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as stream:
        with make_renderer(
            progress, explain_decisions=True, stderr=stream, stdout=stream
        ) as listener:
            for _ in range(3):
                for event in RUN:
                    listener(event)
                time.sleep(0.25)
        assert listener.tally.stats.counts[Status.UPLOADED] == 3


def test_no_stream_at_all_is_fine(monkeypatch):
    """Fault 73."""
    monkeypatch.setattr(sys, "stderr", None)
    with make_renderer(Progress.AUTO) as listener:
        for event in RUN:
            listener(event)
    assert listener.tally.stats.done == 1


def test_a_reader_that_sleeps_holds_nobody_up(monkeypatch):
    """Fault 73: more is said than a pipe holds, and nobody reads it."""
    monkeypatch.setattr("batch_uploader.ui.stream.PATIENCE", 0.3)
    ours, theirs = os.pipe()
    stream = os.fdopen(theirs, "w")
    listener = make_renderer(Progress.JSON, stdout=stream)
    started = time.monotonic()
    with listener:
        for _ in range(2 * MOST_QUEUED):
            listener(events.ReturnedUnsent("x" * 100, 1))
        assert time.monotonic() - started < 20
        assert listener.tally.stats.returned_unsent == 2 * MOST_QUEUED
    assert time.monotonic() - started < 25
    # The thread that is stuck ends when its reader does.
    os.close(ours)
    for thread in threading.enumerate():
        if thread.name == "display":
            thread.join(10)
    stream.close()


def test_a_slow_reader_gets_everything_that_was_kept_and_is_told_of_the_rest():
    class Gate(io.StringIO):
        opened = threading.Event()

        def write(self, text):
            self.opened.wait(30)
            return super().write(text)

    stream = Gate()
    listener = Renderer(JsonView(SafeStream(stream)))
    with listener:
        listener(RUN[0])
        time.sleep(0.5)  # the first line holds the thread up from here on
        for number in range(MOST_QUEUED + 7):
            listener(events.ReturnedUnsent(f"{number}", 1))
        stream.opened.set()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["path"] for each in told if each["event"] == "returned_unsent"] == [
        str(number) for number in range(MOST_QUEUED)
    ]
    assert [each["lines"] for each in told if each["event"] == "lines_dropped"] == [7]


def test_a_stream_writes_what_its_encoding_lacks_as_escapes():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1251")
    SafeStream(stream).write("звонок 通")
    assert raw.getvalue() == "звонок ".encode("cp1251") + b"\\u901a"


def test_the_size_of_no_terminal_is_80_by_24(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    assert screen_size(io.StringIO()) == (80, 24)
    assert screen_size(None) == (80, 24)
    monkeypatch.setenv("COLUMNS", "132")
    assert screen_size(None) == (132, 24)
    assert not can_draw(None)


@pytest.mark.parametrize(
    ("status", "talk_id", "code", "said"),
    [
        (Status.UPLOADED, "talk-7", None, "found d/a.wav: it is uploaded as talk talk-7"),
        (Status.FAILED, None, "ABSENT", "searched for d/a.wav, failed: mend it"),
        (Status.IN_DOUBT, None, "HELD", "searched for d/a.wav, in doubt: mend it"),
    ],
)
def test_what_a_search_brought_is_explained(status, talk_id, code, said):
    failure = Failure(code, "mend it") if code else None
    outcome = Outcome("d/a.wav", status, Version(1, 0), talk_id=talk_id, failure=failure)
    assert explain(events.Reconciled(outcome, None)) == said
