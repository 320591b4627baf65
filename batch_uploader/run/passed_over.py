"""What a run passed over, on record in the ledger for ``status`` and for the run after it."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from batch_uploader.core.changes import Remember
from batch_uploader.core.model import PassedOver
from batch_uploader.core.ports import Ledger, apply_one

_FACT: Final = "passed_over"
_MOST_KEPT = 16


class HasFacts(Protocol):
    """The part of a ledger, or of its reader, that has facts."""

    async def fact(self, name: str) -> str | None:
        """As ``ports.Ledger``."""


async def passed_over_by(ledger: HasFacts, connection_id: str | None) -> tuple[PassedOver, ...]:
    """What the last run of this connection passed over; of any, the one that met most kinds."""
    kept = await _kept(ledger)
    if connection_id is not None:
        return kept.get(connection_id, ())
    return max(kept.values(), key=len, default=())


async def note_passed_over(ledger: Ledger, found: Sequence[PassedOver]) -> tuple[PassedOver, ...]:
    """Put on record what this run found. Returns it, marked with what is new."""
    kept = await _kept(ledger)
    before = kept.pop(ledger.connection_id, ())
    if before != tuple(found):
        for key in [*kept][: len(kept) + 1 - _MOST_KEPT]:
            del kept[key]
        value = msgspec.json.encode(kept | {ledger.connection_id: tuple(found)}).decode()
        await apply_one(ledger, Remember(_FACT, value))
    known = {each.kind for each in before}
    return tuple(replace(each, new=each.kind not in known) for each in found)


async def _kept(ledger: HasFacts) -> dict[str, tuple[PassedOver, ...]]:
    return msgspec.json.decode(
        await ledger.fact(_FACT) or "{}", type=dict[str, tuple[PassedOver, ...]]
    )
