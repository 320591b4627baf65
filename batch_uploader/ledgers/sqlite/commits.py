"""One thread for one connection, and many callers' changes in one transaction.

Asyncio only, as gRPC is. Whatever happens to a caller, a native or an anyio cancellation, the
thread finishes what it began, and nothing else touches its connection.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from typing import NamedTuple, TypeVar

from anyio import CancelScope

from batch_uploader.core.changes import Answer, Change
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Timestamp

T = TypeVar("T")


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


class CommitRequest(NamedTuple):
    """The changes of one caller, when they were asked for, and what the caller waits for."""

    changes: Sequence[Change]
    at: Timestamp
    future: asyncio.Future[list[Answer]]


class GroupCommit:
    """Collects changes while a transaction is under way and puts them all into the next one.

    That makes durability cost one sync of the disk and two hops between threads a transaction, not
    a file. ``commit`` is called in the worker's thread with all that goes into one, and returns the
    answers, once what they tell is durable; it does not raise.
    """

    def __init__(
        self, worker: Worker, commit: Callable[[Sequence[CommitRequest]], list[list[Answer]]]
    ) -> None:
        self._worker = worker
        self._commit = commit
        self._waiting: list[CommitRequest] = []
        self._committing = False

    async def apply(self, changes: Sequence[Change], at: Timestamp) -> list[Answer]:
        """Return the answers to these changes, once they are durable.

        A cancelled caller's changes happen if their transaction has begun, otherwise none does.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        self._waiting.append(CommitRequest(changes, at, future))
        if not self._committing:
            self._committing = True
            # Not before all that is ready now has asked, too.
            loop.call_soon(self._begin, loop)
        return await future

    async def finish(self) -> None:
        """Return when all that was asked for has ended, well or not."""
        if self._committing:
            await self.apply((), Timestamp(0))

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batches = [each for each in self._waiting if not each.future.cancelled()]
        self._waiting = []
        self._committing = bool(batches)
        if batches:
            self._worker.submit(lambda: self._run(batches, loop))

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        batches: Sequence[CommitRequest],
        answers: Sequence[list[Answer]],
    ) -> None:
        for each, answer in zip(batches, answers, strict=True):
            if not each.future.done():  # else nobody waits any more
                each.future.set_result(answer)
        self._begin(loop)

    # In the worker's thread

    def _run(self, batches: Sequence[CommitRequest], loop: asyncio.AbstractEventLoop) -> None:
        answers = self._commit(batches)
        with suppress(RuntimeError):  # the loop is closed: nobody is left
            loop.call_soon_threadsafe(self._ended, loop, batches, answers)


def failure(error: Exception) -> LedgerError:
    """What answers a change that could not be made."""
    if isinstance(error, LedgerError):
        answer = copy(error)
    else:
        answer = LedgerError(f"the ledger failed: {error}", hint="this is a bug; please report it")
    answer.__cause__ = error
    return answer
