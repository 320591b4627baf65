"""One thread for one connection, and many callers' writes in one transaction.

Asyncio only, as gRPC is. Whatever happens to a caller, a native or an anyio cancellation, the
thread finishes what it began, and nothing else touches its connection.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple, TypeVar

from anyio import CancelScope

from batch_uploader.core.errors import LedgerError
from batch_uploader.ledgers.records import Store

T = TypeVar("T")
Rescue = Callable[[LedgerError], LedgerError]


class Worker:
    """A thread that runs functions one after another."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    def submit(self, function: Callable[[], object]) -> None:
        """Have it run, and hear nothing of it."""
        self._executor.submit(function)

    async def run(self, function: Callable[[], T]) -> T:
        """Run it and wait; a cancelled caller takes it back if it has not begun."""
        return await asyncio.wrap_future(self._executor.submit(function))

    async def finish(self, function: Callable[[], None]) -> None:
        """Run a last function, which happens even if the caller is cancelled."""
        last = asyncio.wrap_future(self._executor.submit(function))
        self._executor.shutdown(wait=False)
        with CancelScope(shield=True):
            await asyncio.shield(last)


class _Write(NamedTuple):
    """What a caller waits for."""

    write: Callable[[Store], Any]
    rescue: Rescue | None
    future: asyncio.Future[Any]

    def answer(self, result: object) -> None:
        """Let the caller go on, unless nobody waits any more."""
        if self.future.done():
            return
        if isinstance(result, LedgerError):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class GroupCommit:
    """Collects writes while a transaction is under way and puts them all into the next one.

    That makes durability cost one sync of the disk and two hops between threads a batch, not a
    file. ``transaction`` is entered in the worker's thread; it commits when it is left, or raises
    LedgerError.
    """

    def __init__(
        self, worker: Worker, transaction: Callable[[], AbstractContextManager[Store]]
    ) -> None:
        self._worker = worker
        self._transaction = transaction
        self._waiting: list[_Write] = []
        self._committing = False

    async def run(self, write: Callable[[Store], T], rescue: Rescue | None = None) -> T:
        """Return what the write returned, once it is durable.

        A write that raises LedgerError must not have written anything; it fails alone. Any other
        failure is a LedgerError for everybody in the same transaction. ``rescue`` makes the error
        that is raised of either, in the worker's thread. A cancelled caller's write happens if its
        transaction has begun, otherwise it does not.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Write(write, rescue, future))
        if not self._committing:
            self._committing = True
            # Not before all that is ready now has asked, too.
            loop.call_soon(self._begin, loop)
        return await future

    async def finish(self) -> None:
        """Return when all that was asked for has ended, well or not."""
        if self._committing:
            with suppress(LedgerError):
                await self.run(lambda _: None)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = [each for each in self._waiting if not each.future.cancelled()]
        self._waiting = []
        self._committing = bool(batch)
        if batch:
            self._worker.submit(lambda: self._commit(batch, loop))

    def _ended(
        self, loop: asyncio.AbstractEventLoop, ends: Sequence[tuple[_Write, object]]
    ) -> None:
        for each, result in ends:
            each.answer(result)
        self._begin(loop)

    # In the worker's thread

    def _commit(self, batch: Sequence[_Write], loop: asyncio.AbstractEventLoop) -> None:
        results: list[object]
        try:
            with self._transaction() as store:
                results = [_attempt(each.write, store) for each in batch]
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting
            # One each: an error that several raise would collect the tracebacks of all.
            results = [_failure(error) for _ in batch]
        ends = [
            (each, _rescued(each.rescue, result))
            for each, result in zip(batch, results, strict=True)
        ]
        with suppress(RuntimeError):  # the loop is closed: nobody is left
            loop.call_soon_threadsafe(self._ended, loop, ends)


def _failure(error: Exception) -> LedgerError:
    if isinstance(error, LedgerError):
        failure = type(error)(*error.args)
    else:
        failure = LedgerError(f"the ledger has a bug, please report: {error}")
    failure.__cause__ = error
    return failure


def _rescued(rescue: Rescue | None, result: object) -> object:
    return rescue(result) if rescue is not None and isinstance(result, LedgerError) else result


def _attempt(write: Callable[[Store], object], store: Store) -> object:
    try:
        return write(store)
    except LedgerError as refusal:
        return refusal
