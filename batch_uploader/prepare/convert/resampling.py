"""Changes the sample rate of 16-bit samples by soxr, an extra. The same in, the same out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Self

from batch_uploader.core.model import Container
from batch_uploader.prepare.convert.decoding import Decoder, ExtraMissing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AVAILABLE: Final = find_spec("soxr") is not None
"""Whether the extra is installed."""
INSTALL: Final = "pip install 'batch-uploader[resampling]'"

_FULL_SCALE = 32768.0


def require_extra() -> None:
    """Raise ExtraMissing unless soxr is installed."""
    try:
        import soxr  # noqa: F401 - whether it is there
    except ImportError as error:
        raise ExtraMissing(INSTALL) from error


def resampled(
    blocks: "Iterator[NDArray[np.int16]]", rate: int, wanted: int
) -> "Iterator[NDArray[np.int16]]":
    """The samples of one channel at another rate, from the same moment on and as long.

    Raises ExtraMissing.
    """
    import numpy as np

    require_extra()
    import soxr

    # Of integers soxr makes integers with noise that is new at each run.
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield _rounded(stream.resample_chunk(block.astype("float32")))
    yield _rounded(stream.resample_chunk(np.zeros(0, "float32"), last=True))


def _rounded(block: "NDArray[np.float32]") -> "NDArray[np.int16]":
    import numpy as np

    return np.clip(np.rint(block), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


class Resampled(AbstractContextManager["Resampled"]):
    """The audio of one channel of a decoder, at another rate. As ``Decoder``."""

    def __init__(self, decoder: Decoder, rate: int) -> None:
        require_extra()
        self._decoder = decoder
        self.container = Container.WAV
        self.channels, self.sample_rate = decoder.channels, rate
        self.seconds, self.codec, self.format = decoder.seconds, decoder.codec, decoder.format

    def samples(self) -> Iterator[bytes]:
        """The samples, little-endian. Raises Undecodable and OSError."""
        import numpy as np

        blocks = (np.frombuffer(block, "<i2") for block in self._decoder.samples())
        for block in resampled(blocks, self._decoder.sample_rate, self.sample_rate):
            yield block.tobytes()

    blocks = samples
    """What goes up."""

    def __enter__(self) -> Self:
        """Itself, open."""
        self._decoder.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the decoder."""
        self._decoder.__exit__(None, None, None)
