"""Makes a piece of a long recording a recording that is ready to be claimed."""

from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from batch_uploader.core.model import AudioInfo, Container, Cut, Defect, Metadata
from batch_uploader.core.parts import Part
from batch_uploader.core.ports import Source
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.convert import Conversion, Converted
from batch_uploader.prepare.convert.cutting import cut_out, examine_long
from batch_uploader.prepare.convert.spool import SpaceFor
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.legs.sides import crossed_channels
from batch_uploader.prepare.reading import require_rest

if TYPE_CHECKING:
    from batch_uploader.prepare.rules import Rules

_STEREO = 2


class SoundPiece(Struct, frozen=True):
    """A piece that may be sent, and what is in its file; ``crossed``: its channels are swapped."""

    metadata: Metadata
    found: AudioInfo | Conversion
    info: AudioInfo
    crossed: bool


def look(
    source: Source,
    handle: BinaryIO,
    bundle: Bundle,
    metadata: Metadata | tuple[Defect, ...],
    rules: "Rules",
) -> SoundPiece | LeftOut | tuple[Defect, ...]:
    """What the piece of an open file is by its headers, or why it is not sent. Blocking.

    Raises OSError, and SourceChanged if the file is not as it was listed.
    """
    found = examine_long(source, handle, bundle.parts[0], rules.audio)
    info = found if isinstance(found, Defect) else _info(found, _cut_of(bundle))
    if (left := rules.leave_out(metadata, bundle.audio.mtime_ns, info)) is not None:
        return left
    wrong = metadata if isinstance(metadata, tuple) else ()
    if isinstance(found, Defect):
        return (*wrong, found)
    if isinstance(metadata, tuple) or isinstance(info, Defect):
        return wrong
    crossed = info.channels == _STEREO and crossed_channels(bundle.path, metadata, rules.channels)
    return (crossed,) if isinstance(crossed, Defect) else SoundPiece(metadata, found, info, crossed)


def _info(found: AudioInfo | Conversion, cut: Cut) -> AudioInfo:
    whole = found.info if isinstance(found, Conversion) else found
    return AudioInfo(Container.WAV, whole.channels, cut.sample_rate, cut.seconds)


def made_of(
    source: Source,
    handle: BinaryIO,
    bundle: Bundle,
    piece: SoundPiece,
    *,
    rules: "Rules",
    space_for: SpaceFor,
) -> tuple[Converted, Part] | Defect:
    """The piece of an open file as it goes up, and as the ledger keeps it.

    Blocking: the whole file is decoded. Raises as ``cut_out`` does.
    """
    file, cut = bundle.parts[0], _cut_of(bundle)
    opened = require_rest(source, handle, file)
    made = cut_out(handle, bundle.audio, piece.found, rules.audio, space_for, swapped=piece.crossed)
    require_rest(source, handle, file, opened)
    if isinstance(made, Defect):
        return made
    return made[0], Part(file.path, made[1], cut=(cut.begin, cut.end))


def _cut_of(bundle: Bundle) -> Cut:
    assert bundle.audio.cut is not None  # noqa: S101 - for the type checker
    return bundle.audio.cut
