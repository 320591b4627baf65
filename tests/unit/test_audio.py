"""What the content of a file is, and whether it fits the connection: faults 44-46, 50-54."""

import io
import shlex

import numpy as np
import pytest
from support import audio_makers as make

from batch_uploader.core.model import AudioInfo, Container, Defect
from batch_uploader.prepare.audio import AudioRules, DefectKind, RawFormat, probe

LAYER_2 = "MPEG audio Layer II"
RAW = AudioRules(raw=RawFormat(8000, 2))


def look(data, path="call.wav", rules=None):
    return probe(io.BytesIO(data), path, len(data), rules or AudioRules())


def test_it_neither_closes_the_handle_nor_needs_it_at_the_start():
    handle = io.BytesIO(make.wav())
    handle.seek(100)
    assert isinstance(probe(handle, "a.wav", len(handle.getvalue()), AudioRules()), AudioInfo)
    assert not handle.closed


def test_fault_44_an_empty_file():
    assert look(b"").kind == "empty"


@pytest.mark.parametrize("form", [make.fmt(), make.fmt(tag=6, bits=8), make.fmt(tag=0x31), b""])
@pytest.mark.parametrize("after", [b"", make.chunk(b"LIST", b"INFOISFT")])
def test_a_header_without_audio_is_empty_whatever_its_codec(form, after):
    """A call that nobody answered."""
    whole = make.riff(make.chunk(b"fmt ", form), make.chunk(b"data", b""), after)
    assert look(whole).kind == "empty"
    unfinished = make.riff(make.chunk(b"fmt ", form), make.chunk(b"data", b""), size=0)
    assert look(unfinished).kind == "empty"
    more = make.riff(make.chunk(b"fmt ", form), make.chunk(b"data", b""), bytes(4000), size=0)
    assert look(more).kind != "empty"


@pytest.mark.parametrize("byte", [b"\0", b"R", b"O", b"\xff"])
def test_fault_44_a_file_of_one_byte(byte):
    assert look(byte).kind == "unknown"


@pytest.mark.parametrize("path", ["a.wav", "a.mp3", "a.opus", "a.raw", "a", "a.gsm.x"])
@pytest.mark.parametrize(
    ("data", "container"),
    [
        (make.wav(), Container.WAV),
        (make.mp3(), Container.MP3),
        (make.opus(), Container.OGG_OPUS),
    ],
    ids=["wav", "mp3", "opus"],
)
def test_fault_45_the_content_decides_and_not_the_extension(data, container, path):
    assert look(data, path, RAW).container is container
    assert look(data, path).container is container


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (make.encoded("FLAC"), "FLAC"),
        (make.id3(50) + make.encoded("FLAC"), "FLAC"),
        (make.encoded("AIFF"), "AIFF"),
        (make.encoded("AU"), "AU"),
        (make.encoded("W64"), "W64"),
        (make.encoded("CAF"), "CAF"),
        (make.encoded("VOC"), "VOC"),
        (make.encoded("NIST"), "NIST"),
        (b"\xff\xfd\x80\x04" + bytes(500), LAYER_2),
        (b"\0\0\0\x20ftypM4A " + bytes(100), "M4A"),
        (b"#!AMR\n" + bytes(100), "AMR"),
        (b"#!AMR-WB\n" + bytes(100), "AMR"),
        (b"\x1aE\xdf\xa3" + bytes(100), "WebM"),
        (bytes.fromhex("3026b2758e66cf11") + bytes(100), "Windows Media"),
        ((b"\xff\xf1\x50\x40\x03\x1f\xfc" + bytes(17)) * 5, "AAC"),
        (make.id3(30) + (b"\xff\xf1\x50\x40\x03\x1f\xfc" + bytes(17)) * 5, "AAC"),
        (make.riff(bytes(50), form=b"AVI "), "AVI"),
        (make.riff(make.chunk(b"fmt ", make.fmt()), magic=b"RIFX"), "RIFX"),
    ],
)
def test_what_is_recognised_and_not_taken_is_named_with_its_cure(data, name):
    for path in ["call.dat", "call.raw", "call.wav"]:
        defect = look(data, path)
        if name == LAYER_2 and path == "call.raw":  # two bytes are too little to tell it from PCM
            assert defect.kind == "raw-undeclared"
            continue
        assert (defect.kind, name in defect.message) == ("format", True)
        assert f"`ffmpeg -y -i {path} " in defect.cure


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_fault_50_wav_with_64_bit_sizes_is_refused_with_its_cure(magic):
    ds64 = make.chunk(b"ds64", (1000).to_bytes(8, "little") * 3 + bytes(4))
    form = make.chunk(b"fmt ", make.fmt())
    data = make.chunk(b"data", bytes(1000), 0xFFFFFFFF)
    defect = look(make.riff(ds64, form, data, magic=magic, size=0xFFFFFFFF))
    assert (defect.kind, defect.cure.count("call.wav.orig")) == ("format", 1)


