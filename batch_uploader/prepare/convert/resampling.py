"""Changes the sample rate of 16-bit samples by soxr, an extra. The same in, the same out."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AVAILABLE: Final = find_spec("soxr") is not None
"""Whether the extra is installed."""
INSTALL: Final = "pip install 'batch-uploader[resampling]'"

_FULL_SCALE = 32768.0


def resampled(
    blocks: "Iterator[NDArray[np.int16]]", rate: int, wanted: int
) -> "Iterator[NDArray[np.int16]]":
    """The samples of one channel at another rate, from the same moment on and as long."""
    import numpy as np
    import soxr

    # Of integers soxr makes integers with noise that is new at each run.
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield _rounded(stream.resample_chunk(block.astype("float32")))
    yield _rounded(stream.resample_chunk(np.zeros(0, "float32"), last=True))


def _rounded(block: "NDArray[np.float32]") -> "NDArray[np.int16]":
    import numpy as np

    return np.clip(np.rint(block), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")
