"""Audio as bad recorders make it: nothing crashes or takes long, and no cure makes things worse."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from fuzz import material
from fuzz.hunt import SECONDS, Sampler, hunt, within_limits
from hypothesis import strategies as st
from support import audio_makers as make
from support.cures import command_of, needs_ffmpeg, probed, shell

from batch_uploader.core.model import AudioInfo, Defect
from batch_uploader.prepare.audio import AudioRules, EndMark, RawFormat, probe

pytestmark = pytest.mark.timeout(60 + 2 * SECONDS)

RULES = st.builds(
    AudioRules,
    channels=st.sampled_from([None, 1, 2]),
    raw=st.sampled_from([None, RawFormat(8000, 1)]),
    max_duration=st.sampled_from([0.5, 14_400]),
    ogg_end=st.sampled_from(EndMark),
)
PATHS = st.sampled_from(["call.wav", "call.mp3", "call.opus", "call.raw", "call"])
HUGE = 3 << 30


def test_any_audio_is_judged_within_a_second(capfd):
    def check(example):
        (data, _), path, rules, size = example
        handle = make.Handle(data, size)
        with within_limits():
            found = probe(handle, path, handle.size, rules)
        assert isinstance(found, AudioInfo | Defect)
        if isinstance(found, AudioInfo):
            assert found.duration > 0
            assert rules.channels in {None, found.channels}
        else:
            assert found.message.isprintable()
            assert found.cure.isprintable()

    count = hunt(
        st.tuples(material.audio, PATHS, RULES, st.sampled_from([None, None, None, HUGE])), check
    )
    assert count > 200
    assert capfd.readouterr() == ("", "")


def played(path):
    """The seconds that ffmpeg plays of a file; 0 if it cannot."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", "8000", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return len(done.stdout) / 16_000


@needs_ffmpeg
def test_no_cure_makes_things_worse():
    sampler, followed = Sampler(), 0

    def check(example):
        nonlocal followed
        (data, seconds), rules = example
        defect = probed(data, "call.wav", rules)
        if isinstance(defect, AudioInfo) or "`" not in defect.cure:
            return
        kind = (defect.kind, re.sub(r"\d+", "", defect.message), defect.cure.count("-c copy"))
        if sampler.picks(kind):
            followed += 1
            with tempfile.TemporaryDirectory() as folder:
                follow(Path(folder), data, defect, rules, seconds)

    rules = st.builds(AudioRules, st.sampled_from([None, 1]), ogg_end=st.sampled_from(EndMark))
    hunt(st.tuples(material.audio, rules), check)
    assert followed > 20


def follow(folder, data, defect, rules, least):
    """Run the command: the old file stays somewhere, and the new one plays for no less."""
    path = folder / "call.wav"
    path.write_bytes(data)
    before = played(path)
    failed = shell(command_of(defect), folder)
    old = folder / "call.wav.orig"
    if failed:
        assert path.read_bytes() == data
        assert not old.exists()
        return
    assert old.read_bytes() == data
    if "listen to it" not in defect.cure:  # two channels play for half the time of one
        assert played(path) >= max(before - 0.15, least - 0.03), defect
    found = probed(path.read_bytes(), path.name, rules)
    assert isinstance(found, AudioInfo) or found.kind != defect.kind, (defect, found)
