"""Possible duplicates on the screen: by cause, with both files, and the commands to decide."""

import pytest
from msgspec.structs import replace
from support.cells import cells
from support.ledger_cases import CONNECTION, stat

from batch_uploader.app.duplicates import DuplicateExample, DuplicateGroup
from batch_uploader.core import events
from batch_uploader.core.identity import BY_A_HUMAN, Cause
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.duplicates import ShownGroup, duplicate_lines
from batch_uploader.ui.stream import ScreenSize, plain_text
from batch_uploader.ui.summary import summary_lines

HELD = [
    cause
    for cause in Cause
    if cause not in {Cause.SAME_CONTENT, Cause.SAME_AUDIO, Cause.CONVERTED} | BY_A_HUMAN
]
COMMAND = "batch-uploader resolve calls --cause"


def record(path, status=Status.POSSIBLE_DUPLICATE, **more):
    return Record(CONNECTION, path, status, stat(), duration=61.0, **more)


def example(held="b.mp3", other="a.wav", **more):
    up = record(other, Status.UPLOADED, talk_id="talk-1", settled_at_ns=1_700_000_000 * 10**9)
    return DuplicateExample(record(held, duplicate_of=other), replace(up, **more))


def group(cause=Cause.MOVED, recordings=1, examples=None):
    return DuplicateGroup(CONNECTION, cause, recordings, 61.0, examples or (example(),))


def text_of(*groups, examples=3):
    held = [ShownGroup(each, f"{COMMAND} {each.cause}") for each in groups]
    return plain_text(duplicate_lines(held, examples))


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")


def test_a_group_shows_both_files_and_how_to_decide():
    assert text_of(group(recordings=3)) == (
        "\n"
        "moved: 3 recordings, 1m 01s of audio\n"
        "  the audio of a file that is gone, but other metadata\n"
        "            length  modified          path\n"
        "  held      1m 01s  2023-11-14 22:13  b.mp3\n"
        "  uploaded  1m 01s  2023-11-14 22:13  a.wav\n"
        "            2023-11-14 22:13 as talk talk-1\n"
        "  and 2 more\n"
        "  the same call: batch-uploader resolve calls --cause moved --duplicate\n"
        "  another call:  batch-uploader resolve calls --cause moved --resend\n"
    )


@pytest.mark.parametrize("cause", HELD)
def test_each_cause_is_told_in_words_that_fit_80_columns(cause):
    lines = text_of(group(cause)).splitlines()
    assert lines[1].startswith(f"{cause}: 1 recording, ")
    assert len(lines[2].strip()) > 20
    assert max(cells(line) for line in lines if COMMAND not in line) < 80


def test_legs_have_no_length_since_they_were_not_opened():
    lines = text_of(replace(group(Cause.LEG), duration=0.0)).splitlines()
    assert lines[1] == "leg: 1 recording"


def test_two_formats_are_cured_by_leaving_one_out():
    assert "--exclude '*.mp3'\n" in text_of(group(Cause.TWO_FORMATS))
    odd = example("x.m*3")
    assert "--exclude '*.m[*]3'\n" in text_of(group(Cause.TWO_FORMATS, examples=(odd,)))


def test_what_a_check_foretells_is_not_to_be_decided_yet():
    to_send = example(talk_id=None, settled_at_ns=None)
    shown = ShownGroup(group(examples=(to_send,)), COMMAND)
    text = plain_text(duplicate_lines([shown], 3, foretold=True))
    assert "  to upload  1m 01s  2023-11-14 22:13  a.wav\n" in text
    assert "  upload holds these, then decide:\n  the same call: " in text


def test_without_room_only_the_commands_are_left():
    lines = text_of(group(recordings=3), examples=0).splitlines()
    assert len(lines) == 5
    assert lines[-1].endswith("--cause moved --resend")


def test_what_is_not_known_is_left_out():
    gone = DuplicateExample(record("b.mp3", duplicate_of="a.wav"), None)
    text = text_of(group(examples=(gone,)))
    assert "a.wav\n" in text
    assert "it is no longer on record" in text
    leg = replace(gone.held, cause=Cause.LEG)
    text = text_of(group(Cause.LEG, examples=(DuplicateExample(leg, None),)))
    assert "it is not on record yet" in text, "its mix is waiting"
    doubt = example(status=Status.IN_DOUBT, talk_id=None, duration=None, stat=Version(1, -1))
    text = text_of(group(examples=(doubt,)))
    assert "  in doubt                            a.wav\n" in text
    assert "as talk" not in text
    far = example(stat=Version(1, 2**62))
    assert "a.wav" in text_of(group(examples=(far,)))


def test_names_and_ids_are_printable():
    odd = example("b\x1b[31m.mp3", "a\n.wav", talk_id="t\x1b")
    text = text_of(group(Cause.TWO_FORMATS, examples=(odd,)))
    assert "\x1b" not in text
    assert "a\\n.wav\n" in text


@pytest.mark.parametrize("height", [10, 16, 24, 50])
@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("causes", [1, 2, len(HELD)])
@pytest.mark.parametrize("others", [0, 1, 30])
def test_a_summary_with_them_fits_a_screen(height, width, causes, others):
    def outcome(number, status):
        return Outcome(f"{number}.wav", status, Version(1, 0), failure=Failure(f"X{number}", "why"))

    possible = [outcome(number, Status.POSSIBLE_DUPLICATE) for number in range(5)]
    bad = [outcome(number, Status.INVALID) for number in range(others)]
    counts = {Status.POSSIBLE_DUPLICATE: 5, Status.INVALID: others}
    summary = Summary(
        Ending.COMPLETED, counts, 0, 0, 0, 0, 0.0, 1.0, (*possible, *bad), converted=3
    )
    groups = [ShownGroup(group(cause, 5), f"{COMMAND} {cause}") for cause in HELD[:causes]]
    lines = plain_text(
        summary_lines(summary, ScreenSize(width, height), None, "calls", held=groups)
    ).splitlines()
    assert "3 converted: the same calls in another format" in lines
    assert sum(max(1, -(-cells(line) // width)) for line in lines) < height
    assert any("batch-uploader status calls" in line for line in lines)
    commands = [line for line in lines if "--duplicate" in line]
    assert len(commands) in {0, causes}
    if height == 50 and causes < len(HELD):
        assert len(commands) == causes
    if height >= 24 and causes == 1:
        assert any("as talk talk-1" in line for line in lines)
    told = 5 if commands else 0
    rows = [line for line in lines if line.startswith(("invalid ", "possible duplicate  "))]
    rows = [line for line in rows if ".wav" in line]
    more = [int(line.split()[2]) for line in lines if line.startswith("hint: and ")]
    alike = sum(4 for line in rows if "like it" in line)
    assert told + len(rows) + alike + sum(more) == 5 + others or not rows + commands


def test_only_duplicates_in_another_format_are_counted_as_converted():
    stats = RunStats()
    for cause in Cause:
        for status in (Status.DUPLICATE, Status.POSSIBLE_DUPLICATE, Status.FAILED):
            stats.hear(events.Settled(Outcome("a", status, Version(1, 0), cause=cause)))
    assert stats.converted == stats.summary(Ending.COMPLETED, None, 1.0).converted == 1
