"""What the tags inside a recording say."""

import io
import struct
import subprocess
import time
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audio_makers import chunk, mp3, opus, opus_head, page, pcm, wav
from support.cures import needs_ffmpeg

from batch_uploader.prepare.about.foreign import tags

NAME = "Ольга Петрова"


def tags_in(data):
    found = tags.read(io.BytesIO(data), len(data))
    if found is None:
        return None
    assert found.source == "tags"
    return dict(found.fields)


def syncsafe(number):
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(name, body, *, size=None, flags=0):
    length = struct.pack(">I", len(body)) if size is None else size(len(body))
    return name + length + struct.pack(">H", flags) + body


def id3(*frames, version=3, flags=0):
    body = b"".join(frames) + bytes(20)
    return b"ID3" + bytes([version, 0, flags]) + syncsafe(len(body)) + body


def text(value, code=1):
    codec = ["latin-1", "utf-16", "utf-16-be", "utf-8"][code]
    return bytes([code]) + value.encode(codec)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("extension", "options", "invented"),
    [
        ("mp3", ("-id3v2_version", "3"), True),
        ("mp3", ("-id3v2_version", "4"), True),
        ("mp3", ("-id3v2_version", "3", "-write_id3v1", "1"), True),
        ("opus", (), True),
        ("ogg", ("-c:a", "libopus"), True),
        ("wav", (), False),
        ("webm", ("-c:a", "libopus"), True),
        ("mka", ("-c:a", "libopus"), True),
    ],
)
def test_tags_that_ffmpeg_writes_are_read(tmp_path, extension, options, invented):
    source, target = tmp_path / "a.wav", tmp_path / f"b.{extension}"
    source.write_bytes(wav(0.5))
    given_tags = {"title": NAME, "artist": "204", "comment": "a = b"}
    if invented:
        given_tags["CALL_SRC_NUM"] = "79001234567"
    words = [("-metadata", f"{name}={value}") for name, value in given_tags.items()]
    command = ["ffmpeg", "-v", "error", "-i", source, *chain(*words), *options, target]
    subprocess.run(command, check=True)

    found = tags_in(target.read_bytes())
    if "description" in found:  # what ffmpeg calls a comment in Ogg
        found["comment"] = found["description"]
    for name, value in given_tags.items():
        assert found[name.lower()] == value


def test_a_recording_without_tags_says_nothing():
    whole = mp3(0.5), wav(0.2), opus(0.5)
    for data in (*whole, b"", b"ID3", b"OggS", b"RIFF\0\0\0\0WAVE", bytes(300)):
        assert tags_in(data) is None


@pytest.mark.parametrize("code", [1, 2, 3])
@pytest.mark.parametrize("version", [3, 4])
def test_id3_has_text_in_several_encodings(version, code):
    data = id3(
        frame(b"TIT2", text(NAME, code)),
        frame(b"TXXX", text(f"Call ID\0{NAME}", code)),
        version=version,
    )
    assert tags_in(data) == {"title": NAME, "call id": NAME}


@pytest.mark.parametrize("codec", ["cp1251", "koi8_r", "cp866", "utf-8", "cp1252"])
def test_text_that_claims_to_be_latin_1_is_what_it_is(codec):
    said = "Jürgen Müller" if codec == "cp1252" else NAME
    assert tags_in(id3(frame(b"TPE1", b"\0" + said.encode(codec)))) == {"artist": said}


def test_id3_2_2_has_short_names():
    body = b"TT2" + (6).to_bytes(3) + b"\0title" + b"COM" + (9).to_bytes(3) + b"\0eng\0said"
    assert tags_in(b"ID3\2\0\0" + syncsafe(len(body)) + body) == {
        "title": "title",
        "comment": "said",
    }


def test_frames_without_text_are_passed_over_and_several_texts_are_a_list():
    data = id3(
        frame(b"APIC", bytes(300_000)),
        frame(b"TALB", b"\0secret", flags=0x40),
        frame(b"TPE1", b"\0one\0two\0one"),
        frame(b"COMM", b"\0eng\0free"),
        frame(b"COMM", b"\0engdescribed\0as such"),
        frame(b"TCON", b""),
        frame(b"TRCK", b"\0"),
        version=3,
    )
    assert tags_in(data) == {"artist": ["one", "two"], "comment": "free", "described": "as such"}


@pytest.mark.parametrize("size", [None, syncsafe])
def test_the_sizes_of_2_4_may_be_those_of_2_3(size):
    data = id3(
        frame(b"TIT2", b"\3" + b"x" * 300, size=size),
        frame(b"TPE1", b"\3artist", size=size),
        version=4,
    )
    assert tags_in(data) == {"title": "x" * 300, "artist": "artist"}


def test_an_unsynchronised_tag_and_an_extended_header_are_read():
    whole = frame(b"TIT2", text(NAME)) + frame(b"TPE1", text("A"))
    stuffed = whole.replace(b"\xff", b"\xff\0")
    assert tags_in(id3(stuffed, flags=0x80)) == {"title": NAME, "artist": "A"}
    extended = struct.pack(">I", 6) + bytes(6)
    assert tags_in(id3(extended, whole, flags=0x40)) == {"title": NAME, "artist": "A"}
    of_4 = syncsafe(6) + b"\1\0" + frame(b"TIT2", b"\3a", size=syncsafe)
    assert tags_in(id3(of_4, version=4, flags=0x40)) == {"title": "a"}


