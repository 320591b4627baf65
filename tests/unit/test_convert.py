"""Audio that the service refuses is decoded as ffmpeg decodes it, whole or not at all."""

import hashlib
import io
import os
import re
import sys
import tempfile

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support import ogg_pages
from support.cures import command_of, shell
from support.sound_makers import call_wav, ffmpeg, samples

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import AudioInfo, Container, Defect, Entry
from batch_uploader.prepare.audio import (
    AudioRules,
    Convert,
    DefectKind,
    EndMark,
    RawFormat,
    essence,
    probe,
)
from batch_uploader.prepare.audio.content import Content
from batch_uploader.prepare.convert import Conversion, convert, instead, shrunk
from batch_uploader.prepare.convert.finding import find
from batch_uploader.prepare.convert.spool import Space

RULES = AudioRules(convert=Convert.NEEDED)
CODECS = {
    "mu-law": ("wav", "-c:a", "pcm_mulaw"),
    "A-law": ("wav", "-c:a", "pcm_alaw"),
    "GSM": ("wav", "-c:a", "libgsm_ms"),
    "MS ADPCM": ("wav", "-c:a", "adpcm_ms"),
    "IMA ADPCM": ("wav", "-c:a", "adpcm_ima_wav"),
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
    made = convert(handle, entry, found, rules) if isinstance(found, Conversion) else found
    if isinstance(made, Defect):
        return made
    if made.file is None:
        return made.content.getvalue(), made.info
    with made.file as file:
        file.seek(0)
        return file.read(), made.info


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


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0xFFFF_FFFF])
@pytest.mark.parametrize("codec", ["mu-law", "A-law"])
def test_a_header_that_was_never_completed_is_completed(codec, size):
    content, extension = encoded(codec)
    at = content.index(b"data")
    total = (0 if size == 0 else size).to_bytes(4, "little")
    broken = content[:4] + total + content[8 : at + 4] + total + content[at + 8 :]

    made, info = converted(broken, extension)

    assert made == converted(content, extension)[0]
    assert not info.shows_end  # it may still be being written


def test_linear_pcm_with_such_a_header_is_sent_whole_as_well():
    whole = call_wav(7)
    at = whole.index(b"data")
    broken = whole[:4] + bytes(4) + whole[8 : at + 4] + bytes(4) + whole[at + 8 :]

    made, info = converted(broken, "wav")

    assert made[44:] == samples(7)
    assert not info.shows_end


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


@pytest.mark.parametrize("codec", ["W64", "AU"])
def test_frames_of_mp3_in_other_containers_make_no_mp3_of_what_is_cut_off(codec):
    mp3 = ffmpeg(call_wav(5), "wav", "mp3")
    content, extension = encoded(codec)
    assert len(mp3) < len(content) - 200
    cut_off = content[:200] + mp3

    assert converted(cut_off, extension).kind in {DefectKind.FORMAT, DefectKind.TRUNCATED}


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


def test_a_vorbis_without_its_end_mark_needs_the_switch_or_the_cure(tmp_path):
    content, extension = encoded("Vorbis")
    unmarked = ogg_pages.without_end_mark(content)

    defect = converted(unmarked, extension)
    assert defect.kind == DefectKind.NO_END_MARK
    (tmp_path / "call.ogg").write_bytes(unmarked)
    shell(command_of(defect), tmp_path, check=True)
    marked, _ = converted((tmp_path / "call.ogg").read_bytes(), extension)
    assert (decoded(marked) == decoded(converted(content, extension)[0])).all()
    rules = AudioRules(convert=Convert.NEEDED, ogg_end=EndMark.OPTIONAL)
    assert converted(unmarked, extension, rules)[1].container is Container.WAV


