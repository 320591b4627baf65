"""The sound of calls, in what recorders store; no two calls sound alike."""

import io
import struct
from dataclasses import replace

import numpy as np
import soundfile

from support.audio_makers import chunk, fmt, opus_head, riff
from support.sound_makers import RATE, samples


def wav(call, channels=1):
    """What nearly all of them can write."""
    data = samples(call.number, call.seconds, channels)
    return riff(chunk(b"fmt ", fmt(channels, RATE)), chunk(b"data", data))


def part(call, number):
    """The call whose sound a further recording of this one has."""
    return replace(call, number=call.number + 10_000 * number)


def nothing():
    """The 44 bytes of a WAV whose call was never answered."""
    return riff(chunk(b"fmt ", fmt()), chunk(b"data", b""))


def _encoded(call, container, subtype, channels=1, **options):
    sound = np.frombuffer(samples(call.number, call.seconds, channels), "<i2")
    out = io.BytesIO()
    sound = sound.reshape(-1, channels)
    soundfile.write(out, sound, RATE, format=container, subtype=subtype, **options)
    return out.getvalue()


def mp3(call, channels=1):
    """MP3 as archives are converted to."""
    return _encoded(
        call, "MP3", "MPEG_LAYER_III", channels, bitrate_mode="CONSTANT", compression_level=0.9
    )


def opus(call, channels=1):
    """Ogg Opus."""
    return _encoded(call, "OGG", "OPUS", channels)


def vorbis(call):
    """Ogg Vorbis, which looks like Opus from outside."""
    return _encoded(call, "OGG", "VORBIS")


def wav49(call):
    """Asterisk's .WAV: GSM in a WAV."""
    return _encoded(call, "WAV", "GSM610")


def mulaw_wav(call, channels=1):
    """A WAV of mu-law, as telephones speak it."""
    return _encoded(call, "WAV", "ULAW", channels)


def raw_gsm(call):
    """GSM without a header."""
    return _encoded(call, "RAW", "GSM610")


def raw_mulaw(call):
    """Mu-law without a header."""
    return _encoded(call, "RAW", "ULAW")


def webm(call, tags=()):
    """WebM with a stereo Opus track and tags, as a converter writes it."""
    track = _element(0xD7, b"\1") + _element(0x73C5, b"\1") + _element(0x83, b"\2")
    track += _element(0x86, b"A_OPUS") + _element(0x63A2, opus_head(2))
    track += _element(0xE1, _element(0xB5, struct.pack(">d", 48000)) + _element(0x9F, b"\2"))
    simple = b"".join(
        _element(0x67C8, _element(0x45A3, name.encode()) + _element(0x4487, str(value).encode()))
        for name, value in tags
    )
    blocks = b"".join(
        _element(0xA3, b"\x81" + struct.pack(">hB", 20 * n, 0x80) + packet)
        for n, packet in enumerate(_packets(opus(call, 2))[2:])
    )
    head = _element(0x4286, b"\1") + _element(0x42F7, b"\1") + _element(0x42F2, b"\4")
    head += _element(0x42F3, b"\x08") + _element(0x4282, b"webm")
    head += _element(0x4287, b"\4") + _element(0x4285, b"\2")
    info = _element(0x2AD7B1, (10**6).to_bytes(3, "big")) + _element(0x4D80, b"Lavf60")
    info += _element(0x5741, b"Lavf60") + _element(0x4489, struct.pack(">d", call.seconds * 1000))
    segment = _element(0x1549A966, info) + _element(0x1654AE6B, _element(0xAE, track))
    segment += _element(0x1254C367, _element(0x7373, _element(0x63C0, b"") + simple))
    segment += _element(0x1F43B675, _element(0xE7, b"\0") + blocks)
    return _element(0x1A45DFA3, head) + _element(0x18538067, segment)


def _packets(ogg):
    """The packets of an Ogg file with one stream."""
    packets, packet, at = [], b"", 0
    while at < len(ogg):
        lacing = ogg[at + 27 : at + 27 + ogg[at + 26]]
        at += 27 + len(lacing)
        for size in lacing:
            packet, at = packet + ogg[at : at + size], at + size
            if size < 255:
                packets.append(packet)
                packet = b""
    return packets


def _element(name, body):
    """One of EBML: its ID, eight bytes of its size, and what is in it."""
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + _size(len(body)) + body


def _size(size):
    return (1 << 56 | size).to_bytes(8, "big")
