"""All that a run has to record, in one step of the ledger a turn.

What is recorded while a step is under way goes into the next one, in the order in which it came: a
claim that follows a release or an outcome sees what that left. Nobody cancels a step.
"""

import asyncio
from collections.abc import Callable
from copy import copy

from anyio import CancelScope

from batch_uploader.core.changes import Answer, Change
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Outcome
from batch_uploader.core.ports import Ledger, told
from batch_uploader.core.records import ClaimAnswer

Made = ClaimAnswer | Outcome | LedgerError | None
Heard = Callable[[Made], None]


class Recorder:
    """Tells a ledger changes, and whoever asked for one what became of it.

    ``heard`` of a change is called on the event loop once that is durable, or with the LedgerError
    that it came to; it returns quickly and does not raise.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[tuple[Change, Heard]] = []
        self._steps: asyncio.Task[None] | None = None

    def record(self, change: Change, heard: Heard) -> None:
        """Have it recorded; who does not wait for it goes on at once."""
        self._waiting.append((change, heard))
        if self._steps is None:
            self._steps = asyncio.get_running_loop().create_task(self._step())

    async def ask(self, change: Change) -> Made:
        """Have it recorded, and wait for what becomes of it. Raises LedgerError.

        It is recorded as well if who asked is cancelled.
        """
        answered: asyncio.Future[Made] = asyncio.get_running_loop().create_future()

        def heard(answer: Made) -> None:
            if not answered.done():
                answered.set_result(answer)

        self.record(change, heard)
        answer = await answered
        if isinstance(answer, LedgerError):
            raise answer
        return answer

    async def finish(self) -> None:
        """Return when all of it is recorded, whoever is cancelled meanwhile."""
        with CancelScope(shield=True):
            while self._steps is not None:
                await asyncio.shield(self._steps)

    async def _step(self) -> None:
        try:
            while self._waiting:
                # Not before all that is ready now has come, too.
                await asyncio.sleep(0)
                batch, self._waiting = self._waiting, []
                answers = await self._made([change for change, _ in batch])
                for (change, heard), answer in zip(batch, answers, strict=True):
                    heard(told(change, answer))
        finally:
            self._steps = None

    async def _made(self, changes: list[Change]) -> list[Answer]:
        try:
            return await self._ledger.apply(changes)
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting
            return [_failure(error) for _ in changes]


def _failure(error: Exception) -> LedgerError:
    # One each: an error that several raise would collect the tracebacks of all.
    failure = copy(error) if isinstance(error, LedgerError) else LedgerError(str(error))
    failure.__cause__ = error
    return failure