def test_the_rf64_of_a_library_is_refused_too():
    assert look(make.encoded("RF64")).kind == "format"


@pytest.mark.parametrize(
    "data", [b"<html>not found</html>", bytes(5000), b"\xff" * 5000, b"ID3", make.id3(9)[:12]]
)
def test_what_nobody_recognises(data):
    assert look(data).kind in {"unknown", "damaged"}


def test_the_tag_of_an_mp3_without_the_mp3_is_damage_and_never_raw():
    assert look(make.id3(500) + make.pcm(), "call.raw", RAW).kind == "damaged"
    assert look(make.id3(500)[:60], "call", RAW).kind == "damaged"


@pytest.mark.parametrize("container", [make.wav, make.mp3, make.opus])
def test_fault_53_channels_against_the_connection(container):
    one, two = container(channels=1), container(channels=2)
    assert look(one, rules=AudioRules(channels=1)).channels == 1
    assert look(two, rules=AudioRules(channels=2)).channels == 2
    lacking, surplus = (
        look(one, rules=AudioRules(channels=2)),
        look(two, rules=AudioRules(channels=1)),
    )
    assert (lacking.kind, surplus.kind) == ("channels", "channels")
    assert "a connection for 1" in lacking.cure
    assert "ffmpeg" not in lacking.cure
    assert "-ac 1" in surplus.cure


def test_fault_51_longer_than_four_hours():
    size = 44 + 2 * 8000 * 4 * 3600
    head = make.wav(0, data_size=size - 44)
    assert probe(make.Handle(head, size), "a.wav", size, AudioRules()).duration == 4 * 3600
    longer = make.wav(0, data_size=size - 42)
    defect = probe(make.Handle(longer, size + 2), "a.wav", size + 2, AudioRules())
    assert defect.kind == "too-long"
    assert "-segment_time 14256 a.parts/a-%03d.wav" in defect.cure


@pytest.mark.parametrize("container", [make.wav, make.mp3, make.opus])
def test_fault_51_any_limit_holds_for_any_container(container):
    data = container(seconds=2.0)
    assert isinstance(look(data, rules=AudioRules(max_duration=2.3)), AudioInfo)
    assert look(data, rules=AudioRules(max_duration=1.9)).kind == "too-long"


@pytest.mark.parametrize("path", ["call.raw", "call.pcm", "call.PCM"])
def test_fault_54_raw_pcm_without_a_declared_rate_names_the_flags(path):
    defect = look(make.pcm(), path)
    assert defect.kind == "raw-undeclared"
    assert "--raw-rate" in defect.cure
    assert "--raw-channels" in defect.cure


@pytest.mark.parametrize("path", ["call.raw", "call.pcm", "call", "call.l16"])
def test_fault_54_raw_pcm_as_declared(path):
    info = look(make.pcm(1.5, 8000, 2), path, RAW)
    assert info == AudioInfo(Container.RAW, 2, 8000, 1.5, shows_end=False)


@pytest.mark.parametrize("path", ["call.wav", "call.MP3", "call.ogg", "call.opus"])
def test_fault_54_an_extension_that_promises_a_header_is_never_raw(path):
    assert look(make.pcm(1.5, 8000, 2), path, RAW).kind == "unknown"


def test_raw_pcm_of_an_impossible_size():
    assert look(make.pcm() + b"\0", "call.raw", RAW).kind == "raw-size"


def test_raw_pcm_of_a_rate_that_the_service_does_not_take():
    rules = AudioRules(raw=RawFormat(6000, 1))
    defect = look(make.pcm(), "call.raw", rules)
    assert defect.kind == "sample-rate"
    assert "ffmpeg -y -f s16le -ar 6000 -ac 1 -i call.raw -c:a pcm_s16le -ar 8000" in defect.cure


@pytest.mark.parametrize("first", [b"\x01\x04", b"\xff\xfb", b"\xff\xf1\x50\x40", b"\0\0\x03\xe8"])
def test_raw_pcm_that_begins_like_something_else_is_still_raw(first):
    data = first + make.pcm(1.0, 8000, 2)[len(first) :]
    assert look(data, "call.raw", RAW).container is Container.RAW


