"""The live display at 80 and 160 columns, by a fixed clock."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.cells import cells

from batch_uploader.core import events
from batch_uploader.core.model import Failure, Outcome, Version
from batch_uploader.core.states import Status
from batch_uploader.ui.frame import ASCII, MOST_TRANSFERS, frame, glyphs_for, percent
from batch_uploader.ui.stream import ScreenSize, plain_text
from batch_uploader.ui.tally import Tally

MIB = 1 << 20


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def outcome(path, status, size=3 * MIB, code=None):
    failure = Failure(code, "mend it") if code else None
    return Outcome(path, status, Version(size, 0), failure=failure, duration=900.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tally(clock):
    """A run of 1,000 recordings, ten seconds old, with four in flight, one of them waiting."""
    tally = Tally(clock)
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(events.FolderPlanned("", 1000, 1000 * 3 * MIB, 1204, 3))
    for number in range(20):
        clock.now += 0.5
        path = f"{number}.wav"
        tally.hear(events.UploadStarted(path, 3 * MIB))
        tally.hear(events.BytesSent(path, 3 * MIB))
        tally.hear(events.Settled(outcome(path, Status.UPLOADED)))
    tally.hear(events.ProblemFound(outcome("o.json", Status.INVALID, code="orphan")))
    tally.hear(events.CarriedOver(outcome("d.wav", Status.IN_DOUBT, code="CANCELLED")))
    for path in ("2025/x[/y].wav", "[bold]\x1b[31m.wav", "通話/" * 30 + "対応.wav", "d/retry.wav"):
        tally.hear(events.UploadStarted(path, 3 * MIB))
        tally.hear(events.BytesSent(path, MIB))
    retry = events.AttemptEnded("d/retry.wav", 1, "c", None, "UNAVAILABLE", "", MIB, 1.0, 4.0)
    tally.hear(retry)
    return tally


def shown(tally, width, height=24, glyphs=None):
    lines = frame(tally, ScreenSize(width, height), [], *([glyphs] if glyphs else []))
    return plain_text(lines)


def test_at_80_columns(tally):
    tally.hear(events.ScanFinished(1, 100))
    assert shown(tally, 80) == (
        "━╸────────────────────────────────────────────────────────    2 %   7m 46s left\n"
        "63M of 2.9G   20 of 1,000 files   6.4M/s   2 files/s   5.0h of audio\n"
        "uploaded 20   already there 1,204   waiting 3\n"
        "invalid 1   failed 0   in doubt 1\n"
        "\n"
        "━━━╸──────   33 %      3M  2025/x[/y].wav\n"
        "━━━╸──────   33 %      3M  [bold]\\x1b[31m.wav\n"
        "━━━╸──────   33 %      3M  通話/通話/通話/通…/通話/通話/通話/通話/通話/対応.wav\n"
        "try 2 in 4s            3M  d/retry.wav  UNAVAILABLE\n"
    )


def test_at_160_columns_and_still_counting(tally):
    lines = shown(tally, 160).splitlines()
    assert lines[0].endswith("─  still counting")
    assert lines[1] == (
        "63M of 2.9G   20 of 1,000 files   6.4M/s   2 files/s   5.0h of audio   running for 10s"
    )
    assert lines[2] == (
        "uploaded 20   already there 1,204   waiting 3   invalid 1   failed 0   in doubt 1"
    )
    assert lines[4] == "━━━━━━╸─────────────   33 %      3M  2025/x[/y].wav"
    assert lines[6].endswith("対応.wav")
    assert max(map(cells, lines)) <= 160


def test_rare_counts_show_when_there_are_any(tally):
    assert "rejected" not in shown(tally, 80)
    tally.hear(events.Settled(outcome("r.wav", Status.REJECTED, code="NOT_FOUND")))
    tally.hear(events.Settled(outcome("s.wav", Status.DUPLICATE)))
    assert "waiting 3   duplicate 1\n" in shown(tally, 80)
    assert "in doubt 1   rejected 1\n" in shown(tally, 80)


def test_a_pause_and_a_stop_are_seen(tally, clock):
    tally.hear(events.Paused(12, "too many\nrequests"))
    tally.hear(events.Draining("interrupted"))
    text = shown(tally, 80)
    assert "\npaused 12s: too many requests\n" in text
    assert "\nstopping: finishing 4 uploads, Ctrl-C again stops now (interrupted)\n" in text
    clock.now += 12
    assert "paused" not in shown(tally, 80)


def test_the_cure_of_a_pause_is_on_the_screen_if_it_is_high_enough(tally):
    said = "failed to connect to all addresses; last error: UNKNOWN: Connection refused (111)"
    cure = "check the endpoint and the network"
    tally.hear(events.Paused(12, f'10.0.0.1:443 cannot be reached ("{said}"); {cure}'))
    lines = shown(tally, 80).splitlines()
    assert cure in " ".join(lines)
    assert max(map(cells, lines)) <= 80
    assert cure not in shown(tally, 80, 12)
    assert "paused 12s: 10.0.0.1:443 cannot be reached" in shown(tally, 80, 12)


def test_waiting_for_doubts_is_no_pause_that_the_service_asked_for(tally, clock):
    tally.hear(events.DoubtsWaiting(90, 2))
    text = shown(tally, 80)
    assert "\n2 recordings in doubt: searching again in 1m 30s\n" in text
    tally.hear(events.Paused(300, "busy"))
    assert "paused 5m" in shown(tally, 80)
    assert ": busy\n" in shown(tally, 80)
    clock.now += 300
    assert "asked for it" not in shown(tally, 80)


@example([], "\u0e5c\u4dc0\U00018d09", 17, 24)
@given(
    names=st.lists(st.text(st.characters(categories=None), max_size=300), max_size=20),
    reason=st.text(max_size=300),
    width=st.integers(1, 200),
    height=st.integers(1, 60),
)
def test_no_name_and_no_room_breaks_the_layout(names, reason, width, height):
    """Faults 39, 63, 64."""
    tally = Tally(Clock())
    tally.hear(events.FolderPlanned("", 20, 10**15, 10**9, 10**9))
    for number, name in enumerate(names):
        tally.hear(events.UploadStarted(name, 10**14))
        tally.hear(events.BytesSent(name, 10 ** (number % 15)))
        if number % 3 == 0:
            failed = events.AttemptEnded(name, 99, "c", None, reason[:20], reason, 0, 1.0, 9999.0)
            tally.hear(failed)
    tally.hear(events.Paused(99_999, reason))
    tally.hear(events.Draining(reason))
    text = shown(tally, width, height)
    lines = text.split("\n")[:-1]
    assert 1 <= len(lines) <= max(1, height - 1)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).isprintable()


def test_transfers_keep_their_lines_and_the_others_are_a_number():
    tally = Tally(Clock())
    slots = []
    paths = [f"{number:02}.wav" for number in range(20)]
    for path in paths:
        tally.hear(events.UploadStarted(path, 100))
    assert plain_text(frame(tally, ScreenSize(80, 50), slots)).endswith("\nand 8 more in flight\n")
    assert slots == paths[:MOST_TRANSFERS]
    tally.hear(events.Settled(outcome("03.wav", Status.UPLOADED)))
    frame(tally, ScreenSize(80, 50), slots)
    assert slots == [*paths[:3], paths[12], *paths[4:12]]
    for path in paths[5:]:
        tally.hear(events.ReturnedUnsent(path, 100))
    text = plain_text(frame(tally, ScreenSize(80, 50), slots))
    assert slots == ["00.wav", "01.wav", "02.wav", "04.wav"]
    assert "more in flight" not in text


def test_a_screen_that_knows_no_lines_gets_ascii(tally):
    assert glyphs_for("cp437") is ASCII
    assert glyphs_for("no such encoding") is ASCII
    first = shown(tally, 80, glyphs=glyphs_for("ascii")).splitlines()[0]
    assert first == "#" * 2 + "-" * 56 + "  still counting"


def test_a_hundred_percent_means_all():
    assert percent(999_999, 1_000_000) == 99
    assert percent(10, 10) == 100
    assert percent(11, 10) == 100
    assert percent(0, 0) == 100
