"""Ogg: faults 46 and 49, several streams, and how long it is."""

import io
import re

import pytest
import soundfile
from support import audio_makers as make

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio import AudioRules, EndMark, probe

SECOND = 48_000


def look(data, rules=None):
    return probe(io.BytesIO(data), "call.ogg", len(data), rules or AudioRules())


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.1, 1.0, 7.3])
def test_it_agrees_with_libsndfile(rate, channels, seconds):
    data = make.opus(seconds, rate, channels)
    info = look(data)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert info.channels == file.channels == channels
        assert info.duration == pytest.approx(file.frames / file.samplerate, abs=0.001)
    assert (info.container, info.sample_rate) == (Container.OGG_OPUS, SECOND)


def test_the_length_is_the_last_position_without_the_pre_skip():
    assert look(make.opus_pages(960, 312 + 3 * SECOND)) == AudioInfo(
        Container.OGG_OPUS, 1, SECOND, 3.0
    )


def test_a_stream_that_was_joined_in_the_middle_begins_where_it_begins():
    hour = 3600 * SECOND
    assert look(make.opus_pages(hour + 960, hour + 312 + SECOND)).duration == 1.0


def test_a_last_page_without_a_position_leaves_it_to_the_one_before():
    assert look(make.opus_pages(960, 312 + SECOND, -1)).duration == 1.0


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (b"\x00", 480),
        (b"\x18", 2880),
        (b"\x60", 480),
        (b"\x80", 120),
        (b"\xf9", 1920),
        (b"\xfb\x03", 2880),
        (b"\xfb", 0),
        (b"", 0),
    ],
)
def test_packets_tell_how_long_they_play(packet, samples):
    start = 10 * SECOND
    head = make.opus_pages()
    data = head + make.page(packet, position=start + samples)
    data += make.page(b"\x08", flags=4, position=start + 312 + SECOND)
    assert look(data).duration == 1.0


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (make.encoded("OGG", "VORBIS"), "Vorbis"),
        (make.page(b"Speex   " + bytes(72), flags=2), "Speex"),
        (make.page(b"\x7fFLAC" + bytes(72), flags=2), "FLAC"),
        (make.page(b"something", flags=2), "an unknown codec"),
        (make.page(b"", flags=2), "an unknown codec"),
    ],
)
def test_fault_46_another_codec_is_named_with_its_cure(data, name):
    defect = look(data)
    assert (defect.kind, f"contains {name}" in defect.message) == ("codec", True)
    assert "`ffmpeg -y -i call.ogg -c:a pcm_s16le -f wav call.ogg.new && " in defect.cure


def test_fault_49_an_ogg_that_is_cut_off_anywhere():
    data = make.opus(2.0)
    pages = {match.start() for match in re.finditer(b"OggS", data)} - {0}
    kinds = {length: look(data[:length]).kind for length in range(47, len(data))}
    between = {length for length, kind in kinds.items() if kind == "no-end-mark"}
    # Behind the two headers there is no audio.
    assert between == set(sorted(pages)[2:]) != set()
    assert {kinds[length] for length in kinds if length not in between} == {"truncated"}


def test_fault_49_a_last_page_that_is_not_marked_as_the_last():
    data = make.opus_pages(960, SECOND, 2 * SECOND)
    whole_pages = data[: data.rindex(b"OggS")]
    defect = look(whole_pages)
    assert (defect.kind, "-c copy -f ogg call.ogg.new" in defect.cure) == ("no-end-mark", True)
    assert "may be complete" in defect.message
    assert "--ogg-end optional" in defect.cure
    taken = look(whole_pages, AudioRules(ogg_end=EndMark.OPTIONAL))
    assert (taken.duration, taken.shows_end) == (pytest.approx((SECOND - 312) / SECOND), False)


@pytest.mark.parametrize("rules", [AudioRules(), AudioRules(ogg_end=EndMark.OPTIONAL)])
def test_fault_49_without_an_end_mark_and_cut_in_a_page(rules):
    data = make.opus_pages(960, SECOND, 2 * SECOND)
    assert look(data[:-5], rules).kind == "truncated"
    assert look(data, rules).shows_end


def test_fault_49_a_long_file_that_is_cut_off():
    big = make.page(bytes(60_000), position=SECOND, lacing=b"\xff" * 235 + b"\x4b")
    data = make.opus_pages() + make.page(b"\x08", position=960) + big * 5
    assert look(data[:-30_000]).kind == "truncated"
    assert look(data).kind == "no-end-mark"


def test_headers_alone_are_no_recording():
    assert look(make.opus_pages()).kind == "truncated"
    head = make.page(make.opus_head(), flags=2)
    assert look(head + make.page(b"OpusTags", flags=4)).kind == "empty"
    assert look(make.opus_pages(312)).kind == "empty"


def test_megabytes_of_pictures_in_the_comment_are_already_there():
    full = make.page(bytes(65_025), lacing=b"\xff" * 255)
    head = make.page(make.opus_head(), flags=2) + full * 120 + make.page(b"end")
    data = head + make.page(b"\x08", position=960) + make.page(b"\x08", flags=4, position=24_312)
    handle = make.Handle(data)
    assert probe(handle, "a.ogg", len(data), AudioRules()).duration == 0.5
    assert handle.nbytes < 1_000_000 < len(data)


def test_streams_one_after_the_other():
    chained = make.opus_pages(960, SECOND) + make.opus_pages(960, SECOND, serial=2)
    assert look(chained).kind == "several-streams"
    assert look(make.opus(1.0) + make.opus(1.0)).kind == "several-streams"


def test_streams_side_by_side():
    heads = [make.page(make.opus_head(), flags=2, serial=serial) for serial in (1, 2)]
    assert look(b"".join(heads) + make.opus_pages(960)).kind == "several-streams"


def test_letters_that_look_like_a_page_are_not_one():
    packet = b"\x08" + bytes(20) + b"OggS" + bytes(80)
    data = make.opus_pages() + make.page(b"\x08", position=960)
    assert look(data + make.page(packet, flags=4, position=312 + SECOND)).duration == 1.0


def test_a_little_padding_behind_the_last_page_is_fine():
    assert look(make.opus_pages(960, 312 + SECOND) + bytes(2000)).duration == 1.0


@pytest.mark.parametrize(
    "data",
    [
        b"OggS" + b"\x01" + bytes(60),
        make.page(make.opus_head(0), flags=2) + bytes(60),
        make.page(b"OpusHead" + bytes(4), flags=2) + bytes(60),
        make.page(make.opus_head(), flags=2) + b"x" * 500,
        make.page(make.opus_head(), flags=2) + make.page(bytes(255), lacing=b"\xff") * 1500,
    ],
)
def test_a_header_without_sense(data):
    assert look(data).kind == "damaged"
