"""What conversion costs: calls as 4 MB of mu-law, against the same calls as 8 MB of PCM."""

import io

import soundfile
from bench.clients import PROGRAM
from bench.data import MB, recordings
from bench.measuring import contest
from bench.report import Section, Target, figure, ratio
from support import audio_makers as make

LIMIT = 1.6
_MU_LAW = 7


def run(lab, runs):
    count = lab.scaled(300)
    makers = {"PCM": _pcm, "mu-law": _mu_law}
    folders = {
        kind: recordings(lab, f"calls-{kind}", [4 * MB] * count, maker)
        for kind, maker in makers.items()
    }
    found = contest([(PROGRAM, folder) for folder in folders.values()], lab, runs)
    taken = {kind: found[PROGRAM, folder] for kind, folder in folders.items()}
    rows = [
        [f"{count} calls as {kind}", figure(each.wall), figure(each.cpu), figure(each.peak)]
        for kind, each in taken.items()
    ]
    cost = ratio(taken["PCM"], taken["mu-law"], "cpu")
    about = "Calls of 500 s in one channel: mu-law is sent as 16-bit PCM."
    what = f"{count} x 4 MB of mu-law, CPU time against PCM"
    target = Target(what, cost, LIMIT, at_most=True)
    return Section("conversion", about, ["", "seconds", "CPU s", "peak MiB"], rows, [target])


def _mu_law(sound):
    form = make.fmt(tag=_MU_LAW, bits=8)
    return make.riff(make.chunk(b"fmt ", form), make.chunk(b"data", sound))


def _pcm(sound):
    samples, _rate = soundfile.read(io.BytesIO(_mu_law(sound)), dtype="int16")
    return make.riff(make.chunk(b"fmt ", make.fmt()), make.chunk(b"data", samples.tobytes()))
