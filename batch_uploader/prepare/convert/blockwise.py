"""Decodes what needs no library, exactly as FFmpeg does: G.711 by a table, and ADPCM in WAV.

A block of ADPCM says how it begins, so all blocks of a piece are decoded at once, sample by sample.
libsndfile rounds other than FFmpeg there, and what it rounds adds up.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from batch_uploader.core.model import Container
from batch_uploader.prepare.convert.decoding import Headerless, Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Samples = NDArray[np.int16]

_PIECE = 64 * 1024
_PIECE_OF_ADPCM = 512 * 1024
_LEAST, _MOST = -32768, 32767

# MS ADPCM (RIFF tag 0x0002), and IMA ADPCM (0x0011), as FFmpeg has them.
_COEFFICIENTS: Final = ((64, 0), (128, -64), (0, 0), (48, 16), (60, 0), (115, -52), (98, -58))
_ADAPTATION: Final = (
    230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230,
)  # fmt: skip
_LEAST_DELTA, _MOST_DELTA = 16, 0x7FFF_FFFF // 768
_INDEX_STEPS: Final = (-1, -1, -1, -1, 2, 4, 6, 8)
_STEPS: Final = (
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66,
    73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408,
    449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066,
    2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630,
    9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
)  # fmt: skip
_LAST_INDEX: Final = len(_STEPS) - 1


class Blockwise(Struct, frozen=True):
    """A codec.

    ``decode`` makes samples of whole blocks, which are rows, for this number of channels;
    ``frames`` says how many of each channel a block of this size has.
    """

    decode: "Callable[[Bytes, int], Samples]"
    frames: Callable[[int, int], int]
    piece: int = _PIECE_OF_ADPCM


class BlockDecoder(AbstractContextManager["BlockDecoder"]):
    """The audio of a region, of one of the codecs in ``CODECS``. As ``Decoder``."""

    def __init__(self, region: Region, form: Headerless) -> None:
        self._region = region
        self._codec = CODECS[form.subtype]
        self._block = form.block
        self.container = Container.WAV
        self.channels, self.sample_rate = form.channels, form.sample_rate
        self.codec, self.format = form.subtype, form.form
        whole, rest = divmod(region.size, form.block)
        count = self._codec.frames
        frames = whole * count(form.block, form.channels) + count(rest, form.channels)
        self.seconds = frames / form.sample_rate

    def samples(self) -> Iterator[bytes]:
        """The samples of all channels in turn, little-endian. Raises OSError."""
        import numpy as np

        count = max(self._codec.piece // self._block, 1) * self._block
        self._region.seek(0)
        while piece := self._region.read(count):
            rest = len(piece) % self._block
            blocks = np.frombuffer(piece, "u1", len(piece) - rest).reshape(-1, self._block)
            if len(blocks):
                yield self._codec.decode(blocks, self.channels).tobytes()
            frames = self._codec.frames(rest, self.channels)
            if frames:
                last = np.frombuffer(piece[-rest:].ljust(self._block, b"\0"), "u1")
                yield self._codec.decode(last[None], self.channels)[:frames].tobytes()
        if self._region.error:
            raise self._region.error

    blocks = samples
    """What goes up."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is open."""


@cache
def _mu_law() -> "Samples":
    import numpy as np

    code = ~np.arange(256, dtype="u1").astype("i4") & 0xFF
    size = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -size, size).astype("<i2")


@cache
def _a_law() -> "Samples":
    import numpy as np

    code = np.arange(256) ^ 0x55
    exponent = code >> 4 & 7
    size = ((code & 15) << 4) + 8 + np.where(exponent, 256, 0) << np.maximum(exponent - 1, 0)
    law: Samples = np.where(code & 0x80, size, -size).astype("<i2")
    return law


