"""The open legs of a call: what is in them, and what is wrong with them."""

from contextlib import ExitStack
from typing import BinaryIO, Self

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import LEG_MISSING, Defect, Entry
from batch_uploader.core.naming import base_name
from batch_uploader.core.ports import Source
from batch_uploader.prepare.audio import AudioRules, DefectKind
from batch_uploader.prepare.convert import Conversion
from batch_uploader.prepare.convert.joining import Leg, Legs, examine_leg
from batch_uploader.prepare.reading import explaining, require_rest

_SPLIT_BOTH = (
    "split both of its legs at the same moments, and name the pieces as legs, like call-1-in.wav"
    " and call-1-out.wav; --split-long does not split legs"
)


class Examined(Struct, frozen=True):
    """What was found: both legs, or the only file that has audio, or what is wrong with them."""

    legs: Legs | None = None
    alone: Entry | None = None
    defects: tuple[Defect, ...] = ()


class OpenLegs:
    """The parts of a call, opened and examined, as a context manager that closes them. Blocking.

    Raises SourceError, and SourceChanged if a part is not as it was listed.
    """

    def __init__(self, source: Source, call: Entry, rules: AudioRules) -> None:
        self._source, self._call, self._rules = source, call, rules
        self._stack = ExitStack()
        self._opened: list[tuple[Entry, BinaryIO, tuple[object, ...]]] = []

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close them."""
        self._stack.close()

    def examine(self) -> Examined:
        """Open them, and look into each as at a recording of its own."""
        found = [(part, self._examined(part)) for part in self._call.parts]
        empty = [each for _, each in found if isinstance(each, Defect) and _is_empty(each)]
        if len(empty) == len(found):
            return Examined(defects=(replace(empty[0], path=self._call.path),))
        wrong = [
            _of_leg(part, each)
            for part, each in found
            if isinstance(each, Defect) and not _is_empty(each)
        ]
        if wrong:
            return Examined(defects=tuple(wrong))
        legs = [leg for _, leg in found if isinstance(leg, Leg)]
        if len(legs) == 1:
            return Examined(alone=legs[0].entry)
        first, second = legs
        return Examined((first, second))

    def _examined(self, part: Entry) -> Leg | Defect:
        with explaining(part.path):
            handle = self._stack.enter_context(self._source.open(part.path))
            self._opened.append((part, handle, require_rest(self._source, handle, part)))
            found = examine_leg(self._source, handle, part, self._rules)
        return found if isinstance(found, Defect) else Leg(handle, part, found)

    def require_rest(self) -> None:
        """Raise SourceChanged if a leg was touched since it was opened."""
        for part, handle, opened in self._opened:
            require_rest(self._source, handle, part, opened)


def say_length(legs: Legs) -> bool:
    """Whether the headers of both say how long they are."""
    return not any(isinstance(leg.found, Conversion) and leg.found.seconds is None for leg in legs)


def lacking(call: Entry) -> Defect:
    """The defect of a call of which only one leg has audio."""
    what = (
        "one of its legs has no audio"
        if call.lacks is None
        else f"the other leg of its call, {base_name(call.lacks)}, is missing"
    )
    cure = "put it there, or send what there is of such calls with --legs-alone"
    return Defect(call.path, LEG_MISSING, what, cure)


def _is_empty(defect: Defect) -> bool:
    return defect.kind == DefectKind.EMPTY


def _of_leg(part: Entry, defect: Defect) -> Defect:
    # One leg that is cut by itself has no other one.
    cure = _SPLIT_BOTH if defect.kind == DefectKind.TOO_LONG else defect.cure
    return replace(defect, message=f"its leg {base_name(part.path)}: {defect.message}", cure=cure)
