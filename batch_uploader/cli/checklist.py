"""``check --csv``: each recording and each defect as a line, to hand on."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from batch_uploader.app.inspection import CheckSummary, Inspection
from batch_uploader.cli.output import data_on_stdout
from batch_uploader.core.cells import defuse
from batch_uploader.core.model import Outcome
from batch_uploader.core.price import Price
from batch_uploader.core.states import POSSIBLE, Action, Status

COLUMNS: Final = ("path", "outcome", "kind", "message", "cure", "duration", "bytes", "defused")
"""The last one names the columns whose cells were changed by ``cells.defuse``."""


class TableAccount:
    """Prints the lines as they are found; what may be a copy comes last."""

    def __init__(self) -> None:
        self._has_head = False

    def take(self, seen: Inspection) -> None:
        """Print some more."""
        _print([*self._head(), *map(_defused, _rows(seen))])

    def print(self, total: CheckSummary, _price: Price | None, _cost: Decimal | None) -> None:
        """Print the rest."""
        held = [_outcome(record.outcome) for record in total.held]
        _print([*self._head(), *map(_defused, held)])

    def _head(self) -> list[Sequence[object]]:
        head = [] if self._has_head else [COLUMNS]
        self._has_head = True
        return [*head]


def _rows(seen: Inspection) -> Iterator[list[object]]:
    sizes = {each.path: each.size for each in seen.findings}
    for each in seen.findings:
        if each.audio is not None:
            word = "converted" if each.converts else ""
            length = round(each.audio.duration, 3)
            yield [each.path, Action.UPLOAD.value, word, "", "", length, each.size]
    for defect in seen.defects:
        message = f"{defect.field}: {defect.message}" if defect.field else defect.message
        size = sizes.get(defect.path, "")
        yield [defect.path, Status.INVALID.value, defect.kind, message, defect.cure, "", size]
    for some in (seen.duplicates, seen.left_out, seen.waiting, seen.carried_over):
        yield from (_outcome(each) for each in some if each.status not in POSSIBLE)


def _outcome(outcome: Outcome) -> list[object]:
    failure = outcome.failure
    message = failure.message if failure else ""
    if outcome.duplicate_of is not None and not message:
        message = f"the call of {outcome.duplicate_of}"
    length = "" if outcome.duration is None else round(outcome.duration, 3)
    size = outcome.stat.size
    kind = str(outcome.kind or outcome.cause or "")
    return [outcome.path, outcome.status.value, kind, message, "", length, size]


def _defused(cells: Sequence[object]) -> list[object]:
    guarded = [defuse(cell) if isinstance(cell, str) else cell for cell in cells]
    changed = (
        name
        for name, before, after in zip(COLUMNS, cells, guarded, strict=False)
        if before != after
    )
    return [*guarded, " ".join(changed)]


def _print(rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    with data_on_stdout():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.getvalue().encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
