"""What is heard in a file: the same after each way to write it anew, another after each change."""

import array
import io
import re
import shutil
import struct
import subprocess

import pytest
import xxhash
from hypothesis import assume, given
from hypothesis import strategies as st
from support import audio_makers as make
from support.audio_samples import SEEDS, mutants

from batch_uploader.core.model import AudioInfo, Container
from batch_uploader.prepare.audio import AudioRules, RawFormat, essence, probe, riff
from batch_uploader.prepare.audio.content import Content

TELEPHONE = RawFormat(8000, 1)


def info_of(content, raw=TELEPHONE):
    info = probe(io.BytesIO(content), "call", len(content), AudioRules(raw=raw))
    assert isinstance(info, AudioInfo), info
    return info


def heard(content, info=None):
    return in_blocks(content, info or info_of(content), [len(content) or 1])


def in_blocks(content, info, sizes):
    """The essence, from blocks of these sizes, over and over, each held as it may come."""
    maker = essence.begin(io.BytesIO(content), len(content), info)
    at = turn = 0
    while at < len(content):
        step = sizes[turn % len(sizes)]
        block = content[at : at + step]
        maker.update(block if turn % 2 else memoryview(bytearray(block)))
        at, turn = at + step, turn + 1
    return maker.digest()


# WAV and raw PCM

frames_of = st.integers(1, 3).flatmap(
    lambda channels: st.tuples(
        st.just(channels),
        st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=2, max_size=40).map(
            lambda samples: array.array("h", samples * channels).tobytes()
        ),
    )
)


@st.composite
def wavs(draw, channels, samples):
    """A WAV of these samples, as any recorder or editor may write it."""
    other = st.builds(
        make.chunk, st.sampled_from([b"LIST", b"bext", b"JUNK", b"fact"]), st.binary(max_size=30)
    )
    before, behind = draw(st.lists(other, max_size=2)), draw(st.lists(other, max_size=2))
    form = make.chunk(b"fmt ", make.fmt(channels, extensible=draw(st.booleans())))
    data = make.chunk(b"data", samples)
    content = make.riff(*before[:1], form, *before[1:], data, *behind)
    return content + bytes(draw(st.sampled_from([0, 1, 512])))


@given(frames_of, st.data())
def test_samples_have_one_essence_however_they_are_written(audio, data):
    channels, samples = audio
    raw = heard(samples, info_of(samples, RawFormat(8000, channels)))
    first, second = (data.draw(wavs(channels, samples)) for _ in range(2))
    assert heard(first) == heard(second) == raw
    assert raw[:1] in {b"p", b"c"}
    assert raw[1:] == xxhash.xxh3_128_digest(samples)


