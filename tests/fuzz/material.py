"""Audio files and sidecars as bad recorders make them, for hypothesis to draw."""

import struct

from hypothesis import strategies as st
from support import audio_makers as make
from support import ogg_pages as ogg
from support.audio_samples import mutants

_SIZES = st.sampled_from([0, 0x7FFFF000, 0xFFFFFFFF])
_OFF = st.one_of(st.just(0), st.sampled_from([8, 36, 44]), st.integers(-9000, 9000))
_OPUS = [make.opus(0.4), make.opus(2.0), make.opus(1.0, channels=2)]
_MP3 = [make.mp3(0.5), make.mp3(1.0, mode="VARIABLE")]


@st.composite
def _chunks(draw):
    found = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([b"LIST", b"bext", b"fact", b"JUNK", b"id3 ", b"cue "]))
        body = draw(st.binary(max_size=40))
        pad = b"\0" * (len(body) % 2) if draw(st.booleans()) else b""
        found.append(name + struct.pack("<I", len(body)) + body + pad)
    return b"".join(found)


@st.composite
def wavs(draw):
    """A WAV whose header and parts contradict each other, and the seconds of PCM that are in it."""
    channels, rate = draw(
        st.sampled_from([(1, 8000), (2, 8000), (1, 48_000), (1, 6000), (6, 8000)])
    )
    form, linear = make.fmt(channels, rate), True
    if draw(st.integers(0, 3)) == 0:
        block = draw(st.integers(0, 16))
        each = draw(st.sampled_from([rate * channels * 2, rate * block, 0]))
        form = form[:8] + struct.pack("<IH", each, block) + form[14:]
    if draw(st.integers(0, 9)) == 0:
        form = struct.pack("<H", draw(st.sampled_from([6, 7, 0x31, 0x55, 0xFFFE]))) + form[2:]
        linear = False
    pcm = make.pcm(draw(st.sampled_from([0, 0.01, 0.3, 0.8])), rate, channels)
    size = draw(st.one_of(st.just(len(pcm)), _SIZES, _OFF.map(lambda off: max(len(pcm) + off, 0))))
    data = b"data" + struct.pack("<I", size) + pcm
    after = draw(
        st.one_of(
            st.just(b""),
            _chunks(),
            st.binary(max_size=600),
            st.just(make.wav(0.2)),
            st.just(b"TAG" + bytes(125)),
        )
    )
    body = b"WAVE" + make.chunk(b"fmt ", form) + draw(_chunks()) + data + after
    whole = draw(st.one_of(st.just(len(body)), _SIZES, st.just(size + 36)))
    found = b"RIFF" + struct.pack("<I", whole & 0xFFFFFFFF) + body
    if draw(st.integers(0, 5)) == 0:
        found = found[: draw(st.integers(0, len(found)))]
    there = min(len(pcm), max(len(found) - found.find(b"data") - 8, 0)) if linear else 0
    return found, there / (rate * channels * 2)


def _marked(page, flags):
    return page[:5] + bytes([flags]) + page[6:]


def _placed(page, position):
    return page[:6] + struct.pack("<q", min(position, 2**63 - 1)) + page[14:]


def _of_stream(page, serial):
    return page[:14] + struct.pack("<I", serial) + page[18:]


@st.composite
def oggs(draw):
    """An Ogg Opus whose pages are lost, moved, marked and numbered otherwise."""
    pages = ogg.pages(draw(st.sampled_from(_OPUS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(pages) - 1))
        match draw(st.integers(0, 7)):
            case 0:
                pages = pages[:at] + pages[at + 1 :] or pages
            case 1:
                pages.insert(at, pages[at])
            case 2:
                pages[at] = _marked(pages[at], draw(st.integers(0, 7)))
            case 3:
                day = 86_400 * 48_000
                jump = draw(st.sampled_from([day, 365 * day, -48_000, 48_000, 600 * 48_000]))
                pages = [
                    _placed(page, max(ogg.position(page) + jump, -1)) if number >= at else page
                    for number, page in enumerate(pages)
                ]
            case 4:
                where = draw(st.sampled_from([-1, 0, 1, 2**63 - 1, -(2**63)]))
                pages[at] = _placed(pages[at], where)
            case 5:
                pages[at] = _of_stream(pages[at], draw(st.integers(0, 3)))
            case 6:
                pages += ogg.pages(draw(st.sampled_from(_OPUS)))
            case _:
                pages[at] = pages[at] + draw(st.binary(max_size=300))
    data = b"".join(ogg.checked(page) if page[:4] == b"OggS" else page for page in pages)
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 4)) == 0 else data


@st.composite
def mp3s(draw):
    """Frames, announcements, tags and holes in any order."""
    rates = draw(st.lists(st.sampled_from([8, 16, 32, 64, 160]), min_size=1, max_size=3))
    piece = st.one_of(
        st.integers(1, 60).map(
            lambda count: b"".join(make.frame(rates[n % len(rates)]) for n in range(count))
        ),
        st.binary(max_size=200),
        st.integers(0, 300).map(make.id3),
        st.just(b"TAG" + bytes(125)),
        st.builds(make.announcing, st.integers(0, 200), st.integers(0, 20_000)),
        st.sampled_from(_MP3),
    )
    data = b"".join(draw(st.lists(piece, min_size=1, max_size=5)))
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


audio = st.one_of(
    wavs(),
    *(
        each.map(lambda data: (data, 0))
        for each in (oggs(), mp3s(), mutants(), st.binary(max_size=2000))
    ),
)
"""A file, and the seconds that a cure must bring at least."""
