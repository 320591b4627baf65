"""No content makes the probe raise, loop, read much, or write to the terminal."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import audio_makers as make
from support.audio_samples import SEEDS, mutants

from batch_uploader.core.model import AudioInfo, Defect
from batch_uploader.prepare.audio import AudioRules, RawFormat, probe

HUGE = 6 << 30

files = st.one_of(mutants(), st.binary(max_size=3000))
rules = st.builds(
    AudioRules,
    channels=st.sampled_from([None, 1, 2]),
    raw=st.sampled_from([None, RawFormat(8000, 1)]),
)
paths = st.sampled_from(["a.wav", "a.mp3", "a.raw", "a.gsm", "a"])


@settings(max_examples=400, deadline=None)
@given(files, paths, rules)
def test_any_content_is_judged_with_few_reads(data, path, limits):
    handle = make.Handle(data)
    verdict = probe(handle, path, len(data), limits)
    assert isinstance(verdict, AudioInfo | Defect)
    assert handle.reads <= 1500
    assert handle.nbytes <= 4_000_000


@settings(max_examples=150, deadline=None)
@given(files, paths, rules)
def test_any_content_at_the_head_of_a_huge_file_is_judged_with_few_reads(data, path, limits):
    handle = make.Handle(data, HUGE)
    verdict = probe(handle, path, HUGE, limits)
    assert isinstance(verdict, AudioInfo | Defect)
    assert handle.reads <= 2500
    assert handle.nbytes <= 12_000_000


@settings(max_examples=100, deadline=None)
@given(files, st.integers(1, 100_000), rules)
def test_a_file_that_is_shorter_than_it_was_is_judged(data, lost, limits):
    verdict = probe(make.Handle(data), "a.wav", len(data) + lost, limits)
    assert isinstance(verdict, AudioInfo | Defect)


@settings(max_examples=150)
@given(st.sampled_from(SEEDS), st.data())
def test_a_sound_verdict_means_what_it_says(seed, data):
    at = data.draw(st.integers(0, min(len(seed) - 1, 100)))
    mutant = seed[:at] + data.draw(st.binary(min_size=1, max_size=1)) + seed[at + 1 :]
    verdict = probe(make.Handle(mutant), "a.wav", len(mutant), AudioRules())
    if isinstance(verdict, AudioInfo):
        assert 0 < verdict.duration <= 4 * 3600
        assert 8000 <= verdict.sample_rate <= 48_000
        assert verdict.channels > 0


@pytest.mark.parametrize(
    "data",
    [
        make.riff(*[make.chunk(b"JUNK", b"")] * 200_000),
        make.id3(0) * 200_000,
        (make.frame(8) * 3 + make.id3(0)) * 10_000,
        (make.frame(8) * 3 + b"x") * 10_000,
        b"\xff\xfb" * 500_000,
        b"\xff" * 1_000_000,
        b"OggS" * 200_000,
        make.page(make.opus_head(), flags=2) + make.page(b"\xff", lacing=b"\xff") * 20_000,
        make.opus_pages(960, 960) + b"OggS\0" * 20_000,
        make.opus_pages(960) + make.page(b"", position=-1) * 20_000,
    ],
)
def test_content_made_to_keep_a_reader_busy(data, capfd):
    handle = make.Handle(data)
    started = time.perf_counter()
    assert isinstance(probe(handle, "a.wav", len(data), AudioRules()), Defect)
    assert time.perf_counter() - started < 10
    assert handle.nbytes <= 8_000_000
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_a_damaged_head_writes_nothing_to_the_terminal(seed, capfd):
    for at in range(min(len(SEEDS[seed]), 64)):
        for byte in (b"\0", b"\x80", b"\xff"):
            data = SEEDS[seed][:at] + byte + SEEDS[seed][at + 1 :]
            probe(make.Handle(data), "a.wav", len(data), AudioRules())
    assert capfd.readouterr() == ("", "")
