"""Where a long recording is cut: at silence, by its content alone, with little memory."""

import io
import tracemalloc

import numpy as np
import pytest
from support.audio_makers import chunk, fmt, riff

from batch_uploader.core.model import AudioInfo, Cut, Entry
from batch_uploader.core.naming import piece_path, whole_path
from batch_uploader.prepare.audio import AudioRules, probe
from batch_uploader.prepare.convert.cutting import find_cuts
from batch_uploader.prepare.pieces.describer import moved

RATE = 8000
ANY_LENGTH = AudioRules(max_duration=1e9)


def noise(seconds, channels=1, seed=0):
    shape = (round(seconds * RATE), channels)
    return np.random.default_rng(seed).integers(-9000, 9000, shape, "<i2")


def cuts(samples, longest=24.0, rate=RATE):
    channels = samples.shape[1]
    wav = riff(chunk(b"fmt ", fmt(channels, rate)), chunk(b"data", samples.tobytes()))
    handle = io.BytesIO(wav)
    info = probe(handle, "call.wav", len(wav), ANY_LENGTH)
    assert isinstance(info, AudioInfo)
    return find_cuts(handle, Entry("call.wav", len(wav), 1), info, longest)


def ends(samples, **how):
    return [cut.end / RATE for cut in cuts(samples, **how)]


def quiet(samples, at, seconds=0.6, level=0):
    begin, end = round((at - seconds / 2) * RATE), round((at + seconds / 2) * RATE)
    samples[begin:end] = np.sign(samples[begin:end]) * level
    return samples


def test_what_is_not_too_long_is_whole():
    assert cuts(noise(24)) == ()


@pytest.mark.parametrize("channels", [1, 2])
def test_each_piece_ends_in_silence_within_the_limit_and_nothing_is_lost(channels):
    samples = quiet(quiet(noise(60, channels), 23.5), 46.9)
    found = cuts(samples)
    assert [cut.number for cut in found] == [1, 2, 3]
    assert {(cut.total, cut.sample_rate) for cut in found} == {(3, RATE)}
    assert [cut.begin for cut in found] == [0, *(cut.end for cut in found[:-1])]
    assert found[-1].end == len(samples)
    assert all(cut.seconds <= 23.9 for cut in found)
    for cut in found[:-1]:
        assert not samples[cut.end - RATE // 4 : cut.end + RATE // 4].any()


def test_silence_on_one_channel_alone_is_not_quieter_than_on_both():
    samples = noise(30, 2)
    samples[round(23.0 * RATE) : round(23.6 * RATE), 0] = 0
    quiet(samples, 23.1 + 0.3, level=500)
    first = ends(samples)[0]
    assert 23.3 <= first <= 23.5


def test_the_quietest_counts_and_the_earliest_of_equals():
    twice = quiet(quiet(noise(30), 23.2, 0.5), 23.7, 0.3, level=100)
    assert ends(twice)[0] == pytest.approx(23.2, abs=0.1)
    louder_first = quiet(quiet(noise(30), 23.0, 0.3, level=2000), 23.6, 0.6)
    assert ends(louder_first)[0] == pytest.approx(23.6, abs=0.1)
    assert ends(np.zeros((30 * RATE, 1), "<i2"))[0] == pytest.approx(23.15, abs=0.11)


def test_silence_before_the_last_part_of_a_piece_does_not_count():
    assert 22.9 <= ends(quiet(noise(30), 12))[0] <= 23.9


def test_the_cuts_depend_on_the_content_alone():
    samples = noise(100, seed=4)
    assert cuts(samples) == cuts(samples.copy())
    assert ends(samples) != ends(noise(100, seed=5))
    # What comes later moves no cut.
    assert ends(samples)[:2] == ends(samples[: 60 * RATE])[:2]


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_any_rate_has_the_same_limits(rate):
    samples = np.random.default_rng(1).integers(-99, 99, (rate * 50, 1), "<i2")
    found = cuts(samples, rate=rate)
    assert len(found) == 3
    assert found[-1].end == len(samples)
    assert all(cut.seconds <= 23.9 for cut in found)


def test_the_memory_is_flat():
    peaks = []
    for minutes in (10, 40):
        samples = np.zeros((minutes * 60 * RATE, 1), "<i2")
        wav = riff(chunk(b"fmt ", fmt(1, RATE)), chunk(b"data", samples.tobytes()))
        handle, entry = io.BytesIO(wav), Entry("call.wav", len(wav), 1)
        info = probe(handle, "call.wav", len(wav), ANY_LENGTH)
        tracemalloc.start()
        assert len(find_cuts(handle, entry, info, 300.0)) == minutes // 5 + 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1_000_000


@pytest.mark.parametrize(
    ("text", "later"),
    [
        ("2025-04-24T23:59:30+03:00", "2025-04-25T00:00:53+03:00"),
        ("2025-04-24 10:00:00Z", "2025-04-24 10:01:23Z"),
        ("2025-04-24T10:00:00.500Z", "2025-04-24T10:01:23.950Z"),
        ("2025-04-24T10:00+0300", "2025-04-24T10:01:23+0300"),
        ("yesterday", "yesterday"),
        ("2025-99-24T10:00:00Z", "2025-99-24T10:00:00Z"),
    ],
)
def test_a_piece_began_later(text, later):
    assert moved(text, 83.45) == later
    assert moved(text, 0) in {text, "2025-04-24T10:00:00+0300"}


@pytest.mark.parametrize("path", ["a.wav", "x/a.b.wav", "x.y/noext", "x/a#1.wav"])
def test_the_path_of_a_piece_says_its_file(path):
    assert whole_path(piece_path(path, 12)) == path
    assert whole_path("x/a.wav") is None
    assert whole_path("x/a#b.wav") is None


def test_a_cut_knows_its_length():
    assert Cut(1, 2, 0, 4000, 8000).seconds == 0.5
