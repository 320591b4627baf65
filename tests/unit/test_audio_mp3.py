"""MP3: faults 49 and 52, and how long it is."""

import io

import pytest
import soundfile
from support import audio_makers as make

from batch_uploader.core.model import Container
from batch_uploader.prepare.audio import AudioRules, mpeg, probe
from batch_uploader.prepare.audio.content import Content

FRAME = 0.036
ID3V1 = b"TAG" + bytes(125)
VBR = [8, 32, 64, 16, 160, 24]


def look(data, rules=None):
    return probe(io.BytesIO(data), "call.mp3", len(data), rules or AudioRules())


def frames(count, rates=(32,)):
    return b"".join(make.frame(rates[n % len(rates)]) for n in range(count))


def announced(body, count, name=b"Xing"):
    size = len(make.frame(64)) + len(body)
    return make.announcing(count, size, name) + body


def ape(items=200):
    size = (items + 32).to_bytes(4, "little")
    ends = (b"APETAGEX\xd0\x07\0\0" + size + bytes(4), bytes(8))
    flags = 0x80000000
    head = ends[0] + (flags | 0x20000000).to_bytes(4, "little") + ends[1]
    foot = ends[0] + flags.to_bytes(4, "little") + ends[1]
    return head + bytes(items) + foot


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_agrees_with_libsndfile(rate, mode, channels):
    data = make.mp3(1.0, rate, channels, mode)
    info = look(data)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (info.channels, info.sample_rate) == (file.channels, file.samplerate)
        assert 0 <= info.duration - file.frames / file.samplerate < 0.25
    assert info.container is Container.MP3


@pytest.mark.parametrize("name", [b"Xing", b"Info", b"VBRI"])
def test_an_announcement_that_agrees_with_the_size_is_believed(name):
    data = announced(frames(5000, VBR), 5000, name)
    handle = make.Handle(data)
    info = probe(handle, "a.mp3", len(data), AudioRules())
    assert info.duration == pytest.approx(5000 * FRAME)
    assert handle.nbytes < 80_000 < len(data)


def test_without_an_announcement_frames_of_any_bitrate_are_counted():
    assert look(frames(999, VBR)).duration == pytest.approx(999 * FRAME)
    assert look(frames(20_000, VBR)).duration == pytest.approx(20_000 * FRAME)


def test_a_long_stream_of_constant_bitrate_is_not_read_through():
    data = frames(30_000)
    handle = make.Handle(data)
    info = probe(handle, "a.mp3", len(data), AudioRules())
    assert info.duration == pytest.approx(30_000 * FRAME, abs=FRAME)
    assert handle.nbytes < len(data) / 4


def test_a_long_stream_with_a_place_of_another_bitrate_is_counted():
    data = frames(10_000) + frames(5_000, [64]) + frames(10_000)
    assert look(data).duration == pytest.approx(25_000 * FRAME)


def test_an_announcement_left_empty_by_a_pipe_is_no_announcement():
    data = make.announcing(0, 0) + frames(500, VBR)
    assert look(data).duration == pytest.approx(500 * FRAME)
    assert look(data[:-3]).kind == "truncated"


def test_an_announcement_of_the_first_of_two_joined_files_does_not_hide_the_second():
    one = announced(frames(500), 500)
    assert look(one + one).duration == pytest.approx(1000 * FRAME, abs=1.5 * FRAME)
    joined = make.id3(700) + one + ID3V1 + make.id3(9000) + one
    assert look(joined).duration == pytest.approx(1000 * FRAME, abs=1.5 * FRAME)


def test_frames_behind_the_announced_ones_are_counted():
    assert look(announced(frames(500), 500) + frames(100)).duration == pytest.approx(600 * FRAME)


def test_an_absurd_announcement_is_not_believed():
    data = frames(500)
    absurd = make.announcing(0xFFFFFFFF, len(data) + 288) + data
    assert look(absurd).duration == pytest.approx(500 * FRAME)


