"""Two legs become one stereo recording: each on its side, whole, in time, the same at each run."""

import functools
import hashlib
import re
import sys
import tracemalloc
from contextlib import closing

import numpy as np
import pytest
from support.audio_makers import chunk, fmt, riff
from support.sound_makers import ffmpeg

from batch_uploader.app.preparing import preparer_of
from batch_uploader.core.model import Container, Defect
from batch_uploader.prepare.audio import AudioRules, Convert, DefectKind, RawFormat
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.convert import examine
from batch_uploader.prepare.convert.joining import Leg, examine_leg, foretell, join
from batch_uploader.prepare.convert.spool import Space
from batch_uploader.prepare.convert.swapping import swap
from batch_uploader.prepare.convert.tracks import Track
from batch_uploader.prepare.rules import Rules, SidecarMode
from batch_uploader.sources.directory import DirectorySource

RULES = AudioRules(convert=Convert.NEEDED, raw=RawFormat(8_000, 1))
LOW, HIGH = 440, 1250
KINDS = {
    "PCM": ("wav",),
    "mu-law": ("wav", "-c:a", "pcm_mulaw"),
    "A-law": ("wav", "-c:a", "pcm_alaw"),
    "GSM": ("wav", "-c:a", "libgsm_ms"),
    "GSM without a header": ("gsm",),
    "A-law without a header": ("alaw", "-f", "alaw"),
    "PCM without a header": ("pcm", "-f", "s16le"),
    "PCM of 16 kHz without a header": ("sln16", "-f", "s16le", "-ar", "16000"),
    "FLAC": ("flac",),
    "float at 11 kHz": ("wav", "-c:a", "pcm_f32le", "-ar", "11025"),
    "Opus": ("ogg", "-c:a", "libopus"),
    "MP3": ("mp3", "-c:a", "libmp3lame"),
    "MP3 in WAV": ("wav", "-c:a", "libmp3lame"),
    "Vorbis": ("ogg", "-c:a", "libvorbis"),
    "WebM": ("webm", "-c:a", "libopus"),
    "G.722": ("wav", "-c:a", "adpcm_g722", "-ar", "16000"),
}


@functools.cache
def tone(hertz, seconds=2.0, rate=8000, channels=1):
    """A WAV with a tone; that of a second channel is three times as high."""
    times = np.arange(round(seconds * rate))[:, None] / rate
    wave = 8000 * np.sin(2 * np.pi * times * hertz * (1 + 2 * np.arange(channels)))
    return riff(chunk(b"fmt ", fmt(channels, rate)), chunk(b"data", wave.astype("<i2").tobytes()))


def of_kind(kind, hertz, seconds=2.0, channels=1):
    """The tone in this kind of file, and the file's extension."""
    extension, *options = KINDS[kind]
    return ffmpeg(tone(hertz, seconds, channels=channels), "wav", extension, *options), extension


def heard(channel, rate):
    """The frequency that is loudest."""
    spectrum = np.abs(np.fft.rfft(channel * np.hanning(len(channel))))
    return np.fft.rfftfreq(len(channel), 1 / rate)[spectrum.argmax()]


def channels_of(content):
    """The samples of a WAV of 44 bytes and two channels, one row for each, and its rate."""
    assert content[36:40] == b"data"
    assert int.from_bytes(content[22:24], "little") == 2
    samples = np.frombuffer(content[44:], "<i2").reshape(-1, 2).T.astype(int)
    return samples, int.from_bytes(content[24:28], "little")


