"""Two recordings of one channel, the legs of a call, made into one of two channels.

Both are decoded block by block, side by side. What has the lower sample rate is resampled; silence
stands before what began later and behind what ended earlier. The same legs make the same bytes at
each run. The recording is its two files: its digests are made of theirs, whatever their sides.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.checks import require_number
from batch_uploader.core.model import AudioInfo, Container, Defect, Entry, Sent
from batch_uploader.core.parts import sha256_of
from batch_uploader.core.ports import Source
from batch_uploader.core.text import plural
from batch_uploader.prepare import audio
from batch_uploader.prepare.audio import AudioRules, Convert, DefectKind, essence
from batch_uploader.prepare.convert import (
    Conversion,
    Converted,
    examine,
    may_shrink,
    undecodable,
)
from batch_uploader.prepare.convert.decoding import ExtraMissing, Undecodable
from batch_uploader.prepare.convert.resampling import INSTALL, resampled
from batch_uploader.prepare.convert.spool import SpaceFor, Spool, little_space, wav_size
from batch_uploader.prepare.convert.tracks import Track

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_APART, _APART_SHARE = 2.0, 0.02
"""Seconds, and the share of the longer leg, that the lengths of two legs may differ in all."""
_FRAMES = 64 * 1024
_SIDES: Final = 2


class Leg(Struct, frozen=True):
    """One side of a call, an open file as ``examine_leg`` found it.

    ``offset`` are the seconds after which it began, None if that is unknown.
    """

    handle: BinaryIO
    entry: Entry
    found: AudioInfo | Conversion
    offset: float | None = None

    def __post_init__(self) -> None:
        require_number("offset", self.offset, least=0, optional=True)

    @property
    def info(self) -> AudioInfo:
        """What is in it, by its header."""
        return self.found.info if isinstance(self.found, Conversion) else self.found


Legs = tuple[Leg, Leg]
Tracks = tuple[Track, Track]


class Joined(Struct, frozen=True):
    """What goes up, and the SHA-256 and essence of each leg as a recording of its own."""

    made: Converted
    parts: tuple[tuple[bytes, bytes], tuple[bytes, bytes]]


def examine_leg(
    source: Source, handle: BinaryIO, entry: Entry, rules: AudioRules
) -> AudioInfo | Conversion | Defect:
    """What is in an open file that is a leg, or its defect.

    Raises OSError, and SourceChanged if it is not as it was listed.
    """
    convert = Convert.NEEDED if rules.convert is Convert.OPUS else rules.convert
    found = examine(source, handle, entry, replace(rules, channels=None, convert=convert))
    info = found.info if isinstance(found, Conversion) else found
    if isinstance(info, Defect) or info.channels == 1:
        return found
    return _several_channels(entry.path, info.channels)


def foretell(legs: Legs) -> AudioInfo:
    """What two legs make, by their headers; its duration may be a little wrong."""
    infos = [leg.info for leg in legs]
    return AudioInfo(
        Container.WAV,
        _SIDES,
        max(info.sample_rate for info in infos),
        max((leg.offset or 0) + leg.info.duration for leg in legs),
        all(info.shows_end for info in infos),
    )


def join(
    path: str,
    legs: Legs,
    rules: AudioRules,
    *,
    swapped: bool = False,
    space_for: SpaceFor = little_space,
) -> Joined | Defect:
    """The recording ``path`` of two legs: the first is on the left, or with ``swapped`` right.

    Blocking: it takes as long as decoding does. Raises OSError, SourceChanged if a leg is shorter
    than it was listed, and SourceError if there is no space for what is made.
    """
    with ExitStack() as stack:
        try:
            with ExitStack() as decoders:
                tracks = _opened(decoders, legs[0]), _opened(decoders, legs[1])
                spool = stack.enter_context(_spool(path, legs, tracks, rules, space_for))
                _fill(spool, legs, tracks, swapped=swapped)
                _require_alike(path, legs, tracks[0].measured, tracks[1].measured)
            parts = _digests(tracks[0]), _digests(tracks[1])
        except _Unfit as error:
            return error.defect
        info = audio.probe(spool.finish(), path, spool.size, rules)
        if isinstance(info, Defect):
            return info
        info = replace(info, shows_end=all(leg.info.shows_end for leg in legs))
        sha256 = sha256_of([digest for digest, _ in parts])
        heard = essence.of_parts([heard for _, heard in parts])
        codecs = " + ".join(track.codec for track in tracks)
        sent = Sent(info.container, spool.size, spool.digest(), codecs)
        return Joined(Converted(sent, info, sha256, heard, *spool.take()), parts)


class _Unfit(Exception):  # noqa: N818 - a verdict, not a mistake
    """The legs cannot be joined."""

    def __init__(self, defect: Defect) -> None:
        super().__init__(defect.message)
        self.defect = defect


def _spool(path: str, legs: Legs, tracks: Tracks, rules: AudioRules, space_for: SpaceFor) -> Spool:
    lengths = tracks[0].seconds, tracks[1].seconds
    _require_alike(path, legs, *lengths)
    info = replace(foretell(legs), sample_rate=max(track.sample_rate for track in tracks))
    shrinks = may_shrink(info, rules)
    expected = 0 if shrinks or None in lengths else wav_size(info, info.duration)
    return Spool(path, info, shrinks=shrinks, expected=expected, space=space_for(expected))


def _fill(spool: Spool, legs: Legs, tracks: Tracks, *, swapped: bool) -> None:
    rate = spool.sample_rate
    channels = [_channel(leg, track, rate) for leg, track in zip(legs, tracks, strict=True)]
    with spool.keeping() as keep:
        for block in _interleaved(*(reversed(channels) if swapped else channels)):
            keep(block)
    for track in tracks:
        if (defect := track.defect()) is not None:
            raise _Unfit(defect)


def _opened(stack: ExitStack, leg: Leg) -> Track:
    try:
        track = stack.enter_context(Track(leg.handle, leg.entry, leg.found))
    except Undecodable as error:
        raise _Unfit(undecodable(leg.entry, error)) from error
    if track.channels != 1:
        raise _Unfit(_several_channels(leg.entry.path, track.channels))
    return track


def _several_channels(path: str, channels: int) -> Defect:
    return Defect(
        path,
        DefectKind.CHANNELS.value,
        f"it has {plural(channels, 'channel')}, and a leg of a call has 1",
        "exclude it from the legs if both sides of the call are in it",
    )


def _digests(track: Track) -> tuple[bytes, bytes]:
    digests = track.digests()
    if isinstance(digests, Defect):
        raise _Unfit(digests)
    return digests


def _require_alike(path: str, legs: Legs, first: float | None, second: float | None) -> None:
    """Raise _Unfit if the lengths differ by more than legs that began together do."""
    if first is None or second is None or any(leg.offset is not None for leg in legs):
        return
    if abs(first - second) <= _APART + _APART_SHARE * max(first, second):
        return
    lengths = [
        f"{leg.entry.path} is {seconds:,.1f} s long"
        for leg, seconds in zip(legs, (first, second), strict=True)
    ]
    raise _Unfit(
        Defect(
            path,
            DefectKind.LEGS.value,
            f"its legs differ in length: {' and '.join(lengths)}",
            "copy them again if one is not complete; if one began later, specify when",
            may_grow=not all(leg.info.shows_end for leg in legs),
        )
    )


def _channel(leg: Leg, track: Track, rate: int) -> "Iterator[NDArray[np.int16]]":
    """The samples of a leg at this rate, after silence up to its offset."""
    import numpy as np

    for left in range(round((leg.offset or 0) * rate), 0, -_FRAMES):
        yield np.zeros(min(left, _FRAMES), "<i2")
    blocks = _decoded(leg, track)
    if track.sample_rate == rate:
        yield from blocks
        return
    try:
        yield from resampled(blocks, track.sample_rate, rate)
    except ExtraMissing as extra:
        raise _Unfit(_without_resampling(leg.entry.path, track.sample_rate, rate)) from extra


def _decoded(leg: Leg, track: Track) -> "Iterator[NDArray[np.int16]]":
    import numpy as np

    try:
        for block in track.samples():
            yield np.frombuffer(block, "<i2")
    except Undecodable as error:
        raise _Unfit(undecodable(leg.entry, error)) from error


def _without_resampling(path: str, rate: int, wanted: int) -> Defect:
    return Defect(
        path,
        DefectKind.SAMPLE_RATE.value,
        f"its sample rate is {rate} Hz, and that of the other leg is {wanted} Hz",
        f"install what resamples it with `{INSTALL}`",
    )


def _interleaved(
    left: "Iterator[NDArray[np.int16]]", right: "Iterator[NDArray[np.int16]]"
) -> Iterator[bytes]:
    """The samples of two channels in turn; the shorter one ends with silence."""
    import numpy as np

    channels = _Ahead(left), _Ahead(right)
    while True:
        pair = [each.take() for each in channels]
        block = np.zeros((max(map(len, pair)), _SIDES), "<i2")
        if not len(block):
            return
        for side, taken in enumerate(pair):
            block[: len(taken), side] = taken
        yield block.tobytes()


class _Ahead:
    """Takes blocks of one size from blocks of any size."""

    def __init__(self, blocks: "Iterator[NDArray[np.int16]]") -> None:
        self._blocks = blocks
        self._read: list[NDArray[np.int16]] = []
        self._count = 0

    def take(self) -> "NDArray[np.int16]":
        """The next samples; fewer than before only at the end."""
        import numpy as np

        while self._count < _FRAMES and (block := next(self._blocks, None)) is not None:
            self._read.append(block)
            self._count += len(block)
        whole = np.concatenate([np.zeros(0, "<i2"), *self._read])
        self._read, self._count = [whole[_FRAMES:]], max(len(whole) - _FRAMES, 0)
        return whole[:_FRAMES]
