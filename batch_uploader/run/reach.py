"""Which services this ledger has reached: one that it never did may be a setting to correct."""

import json
from typing import Final

from batch_uploader.core.changes import Remember
from batch_uploader.core.ports import Ledger, Remote, Sink
from batch_uploader.pace import Pacer
from batch_uploader.run.recorder import Heard, Recorder

_REACHED: Final = "reached"
_MOST_KEPT: Final = 16


class Reach:
    """The ledger's fact about the service of a sink.

    ``heard`` is called with the ledger's answer when the fact is recorded.
    """

    def __init__(self, ledger: Ledger, sink: Sink, recorder: Recorder, heard: Heard) -> None:
        self._ledger = ledger
        self._service = sink.service if isinstance(sink, Remote) else None
        self._recorder = recorder
        self._heard = heard
        self._known: list[str] = []

    async def tell(self, pacer: Pacer) -> None:
        """Tell the pacer if the service was never reached. Raises LedgerError."""
        if self._service is None:
            return
        self._known = json.loads(await self._ledger.fact(_REACHED) or "[]")
        if self._service not in self._known:
            pacer.governor.never_reached(self._note)

    def _note(self) -> None:
        known = json.dumps([*self._known, self._service][-_MOST_KEPT:])
        self._recorder.record(Remember(_REACHED, known), self._heard)