def test_the_tag_at_the_end_says_what_the_first_one_does_not():
    last = b"TAG" + NAME.encode("cp1251").ljust(30, b"\0") + b"204".ljust(90, b" ") + bytes(5)
    last = last[:33] + b"204".ljust(30) + bytes(30) + b"2026" + b"note".ljust(30, b"\0") + b"\xff"
    assert len(last) == 128
    assert tags_in(mp3(0.5) + last) == {
        "title": NAME,
        "artist": "204",
        "date": "2026",
        "comment": "note",
    }
    assert tags_in(id3(frame(b"TIT2", b"\0long")) + mp3(0.5) + last)["title"] == "long"


def comments(*pairs, vendor=b"v"):
    body = b"OpusTags" + struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(pairs))
    for pair in pairs:
        raw = pair.encode()
        body += struct.pack("<I", len(raw)) + raw
    return body


def test_comments_may_cross_pages_and_names_ignore_case():
    packet = comments(
        "Artist=Ольга", "PICTURE=" + "x" * 100_000, "CALL_ID=a=b", "broken", "artist=B"
    )
    data = page(opus_head(), flags=2)
    pieces = [packet[at : at + 255 * 255] for at in range(0, len(packet), 255 * 255)]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        whole, rest = divmod(len(piece), 255)
        lacing = bytes([255] * whole) + (bytes([rest]) if last else b"")
        data += page(piece, lacing=lacing, flags=0 if number == 0 else 1, number=number + 1)
    assert tags_in(data) == {"artist": ["Ольга", "B"], "call_id": "a=b"}
    # What is cut off says what it has.
    assert tags_in(data[:-40]) in (None, {"artist": "Ольга"})


def test_the_chunks_of_a_wav_are_read_before_and_behind_its_audio():
    info = b"INFO" + chunk(b"INAM", NAME.encode("cp1251") + b"\0") + chunk(b"IXYZ", b"own\0")
    bext = (
        b"talk".ljust(256, b"\0") + b"recorder".ljust(32, b"\0") + bytes(32) + b"2026-03-2709:25:17"
    )
    data = wav(0.2)
    data = data[:12] + chunk(b"bext", bext.ljust(602, b"\0")) + data[12:]
    data += chunk(b"LIST", info) + chunk(b"id3 ", id3(frame(b"TPE1", b"\x00204")))
    assert tags_in(data) == {
        "description": "talk",
        "originator": "recorder",
        "origination_date": "2026-03-27",
        "origination_time": "09:25:17",
        "title": NAME,
        "ixyz": "own",
        "artist": "204",
    }


def test_pictures_and_audio_are_not_read():
    class Counting(io.BytesIO):
        total = 0

        def read(self, size=-1):
            got = super().read(size)
            Counting.total += len(got)
            return got

    data = id3(frame(b"APIC", bytes(1 << 20)), frame(b"TIT2", b"\0title")) + bytes(1 << 22)
    found = tags.read(Counting(data), len(data))
    assert found.fields == {"title": "title"}
    assert Counting.total < 20_000


def element(ident, body, size=None):
    length = len(body) if size is None else size
    return ident.to_bytes((ident.bit_length() + 7) // 8) + (length | 1 << 56).to_bytes(8) + body


def matroska(*parts):
    return element(0x1A45DFA3, b"") + element(0x18538067, b"".join(parts))


def simple(name, value):
    inner = element(0x45A3, name.encode()) + element(0x4487, value.encode())
    return element(0x7373, element(0x67C8, inner))


def test_the_tags_of_a_webm_may_be_behind_its_audio():
    tagged = element(0x1254C367, simple("CALL_ID", "7") + simple("call_id", "8"))
    audio = element(0x1F43B675, bytes(300_000))
    assert tags_in(matroska(tagged, audio)) == {"call_id": ["7", "8"]}
    assert tags_in(matroska(audio, tagged)) is None  # audio is not walked through

    def seeking(position):
        number = position.to_bytes(8)
        ident = element(0x53AB, (0x1254C367).to_bytes(4))
        return element(0x114D9B74, element(0x4DBB, ident + element(0x53AC, number)))

    behind = len(seeking(0)) + len(audio)
    assert tags_in(matroska(seeking(behind), audio, tagged)) == {"call_id": ["7", "8"]}
    assert tags_in(matroska(seeking(behind + 1), audio, tagged)) is None
    endless = element(0x1254C367, simple("a", "b"), size=(1 << 56) - 1)
    assert tags_in(matroska(endless)) == {"a": "b"}


SEEDS = [
    matroska(element(0x1254C367, simple("CALL_ID", "7")), bytes(30)),
    id3(frame(b"TIT2", text(NAME)), frame(b"TXXX", text("a\0b", 3)), version=4),
    id3(frame(b"COMM", b"\0eng\0free"), flags=0xC0),
    page(opus_head(), flags=2) + page(comments("a=b", "c=d")),
    wav(0.01) + chunk(b"LIST", b"INFO" + chunk(b"INAM", b"x")) + chunk(b"id3 ", id3()),
    pcm(0.02) + b"TAG" + bytes(125),
]


@given(st.data())
def test_any_bytes_are_read_without_an_error(data):
    raw = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        raw = raw or bytearray(b"x")
    began = time.process_time()
    found = tags_in(bytes(raw))
    assert time.process_time() - began < 1
    for name, value in (found or {}).items():
        assert name == name.strip().lower()
        assert name
        for each in value if isinstance(value, list) else [value]:
            assert isinstance(each, str)
            assert each
