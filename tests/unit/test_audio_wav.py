"""WAV: faults 46-49 and 52."""

import io

import pytest
import soundfile
from support import audio_makers as make

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio import AudioRules, probe


def look(data, rules=None):
    return probe(io.BytesIO(data), "call.wav", len(data), rules or AudioRules())


def with_data(*chunks, size=None):
    return make.riff(make.chunk(b"fmt ", make.fmt()), *chunks, size=size)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_it_agrees_with_libsndfile(rate, channels):
    data = make.wav(0.5, rate, channels)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        heard = AudioInfo(
            Container.WAV, file.channels, file.samplerate, file.frames / file.samplerate
        )
    assert look(data) == heard == AudioInfo(Container.WAV, channels, rate, 0.5)


@pytest.mark.parametrize(
    ("subtype", "name"),
    [
        ("ULAW", "U-Law"),
        ("ALAW", "A-Law"),
        ("GSM610", "GSM 6.10"),
        ("FLOAT", "32 bit float"),
        ("PCM_24", "24 bit"),
        ("PCM_U8", "8 bit"),
        ("IMA_ADPCM", "IMA ADPCM"),
        ("MS_ADPCM", "Microsoft ADPCM"),
    ],
)
def test_fault_46_another_codec_is_named_with_its_cure(subtype, name):
    containers = [
        container
        for container in ("WAV", "WAVEX")
        if subtype in soundfile.available_subtypes(container)
    ]
    assert containers
    for container in containers:
        defect = look(make.encoded(container, subtype))
        assert (defect.kind, name in defect.message) == ("codec", True)
        assert "`ffmpeg -y -i call.wav -c:a pcm_s16le -f wav call.wav.new && " in defect.cure


@pytest.mark.parametrize(
    ("tag", "name"), [(0x0083, "G.729"), (0x0045, "G.726"), (0x7777, "codec 0x7777")]
)
def test_fault_46_a_codec_that_libsndfile_does_not_know(tag, name):
    defect = look(make.wav(tag=tag, block=10, bits=0))
    assert (defect.kind, name in defect.message) == ("codec", True)


def test_fault_46_a_cure_for_float_at_96_khz_changes_the_rate_too():
    assert "-c:a pcm_s16le -ar 48000" in look(make.encoded("WAV", "FLOAT", rate=96000)).cure


def test_fault_46_mp3_inside_wav_is_unwrapped():
    defect = look(make.wav(tag=0x55, bits=0, block=1))
    assert (defect.kind, "-c:a copy -f mp3 call.wav.new" in defect.cure) == ("codec", True)


def test_fault_47_extensible_with_pcm16_is_fine():
    assert look(make.wav(channels=2, extensible=True)).channels == 2
    assert look(make.encoded("WAVEX", "PCM_16")).duration == 1.0


def test_fault_47_extensible_with_something_else_is_not():
    assert look(make.wav(extensible=True, tag=7, bits=8)).kind == "codec"
    strange = make.wav(extensible=True).replace(bytes.fromhex("800000aa00389b71"), bytes(8))
    assert look(strange).kind == "codec"


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFFFFF - 36])
@pytest.mark.parametrize("riff_size", [0, 0xFFFFFFFF, 0x7FFFF024])
def test_fault_48_a_header_that_was_never_finished(size, riff_size):
    defect = look(make.wav(2.5, data_size=size, riff_size=riff_size))
    assert (defect.kind, "2.50 s" in defect.message) == ("unfinished", True)
    assert "-c copy -f wav call.wav.new" in defect.cure


def test_fault_48_holds_for_the_shortest_of_recordings():
    assert look(make.wav(0.1, data_size=0, riff_size=0)).kind == "unfinished"


def test_fault_48_more_audio_than_the_header_announces():
    once = make.wav(1.0)
    assert look(once + make.pcm(1.0)).kind == "unfinished"
    assert look(once + once).kind == "unfinished"


def test_fault_48_size_0_and_no_audio_is_empty():
    assert look(make.wav(0)).kind == "empty"
    assert look(make.wav(0, riff_size=0)).kind == "empty"
    assert look(with_data(make.chunk(b"data", b""), make.chunk(b"LIST", bytes(99)))).kind == "empty"
    assert look(with_data(make.chunk(b"data", b"\0"))).kind == "empty"


def test_fault_49_a_wav_that_is_cut_off_anywhere():
    data = with_data(make.chunk(b"LIST", bytes(300)), make.chunk(b"data", make.pcm(0.05)))
    assert {look(data[:length]).kind for length in range(12, 44)} == {"damaged"}
    assert {look(data[:length]).kind for length in range(44, 344)} == {"truncated"}
    assert {look(data[:length]).kind for length in range(353, len(data))} == {"truncated"}
    assert look(data).duration == 0.05


def test_fault_49_says_how_much_is_missing_and_what_can_be_saved():
    defect = look(make.wav(3.0)[: 44 + 16000])
    assert "2.00 s" in defect.message
    assert "-c copy" in defect.cure


def test_fault_52_8_mb_of_junk_are_already_there():
    junk = make.chunk(b"JUNK", bytes(8 << 20))
    data = make.riff(
        junk, make.chunk(b"fmt ", make.fmt()), junk, make.chunk(b"data", make.pcm()), junk
    )
    handle = make.Handle(data)
    assert probe(handle, "a.wav", len(data), AudioRules()).duration == 1.0
    assert handle.reads <= 6
    assert handle.nbytes <= 6 * 4096


@pytest.mark.parametrize(
    "after",
    [
        make.chunk(b"LIST", bytes(5000)),
        make.chunk(b"id3 ", bytes(77)) + make.chunk(b"bext", bytes(600)),
        b"TAG" + bytes(125),
        bytes(4096),
    ],
)
def test_tags_and_padding_behind_the_audio_are_fine(after):
    assert look(make.wav() + after).duration == 1.0


def test_a_chunk_of_odd_size_is_padded():
    data = make.riff(
        make.chunk(b"odd ", bytes(3)),
        make.chunk(b"fmt ", make.fmt()),
        make.chunk(b"data", b"12" * 8),
    )
    assert look(data).duration == 0.001


@pytest.mark.parametrize(
    "data",
    [
        make.riff(),
        make.riff(make.chunk(b"data", make.pcm()), make.chunk(b"fmt ", make.fmt())),
        make.wav(block=7),
        make.riff(make.chunk(b"fmt ", make.fmt(0)), make.chunk(b"data", make.pcm())),
        make.riff(make.chunk(b"fmt ", make.fmt(1, 0)), make.chunk(b"data", make.pcm())),
        make.riff(*[make.chunk(b"JUNK", b"")] * 5000),
    ],
)
def test_a_header_without_sense(data):
    assert look(data).kind == "damaged"


def test_a_header_of_chunks_without_end_is_given_up():
    handle = make.Handle(make.riff(*[make.chunk(b"JUNK", b"")] * 50_000))
    assert probe(handle, "a.wav", handle.size, AudioRules()).kind == "damaged"
    assert handle.nbytes <= 3 * 4096


@pytest.mark.parametrize(("rate", "cure"), [(7999, "-ar 8000"), (96000, "-ar 48000")])
def test_a_rate_that_the_service_does_not_take(rate, cure):
    defect = look(make.wav(0.1, rate))
    assert (defect.kind, cure in defect.cure) == ("sample-rate", True)
