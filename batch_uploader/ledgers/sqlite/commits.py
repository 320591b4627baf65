"""One thread for one connection, and many callers' writes in one transaction.

Asyncio only, as gRPC is. Whatever happens to a caller, a native or an anyio cancellation, the
thread finishes what it began, and nothing else touches its connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from anyio import CancelScope

from batch_uploader.errors import LedgerError
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


class GroupCommit:
    """Collects writes while a transaction is under way and puts them all into the next one.

    That makes durability cost one sync of the disk a batch, not one a file. ``transaction`` is
    entered in the worker's thread; it commits when it is left, or raises LedgerError.
    """

    def __init__(
        self, worker: Worker, transaction: Callable[[], AbstractContextManager[Store]]
    ) -> None:
        self._worker = worker
        self._transaction = transaction
        self._queue: deque[tuple[Callable[[Store], Any], Rescue | None, Future[Any]]] = deque()

    async def run(self, write: Callable[[Store], T], rescue: Rescue | None = None) -> T:
        """Return what the write returned, once it is durable.

        A write that raises LedgerError must not have written anything; it fails alone. Any other
        failure is a LedgerError for everybody in the same transaction. ``rescue`` makes the error
        that is raised of either, in the worker's thread. A cancelled caller's write happens if its
        transaction has begun, otherwise it does not.
        """
        future: Future[T] = Future()
        self._queue.append((write, rescue, future))
        self._worker.submit(self._commit)
        return await asyncio.wrap_future(future)

    def _commit(self) -> None:
        batch = []
        while self._queue:
            write, rescue, future = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                batch.append((write, rescue, future))
        if not batch:
            return
        try:
            with self._transaction() as store:
                results = [_attempt(write, store) for write, _, _ in batch]
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting
            what = "" if isinstance(error, LedgerError) else "the ledger has a bug, please report: "
            for _, rescue, future in batch:
                # One each: an error that several raise would collect the tracebacks of all.
                each = LedgerError(f"{what}{error}")
                each.__cause__ = error
                future.set_exception(each if rescue is None else rescue(each))
            return
        for (_, rescue, future), result in zip(batch, results, strict=True):
            if isinstance(result, LedgerError):
                future.set_exception(result if rescue is None else rescue(result))
            else:
                future.set_result(result)


def _attempt(write: Callable[[Store], object], store: Store) -> object:
    try:
        return write(store)
    except LedgerError as refusal:
        return refusal
