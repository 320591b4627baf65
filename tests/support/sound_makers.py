"""Calls as audio, and what becomes of audio in an archive: converted, tagged, remuxed, mended.

Each maker takes and returns the bytes of a file. Those that convert need ffmpeg.
"""

import functools
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from support.audio_makers import chunk, fmt, riff

RATE = 8000

_CODECS = {
    "wav": ("-c:a", "pcm_s16le"),
    "mp3": ("-c:a", "libmp3lame", "-b:a", "32k"),
    "opus": ("-c:a", "libopus", "-b:a", "24k"),
    "ogg": ("-c:a", "libopus", "-b:a", "24k"),
}


@functools.lru_cache(maxsize=4096)
def samples(call, seconds=3.0, channels=1):
    """16-bit samples of a call: a tone with noise, no two calls alike."""
    frames = round(seconds * RATE)
    noise = np.random.default_rng([call, frames]).normal(0, 800, (frames, channels))
    tone = 6000 * np.sin(np.arange(frames) * (0.1 + call % 97 / 200))[:, None]
    return (tone + noise).astype("<i2").tobytes()


def wav(data, channels=1, *, before=(), after=(), **form):
    """A WAV of samples; ``before`` and ``after`` are chunks around them."""
    head = chunk(b"fmt ", fmt(channels, RATE, **form))
    return riff(head, *before, chunk(b"data", data), *after)


def call_wav(call, seconds=3.0, channels=1):
    """The WAV of a call."""
    return wav(samples(call, seconds, channels), channels)


def data_of(content):
    """The samples of a WAV that ``wav`` made without anything before them."""
    at = content.index(b"data")
    (size,) = struct.unpack_from("<I", content, at + 4)
    return content[at + 8 : at + 8 + size]


@functools.lru_cache(maxsize=4096)
def ffmpeg(content, source, target, *how):
    """What ffmpeg makes of a file of one extension, for another one."""
    if not (program := shutil.which("ffmpeg")):
        pytest.skip("there is no ffmpeg here, and this test converts recordings")
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, f"in.{source}"), Path(folder, f"out.{target}")
        before.write_bytes(content)
        command = [program, "-nostdin", "-v", "error", "-y", "-i", before, *how, after]
        subprocess.run(command, check=True)
        return after.read_bytes()


def converted(content, source, target):
    """The same call in another format."""
    return ffmpeg(content, source, target, *_CODECS[target])


def remuxed(content, kind):
    """The same packets in a container that was written again, as ``ffmpeg -c copy`` does it."""
    return ffmpeg(content, kind, kind, "-c", "copy", "-metadata", "title=remuxed")


def louder(content, factor=0.5):
    """A WAV at another level, as a normaliser leaves it."""
    data = (np.frombuffer(data_of(content), "<i2") * factor).astype("<i2")
    return wav(data.tobytes())


def trimmed(content, seconds=0.5):
    """A WAV without its beginning."""
    return wav(data_of(content)[round(seconds * RATE) * 2 :])


def list_chunk(text=b"a tag"):
    """A chunk of tags."""
    return chunk(b"LIST", b"INFO" + chunk(b"INAM", text))


def id3v2(title="A call"):
    """An ID3v2.3 tag with a title, to be written before an MP3's frames."""
    body = b"\0" + title.encode("latin-1")
    told = b"TIT2" + struct.pack(">IH", len(body), 0) + body + bytes(64)
    syncsafe = bytes(len(told) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + syncsafe + told


def id3v1(title=b"A call"):
    """An ID3v1 tag, to be written behind an MP3's frames."""
    return b"TAG" + title.ljust(30, b"\0") + bytes(94) + b"\xff"


def ape(value=b"A call"):
    """An APEv2 tag with header and footer, to be written behind an MP3's frames."""
    item = struct.pack("<II", len(value), 0) + b"Title\0" + value
    told = struct.pack("<IIII", 2000, len(item) + 32, 1, 0x80000000)
    head = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, 0xA0000000) + bytes(8)
    return head + item + b"APETAGEX" + told + bytes(8)


def tagged(content, title="A call"):
    """An MP3 with tags before and behind."""
    return id3v2(title) + content + ape(title.encode()) + id3v1(title.encode())