def _by_table(table: "Callable[[], Samples]") -> Blockwise:
    def decode(blocks: "Bytes", _channels: int) -> "Samples":
        return table().take(blocks)

    return Blockwise(decode, lambda block, channels: block // channels, _PIECE)


def _decode_ms(blocks: "Bytes", channels: int) -> "Samples":
    import numpy as np

    count = len(blocks)
    head = blocks[:, channels : 7 * channels].copy().view("<i2").reshape(count, 3, channels)
    delta, newer, older = head.astype("i4").transpose(1, 0, 2)
    chosen = np.minimum(blocks[:, :channels], len(_COEFFICIENTS) - 1)
    first, second = np.array(_COEFFICIENTS, "i4").T[:, chosen]
    nibbles = _nibbles(blocks[:, 7 * channels :], high_first=True)
    nibbles = nibbles[:, : nibbles.shape[1] // channels * channels]
    steps = nibbles.reshape(count, -1, channels).transpose(1, 0, 2)
    signed = np.arange(16, dtype="i4")
    signed[8:] -= 16
    adaptation = np.array(_ADAPTATION, "i4")
    made = np.empty((2 + len(steps), count, channels), "<i2")
    made[0], made[1] = older, newer
    for at, nibble in enumerate(steps, 2):
        predicted = newer * first + older * second
        predicted += predicted >> 31 & 63  # so that the shift rounds towards zero
        predicted >>= 6
        predicted += signed.take(nibble) * delta
        older, newer = newer, np.clip(predicted, _LEAST, _MOST)
        made[at] = newer
        delta = np.clip(adaptation.take(nibble) * delta >> 8, _LEAST_DELTA, _MOST_DELTA)
    return _in_order(made)


def _decode_ima(blocks: "Bytes", channels: int) -> "Samples":
    import numpy as np

    difference, following = _ima_tables()
    count = len(blocks)
    head = blocks[:, : 4 * channels].reshape(count, channels, 4)
    sample = head[:, :, :2].copy().view("<i2")[:, :, 0].astype("i4")
    state = np.minimum(head[:, :, 2], _LAST_INDEX).astype("intp") << 4
    # Eight samples of one channel follow eight of the other.
    runs = (blocks.shape[1] // channels - 4) // 4
    body = blocks[:, 4 * channels : 4 * channels * (1 + runs)]
    nibbles = _nibbles(body, high_first=False).reshape(count, runs, channels, 8)
    steps = nibbles.transpose(1, 3, 0, 2).reshape(runs * 8, count, channels)
    made = np.empty((1 + len(steps), count, channels), "<i2")
    made[0] = sample
    for at, nibble in enumerate(steps, 1):
        state += nibble
        sample = np.clip(sample + difference.take(state), _LEAST, _MOST)
        made[at] = sample
        state = following.take(state)
    return _in_order(made)


@cache
def _ima_tables() -> "tuple[NDArray[np.int32], NDArray[np.intp]]":
    """By 16 times the index and the nibble: the difference, and 16 times the next index."""
    import numpy as np

    step = np.array(_STEPS, "i4")[:, None]
    size = np.arange(8)
    difference = (2 * size + 1) * step >> 3
    following = np.clip(np.arange(len(_STEPS))[:, None] + _INDEX_STEPS, 0, _LAST_INDEX) << 4
    return np.hstack([difference, -difference]).ravel(), np.hstack([following, following]).ravel()


def _nibbles(rows: "Bytes", *, high_first: bool) -> "Bytes":
    import numpy as np

    pair = (rows >> 4, rows & 15) if high_first else (rows & 15, rows >> 4)
    return np.stack(pair, axis=2).reshape(len(rows), -1)


def _in_order(made: "Samples") -> "Samples":
    """Frames, from what was made frame by frame of all blocks."""
    return made.transpose(1, 0, 2).reshape(-1, made.shape[2])


def _frames_of_ms(block: int, channels: int) -> int:
    rest = block - 7 * channels
    return 2 + 2 * rest // channels if rest >= 0 else 0


def _frames_of_ima(block: int, channels: int) -> int:
    rest = block // channels - 4
    return 1 + rest // 4 * 8 if rest >= 0 else 0


CODECS: Final = {
    "ULAW": _by_table(_mu_law),
    "ALAW": _by_table(_a_law),
    "MS_ADPCM": Blockwise(_decode_ms, _frames_of_ms),
    "IMA_ADPCM": Blockwise(_decode_ima, _frames_of_ima),
}
"""By libsndfile's names."""
