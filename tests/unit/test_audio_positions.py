"""Ogg Opus with wrong times, without an end, with several streams, and what the cures make."""

import pytest
from support import audio_makers as make
from support import ogg_pages as ogg
from support.cures import follow, needs_ffmpeg, probed

from batch_uploader.prepare.audio import AudioRules, EndMark, probe

SECOND = 48_000
DAY = 86_400
CALL = make.opus(10.0)
LAST = len(ogg.pages(CALL)) - 3


@pytest.fixture(scope="module")
def hours():
    """Five quarters of an hour of silence: pages of 50 packets."""
    head = b"".join(ogg.pages(CALL)[:2])
    packet, lacing = b"\xf8\xff\xfe", bytes([3]) * 50
    serial = int.from_bytes(head[14:18], "little")
    body = [
        make.page(
            packet * 50,
            position=312 + number * SECOND,
            number=number + 1,
            lacing=lacing,
            serial=serial,
        )
        for number in range(1, 4500)
    ]
    end = make.page(packet, flags=4, position=312 + 4500 * SECOND, serial=serial)
    return head + b"".join(body) + end


def jumping(at, by, data=CALL):
    return ogg.with_positions(data, lambda n, now: now + (by * SECOND if n >= at else 0))


@pytest.mark.parametrize("at", [1, 3, LAST - 1, LAST])
@pytest.mark.parametrize("by", [DAY, 7200, 365 * DAY])
@needs_ffmpeg
def test_a_jump_of_the_positions_is_called_so_and_makes_no_call_of_a_day(at, by, tmp_path):
    data = jumping(at, by)
    defect = probed(data)
    assert defect.kind == "damaged"
    where = len(b"".join(ogg.pages(data)[: 2 + at]))
    said = {DAY: "1d", 7200: "2h", 365 * DAY: "365d"}[by]
    assert f"jump by {said} at byte {where:,}" in defect.message
    assert "split it" not in defect.cure
    fixed = follow(tmp_path, data, name="call.ogg")
    assert ogg.packets(fixed) == ogg.packets(CALL)
    assert probed(fixed).duration == pytest.approx(10.0, abs=0.05)


@pytest.mark.parametrize("by", [1, 60, 3000])
def test_a_gap_as_a_recorder_leaves_in_a_pause_is_no_jump(by):
    assert probed(jumping(3, by)).duration == pytest.approx(10 + by)


def test_a_call_that_is_long_is_not_one_that_jumps(hours):
    assert probed(hours, rules=AudioRules(max_duration=3600)).kind == "too-long"
    handle = make.Handle(hours)
    assert probe(handle, "a.ogg", handle.size, AudioRules()).duration == pytest.approx(
        4500, abs=0.01
    )
    assert handle.reads < 100


@pytest.mark.parametrize("at", [1, 2000, 4400])
def test_a_jump_is_found_in_a_long_call(at, hours):
    data = ogg.with_positions(hours, lambda n, now: now + (DAY * SECOND if n >= at else 0))
    assert "jump by 1d at byte" in probed(data).message


@pytest.mark.parametrize(
    "positions",
    [lambda n, now: 0, lambda n, now: now if n < LAST else 0, lambda n, now: 312 - n],
    ids=["all zero", "back at the end", "backwards"],
)
@needs_ffmpeg
def test_positions_that_do_not_advance_are_not_an_empty_file(positions, tmp_path):
    data = ogg.with_positions(CALL, positions)
    defect = probed(data)
    assert (defect.kind, "do not advance" in defect.message) == ("damaged", True)
    fixed = follow(tmp_path, data, name="call.ogg")
    assert ogg.packets(fixed) == ogg.packets(CALL)
    assert probed(fixed).duration == pytest.approx(10.0, abs=0.02)


@needs_ffmpeg
def test_the_end_mark_is_written_without_touching_a_packet(tmp_path):
    data = ogg.without_end_mark(CALL)
    defect = probed(data)
    assert (defect.kind, "may be complete" in defect.message) == ("no-end-mark", True)
    assert "it may still be being written" in defect.cure
    fixed = follow(tmp_path, data, name="call.ogg")
    assert ogg.packets(fixed) == ogg.packets(CALL)
    assert probed(fixed).shows_end


@pytest.mark.parametrize("lost", [1, 20, 500, 3000])
@pytest.mark.parametrize("end", EndMark)
@needs_ffmpeg
def test_what_is_cut_in_a_page_is_cut_whatever_the_recorder(lost, end, tmp_path):
    data = ogg.without_end_mark(CALL)[:-lost]
    rules = AudioRules(ogg_end=end)
    defect = probed(data, rules=rules)
    assert (defect.kind, defect.may_grow) == ("truncated", True)
    kept = ogg.packets(follow(tmp_path, data, rules, name="call.ogg"))
    assert kept == ogg.packets(CALL)[: len(kept)]
    assert len(kept) > len(ogg.packets(CALL)) - 51


@needs_ffmpeg
def test_streams_side_by_side_are_mixed_to_the_longer_ones_end(tmp_path):
    data = ogg.side_by_side(make.opus(1.0), make.opus(3.0))
    defect = probed(data)
    assert (defect.kind, "2 streams side by side" in defect.message) == ("several-streams", True)
    fixed = follow(tmp_path, data, name="call.ogg")
    assert probed(fixed).duration == pytest.approx(3.0, abs=0.05)


@needs_ffmpeg
def test_streams_one_after_the_other_are_joined(tmp_path):
    fixed = follow(tmp_path, make.opus(1.0) + make.opus(2.0), name="call.ogg")
    assert probed(fixed).duration == pytest.approx(3.0, abs=0.05)