@given(frames_of, st.data())
def test_each_bit_of_each_sample_is_heard(audio, data):
    channels, samples = audio
    content = data.draw(wavs(channels, samples))
    changed = bytearray(samples)
    changed[data.draw(st.integers(0, len(samples) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert heard(data.draw(wavs(channels, bytes(changed)))) != heard(content)
    for shorter in (samples[: -2 * channels], samples[2 * channels :]):
        assert heard(data.draw(wavs(channels, shorter))) != heard(content)


@pytest.mark.parametrize("announced", [0, 44 + 16_000, 36 + 16_000, 0x7FFFF000, 0xFFFFFFFF])
@pytest.mark.parametrize("riff_size", [0, 36, None, 0xFFFFFFFF])
def test_a_mended_header_changes_nothing(announced, riff_size):
    whole = make.wav()
    unfinished = make.wav(data_size=announced, riff_size=riff_size)
    assert heard(unfinished, info_of(whole)) == heard(whole)


def of_samples(samples, channels=2):
    return make.riff(make.chunk(b"fmt ", make.fmt(channels)), make.chunk(b"data", samples))


def test_half_a_frame_at_the_end_is_not_heard():
    whole = make.pcm(channels=2)
    info = info_of(of_samples(whole))
    assert heard(of_samples(whole + b"\1\2\3"), info) == heard(of_samples(whole))


def test_sound_in_the_other_channel_is_other_audio():
    left, right = (array.array("h", frame * 100).tobytes() for frame in ([1, 0], [0, 1]))
    assert heard(of_samples(left)) != heard(of_samples(right))


@given(
    st.binary(min_size=2, max_size=2),
    st.integers(1, 3),
    st.integers(2, 9000),
    st.lists(st.integers(1, 6000), min_size=1, max_size=4),
    st.data(),
)
def test_samples_that_never_change_are_told(sample, channels, count, sizes, data):
    """Silence is the same in any two calls, so it tells nothing."""
    frame = sample + b"ab" * (channels - 1)
    info = AudioInfo(Container.RAW, channels, 8000, 1)
    still = frame * count
    assert in_blocks(still, info, sizes)[:1] == b"c"
    moved = bytearray(still)
    moved[data.draw(st.integers(0, len(still) - 1))] ^= 1
    assert in_blocks(bytes(moved), info, sizes)[:1] == b"p"


# MP3


def id3v1(text=b"title"):
    return b"TAG" + text.ljust(125, b"\0")


def ape(size, *, header=True):
    body = bytes(size)
    told = struct.pack("<IIII8x", 2000, size + 32, 1, 0x8000_0000 if header else 0)
    return (b"APETAGEX" + told) * header + body + b"APETAGEX" + told


def lyrics(text, version=2):
    body = b"LYRICSBEGIN" + text
    return body + (b"LYRICSEND" if version == 1 else b"%06dLYRICS200" % len(body))


def appended_id3(size):
    return make.id3(size) + b"3DI" + make.id3(size)[3:10]


BEFORE = [b"", make.id3(100), make.id3(9000) + make.id3(70_000), bytes(300)]
TAGS = [
    id3v1(),
    ape(50_000) + id3v1(),
    ape(90, header=False),
    lyrics(b"la" * 20_000) + id3v1(),
    lyrics(b"la" * 2500, version=1) + id3v1(),
    ape(70_000) + lyrics(b"") + id3v1(),
    lyrics(b"IND0000200") + ape(100) + id3v1(),
    appended_id3(80_000),
]
BEHIND = [b"", *TAGS, bytes(512), b"\xff" * 3000]
ANNOUNCING = [b"", *(make.announcing(9, 9 * 144, name) for name in (b"Xing", b"Info", b"VBRI"))]
ANNOUNCING.append(ANNOUNCING[1] + ANNOUNCING[2])


@st.composite
def mp3s(draw, sound):
    """These frames with tags and an encoder's header around them."""
    parts = draw(st.sampled_from(BEFORE)), draw(st.sampled_from(ANNOUNCING))
    return b"".join([*parts, sound, draw(st.sampled_from(BEHIND))])


sounds = st.lists(
    st.tuples(st.sampled_from([8, 32, 64, 160]), st.integers(1, 255)), min_size=5, max_size=300
).map(lambda frames: [make.frame(kbits)[:-1] + bytes([last]) for kbits, last in frames])
MP3 = AudioInfo(Container.MP3, 1, 16_000, 1)


@given(sounds, st.data())
def test_frames_have_one_essence_whatever_is_around_them(frames, data):
    sound = b"".join(frames)
    assert heard(data.draw(mp3s(sound)), MP3) == b"m" + xxhash.xxh3_128_digest(sound)


@given(sounds, st.data())
def test_each_frame_is_heard(frames, data):
    content = data.draw(mp3s(b"".join(frames)))
    at = data.draw(st.integers(0, len(frames) - 1))
    for instead in ([], [frames[at][:-1] + b"\0"], [frames[at]] * 2):
        changed = b"".join([*frames[:at], *instead, *frames[at + 1 :]])
        assert heard(data.draw(mp3s(changed)), MP3) != heard(content, MP3)


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_behind_the_audio_is_neither_played_nor_a_defect(tag):
    sound = make.frame(32) * 500
    assert info_of(sound + tag) == info_of(sound)


def test_a_frame_that_is_cut_off_is_not_heard():
    sound = make.frame(32) * 50
    assert heard(sound + make.frame(32)[:100], MP3) == heard(sound, MP3)


def test_frames_behind_stray_bytes_are_heard():
    content = make.frame(32) * 100 + b"no frame" * 20 + make.frame(32) * 5
    assert heard(content + id3v1(), MP3) == b"m" + xxhash.xxh3_128_digest(content)


# Ogg


@st.composite
def packets(draw):
    sizes = st.one_of(st.integers(1, 300), st.sampled_from([254, 255, 256, 510, 765, 66_000]))
    count = draw(st.integers(1, 6))
    return [
        bytes([8, draw(st.integers(0, 255))]) + bytes(draw(sizes) - 1) + b"\1" for _ in range(count)
    ]


OPUS = AudioInfo(Container.OGG_OPUS, 1, 48_000, 1)
OPUS_HEADS = (make.opus_head(),)


def segments(packet):
    """The packet as pairs of a segment's length and its bytes."""
    lengths = [255] * (len(packet) // 255) + [len(packet) % 255]
    at = 0
    for length in lengths:
        yield length, packet[at : at + length]
        at += length


@st.composite
def oggs(draw, sound, *, heads=OPUS_HEADS, end=4):
    """These packets in pages of any size, with any serial number and comment."""
    serial = draw(st.integers(0, 0xFFFFFFFF))
    comment = b"OpusTags" + bytes(draw(st.sampled_from([8, 247, 700, 70_000])))
    pages = [make.page(heads[0], flags=2, serial=serial)]
    for stream in ([comment, *heads[1:]], sound):
        left = [pair for packet in stream for pair in segments(packet)]
        while left:
            most = draw(st.sampled_from([1, 2, 50, 255]))
            now, left = left[:most], left[most:]
            last = stream is sound and not left
            pages.append(
                make.page(
                    b"".join(body for _, body in now),
                    flags=end if last else 0,
                    position=len(pages) * 960,
                    serial=serial,
                    lacing=bytes(length for length, _ in now),
                )
            )
    return b"".join(pages)


@given(packets(), st.data())
def test_packets_have_one_essence_in_any_pages(sound, data):
    lengths = bytes(length for packet in sound for length, _ in segments(packet))
    both = map(xxhash.xxh3_128_digest, (b"".join(sound), lengths))
    expected = b"o" + xxhash.xxh3_128_digest(b"".join(both))
    assert heard(data.draw(oggs(sound)), OPUS) == expected
    stray = data.draw(st.sampled_from([b"\0", bytes(26), bytes(4096), b"OggS", b"x" * 100]))
    assert heard(data.draw(oggs(sound)) + stray, OPUS) == expected
    assert heard(data.draw(oggs(sound, end=0)), OPUS) == expected


@given(packets(), st.lists(st.integers(1, 99), min_size=1, max_size=5), st.data())
def test_pages_may_begin_and_end_in_any_block(sound, sizes, data):
    content = data.draw(oggs(sound))
    assert in_blocks(content, OPUS, sizes) == heard(content, OPUS)


@given(packets(), st.data())
def test_each_packet_is_heard_and_where_it_ends(sound, data):
    before = heard(data.draw(oggs(sound)), OPUS)
    at = data.draw(st.integers(0, len(sound) - 1))
    packet = sound[at]
    for instead in ([packet[:-1] + b"\2"], [packet] * 2, [packet[:1], packet[1:]], []):
        changed = [*sound[:at], *instead, *sound[at + 1 :]]
        assume(changed)
        assert heard(data.draw(oggs(changed)), OPUS) != before


def test_a_packet_on_the_page_of_a_header_is_heard():
    sound = [b"\x08" + bytes(300), b"\x08\1"]
    head = make.page(make.opus_head(), flags=2)
    tags, rest = b"OpusTags" + bytes(8), b"".join(sound)
    joined = make.page(tags + rest, flags=4, lacing=bytes([len(tags), 255, 46, 2]))
    apart = [make.page(tags), *(make.page(packet, flags=4) for packet in sound)]
    assert heard(head + joined, OPUS) == heard(head + b"".join(apart), OPUS)


@given(packets(), st.data())
def test_the_three_headers_of_vorbis_are_not_heard(sound, data):
    for setup in (b"\5vorbis" + bytes(4000), b"\5vorbis"):
        heads = (b"\1vorbis" + bytes(23), setup)
        found = heard(data.draw(oggs(sound, heads=heads)), OPUS)
        assert found[:1] == b"v"
        assert found[1:] == heard(data.draw(oggs(sound)), OPUS)[1:]


@given(packets(), st.data())
def test_what_is_stray_or_cut_off_is_not_heard_at_the_end_alone(sound, data):
    content = data.draw(oggs(sound))
    starts = [page.start() for page in re.finditer(b"OggS", content)]
    place = data.draw(st.sampled_from(starts))
    stray = data.draw(st.sampled_from([b"x", bytes(27), bytes(300), bytes(4090)]))
    cut = content[: data.draw(st.integers(place + 1, len(content)))]
    assume(len(cut) not in starts)
    for damaged in (content[:place] + stray, content[:place] + stray + content[place:], cut):
        whole = b"f" + xxhash.xxh3_128_digest(damaged)
        end = place if damaged is not cut else max(start for start in starts if start < len(cut))
        before = heard(content[:end], OPUS)
        if damaged == content:
            assert heard(damaged, OPUS)[:1] == b"o"
        elif before[:1] == b"f" or len(damaged) - end > 4096:
            assert heard(damaged, OPUS) == whole
        else:
            assert heard(damaged, OPUS) == before


# All


@given(mutants())
def test_what_is_heard_of_a_wav_is_as_long_as_it_plays(content):
    info = probe(io.BytesIO(content), "call", len(content), AudioRules())
    if isinstance(info, AudioInfo) and info.container is Container.WAV:
        start, end = riff.samples(Content(io.BytesIO(content), len(content)))
        assert (end - start) // (2 * info.channels) / info.sample_rate == info.duration


@given(mutants(), st.sampled_from(Container), st.lists(st.integers(1, 99_999), min_size=1))
def test_any_content_has_an_essence_in_blocks_of_any_size(content, container, sizes):
    info = AudioInfo(container, 1, 8000, 1)
    found = heard(content, info)
    assert len(found) == 17
    assert found[:1] in {b"p", b"c", b"m", b"o", b"v", b"f"}
    assert in_blocks(content, info, sizes) == found


@pytest.mark.parametrize("container", Container)
def test_what_has_no_audio_is_taken_as_a_whole(container):
    content = make.riff(make.chunk(b"fmt ", make.fmt()))
    info = AudioInfo(container, 1, 8000, 1)
    letter = b"p" if container is Container.RAW else b"f"
    assert heard(content, info) == letter + xxhash.xxh3_128_digest(content)


# What the common tool makes of it


@pytest.fixture
def ffmpeg(tmp_path):
    """Writes a file anew without decoding it."""
    if not (found := shutil.which("ffmpeg")):
        pytest.skip("there is no ffmpeg here")

    def run(content, suffix, *options, source=""):
        paths = tmp_path / f"in{source or suffix}", tmp_path / f"out{suffix}"
        paths[0].write_bytes(content)
        command = [found, "-v", "error", "-y", "-i", paths[0], *options, paths[1]]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return paths[1].read_bytes()

    return run


WAVS = [
    make.wav(),
    make.wav(channels=2, rate=16_000, extensible=True),
    make.riff(make.chunk(b"LIST", b"x" * 9), make.chunk(b"fmt ", make.fmt()), make.wav()[36:]),
]
COPIED = {
    ".wav": (
        WAVS,
        [["-metadata", "title=call"], ["-write_bext", "1"], ["-fflags", "+bitexact"]],
    ),
    ".mp3": (
        [make.mp3(), make.mp3(mode="VARIABLE"), make.mp3(channels=2, rate=44_100)],
        [
            ["-metadata", "title=call", "-id3v2_version", "3"],
            ["-write_xing", "0", "-id3v2_version", "0", "-map_metadata", "-1"],
            ["-write_id3v1", "1", "-metadata", "title=call"],
        ],
    ),
    ".ogg": (
        [make.opus(), make.opus(20, channels=2), make.encoded("OGG", "VORBIS", seconds=2)],
        [
            ["-metadata", "title=call"],
            ["-page_duration", "20000"],
            ["-page_duration", "10000000"],
            ["-serial_offset", "77"],
        ],
    ),
}


def container_of(suffix):
    return {".wav": Container.WAV, ".mp3": Container.MP3, ".ogg": Container.OGG_OPUS}[suffix]


@pytest.mark.parametrize("suffix", COPIED)
def test_what_is_remuxed_is_the_same(ffmpeg, suffix):
    contents, options = COPIED[suffix]
    for original in contents:
        content = original
        channels = 2 if content[22:23] == b"\2" else 1
        info = AudioInfo(container_of(suffix), channels, 8000, 1)
        expected = heard(content, info)
        assert expected[:1] != b"f"
        for more in options:
            before, content = content, ffmpeg(content, suffix, "-c", "copy", *more)
            assert content != before
            assert heard(content, info) == expected, more


@pytest.mark.parametrize("suffix", COPIED)
def test_what_is_louder_or_shorter_is_not(ffmpeg, suffix):
    codec = {".wav": "pcm_s16le", ".mp3": "libmp3lame", ".ogg": "libopus"}[suffix]
    content = COPIED[suffix][0][0]
    info = AudioInfo(container_of(suffix), 1, 8000, 1)
    for more in (["-af", "volume=0.9"], ["-ss", "0.1"]):
        changed = ffmpeg(content, suffix, "-c:a", codec, *more)
        assert heard(changed, info) != heard(content, info)


@pytest.mark.parametrize("content", SEEDS)
def test_what_is_fit_to_be_sent_is_never_taken_as_a_whole(content):
    info = probe(io.BytesIO(content), "call", len(content), AudioRules())
    if isinstance(info, AudioInfo):
        assert heard(content, info)[:1] in {b"p", b"c", b"m", b"o"}