class Desk:
    """A folder whose files are examined."""

    def __init__(self, folder):
        self.folder = folder
        self.source = DirectorySource(folder, include=["*"])
        self.open = []

    def put(self, name, content, rules=RULES, *, leg=True):
        """A handle, an entry, and what is in the file."""
        (self.folder / name).write_bytes(content)
        handle, entry = self.source.open(name), self.source.stat(name)
        self.open.append(handle)
        return handle, entry, (examine_leg if leg else examine)(self.source, handle, entry, rules)

    def legs(self, first, second, offsets=(None, None)):
        """Two files, each with its extension."""
        names = f"call-in.{first[1]}", f"call-out.{second[1]}"
        contents = first[0], second[0]
        files = [self.put(*each) for each in zip(names, contents, strict=True)]
        return tuple(Leg(*file, offset) for file, offset in zip(files, offsets, strict=True))

    def join(self, first, second, offsets=(None, None), rules=RULES, **how):
        """The content that goes up and what is known of it, or a defect."""
        joined = join("call.wav", self.legs(first, second, offsets), rules, **how)
        return joined if isinstance(joined, Defect) else (content_of(joined.made), joined)


def content_of(made):
    """What goes up."""
    if made.file is None:
        return made.content.getvalue()
    with made.file as file:
        file.seek(0)
        return file.read()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    for handle in desk.open:
        handle.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_leg_is_on_its_side_whatever_kind_it_has(desk, kind):
    first, second = of_kind(kind, LOW), (tone(HIGH, rate=16_000), "wav")

    content, joined = desk.join(first, second)

    (left, right), rate = channels_of(content)
    assert heard(left, rate) == pytest.approx(LOW, abs=2)
    assert heard(right, rate) == pytest.approx(HIGH, abs=2)
    assert rate == max(joined.made.info.sample_rate, 16_000)
    assert len(left) / rate == pytest.approx(2, abs=0.2), "with the padding of MP3"
    assert (joined.made.info.channels, joined.made.info.container) == (2, Container.WAV)
    swapped, _ = desk.join(first, second, swapped=True)
    (other, one), _ = channels_of(swapped)
    assert (one == left).all()
    assert (other == right).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_legs_make_the_same_bytes_and_digests(desk, kind):
    first, second = of_kind(kind, LOW), (tone(HIGH, rate=16_000), "wav")

    content, joined = desk.join(first, second)
    again, same = desk.join(first, second)
    _, swapped = desk.join(first, second, swapped=True)

    assert content == again
    for other in (same, swapped):
        assert other.parts == joined.parts
        assert (other.made.sha256, other.made.heard) == (joined.made.sha256, joined.made.heard)
    assert joined.made.sha256 not in {digest for digest, _ in joined.parts}


@pytest.mark.parametrize("kind", KINDS)
def test_the_digests_of_a_leg_are_those_of_a_recording_of_its_own(desk, kind):
    first, second = of_kind(kind, LOW), (tone(HIGH), "wav")
    _, joined = desk.join(first, second)
    rules = Rules(audio=RULES, sidecar=SidecarMode.OPTIONAL)
    preparer = preparer_of(desk.source, "connection", rules)

    for part, extension in zip(joined.parts, (first[1], "wav"), strict=True):
        name = f"call-{'in' if part is joined.parts[0] else 'out'}.{extension}"
        alone = preparer.prepare(bundle_of(desk.source.stat(name), None), 1 << 24, lambda _: b"")
        with closing(alone):
            recording = alone.recording
            assert (recording.fingerprint.sha256, recording.identity.essence) == part


