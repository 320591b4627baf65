"""Two legs of a call go up as one stereo recording: once, with the agent where the rule says."""

import io
import json

import numpy as np
import pytest
import soundfile
from support.sound_makers import call_wav

IN_OUT = ("--legs=-in/-out",)
LEFT, RIGHT = 0, 1
TONES = {"in": 500, "out": 1200, "mix": 900}


def tone(what, seconds=1.0, rate=8000, seed=0):
    """One channel of a tone that tells the legs apart, with noise that tells the calls apart."""
    frames = round(seconds * rate)
    noise = np.random.default_rng([seed, TONES[what]]).normal(0, 300, frames)
    return (8000 * np.sin(np.arange(frames) * 2 * np.pi * TONES[what] / rate) + noise).astype("<i2")


def wav(samples, rate=8000, subtype="PCM_16"):
    made = io.BytesIO()
    soundfile.write(made, samples, rate, subtype, format="WAV")
    return made.getvalue()


def heard(channel, rate):
    """Which of the tones a channel has."""
    spectrum = np.abs(np.fft.rfft(channel[: rate // 2].astype(float)))
    peak = np.argmax(spectrum[10:]) + 10
    loudest = peak * rate / len(channel[: rate // 2])
    return min(TONES, key=lambda what: abs(TONES[what] - loudest))


def sidecar(calls, name, **fields):
    told = {"origin": str(calls), "name": name, **fields}
    calls.put(f"{name.rpartition('.')[0]}.json", json.dumps(told).encode())


def put_legs(calls, name, *, mix=False, seed=0, seconds=(1.0, 1.0), rates=(8000, 8000), **fields):
    """The legs of a call beside its sidecar, and perhaps the mix."""
    stem = name.removesuffix(".wav")
    for what, length, rate in zip(("in", "out"), seconds, rates, strict=True):
        if length is not None:
            calls.put(f"{stem}-{what}.wav", wav(tone(what, length, rate, seed), rate))
    if mix:
        calls.put(name, wav(tone("mix", 1.0, 8000, seed)))
    sidecar(calls, name, **fields)


@pytest.fixture
def listening(start_service, tmp_path):
    """A service that keeps the audio, and what it heard of each talk, by the recording's name."""
    with start_service("--keep-audio", tmp_path / "kept") as service:
        service.audio = lambda: {
            talk.fields["name"]: soundfile.read(
                io.BytesIO(next((tmp_path / "kept").glob(f"{talk.talk_id}*")).read_bytes()),
                dtype="int16",
            )
            for talk in service.talks()
        }
        yield service


def sides(service):
    return {
        name: (heard(samples[:, LEFT], rate), heard(samples[:, RIGHT], rate))
        for name, (samples, rate) in service.audio().items()
    }


def test_two_legs_and_their_mix_are_one_talk(calls, upload, service):
    """Case 24: the mix alone, or the joined legs, never three."""
    call = "in-74950000000-201-20250424-143419-1745494459.1657"
    calls.put(f"{call}.wav", call_wav(0))
    calls.put(f"{call}.wav-in.wav", call_wav(1))
    calls.put(f"{call}.wav-out.wav", call_wav(2))
    sidecar(calls, f"{call}.wav")

    result = upload(*IN_OUT)

    assert result.code == 0, result.err
    assert "1 mixed beside their legs" in result.err
    assert service.counts(calls) == {f"{call}.wav": 1}
    (talk,) = service.talks(calls)
    assert talk.size == 44 + 2 * 3 * 8000 * 2
    line = calls.manifest()[f"{call}.wav"]
    assert line["parts"] == [f"{call}.wav-in.wav", f"{call}.wav-out.wav"]
    assert line["sent"]["sha256"] == talk.sha256.hex()
    again = upload(*IN_OUT)
    assert again.code == 0, again.err
    assert "1 mixed beside their legs" in again.err
    assert len(service.talks(calls)) == 1


def test_without_the_flag_the_mix_goes_up_alone(calls, upload, service):
    put_legs(calls, "call.wav", mix=True)
    assert upload().code == 1
    assert service.counts(calls) == {"call.wav": 1}
    joined = upload(*IN_OUT)
    assert joined.code == 1
    assert "possible duplicate" in joined.err
    assert service.counts(calls) == {"call.wav": 1}


@pytest.mark.parametrize("agent", ["left", "right"])
def test_the_agent_is_on_the_side_that_the_connection_wants(calls, upload, listening, agent):
    put_legs(calls, "incoming.wav", seed=1, direction_outgoing="false")
    put_legs(calls, "outgoing.wav", seed=2, direction_outgoing="true")
    put_legs(calls, "unknown.wav", seed=3)

    result = upload(*IN_OUT, "--agent-channel", agent, to=listening)

    # The first leg is the caller's, who is the agent of an outgoing call.
    assert result.code == 1
    assert "direction" in result.err
    first, second = (("in", "out"), ("out", "in"))
    expected = {"outgoing.wav": first, "incoming.wav": second}
    if agent == "right":
        expected = {"outgoing.wav": second, "incoming.wav": first}
    assert sides(listening) == expected
