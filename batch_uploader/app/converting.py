"""Whether a run converts audio: not before somebody agrees, if an earlier version refused it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.records import Record
from batch_uploader.core.states import DEFECTIVE, Status
from batch_uploader.prepare.audio import Convert, DefectKind
from batch_uploader.prepare.rules import Rules

AGREED: Final = "converts"
"""The name of the ledger's fact whether recordings are converted."""
YES: Final = "1"
"""Somebody said so, or it was new."""
ASK: Final = "0"
"""Some were refused before, so somebody has to say so, whatever became of these since."""
_REFUSED: Final = frozenset({DefectKind.CODEC, DefectKind.FORMAT})


class RefusalsOnRecord(Protocol):
    """What is needed of a ledger, or of its reader."""

    async def fact(self, name: str) -> str | None:
        """The fact of that name."""

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """The records in these states."""


class ConversionChoice(Struct, frozen=True):
    """The rules of a run. ``waiting`` recordings could be sent if somebody asked to convert."""

    rules: Rules
    waiting: int = 0


async def choose_conversion(ledger: RefusalsOnRecord | None, rules: Rules) -> ConversionChoice:
    """Decide whether to convert if the settings do not say.

    An upgrade must not send all at once what earlier versions refused. Raises LedgerError.
    """
    if rules.audio.convert is not None:
        return ConversionChoice(rules)
    agreed = None if ledger is None else await ledger.fact(AGREED)
    waiting = 0
    if ledger is not None and agreed != YES:
        async with aclosing(ledger.rows(DEFECTIVE)) as rows:
            async for row in rows:
                waiting += row.failure is not None and row.failure.code in _REFUSED
    mode = Convert.OFF if waiting or agreed == ASK else Convert.NEEDED
    return ConversionChoice(replace(rules, audio=replace(rules.audio, convert=mode)), waiting)