def test_samples_of_one_rate_are_not_changed(desk):
    content, _ = desk.join((tone(LOW), "wav"), (tone(HIGH), "wav"))

    (left, right), rate = channels_of(content)
    assert rate == 8000
    assert left.astype("<i2").tobytes() == tone(LOW)[44:]
    assert right.astype("<i2").tobytes() == tone(HIGH)[44:]


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 48_000])
def test_the_slower_one_is_resampled_without_a_shift(desk, rate):
    content, _ = desk.join((tone(LOW), "wav"), (tone(HIGH, rate=rate), "wav"))

    (left, _right), made = channels_of(content)
    assert made == rate
    inner = slice(rate // 10, -rate // 10)
    wave = 8000 * np.sin(2 * np.pi * LOW * np.arange(len(left)) / rate)
    assert np.abs(left - wave)[inner].max() < 4


def test_the_shorter_one_ends_with_silence(desk):
    content, joined = desk.join((tone(LOW, 20), "wav"), (tone(HIGH, 18), "wav"))

    (left, right), rate = channels_of(content)
    assert joined.made.info.duration == 20
    assert (right[18 * rate :] == 0).all()
    assert np.abs(right[17 * rate : 18 * rate]).max() > 7000
    assert np.abs(left[19 * rate :]).max() > 7000


@pytest.mark.parametrize("side", [0, 1])
def test_what_began_later_comes_after_silence(desk, side):
    offsets = (0, 7.5) if side else (7.5, 0)
    content, joined = desk.join((tone(LOW, 20), "wav"), (tone(HIGH, 3), "wav"), offsets)

    channels, rate = channels_of(content)
    late = channels[side]
    assert (late[: round(7.5 * rate)] == 0).all()
    assert np.abs(late[round(7.5 * rate) :][:rate]).max() > 7000
    assert joined.made.info.duration == (20 if side else 27.5)


@pytest.mark.parametrize(("longer", "joins"), [(21.9, True), (22.6, False), (40, False)])
def test_lengths_that_differ_too_much_are_told_with_both(desk, longer, joins):
    """2 s and 2 % of the longer one."""
    result = desk.join((tone(LOW, 19.5), "wav"), (tone(HIGH, longer), "wav"))

    if joins:
        assert result[1].made.info.duration == longer
        return
    assert (result.path, result.kind) == ("call.wav", DefectKind.LEGS)
    assert "call-in.wav is 19.5 s long" in result.message
    assert f"call-out.wav is {longer:.1f} s long" in result.message


def test_so_are_those_of_files_that_do_not_say_how_long_they_are(desk):
    aac = ffmpeg(tone(LOW, 8), "wav", "aac", "-c:a", "aac")

    result = desk.join((aac, "aac"), (tone(HIGH, 4), "wav"))

    assert result.kind == DefectKind.LEGS
    assert "call-in.aac is 8." in result.message


def test_a_leg_of_two_channels_is_a_defect(desk):
    _handle, _entry, found = desk.put("call-in.wav", tone(LOW, channels=2))

    assert (found.path, found.kind) == ("call-in.wav", DefectKind.CHANNELS)
    assert "it has 2 channels, and a leg of a call has 1" in found.message


def test_the_channels_of_the_connection_count_for_what_is_made(desk):
    rules = AudioRules(channels=2, convert=Convert.NEEDED)
    _, _, found = desk.put("call-in.wav", tone(LOW), rules)
    assert not isinstance(found, Defect)
    legs = (tone(LOW), "wav"), (tone(HIGH), "wav")

    assert desk.join(*legs, rules=rules)[1].made.info.channels == 2
    one = AudioRules(channels=1, convert=Convert.NEEDED)
    assert desk.join(*legs, rules=one).kind == DefectKind.CHANNELS


def test_what_is_too_long_is_a_defect(desk):
    rules = AudioRules(max_duration=19.9, convert=Convert.NEEDED)
    legs = (tone(LOW, 19), "wav"), (tone(HIGH, 20), "wav")

    assert desk.join(*legs, rules=rules).kind == DefectKind.TOO_LONG


@pytest.mark.parametrize("kind", ["mu-law", "GSM", "FLAC", "Vorbis", "WebM", "MP3 in WAV"])
def test_a_leg_that_is_cut_off_is_told_by_its_name(desk, kind):
    content, extension = of_kind(kind, LOW)
    _, _, found = desk.put(f"call-in.{extension}", content[: len(content) * 2 // 3])
    if not isinstance(found, Defect):  # only decoding shows it
        found = desk.join((content[: len(content) * 2 // 3], extension), (tone(HIGH), "wav"))

    assert (found.path, found.may_grow) == (f"call-in.{extension}", True)


def test_the_length_is_foretold_by_headers(desk):
    legs = desk.legs(of_kind("mu-law", LOW, 9), (tone(HIGH, 8, 16_000), "wav"), (0, 2.5))

    info = foretell(legs)

    assert (info.channels, info.sample_rate, info.duration) == (2, 16_000, 10.5)


def test_without_the_extra_the_cure_is_to_install_it(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)

    same = desk.join((tone(LOW), "wav"), (tone(HIGH), "wav"))
    assert same[1].made.info.channels == 2
    defect = desk.join((tone(LOW), "wav"), (tone(HIGH, rate=16_000), "wav"))
    assert (defect.path, defect.kind) == ("call-in.wav", DefectKind.SAMPLE_RATE)
    assert "pip install 'batch-uploader[resampling]'" in defect.cure


def test_joined_legs_may_become_opus(desk):
    rules = AudioRules(convert=Convert.OPUS)

    content, joined = desk.join((tone(LOW, 20), "wav"), (tone(HIGH, 20), "wav"), rules=rules)

    assert joined.made.info.container is Container.OGG_OPUS
    pcm = ffmpeg(content, "ogg", "raw", "-f", "s16le")
    left, right = np.frombuffer(pcm, "<i2").reshape(-1, 2).T
    assert heard(left[:96_000], 48_000) == pytest.approx(LOW, abs=2)
    assert heard(right[:96_000], 48_000) == pytest.approx(HIGH, abs=2)


@pytest.mark.parametrize(
    "kind", ["PCM", "mu-law", "GSM", "Opus", "MP3", "G.722", "float at 11 kHz"]
)
def test_in_memory_or_not_the_same_is_made_behind_its_room(desk, kind):
    legs = desk.legs(of_kind(kind, LOW), (tone(HIGH, rate=16_000), "wav"))
    plain = content_of(join("call.wav", legs, RULES).made)

    made = join("call.wav", legs, RULES, space_for=lambda size: Space(size + 9000, 9)).made

    assert made.content.getvalue() == bytes(9) + plain
    assert made.sent.sha256 == hashlib.sha256(plain).digest()


def test_long_legs_take_no_more_memory(desk):
    hour = of_kind("mu-law", LOW, 3600), (tone(HIGH, 3600, 11_025), "wav")
    legs = desk.legs(*hour)
    tracemalloc.start()
    try:
        joined = join("call.wav", legs, RULES)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()
    with closing(joined.made):
        assert joined.made.sent.size == 44 + 3600 * 11_025 * 4


STEREO = [kind for kind in KINDS if not re.search("GSM|without a header|G.722", kind)]


@pytest.mark.parametrize("kind", STEREO)
def test_a_stereo_recording_is_swapped_and_stays_what_it_is(desk, kind):
    content, extension = of_kind(kind, LOW, channels=2)
    handle, entry, found = desk.put(f"call.{extension}", content, leg=False)
    with Track(handle, entry, found) as track:
        plain = np.frombuffer(b"".join(track.samples()), "<i2").reshape(-1, 2)

    made = swap(handle, entry, found, RULES, lambda _size: Space(1 << 20))
    filed = swap(handle, entry, found, RULES, lambda _size: Space(0, 5))

    assert content_of(filed) == made.content.getvalue()
    assert filed.sent == made.sent
    assert (made.sha256, made.heard) == track.digests()
    samples, rate = channels_of(content_of(made))
    assert (samples.T[:, ::-1] == plain).all()
    assert heard(samples[1], rate) == pytest.approx(LOW, abs=2)
    assert heard(samples[0], rate) == pytest.approx(3 * LOW, abs=2)


def test_only_two_channels_are_swapped(desk):
    handle, entry, found = desk.put("call.wav", tone(LOW), leg=False)

    assert swap(handle, entry, found, RULES).kind == DefectKind.CHANNELS
