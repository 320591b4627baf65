"""Every format that is refused with a command for ffmpeg: the command makes a recording of it."""

import subprocess

import pytest
from support import audio_makers as make
from support.cures import follow, needs_ffmpeg, probed

from batch_uploader.prepare.audio import AudioRules

pytestmark = needs_ffmpeg

# What ffmpeg writes, by the name that the file has in an archive.
WRITTEN = {
    "call.m4a": "-c:a aac -f ipod",
    "call.mp4": "-c:a aac -f mp4",
    "call.aac": "-c:a aac -f adts",
    "call.webm": "-c:a libopus -f webm",
    "call.mka": "-c:a flac -f matroska",
    "call.wma": "-c:a wmav2 -f asf",
    "call.avi": "-c:a pcm_s16le -f avi",
    "call.flac": "-c:a flac -f flac",
    "call.caf": "-c:a pcm_s16be -f caf",
    "call.aiff": "-c:a pcm_s16be -f aiff",
    "call.au": "-c:a pcm_mulaw -f au",
    "call.w64": "-c:a pcm_s16le -f w64",
    "call.mp2": "-c:a mp2 -ar 16000 -f mp2",
    "rf64.wav": "-c:a pcm_s16le -f wav -rf64 always",
    "vorbis.ogg": "-c:a libvorbis -f ogg",
    "flac.ogg": "-c:a flac -f ogg",
    "speex.ogg": "-c:a libspeex -f ogg",
    "alaw.wav": "-c:a pcm_alaw -f wav",
    "mulaw.wav": "-c:a pcm_mulaw -f wav",
    "float.wav": "-c:a pcm_f32le -f wav",
    "deep.wav": "-c:a pcm_s24le -f wav",
    "byte.wav": "-c:a pcm_u8 -f wav",
    "adpcm.wav": "-c:a adpcm_ms -f wav",
    "ima.wav": "-c:a adpcm_ima_wav -f wav",
    "g726.wav": "-c:a g726 -b:a 32k -f wav",
    "mp3.wav": "-c:a libmp3lame -f wav",
    "fast.wav": "-c:a pcm_s16le -ar 96000 -f wav",
    "slow.wav": "-c:a pcm_s16le -ar 6000 -f wav",
    "call.alaw": "-c:a pcm_alaw -f alaw",
    "call.ulaw": "-c:a pcm_mulaw -f mulaw",
    "call.g722": "-c:a g722 -ar 16000 -f g722",
    "call.gsm": "-c:a libgsm -f gsm",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_command_converts_what_is_refused(name, tmp_path):
    made = tmp_path / name
    words = ["ffmpeg", "-v", "error", "-i", "-", "-ar", "8000", *WRITTEN[name].split(), str(made)]
    done = subprocess.run(words, input=make.wav(2.0), capture_output=True, check=False)
    if b"Unknown encoder" in done.stderr:
        pytest.skip("this ffmpeg cannot write it")
    assert not done.returncode, done.stderr
    defect = probed(made.read_bytes(), name)
    assert defect.kind in {"format", "codec", "sample-rate"}, defect
    fixed = probed(follow(tmp_path, made.read_bytes(), name=name), name)
    assert fixed.duration == pytest.approx(2.0, abs=0.2)


def test_a_recording_of_two_channels_is_mixed(tmp_path):
    one = AudioRules(channels=1)
    for number, data in enumerate(
        [make.wav(1.0, channels=2), make.mp3(channels=2), make.opus(1.0, channels=2)]
    ):
        (tmp_path / str(number)).mkdir()
        fixed = probed(follow(tmp_path / str(number), data, one), rules=one)
        assert fixed.channels == 1
