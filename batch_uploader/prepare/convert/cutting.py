"""Where a long recording is cut, which its audio alone says, and the pieces that are cut out of it.

The limit is that of the service, so the cuts of a file are always the same.
"""

import hashlib
from array import array
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec.structs import replace

from batch_uploader.core.model import AudioInfo, Container, Cut, Defect, Entry, Sent
from batch_uploader.core.ports import Source
from batch_uploader.prepare import audio
from batch_uploader.prepare.audio import AudioRules, Convert, essence
from batch_uploader.prepare.convert import (
    Conversion,
    Converted,
    examine,
    may_shrink,
    undecodable,
)
from batch_uploader.prepare.convert.decoding import FRAME_BYTES, Undecodable
from batch_uploader.prepare.convert.spool import SpaceFor, Spool, wav_size
from batch_uploader.prepare.convert.swapping import swapped_sides
from batch_uploader.prepare.convert.tracks import Track
from batch_uploader.prepare.payload import changed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STEPS_A_SECOND: Final = 10
_WINDOW: Final = 5
"""Steps that are as quiet as possible; the cut is in their middle."""
_MARGIN: Final = 240
_SEARCHED: Final = 24
"""Of the limit: a piece is shorter by the one, and ends in the last one of the other. Of 4 hours
these are a minute and ten minutes."""
_ENDLESS: Final = 1e9


def examine_long(
    source: Source, handle: BinaryIO, entry: Entry, rules: AudioRules
) -> AudioInfo | Conversion | Defect:
    """What is in an open file, however long it is, or its defect.

    Raises OSError, and SourceChanged if it is not as it was listed.
    """
    convert = Convert.OFF if rules.convert is Convert.OFF else Convert.NEEDED
    endless = replace(rules, max_duration=_ENDLESS, convert=convert)
    return examine(source, handle, entry, endless)


def find_cuts(
    handle: BinaryIO, entry: Entry, found: AudioInfo | Conversion, longest: float
) -> tuple[Cut, ...] | Defect:
    """The pieces of an open file of which none is longer; none if the file is not.

    Decodes it once, and keeps eight bytes for a tenth of a second. Raises OSError.
    """
    try:
        with Track(handle, entry, found) as track:
            levels = _Levels(track.sample_rate, track.channels)
            for block in track.samples():
                levels.update(block)
            if (defect := track.defect()) is not None:
                return defect
    except Undecodable as error:
        return undecodable(entry, error)
    if track.measured <= longest:
        return ()
    ends = [*levels.cuts(longest), levels.frames]
    return tuple(
        Cut(number, len(ends), begin, end, track.sample_rate)
        for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False), 1)
    )


class _Levels:
    """How loud each step of a recording is."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate, self._channels = sample_rate, channels
        self._step = sample_rate // _STEPS_A_SECOND
        self._energies = array("q")
        self._rest = b""
        self.frames = 0

    def update(self, block: bytes) -> None:
        """Take the next samples of all channels."""
        import numpy as np

        data = self._rest + block
        frame = self._channels * FRAME_BYTES
        self.frames += len(block) // frame
        whole = len(data) - len(data) % (self._step * frame)
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype("i8")
        energies = np.square(samples).reshape(-1, self._step * self._channels).sum(axis=1)
        self._energies.extend(energies.tolist())

    def cuts(self, longest: float) -> list[int]:
        """Where the recording is cut: at the quietest moment before each piece is too long."""
        import numpy as np

        energies: NDArray[np.int64] = np.frombuffer(self._energies, "i8")
        most = int((longest - longest / _MARGIN) * self._rate)
        searched = int(longest / _SEARCHED * self._rate)
        cuts: list[int] = []
        begin = 0
        while self.frames - begin > most:
            latest = begin + most
            begin = _quietest(energies, self._step, latest - searched, latest)
            cuts.append(begin)
        return cuts


def _quietest(energies: "NDArray[np.int64]", step: int, earliest: int, latest: int) -> int:
    """The middle of the quietest window between two samples, the first one of equals."""
    import numpy as np

    first = -(-earliest // step)
    loud = np.convolve(energies[first : latest // step], np.ones(_WINDOW, "i8"), "valid")
    if len(energies[first : latest // step]) < _WINDOW:
        return latest
    return (2 * (first + int(np.argmin(loud))) + _WINDOW) * step // 2


def cut_out(
    handle: BinaryIO,
    entry: Entry,
    found: AudioInfo | Conversion,
    rules: AudioRules,
    space_for: SpaceFor,
    *,
    swapped: bool = False,
) -> tuple[Converted, bytes] | Defect:
    """A piece of an open file, as ``examine_long`` found that, and the essence of the whole.

    ``entry`` is the piece. Blocking: the whole file is decoded. Raises OSError, SourceChanged if
    the file is not what was cut, and SourceError if there is no space for what is made.
    """
    cut, whole = entry.cut, entry.parts[0]
    assert cut is not None  # noqa: S101 - for the type checker
    with ExitStack() as stack:
        try:
            with Track(handle, whole, found) as track:
                info = AudioInfo(Container.WAV, track.channels, track.sample_rate, cut.seconds)
                shrinks = may_shrink(info, rules)
                expected = 0 if shrinks else wav_size(info, cut.seconds)
                spool = Spool(
                    entry.path,
                    info,
                    shrinks=shrinks,
                    expected=expected,
                    space=space_for(expected),
                )
                stack.enter_context(spool)
                frames = _fill(spool, track, cut, swapped=swapped)
                if (defect := track.defect()) is not None:
                    return defect
        except Undecodable as error:
            return undecodable(whole, error)
        if frames < cut.end or (cut.number == cut.total and frames != cut.end):
            raise changed(whole.path)
        digests = track.digests()
        made = audio.probe(spool.finish(), entry.path, spool.size, rules)
        if isinstance(digests, Defect):
            return digests
        if isinstance(made, Defect):
            return made
        sent = Sent(made.container, spool.size, spool.digest(), track.codec)
        # It was decoded to its end.
        made = replace(made, shows_end=True)
        return Converted(sent, made, *digests_of(digests, cut), *spool.take()), digests[1]


def digests_of(whole: tuple[bytes, bytes], cut: Cut) -> tuple[bytes, bytes]:
    """SHA-256 and essence of a piece, by those of the file."""
    sha256, heard = whole
    mark = f"{cut.begin}-{cut.end}".encode()
    return hashlib.sha256(sha256 + mark).digest(), essence.of_piece(heard, cut.begin, cut.end)


def _fill(spool: Spool, track: Track, cut: Cut, *, swapped: bool) -> int:
    """Keep the piece; returns how many samples the whole has."""
    frame = FRAME_BYTES * track.channels
    at = 0
    with spool.keeping() as keep:
        for block in track.samples():
            piece = block[max(cut.begin - at, 0) * frame : max(cut.end - at, 0) * frame]
            at += len(block) // frame
            if piece:
                keep(swapped_sides(piece) if swapped else piece)
    return at
