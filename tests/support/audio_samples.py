"""Small files of all kinds, and mutants of them."""

import struct

from hypothesis import strategies as st

from support import audio_makers as make

SEEDS = [
    make.wav(0.1),
    make.wav(0.1, extensible=True, channels=2),
    make.riff(*[make.chunk(b"JUNK", bytes(9))] * 9, make.chunk(b"fmt ", make.fmt())),
    make.encoded("WAV", "GSM610", seconds=0.1),
    make.encoded("WAV", "MS_ADPCM", seconds=0.1),
    make.encoded("AIFF", seconds=0.1),
    make.encoded("CAF", seconds=0.1),
    make.encoded("FLAC", seconds=0.1),
    make.encoded("VOC", seconds=0.1),
    make.mp3(0.5),
    make.id3(40) + make.frame(32) * 9,
    make.announcing(9, 9 * 144) + make.frame(32) * 9,
    make.frame(8) * 50 + b"TAG" + bytes(125),
    make.opus(0.2),
    make.opus_pages(960, 48_000, -1),
    make.gsm(),
]

lies = st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
patches = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.builds(lambda size, order: struct.pack(f"{order}I", size), lies, st.sampled_from("<>")),
)


@st.composite
def mutants(draw):
    """A file that is nearly sound: patched, cut, and joined with another."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(data), 200)))
        patch = draw(patches)
        data[at : at + len(patch)] = patch
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    if draw(st.booleans()):
        data += draw(st.sampled_from(SEEDS))
    return bytes(data)