def test_fault_49_an_announced_mp3_that_is_cut_off():
    data = announced(frames(500, VBR), 500)
    defect = look(data[: len(data) // 2])
    assert (defect.kind, "before its announced end" in defect.message) == ("truncated", True)
    assert "-c copy -f mp3 call.mp3.new" in defect.cure


def test_fault_49_announced_and_only_the_last_frame_is_cut():
    data = announced(frames(500), 500)
    assert look(data[:-20]).duration == pytest.approx(499 * FRAME)


@pytest.mark.parametrize("count", [5, 500, 30_000])
@pytest.mark.parametrize("tag", [b"", ID3V1, ape(), ape() + ID3V1], ids=["", "id3", "ape", "both"])
def test_fault_49_the_last_frame_is_cut(count, tag):
    data = frames(count)
    assert look(data + tag).duration == pytest.approx(count * FRAME, abs=FRAME / 2)
    assert look(data[:-20] + tag).kind == "truncated"


def test_fault_49_of_a_real_encoder():
    data = make.mp3(5.0, mode="VARIABLE")
    kinds = {
        getattr(look(data[:length]), "kind", "sound") for length in range(999, len(data) - 500, 77)
    }
    assert kinds == {"truncated"}


@pytest.mark.parametrize("tags", [make.id3(200), ID3V1, make.id3(200) + ID3V1])
def test_tags_alone_are_empty(tags):
    assert look(tags).kind == "empty"
    assert look(tags[:-9]).kind != "empty", "cut off"


@pytest.mark.parametrize("body", [frames(300), frames(30_000), announced(frames(300), 300)])
def test_fault_52_8_mb_of_tags_are_already_there(body):
    data = make.id3(8 << 20) + body
    handle = make.Handle(data)
    info = probe(handle, "a.mp3", len(data), AudioRules())
    assert info.duration == pytest.approx(look(body).duration)
    assert handle.nbytes < 3_000_000


def test_a_tag_may_have_a_footer():
    tag = make.id3(70_000)
    footed = tag[:5] + b"\x10" + tag[6:] + b"3DI" + tag[3:10]
    handle = make.Handle(footed + frames(9))
    assert mpeg.after_tags(Content(handle, handle.size)) == len(footed)


def test_a_few_stray_bytes_are_borne_with():
    lost = frames(100, VBR) + bytes(700) + frames(100, VBR) + bytes(900)
    assert look(bytes(3000) + lost).duration == pytest.approx(200 * FRAME)


@pytest.mark.parametrize("body", [frames(300), frames(30_000), frames(9000, VBR)])
def test_a_file_whose_rest_is_something_else_is_damaged(body):
    assert look(body + bytes(9000)).kind == "damaged"


@pytest.mark.parametrize("body", [frames(300), frames(9000, VBR)])
def test_a_hole_is_damage(body):
    assert look(body + bytes(9000) + body).kind == "damaged"


def test_many_small_holes_are_damage():
    piece = frames(10, VBR) + b"x"
    assert look(piece * 60).duration == pytest.approx(600 * FRAME)
    assert look(piece * 70).kind == "damaged"


def test_an_announcement_and_no_more_is_empty():
    assert look(make.announcing(0, 0)).kind == "empty"
    assert look(make.id3(99) + make.announcing(0, 288) + ID3V1).kind == "empty"


def test_a_hole_in_a_long_stream_is_found_if_a_look_falls_into_it():
    data = bytearray(frames(30_000))
    data[2_000_000:3_000_000] = bytes(1_000_000)
    assert look(bytes(data)).kind == "damaged"


def test_frames_are_not_counted_much_beyond_the_limit():
    data = frames(50_000, VBR)
    handle = make.Handle(data)
    defect = probe(handle, "a.mp3", len(data), AudioRules(max_duration=60))
    assert defect.kind == "too-long"
    assert handle.nbytes < 2_000_000 < len(data)


def test_the_lengths_of_frames_are_those_of_the_standard():
    for header, length in [
        ("fffb9064", 417),  # MPEG-1, 128 kbit/s at 44.1 kHz
        ("fffb9264", 418),  # the same with padding
        ("fffae0c4", 1044),  # MPEG-1, 320 kbit/s at 44.1 kHz, with checksum
        ("fff388c4", 288),  # MPEG-2, 64 kbit/s at 16 kHz
        ("ffe318c4", 72),  # MPEG-2.5, 8 kbit/s at 8 kHz
    ]:
        raw = bytes.fromhex(header)
        assert mpeg._length(mpeg._stream(raw), raw) == length
