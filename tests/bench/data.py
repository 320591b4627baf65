"""Directories of recordings: WAV files that differ, each with its sidecar. Made once and kept."""

import datetime as dt
import json
import os
import random
import shutil
import struct
from pathlib import Path

KB, MB = 1000, 1_000_000
_PER_FOLDER = 1000
_CHANNELS, _RATE, _SAMPLE = 2, 48_000, 2
_HEAD = 44
_BLOCK = 4 * MB
# What has just been written is left alone by a run.
_WRITTEN = dt.datetime(2025, 4, 24, tzinfo=dt.UTC).timestamp()


def recordings(lab, name, sizes, maker=None):
    """A directory with a recording of each size in bytes, at most a thousand in a folder.

    ``maker`` makes the file of so many random bytes; without it they are PCM.
    """
    folder = lab.folder / "data" / f"{name}-{len(sizes)}"
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for number, size in enumerate(sizes):
            where = unfinished if len(sizes) <= 2 * _PER_FOLDER else _part(unfinished, number)
            where.mkdir(parents=True, exist_ok=True)
            _write(where, number, size, maker)
        os.sync()
        unfinished.rename(folder)
    return folder


def files(folder, suffix=""):
    """The paths of all files (that end so), without a list of them all.

    What this process holds when it forks counts as its child's peak.
    """
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names if name.endswith(suffix))


def audio_files(folder):
    """The paths of all audio in a directory, sorted."""
    return sorted(files(folder, ".wav"))


def warm(folder):
    """Read all of it: the page cache forgets between the runs."""
    for path in files(folder):
        with path.open("rb", buffering=0) as file:
            while file.read(_BLOCK):
                pass


def forget(folder):
    """Let the page cache forget all of it, where the system can be told: many are not in memory."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in files(folder):
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def joined(lab, name, *folders):
    """A directory with the recordings of others, as hard links."""
    folder = lab.folder / "data" / name
    if not folder.exists():
        for source in folders:
            shutil.copytree(source, folder / source.name, copy_function=os.link)
    return folder


def audio_file(path, sound):
    """A WAV of these bytes, which was written long ago."""
    path.write_bytes(_head(len(sound)) + sound)
    os.utime(path, (_WRITTEN, _WRITTEN))


def _part(folder, number):
    return folder / f"{number // _PER_FOLDER:04}"


def _write(folder, number, size, maker):
    block = random.Random(number).randbytes(min(size - _HEAD, _BLOCK) // 4 * 4)
    audio, sidecar = (folder / f"call-{number:06}.{kind}" for kind in ("wav", "json"))
    if maker is not None:
        audio.write_bytes(maker(block))
    else:
        _write_pcm(audio, size, block)
    sidecar.write_text(
        json.dumps(
            {
                "operator_name": "Anna",
                "operator_id": "17",
                "client_name": "Ivan",
                "client_id": str(number),
                "date": "2025-04-24T14:34:19+03:00",
                "direction_outgoing": False,
                "language": "ru-RU",
            }
        )
    )
    for path in (audio, sidecar):
        os.utime(path, (_WRITTEN, _WRITTEN))


def _write_pcm(audio, size, block):
    with audio.open("wb") as file:
        file.write(_head(size - _HEAD))
        left = size - _HEAD
        while left > 0:
            left -= file.write(block[:left])


def _head(size):
    frame = _CHANNELS * _SAMPLE
    form = struct.pack("<HHIIHH", 1, _CHANNELS, _RATE, _RATE * frame, frame, 8 * _SAMPLE)
    start = struct.pack("<4sI4s4sI", b"RIFF", _HEAD - 8 + size, b"WAVE", b"fmt ", len(form))
    return start + form + struct.pack("<4sI", b"data", size)
