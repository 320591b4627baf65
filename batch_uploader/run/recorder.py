"""Batches what a run records into one step of the ledger for each turn of the event loop.

What arrives during a step goes into the next one, in order: a claim that follows a release or an
outcome sees its effect. Cancellation does not end this.
"""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy

from anyio import CancelScope

from batch_uploader.core.changes import Answer, Change, Told
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.ports import Ledger, told

Made = Told | LedgerError
Heard = Callable[[Made], None]


class Recorder:
    """Applies changes to a ledger, and returns the answers to their callers.

    The ``heard`` of a change is called on the event loop once the change is durable, or with its
    LedgerError; it must return quickly. What it raises goes to ``fail``.
    """

    def __init__(self, ledger: Ledger, fail: Callable[[Exception], None]) -> None:
        self.ledger = ledger
        self._fail = fail
        self._waiting: list[tuple[Change, Heard]] = []
        self._idle = asyncio.Event()
        self._idle.set()

    def record(self, change: Change, heard: Heard) -> None:
        """Record a change without waiting."""
        self._waiting.append((change, heard))
        if self._idle.is_set():
            self._idle.clear()
            self._go_on()

    async def ask(self, change: Change) -> Made:
        """Record a change and wait for the answer. Raises LedgerError.

        The change is recorded even if the caller is cancelled.
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
        """Return when all changes are recorded, even if cancelled meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        with CancelScope(shield=True):
            while not self._idle.is_set():
                try:
                    await self._idle.wait()
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    def _go_on(self) -> None:
        if self._waiting:
            # Later in this turn of the loop, so that all tasks that are ready now can add theirs.
            asyncio.get_running_loop().call_soon(self._begin)
        else:
            self._idle.set()

    def _begin(self) -> None:
        batch, self._waiting = self._waiting, []
        changes = [change for change, _ in batch]
        step = asyncio.get_running_loop().create_task(self.ledger.apply(changes))
        step.add_done_callback(lambda step: self._ended(batch, step))

    def _ended(
        self, batch: Sequence[tuple[Change, Heard]], step: "asyncio.Task[list[Answer]]"
    ) -> None:
        try:
            for (change, heard), answer in zip(batch, _answers(step, len(batch)), strict=True):
                self._tell(heard, told(change, answer))
        finally:
            self._go_on()

    def _tell(self, heard: Heard, answer: Made) -> None:
        try:
            heard(answer)
        except Exception as error:  # noqa: BLE001 - the other callers still get their answers
            self._fail(error)


def _answers(step: "asyncio.Task[list[Answer]]", count: int) -> Sequence[Answer]:
    if step.cancelled():
        # The event loop is shutting down.
        return [_failure(LedgerError("the ledger was interrupted")) for _ in range(count)]
    error = step.exception()
    if error is None and len(step.result()) != count:
        error = LedgerError(f"the ledger answered {len(step.result())} of {count} changes")
    return step.result() if error is None else [_failure(error) for _ in range(count)]


def _failure(error: BaseException) -> LedgerError:
    # One for each: an error raised by several callers would collect their tracebacks.
    failure = copy(error) if isinstance(error, LedgerError) else LedgerError(str(error))
    failure.__cause__ = error
    return failure