@given(data=st.data())
def test_a_vorbis_that_is_cut_off_in_a_page_is_not_sent_with_the_switch_either(data):
    content, extension = encoded("Vorbis")
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    kept = data.draw(st.sampled_from(range(pages[2], len(content))))
    rules = AudioRules(convert=Convert.NEEDED, ogg_end=EndMark.OPTIONAL)

    result = converted(content[:kept], extension, rules)

    if kept in pages:
        return  # all that can be known is in whole pages
    assert (result.kind, result.may_grow) == (DefectKind.TRUNCATED, True)


def test_nor_are_several_streams_of_which_one_would_be_heard():
    content, extension = encoded("Vorbis")
    rules = AudioRules(convert=Convert.NEEDED, ogg_end=EndMark.OPTIONAL)
    other = ffmpeg(call_wav(4), "wav", "ogg", "-c:a", "libvorbis", "-serial_offset", "9")

    assert converted(content + other, extension, rules).kind == DefectKind.STREAMS


def headers_of(codec):
    """A file of this codec that was closed before anything was recorded."""
    content, extension = encoded(codec)
    if codec == "FLAC":
        at, last = 4, 0
        while not last:
            last = content[at] & 0x80
            at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
        return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:at], extension
    at = content.index(b"data")
    if codec == "W64":
        return content[: at + 16] + (24).to_bytes(8, "little"), extension
    if codec == "RF64":
        return content[:28] + bytes(8) + content[36 : at + 8], extension
    return content[: at + 4] + bytes(4), extension


@pytest.mark.parametrize("codec", ["mu-law", "GSM", "float", "FLAC", "W64", "RF64"])
def test_headers_alone_are_empty(codec):
    assert converted(*headers_of(codec)).kind == DefectKind.EMPTY


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


BY_FFMPEG = {
    "WebM": ("webm", "-c:a", "libopus"),
    "MP4": ("m4a", "-c:a", "aac"),
    "AAC": ("aac", "-c:a", "aac"),
    "WMA": ("wma", "-c:a", "wmav2"),
    "Speex": ("ogg", "-c:a", "libspeex"),
    "G.726": ("wav", "-c:a", "g726"),
    "G.723.1": ("wav", "-c:a", "g723_1", "-b:a", "6300"),
    "G.722 in WAV": ("wav", "-c:a", "adpcm_g722", "-ar", "16000"),
    "G.722": ("g722", "-c:a", "g722", "-ar", "16000"),
    "MP3 in Matroska": ("webm", "-f", "matroska", "-c:a", "libmp3lame"),
}
ROUNDS = {"MP4", "AAC", "WMA"}
TAKEN_OUT = {"WebM": Container.OGG_OPUS, "MP3 in Matroska": Container.MP3}
PLAIN = {"mp3": ("-write_xing", "0")}
"""Without the header that tells players to leave out the encoder's padding."""
SHOW_NO_END = {"AAC", "WMA", "G.722"}


def by_ffmpeg(codec, seconds=1.5):
    extension, *options = BY_FFMPEG[codec]
    return ffmpeg(call_wav(8, seconds), "wav", extension, *options), extension


@pytest.mark.parametrize("codec", BY_FFMPEG)
def test_the_extra_decodes_what_libsndfile_does_not_know(codec):
    content, extension = by_ffmpeg(codec)

    made, info = converted(content, extension)

    assert info.container is TAKEN_OUT.get(codec, Container.WAV)
    assert info.duration == pytest.approx(1.5, abs=0.2), "with the padding of its encoder"
    assert converted(content, extension)[0] == made, "the same bytes"
    if codec not in TAKEN_OUT:
        expected, got = decoded(content, extension), decoded(made)
        assert len(expected) == len(got)
        assert np.abs(expected - got).max() <= (codec in ROUNDS)


@pytest.mark.parametrize("codec", TAKEN_OUT)
def test_packets_that_the_service_takes_are_taken_out_as_they_are(codec):
    content, extension = by_ffmpeg(codec)
    made, info = converted(content, extension)
    target = "opus" if info.container is Container.OGG_OPUS else "mp3"
    expected = ffmpeg(content, extension, target, "-c", "copy", *PLAIN.get(target, ()))

    assert (decoded(made, target) == decoded(expected, target)).all()


