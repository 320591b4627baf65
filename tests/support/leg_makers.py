"""The two legs of a call as files, and what is heard in what was made of them."""

import io
import json

import numpy as np
import soundfile

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


def kept(service, folder):
    """What was heard of each talk, by the recording's name."""
    return {
        talk.fields["name"]: soundfile.read(
            io.BytesIO(next(folder.glob(f"{talk.talk_id}*")).read_bytes()), dtype="int16"
        )
        for talk in service.talks()
    }


def sides(service):
    return {
        name: (heard(samples[:, LEFT], rate), heard(samples[:, RIGHT], rate))
        for name, (samples, rate) in service.audio().items()
    }
