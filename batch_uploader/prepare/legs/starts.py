"""When the legs of a call began, by its metadata: pure."""

import math

from batch_uploader.core.model import Defect, Metadata
from batch_uploader.prepare.legs.rules import LegRules


def offsets_of(
    path: str, metadata: Metadata, legs: LegRules, longest: float
) -> tuple[float, float] | Defect | None:
    """The seconds after which each leg began; None if the rules do not name who says that."""
    if legs.offsets is None:
        return None
    began: list[float] = []
    for name in legs.offsets:
        told = metadata.said(name)
        seconds = _seconds(told)
        if seconds is None:
            has = f"its {name} is {told!r}, which is not a number" if told else f"it has no {name}"
            return _unknown(path, name, f"{has}, so it is not known when its leg began")
        began.append(seconds)
    first = min(began)
    if max(began) - first > longest:
        apart = f"its legs would have begun {max(began) - first:,.0f} s apart"
        return _unknown(path, legs.offsets[0], apart)
    return began[0] - first, began[1] - first


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _unknown(path: str, field: str, problem: str) -> Defect:
    cure = "correct that, or name the fields with the seconds in offsets of [legs]"
    return Defect(path, "offset-unknown", problem, cure, field=field)
