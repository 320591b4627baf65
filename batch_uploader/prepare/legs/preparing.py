"""Makes the two legs of a call a recording that is ready to be claimed."""

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import AudioInfo, Defect, Entry, Metadata
from batch_uploader.core.naming import base_name
from batch_uploader.core.parts import Part
from batch_uploader.prepare.audio import DefectKind
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.convert.joining import Joined, Legs, foretell, join
from batch_uploader.prepare.convert.spool import SpaceFor
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.legs.opening import OpenLegs, lacking, say_length
from batch_uploader.prepare.legs.sides import crossed_legs
from batch_uploader.prepare.legs.starts import offsets_of

if TYPE_CHECKING:
    from batch_uploader.prepare.rules import Rules


_SIDES: Final = 2


class Sound(Struct, frozen=True):
    """Legs that may be joined; ``crossed``: the first belongs to the right channel."""

    metadata: Metadata
    legs: Legs
    crossed: bool


def look(
    opened: OpenLegs, bundle: Bundle, metadata: Metadata | tuple[Defect, ...], rules: "Rules"
) -> Sound | Entry | LeftOut | tuple[Defect, ...]:
    """What is to be joined, or the file that is sent alone, or why nothing is sent. Blocking."""
    found = opened.examine()
    if found.alone is not None:
        if rules.legs is not None and rules.legs.alone:
            return found.alone
        wrong: tuple[Defect, ...] = (lacking(bundle.audio),)
    else:
        wrong = found.defects
    if found.legs is not None and rules.audio.channels not in {None, _SIDES}:
        wrong = (_two_channels(bundle.path, rules.audio.channels),)
    info: AudioInfo | Defect = wrong[0] if found.legs is None else foretell(found.legs)
    if found.legs is None or say_length(found.legs):
        left = rules.leave_out(metadata, bundle.audio.mtime_ns, info)
        if left is not None:
            return left
    if isinstance(metadata, tuple) or found.legs is None or wrong:
        return (*(metadata if isinstance(metadata, tuple) else ()), *wrong)
    crossed = rules.legs is not None and crossed_legs(
        bundle.path, metadata, rules.legs, rules.channels
    )
    offsets = (
        None
        if rules.legs is None
        else offsets_of(bundle.path, metadata, rules.legs, rules.audio.max_duration)
    )
    if isinstance(crossed, Defect) or isinstance(offsets, Defect):
        return tuple(each for each in (crossed, offsets) if isinstance(each, Defect))
    if offsets is None:
        return Sound(metadata, found.legs, crossed)
    first, second = found.legs
    began = replace(first, offset=offsets[0]), replace(second, offset=offsets[1])
    return Sound(metadata, began, crossed)


def joined(
    opened: OpenLegs, bundle: Bundle, sound: Sound, rules: "Rules", space_for: SpaceFor
) -> Joined | Defect:
    """The recording that these legs make. Blocking: it takes as long as decoding does."""
    made = join(bundle.path, sound.legs, rules.audio, swapped=sound.crossed, space_for=space_for)
    opened.require_rest()
    if isinstance(made, Defect) and made.path == bundle.path and made.kind != DefectKind.LEGS:
        # There is no file at its path that a command could mend.
        names = " and ".join(base_name(part.path) for part in bundle.parts)
        return replace(made, cure=f"mend or exclude its legs, {names}")
    return made


def _two_channels(path: str, wanted: int | None) -> Defect:
    return Defect(
        path,
        DefectKind.CHANNELS,
        f"its two legs make {_SIDES} channels, and the connection expects {wanted}",
        "send it to a connection for 2 channels, or leave out --legs (legs = [] in the settings)"
        " where the mix is there",
    )


def parts_of(call: Entry, essences: tuple[bytes | None, ...]) -> tuple[Part, ...]:
    """The parts of a call as the ledger keeps them, by what is heard in each leg."""
    legs = (Part(part.path, heard) for part, heard in zip(call.parts, essences, strict=True))
    return (*legs, *(Part(path, mix=True) for path in call.mixes))
