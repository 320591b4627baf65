"""Audio that the service refuses is decoded as ffmpeg decodes it, whole or not at all."""

import io
import os
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sound_makers import call_wav, ffmpeg

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Container, Defect, Entry
from batch_uploader.prepare.audio import AudioRules, Convert, DefectKind, EndMark, probe
from batch_uploader.prepare.convert import Conversion, convert, instead

RULES = AudioRules(convert=Convert.NEEDED)
CODECS = {
    "mu-law": ("wav", "-c:a", "pcm_mulaw"),
    "A-law": ("wav", "-c:a", "pcm_alaw"),
    "GSM": ("wav", "-c:a", "libgsm_ms"),
    "MS ADPCM": ("wav", "-c:a", "adpcm_ms"),
    "8-bit": ("wav", "-c:a", "pcm_u8"),
    "24-bit": ("wav", "-c:a", "pcm_s24le"),
    "32-bit": ("wav", "-c:a", "pcm_s32le"),
    "float": ("wav", "-c:a", "pcm_f32le"),
    "double": ("wav", "-c:a", "pcm_f64le"),
    "FLAC": ("flac",),
    "AU": ("au", "-c:a", "pcm_mulaw"),
    "W64": ("w64", "-c:a", "pcm_alaw"),
    "RF64": ("wav", "-rf64", "always"),
    "GSM without a header": ("gsm",),
    "Vorbis": ("ogg", "-c:a", "libvorbis"),
}
INEXACT = {"Vorbis"}
"""What decoders may round differently: by 1 of 32768."""


def encoded(codec, seconds=1.5, channels=1, call=3):
    """A call in this codec, and the extension of its file."""
    extension, *options = CODECS[codec]
    return ffmpeg(call_wav(call, seconds, channels), "wav", extension, *options), extension


def converted(content, extension, rules=RULES):
    """What becomes of a file: the bytes that go up, or a defect."""
    handle, entry = io.BytesIO(content), Entry(f"call.{extension}", len(content), 0)
    seen = probe(handle, entry.path, entry.size, rules)
    if isinstance(seen, AudioInfo):
        return content, seen
    found = instead(handle, entry, seen, rules)
    made = convert(handle, entry, found) if isinstance(found, Conversion) else found
    if isinstance(made, Defect):
        return made
    if made.file is None:
        return made.content, found.info
    with made.file as file:
        file.seek(0)
        return file.read(), found.info


def decoded(content, extension="wav"):
    """The samples of a file by ffmpeg."""
    return np.frombuffer(ffmpeg(content, extension, "raw", "-f", "s16le"), "<i2").astype(int)


MONO = {"GSM", "GSM without a header"}


@pytest.mark.parametrize(
    ("codec", "channels"),
    [
        (codec, channels)
        for codec in CODECS
        for channels in (1, 2)
        if channels == 1 or codec not in MONO
    ],
)
def test_it_is_decoded_as_by_ffmpeg(codec, channels):
    content, extension = encoded(codec, channels=channels)
    made, info = converted(content, extension)

    expected, got = decoded(content, extension), decoded(made)
    assert len(got) == len(expected)
    assert np.abs(got - expected).max() <= (codec in INEXACT)
    assert probe(io.BytesIO(made), "x", len(made), AudioRules()) == AudioInfo(
        Container.WAV, channels, 8000, info.duration
    )
    assert info.duration == pytest.approx(len(expected) / channels / 8000)


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_bytes_go_up_at_each_run(codec):
    content, extension = encoded(codec)

    assert converted(content, extension) == converted(content, extension)


def test_a_long_one_goes_through_a_temporary_file_with_the_same_result():
    short, extension = encoded("mu-law", seconds=2)
    long, _ = encoded("mu-law", seconds=40)

    made, _ = converted(long, extension)

    assert len(made) == 44 + 2 * 8000 * 40
    assert (decoded(made) == decoded(long)).all()
    assert len(converted(short, extension)[0]) == 44 + 2 * 8000 * 2


def test_an_mp3_in_a_wav_is_taken_out_as_it_is():
    mp3 = ffmpeg(call_wav(5), "wav", "mp3", "-write_xing", "0", "-id3v2_version", "0")
    inside = ffmpeg(mp3, "mp3", "wav", "-c:a", "copy")
    made, info = converted(inside, "wav")

    assert info.container is Container.MP3
    assert made.strip(b"\0") == mp3.strip(b"\0")


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.data())
def test_what_is_cut_off_is_never_sent_as_if_it_were_whole(codec, data):
    content, extension = encoded(codec)
    kept = data.draw(st.integers(1, len(content) - 1))
    result = converted(content[:kept], extension)
    if isinstance(result, Defect):
        assert result.may_grow
        return
    made, info = result
    if codec == "GSM without a header":
        # It says nowhere how long it is: whole frames are all that can be known.
        assert kept % 33 == 0
        assert not info.shows_end
    else:
        # Only bytes behind the audio are missing.
        assert (decoded(made) == decoded(converted(content, extension)[0])).all()


@given(data=st.data())
def test_damaged_bytes_never_raise(data):
    codec = data.draw(st.sampled_from(sorted(CODECS)))
    content, extension = encoded(codec)
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(
            st.integers(0, 255)
        )
    result = converted(bytes(content), extension)
    assert isinstance(result, Defect) or len(result[0]) > 0


def test_a_vorbis_without_its_end_mark_needs_the_switch():
    content, extension = encoded("Vorbis")
    last = content.rindex(b"OggS")
    unmarked = content[: last + 5] + b"\0" + content[last + 6 :]

    assert converted(unmarked, extension).kind == DefectKind.NO_END_MARK
    rules = AudioRules(convert=Convert.NEEDED, ogg_end=EndMark.OPTIONAL)
    assert converted(unmarked, extension, rules)[1].container is Container.WAV


@pytest.mark.parametrize("convert_", [None, Convert.OFF])
def test_without_conversion_it_is_a_defect(convert_):
    content, extension = encoded("mu-law")

    assert converted(content, extension, AudioRules(convert=convert_)).kind == DefectKind.CODEC


def test_the_connection_s_channels_count_for_what_goes_up():
    content, extension = encoded("mu-law", channels=1)

    found = converted(content, extension, AudioRules(channels=2, convert=Convert.NEEDED))

    assert found.kind == DefectKind.CHANNELS


def test_no_space_for_the_temporary_file_is_told(monkeypatch, tmp_path):
    content, extension = encoded("mu-law", seconds=40)
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "missing"))

    with pytest.raises(SourceError, match="cannot be converted: no temporary file"):
        converted(content, extension)
