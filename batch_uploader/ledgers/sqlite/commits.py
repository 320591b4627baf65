"""One thread for one connection, and many callers' changes in one transaction.

Asyncio only, like gRPC. If a caller is cancelled, by asyncio or anyio, the thread still finishes
what it began, and nothing else touches its connection.
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
        """Run it without waiting; its result is dropped."""
        self._executor.submit(function)

    async def run(self, function: Callable[[], T]) -> T:
        """Run it and wait; cancelling the caller withdraws it if it has not begun."""
        return await asyncio.wrap_future(self._executor.submit(function))

    async def finish(self, function: Callable[[], None]) -> None:
        """Run the last function, even if the caller is cancelled."""
        last = asyncio.wrap_future(self._executor.submit(function))
        self._executor.shutdown(wait=False)
        with CancelScope(shield=True):
            await asyncio.shield(last)


class CommitRequest(NamedTuple):
    """The changes of one caller, when they were submitted, and the caller's future."""

    changes: Sequence[Change]
    at: Timestamp
    future: asyncio.Future[list[Answer]]


class GroupCommit:
    """Collects changes while a transaction is running, and commits them all in the next one.

    So durability costs one sync and two thread hops for each transaction instead of each file.
    ``commit`` is called in the worker's thread with all batches of a transaction, and returns the
    answers once the changes are durable; it does not raise.
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

        If the caller is cancelled, the changes are applied only if their transaction has begun.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        self._waiting.append(CommitRequest(changes, at, future))
        if not self._committing:
            self._committing = True
            # Later in this turn of the loop, so that all tasks that are ready now can submit
            # theirs.
            loop.call_soon(self._begin, loop)
        return await future

    async def finish(self) -> None:
        """Return when all submitted changes have ended, successfully or not."""
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
            if not each.future.done():  # else its caller was cancelled
                each.future.set_result(answer)
        self._begin(loop)

    # In the worker's thread

    def _run(self, batches: Sequence[CommitRequest], loop: asyncio.AbstractEventLoop) -> None:
        answers = self._commit(batches)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._ended, loop, batches, answers)


def failure(error: Exception) -> LedgerError:
    """The answer to a change that could not be made."""
    if isinstance(error, LedgerError):
        answer = copy(error)
    else:
        answer = LedgerError(f"the ledger failed: {error}", hint="this is a bug; please report it")
    answer.__cause__ = error
    return answer