def live(clusters_have_sizes):
    """A WebM as it is written to a pipe, and the offsets of its clusters."""
    content = ffmpeg(call_wav(8, 6), "wav", "webm", "-c:a", "libopus", "-live", "1")
    segment = content.index(bytes.fromhex("18538067")) + 4
    content = bytearray(content)
    content[segment : segment + 8] = b"\x01" + b"\xff" * 7
    clusters = [match.start() for match in re.finditer(bytes.fromhex("1f43b675"), bytes(content))]
    if not clusters_have_sizes:
        for at in clusters:
            width = 9 - content[at + 4].bit_length()
            unknown = (1 << 7 * width + 1) - 1
            content[at + 4 : at + 4 + width] = unknown.to_bytes(width, "big")
    return bytes(content), clusters


@pytest.mark.parametrize("clusters_have_sizes", [True, False])
@given(data=st.data())
def test_a_live_webm_is_sent_only_if_it_ends_where_a_block_does(clusters_have_sizes, data):
    content, clusters = live(clusters_have_sizes)
    _made, info = converted(content, "webm")
    assert (info.duration, info.shows_end) == (pytest.approx(6, abs=0.1), False)

    kept = data.draw(st.integers(clusters[1] + 20, len(content) - 1))
    result = converted(content[:kept], "webm")

    if isinstance(result, Defect):
        assert (result.kind, result.may_grow) == (DefectKind.TRUNCATED, True)
        return
    assert kept in clusters or not clusters_have_sizes
    # No byte is left over: its packets are all there is.
    longer = converted(content[: kept + 1], "webm")
    assert isinstance(longer, Defect)


@pytest.mark.parametrize("codec", sorted(BY_FFMPEG.keys() - SHOW_NO_END))
@given(data=st.data())
def test_what_is_cut_off_is_not_sent_by_the_extra(codec, data):
    content, extension = by_ffmpeg(codec)
    kept = data.draw(st.integers(1, len(content) - 1))

    result = converted(content[:kept], extension)

    if isinstance(result, Defect):
        return
    made, _info = result
    whole, _ = converted(content, extension)
    kind = {Container.MP3: "mp3", Container.OGG_OPUS: "opus"}.get(_info.container, "wav")
    assert (decoded(made, kind) == decoded(whole, kind)).all()


@pytest.mark.parametrize("codec", [*CODECS, *BY_FFMPEG])
def test_in_memory_or_not_the_same_is_made_behind_its_room(codec):
    content, extension = by_ffmpeg(codec) if codec in BY_FFMPEG else encoded(codec)
    handle, entry = io.BytesIO(content), Entry(f"call.{extension}", len(content), 0)
    seen = probe(handle, entry.path, entry.size, RULES)
    if isinstance(seen, AudioInfo):
        return  # nothing is made of it
    found = instead(handle, entry, seen, RULES)

    made = convert(handle, entry, found, RULES, Space(found.made_size or 1 << 20, 9))
    filed = convert(handle, entry, found, RULES, Space(100, 9))

    assert filed.content is None
    with filed.file as file:
        file.seek(0)
        whole = file.read()
    assert made.sent == filed.sent
    assert made.sent.sha256 == hashlib.sha256(whole).digest()
    if made.content is not None:
        assert made.content.getvalue() == bytes(9) + whole
    else:
        made.close()  # it turned out to be longer than its header says
        assert found.made_size < made.sent.size


@pytest.mark.parametrize("rate", [6_000, 96_000])
def test_another_sample_rate_is_resampled(rate):
    content = ffmpeg(call_wav(9, 2), "wav", "wav", "-ar", str(rate))

    _made, info = converted(content, "wav")

    assert info.sample_rate == min(max(rate, 8_000), 48_000)
    assert info.duration == pytest.approx(2, abs=0.01)