def test_gsm_without_a_header_is_known_by_its_frames_and_by_its_extension():
    for data, path in [(make.gsm(), "a.dat"), (make.gsm(), "a.raw"), (b"\x01" * 50, "a.GSM")]:
        defect = look(data, path, RAW)
        assert (defect.kind, "GSM 06.10" in defect.message) == ("format", True)
        assert f"ffmpeg -y -f gsm -i {path}" in defect.cure


@pytest.mark.parametrize("data", [make.gsm(3) + b"\0" * 33, make.gsm(10) + b"\0\0", make.gsm(2)])
def test_what_only_begins_like_gsm_is_raw(data):
    info = look(data + b"\0" * (len(data) % 2), "a.raw", AudioRules(raw=RawFormat(8000, 1)))
    assert info.container is Container.RAW


@pytest.mark.parametrize(("suffix", "name"), [("ulaw", "mu-law"), ("al", "A-law"), ("g729", "G.7")])
def test_headerless_codecs_are_not_taken_for_raw_pcm(suffix, name):
    defect = look(make.pcm(), f"a.{suffix}", RAW)
    assert (defect.kind, name in defect.message) == ("format", True)


@pytest.mark.parametrize(
    "path",
    ["a b.wav", "it's.wav", "$(reboot).wav", "-n.wav", "pipe:1.wav", "d/a;b.wav", "звонок.wav"],
)
def test_the_command_in_a_cure_names_the_file_safely(path):
    cure = look(make.encoded("WAV", "ULAW"), path).cure
    words = shlex.split(cure.split("`")[1])
    exact = path if path[0] != "-" and ":" not in path else f"./{path}"
    target = f"{exact}.new"
    convert = ["ffmpeg", "-y", "-i", exact, "-c:a", "pcm_s16le", "-f", "wav", target]
    aside, back = ["mv", "-n", exact, f"{exact}.orig"], ["mv", "-n", target, exact]
    assert words == [*convert, "&&", *aside, "&&", *back]


def test_a_pattern_of_ffmpeg_survives_a_percent_sign_in_a_name():
    cure = look(make.wav(2.0), "50%.wav", AudioRules(max_duration=1)).cure
    words = shlex.split(cure.split("`")[1])
    assert words[-6:] == ["50%%.parts/50%%-%03d.wav", "&&", "mv", "-n", "50%.wav", "50%.wav.orig"]


def test_an_error_of_the_disk_is_no_defect():
    class Broken(io.BytesIO):
        def read(self, count=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        probe(Broken(b"x" * 100), "a.wav", 100, AudioRules())


def test_an_error_of_the_disk_under_libsndfile_is_no_defect_and_no_traceback(capfd):
    class Breaking(make.Handle):
        def read(self, count=-1):
            if self.reads:
                raise OSError(5, "Input/output error")
            return super().read(count)

    data = make.encoded("WAV", "ULAW", seconds=2.0) + make.chunk(b"LIST", bytes(50))
    assert look(data).kind == "codec"
    with pytest.raises(OSError, match="Input/output error"):
        probe(Breaking(data), "a.wav", len(data), AudioRules())
    assert capfd.readouterr() == ("", "")


def test_the_kinds_are_stable():
    assert sorted(DefectKind) == [
        "channels",
        "codec",
        "damaged",
        "empty",
        "format",
        "legs",
        "no-end-mark",
        "raw-size",
        "raw-undeclared",
        "sample-rate",
        "several-streams",
        "too-long",
        "truncated",
        "unfinished",
        "unknown",
    ]


def test_a_defect_is_a_plain_value():
    defect = look(b"", "d/a.wav")
    assert isinstance(defect, Defect)
    assert defect.path == "d/a.wav"
    assert type(defect.kind) is str


@pytest.mark.parametrize(
    ("name", "rate"), [("a.sln16", 16_000), ("b.SLN44", 44_100), ("c.sln12", 12_000)]
)
def test_asterisks_names_say_the_rate_of_raw_pcm(name, rate):
    content = np.random.default_rng(rate).normal(0, 3000, rate).astype("<i2").tobytes()
    declared = AudioRules(raw=RawFormat(8_000, 2))
    for rules in (AudioRules(), declared):
        info = probe(io.BytesIO(content), name, len(content), rules)
        assert info == AudioInfo(Container.RAW, 1, rate, 1.0, shows_end=False)
