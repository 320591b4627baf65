"""What an essence costs: the CPU time of preparing a recording with it, against without."""

import random
import statistics
import subprocess
import sys

from bench.clients import SCRIPTS
from bench.data import KB, MB
from bench.report import Section, Target, figure
from support import audio_makers as make

FRAME_KBITS, PACKETS_A_PAGE, PACKET = 32, 50, 60
TIMES = {4 * MB: 200, 100 * KB: 2000}
LIMIT = 1.05


def run(lab, runs):
    rows, targets = [], []
    with lab.scratch() as folder:
        for kind, maker in (("WAV", wav), ("MP3", mp3), ("Ogg Opus", opus)):
            for size, times in TIMES.items():
                path = folder / f"{kind}-{size}"
                path.write_bytes(maker(size))
                plain, whole = _measured(path, lab.scaled(times), runs, lab)
                what = f"{kind}, {size // KB:,} KB"
                rows.append([what, figure(plain), figure(whole), f"{figure(whole / plain)} x"])
                if (kind, size) == ("WAV", 4 * MB):
                    name = "preparing a WAV of 4 MB, CPU time with its essence"
                    targets.append(Target(name, whole / plain, LIMIT, at_most=True))
    about = "Read, inspected and hashed from the page cache; CPU time of each, in turns."
    return Section("essence", about, ["", "without, ms", "with, ms", ""], rows, targets)


def _measured(path, times, runs, lab):
    """The milliseconds of one preparation without and with the essence: the medians."""
    taken = {"without": [], "with": []}
    for _ in range(runs):
        for how, each in taken.items():
            command = [sys.executable, SCRIPTS / "essence.py", path, how, str(times)]
            done = subprocess.run(
                ["taskset", "-c", str(lab.client_core), *command],
                check=True,
                capture_output=True,
                text=True,
            )
            each.append(1000 * float(done.stdout))
    return map(statistics.median, taken.values())


def noise(size):
    return random.Random(size).randbytes(size)


def wav(size):
    """Noise, which no two frames have in common."""
    return make.riff(make.chunk(b"fmt ", make.fmt(2)), make.chunk(b"data", noise(size // 4 * 4)))


def mp3(size):
    """A stream of constant bitrate, as telephone systems write them."""
    frame = make.frame(FRAME_KBITS)
    sound = noise(size)
    length = len(frame)
    return b"".join(
        frame[:4] + sound[at + 4 : at + length] for at in range(0, size - length + 1, length)
    )


def opus(size):
    """Pages of a second, as encoders write them."""
    lacing = bytes([PACKET] * PACKETS_A_PAGE)
    body = len(lacing) * PACKET
    pages = [make.page(make.opus_head(), flags=2), make.page(b"OpusTags" + bytes(8))]
    sound = noise(size)
    count = size // body
    for number in range(count):
        packets = b"".join(
            b"\x08" + sound[at + 1 : at + PACKET]
            for at in range(number * body, (number + 1) * body, PACKET)
        )
        end = 4 if number == count - 1 else 0
        pages.append(make.page(packets, flags=end, position=48_000 * (number + 1), lacing=lacing))
    return b"".join(pages)