def test_without_the_extra_the_cure_is_to_install_it(monkeypatch):
    content, extension = by_ffmpeg("MP4")
    monkeypatch.setitem(sys.modules, "av", None)

    defect = converted(content, extension)

    assert defect.kind == DefectKind.FORMAT
    assert "pip install 'batch-uploader[codecs]'" in defect.cure
    assert "ffmpeg" in defect.cure


@pytest.mark.parametrize("codec", ["PCM", "mu-law", "FLAC", "raw"])
def test_pcm_is_shrunk_to_opus_on_request(codec):
    rules = AudioRules(convert=Convert.OPUS, raw=RawFormat(8_000, 1))
    content, extension = call_wav(4, 30), "wav"
    if codec == "raw":
        content, extension = content[44:], "pcm"
    elif codec != "PCM":
        content, extension = encoded(codec, seconds=30, call=4)
    handle, entry = io.BytesIO(content), Entry(f"a.{extension}", len(content), 0)
    seen = probe(handle, entry.path, entry.size, rules)
    isdefect = isinstance(seen, Defect)
    found = (instead if isdefect else shrunk)(handle, entry, seen, rules)

    made = convert(handle, entry, found, rules)

    assert made.info.container is Container.OGG_OPUS
    assert made.info.duration == pytest.approx(30, abs=0.01)
    assert made.sent.size < len(samples(4, 30)) / 5
    plain = replace(rules, convert=Convert.NEEDED)
    sound = probe(io.BytesIO(call_wav(4, 30)), "a.wav", len(call_wav(4, 30)), plain)
    if codec in {"PCM", "raw", "FLAC"}:
        whole = essence.begin(io.BytesIO(call_wav(4, 30)), len(call_wav(4, 30)), sound)
        whole.update(call_wav(4, 30))
        assert made.heard == whole.digest(), "it is the call that it was"


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_what_is_small_already_is_not_shrunk(kind):
    content = ffmpeg(call_wav(4, 3), "wav", kind)
    rules = AudioRules(convert=Convert.OPUS)
    handle, entry = io.BytesIO(content), Entry(f"a.{kind}", len(content), 0)
    info = probe(handle, entry.path, entry.size, rules)
    assert shrunk(handle, entry, info, rules) is info


