"""WAV headers that mislead: what they are called, what goes up, and what the cure makes of them."""

import struct

import pytest
from support import audio_makers as make
from support.cures import follow, needs_ffmpeg, probed

from batch_uploader.core.model import AudioInfo

PCM = make.pcm(1.5)
STEREO = make.pcm(0.75, channels=2)


def header(*before, form=None, pcm=PCM, data_size=None, after=b"", riff_size=None):
    """A WAV of these parts; the size of the file is right unless another is given."""
    chunks = make.chunk(b"fmt ", form or make.fmt()), *before
    data = make.chunk(b"data", pcm, data_size)
    return make.riff(*chunks, data, after, size=riff_size)


def unpadded(name, body):
    assert len(body) % 2
    return name + struct.pack("<I", len(body)) + body


def samples(wav):
    """The samples of a WAV that has nothing else behind its header."""
    at = wav.index(b"data")
    assert int.from_bytes(wav[at + 4 : at + 8], "little") == len(wav) - at - 8
    return wav[at + 8 :]


SIZES_WITH_HEADER = {
    "the header": header(data_size=len(PCM) + 44),
    "the size of the RIFF": header(data_size=len(PCM) + 36),
    "its own chunk": header(data_size=len(PCM) + 8),
    "the header, and the file's own in": header(data_size=len(PCM) + 44, riff_size=len(PCM) + 44),
    "a longer header": header(make.chunk(b"LIST", bytes(40)), data_size=len(PCM) + 92),
    "a chunk behind": header(data_size=len(PCM) + 44 + 24, after=make.chunk(b"LIST", bytes(16))),
}


@pytest.mark.parametrize("what", SIZES_WITH_HEADER)
def test_a_size_that_counts_the_header_in_loses_nothing(what):
    info = probed(SIZES_WITH_HEADER[what])
    assert isinstance(info, AudioInfo), info.message
    assert info.duration == pytest.approx(1.5, abs=0.002)
    assert not info.shows_end


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (2, "2 bytes before its announced end"),
        (44, "44 bytes before its announced end, as if the size counted the header in"),
        (300, "300 bytes before"),
        (16_000, "1.00 s before"),
    ],
)
@needs_ffmpeg
def test_a_size_that_is_too_large_is_told_in_bytes_where_seconds_say_nothing(
    missing, said, tmp_path
):
    data = header(data_size=len(PCM) + missing, riff_size=len(PCM) + missing + 36)
    defect = probed(data)
    assert (defect.kind, said in defect.message) == ("truncated", True), defect.message
    assert "it may still be being written" in defect.cure
    assert defect.may_grow
    assert samples(follow(tmp_path, data)) == PCM


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (400, "1.48 s of audio, and 0.03 s more follow"),
        (3_000, "0.19 s more follow"),
        (16_000, "0.50 s of audio, and 1.00 s more follow"),
        (23_900, "announces 100 bytes of audio, and 1.49 s more"),
    ],
)
@needs_ffmpeg
def test_a_size_that_is_too_small_hides_the_end_and_the_cure_brings_it_back(lost, said, tmp_path):
    pcm = PCM[:-lost] + b"\x01" + PCM[1 - lost :]  # the sine may begin with zeros there
    data = header(pcm=pcm, data_size=len(PCM) - lost)
    defect = probed(data)
    assert (defect.kind, said in defect.message) == ("unfinished", True), defect.message
    assert "it may still be being written" in defect.cure
    assert defect.may_grow
    assert samples(follow(tmp_path, data)) == pcm


def test_a_size_that_is_too_small_by_less_than_a_sound_loses_nothing():
    assert probed(header(data_size=len(PCM) - 300)).duration == pytest.approx(1.48, abs=0.01)


@pytest.mark.parametrize("block", [0, 1, 3, 4, 7, 65535])
@pytest.mark.parametrize("after", [b"", make.chunk(b"LIST", bytes(50)), b"TAG" + bytes(125)])
@needs_ffmpeg
def test_a_block_size_that_contradicts_the_channels(block, after, tmp_path):
    form = make.fmt(block=block)[:8] + struct.pack("<I", 16_000) + make.fmt(block=block)[12:]
    data = header(form=form, after=after)
    defect = probed(data)
    assert defect.kind == "damaged"
    assert f"1 channel has 2 bytes, and the header says {block} (BlockAlign)" in defect.message
    assert samples(follow(tmp_path, data)) == PCM


@needs_ffmpeg
def test_a_block_size_and_a_byte_rate_against_the_channels_win_but_are_not_believed(tmp_path):
    data = header(form=make.fmt(block=4), pcm=STEREO)
    defect = probed(data)
    assert "if it has 2 channels, and listen to it" in defect.cure
    fixed = follow(tmp_path, data)
    assert (probed(fixed).channels, samples(fixed)) == (2, STEREO)


def test_a_block_size_of_more_channels_than_a_call_has_is_not_believed():
    assert "listen to it" not in probed(header(form=make.fmt(block=8))).cure


@pytest.mark.parametrize("data_size", [None, 0, 0xFFFFFFFF, len(PCM) + 44])
@needs_ffmpeg
def test_a_contradiction_with_an_unfinished_size_is_corrected_to_the_end(data_size, tmp_path):
    data = header(form=make.fmt(block=8), data_size=data_size)
    assert samples(follow(tmp_path, data)) == PCM


@pytest.mark.parametrize(
    "before",
    [
        [unpadded(b"LIST", b"INFOISFT\x0e\0\0\0Lavf58.29.100")],
        [unpadded(b"bext", bytes(603))],
        [unpadded(b"note", b"a"), make.chunk(b"fact", bytes(4))],
        [make.chunk(b"JUNK", bytes(8)), unpadded(b"fact", bytes(5))],
    ],
    ids=["LIST", "bext", "followed", "last"],
)
@needs_ffmpeg
def test_a_chunk_without_its_pad_before_the_audio_hides_it(before, tmp_path):
    data = header(*before)
    defect = probed(data)
    assert (defect.kind, "most programs find no audio" in defect.message) == ("damaged", True)
    assert samples(follow(tmp_path, data)) == PCM


@pytest.mark.parametrize(
    "after",
    [
        unpadded(b"LIST", bytes(27)),
        unpadded(b"LIST", bytes(5001)) + make.chunk(b"id3 ", bytes(6000)),
        make.chunk(b"LIST", bytes(27)),
    ],
)
def test_a_chunk_without_its_pad_behind_the_audio_loses_nothing(after):
    assert probed(header(after=after)).shows_end


@pytest.mark.parametrize("pad", [b"\0", b" ", b"x", b"\xff"])
def test_any_byte_is_a_pad(pad):
    chunk = unpadded(b"LIST", bytes(27)) + pad
    assert probed(header(chunk)).duration == probed(header(chunk, after=chunk)).duration == 1.5


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
@needs_ffmpeg
def test_the_cure_of_an_unfinished_header_brings_every_sample(size, tmp_path):
    data = header(data_size=size, riff_size=size)
    assert probed(data).may_grow
    assert samples(follow(tmp_path, data)) == PCM


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (header(), True),
        (header(after=make.chunk(b"LIST", bytes(5000))), True),
        (header(after=b"TAG" + bytes(125)), True),
        (header(riff_size=0), False),
        (header(riff_size=0xFFFFFFFF), False),
        (make.pcm(1.0), False),
        (make.mp3(), False),
        (make.opus(), True),
        (make.encoded("WAV", "GSM610"), True),
        (make.encoded("WAV", "ULAW"), True),
        (make.encoded("WAV", "ULAW")[:-200], False),
        (make.wav(1.0, data_size=0, tag=6, bits=8), False),
        (make.wav(0.1, 96_000), True),
        (make.encoded("OGG", "VORBIS"), True),
        (make.encoded("OGG", "VORBIS")[:-20], False),
        (make.encoded("FLAC"), False),
        (make.wav(0), False),
        (b"", False),
    ],
)
def test_a_file_shows_its_end_or_may_still_be_being_written(data, complete):
    found = probed(data)
    shown = found.shows_end if isinstance(found, AudioInfo) else not found.may_grow
    assert shown is complete