def by_library(subtype, channels):
    """A call in a WAV with ADPCM that libsndfile encoded."""
    file = io.BytesIO()
    frames = np.frombuffer(samples(6, 3, channels), "<i2").reshape(-1, channels)
    soundfile.write(file, frames, 8_000, subtype=subtype, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM"])
def test_adpcm_of_other_encoders_is_decoded_as_by_ffmpeg(subtype, channels):
    content = by_library(subtype, channels)

    made, _ = converted(content, "wav")

    assert (decoded(made) == decoded(content)).all()


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8, 12, 250])
@pytest.mark.parametrize("codec", ["MS ADPCM", "IMA ADPCM"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_last_block_that_is_shorter_is_decoded_as_by_ffmpeg(codec, channels, cut):
    content, _ = encoded(codec, channels=channels)
    at = content.index(b"data") + 4
    size = int.from_bytes(content[at : at + 4], "little") - cut * channels
    short = content[:at] + size.to_bytes(4, "little") + content[at + 4 : at + 4 + size]
    short = short[:4] + (len(short) - 8).to_bytes(4, "little") + short[8:]

    made, _ = converted(short, "wav")

    assert (decoded(made) == decoded(short)).all()


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav"])
def test_blocks_that_no_encoder_makes_take_no_longer(codec):
    """libsndfile has them: it rounds otherwise, but decodes one after the other as fast."""
    content = ffmpeg(call_wav(3, 60), "wav", "wav", "-c:a", codec, "-block_size", "4096")
    at = content.index(b"fmt ") + 8 + 12
    larger = content[:at] + (16384).to_bytes(2, "little") + content[at + 2 :]

    way = find(Content(io.BytesIO(larger), len(larger)), "call.wav", RULES)
    assert way.headerless is None
    assert find(Content(io.BytesIO(content), len(content)), "call.wav", RULES).headerless


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_each_byte_of_g711_is_decoded_as_by_libsndfile(law):
    raw = bytes(range(256))
    form = {"format": "RAW", "subtype": law.upper(), "samplerate": 8000, "channels": 1}
    expected, _ = soundfile.read(io.BytesIO(raw), dtype="int16", **form)

    made, _ = converted(raw, law)

    assert made[44:] == expected.tobytes()


def vox(rate):
    """Three seconds of a call as Dialogic ADPCM without a header."""
    pcm = ffmpeg(call_wav(6, 3), "wav", "raw", "-f", "s16le", "-ar", str(rate))
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, "VOX_ADPCM", format="RAW") as written:
        written.buffer_write(pcm, "int16")
    return file.getvalue()


def by_oki(content):
    """The samples of Dialogic ADPCM by FFmpeg, which has no name for such a file."""
    context = av.CodecContext.create("adpcm_ima_oki", "r")
    context.sample_rate, context.layout = 8_000, "mono"
    return np.concatenate([each.to_ndarray()[0] for each in context.decode(av.Packet(content))])


def declared(rate, channels=1):
    return AudioRules(convert=Convert.NEEDED, raw=RawFormat(rate, channels))


def test_dialogic_adpcm_is_decoded_as_by_ffmpeg_at_its_declared_rate():
    content = vox(8_000)

    made, info = converted(content, "vox", declared(8_000))

    assert (decoded(made) == by_oki(content)).all()
    assert (info.sample_rate, info.channels, info.duration) == (8_000, 1, 3)
    assert not info.shows_end


def test_what_is_slower_than_the_service_takes_is_resampled():
    content = vox(6_000)

    made, info = converted(content, "vox", declared(6_000))

    assert (info.sample_rate, info.duration) == (8_000, 3)
    assert converted(content, "vox", declared(6_000))[0] == made
    original, got = decoded(call_wav(6, 3)), decoded(made)
    assert np.corrcoef(original[400:-400], got[400:-400])[0, 1] > 0.98


def test_resampling_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)

    defect = converted(vox(6_000), "vox", declared(6_000))

    assert defect.kind == DefectKind.FORMAT
    assert "pip install 'batch-uploader[resampling]'" in defect.cure
    assert converted(vox(8_000), "vox", declared(8_000))[1].duration == 3


@pytest.mark.parametrize("rules", [RULES, AudioRules(convert=Convert.OFF)])
def test_a_vox_without_a_declared_rate_is_a_defect_that_says_how(rules):
    defect = converted(vox(8_000), "vox", rules)

    assert defect.kind == DefectKind.RAW_UNDECLARED
    assert "--raw-rate" in defect.cure


def test_a_vox_is_no_raw_pcm_and_one_with_a_header_is_what_that_says():
    off = replace(declared(8_000), convert=Convert.OFF)
    assert converted(vox(8_000), "vox", off).kind == DefectKind.FORMAT
    assert converted(call_wav(3), "vox", declared(8_000))[1].container is Container.WAV


def test_g711_without_a_header_has_the_declared_format():
    content = ffmpeg(call_wav(3, 2, 2), "wav", "alaw", "-f", "alaw", "-ar", "16000")

    made, info = converted(content, "alaw", declared(16_000, 2))

    assert (info.sample_rate, info.channels, info.duration) == (16_000, 2, 2)
    same = ffmpeg(call_wav(3, 2, 2), "wav", "wav", "-c:a", "pcm_alaw", "-ar", "16000")
    assert (decoded(made) == decoded(same)).all()
