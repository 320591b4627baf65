"""Limits the memory of recordings in flight."""

from collections.abc import Callable

import anyio

from batch_uploader.host.resources import spare_memory
from batch_uploader.pace.notifier import Notifier


class ByteBudget:
    """Holds at most ``narrow`` bytes; a larger request waits until it is alone.

    Holds at most ``expanded`` while ``is_expanded()`` and the machine has as many to spare: speed
    must not make the machine run out of memory. First come, first served, so that a large recording
    is not overtaken for ever.
    """

    def __init__(
        self, narrow: int, expanded: int = 0, is_expanded: Callable[[], bool] = lambda: False
    ) -> None:
        self._narrow = narrow
        self._expanded = expanded
        self._is_expanded = is_expanded
        self._held = 0
        self._queue = anyio.Lock(fast_acquire=True)
        self._returned = Notifier()

    def hold(self, nbytes: int) -> "Held":
        """An async context manager that waits for ``nbytes`` bytes and holds them."""
        return Held(self, nbytes)

    async def take(self, nbytes: int) -> None:
        """Wait until ``nbytes`` bytes are free, and hold them."""
        if self._queue.locked() or not self._has_room(nbytes):
            async with self._queue:
                while not self._has_room(nbytes):
                    await self._returned.wait()
        # No other task runs in between: leaving the queue does not yield to the event loop.
        self._held += nbytes

    def give_back(self, nbytes: int) -> None:
        """Free the bytes."""
        self._held -= nbytes
        self._returned.notify_all()

    def _has_room(self, nbytes: int) -> bool:
        held = self._held + nbytes
        if held <= self._narrow or not self._held:
            return True
        return held <= self._expanded and self._is_expanded() and spare_memory() >= self._expanded


class Held:
    """``nbytes`` of a budget."""

    __slots__ = ("_budget", "_nbytes")

    def __init__(self, budget: ByteBudget, nbytes: int) -> None:
        self._budget = budget
        self._nbytes = nbytes

    async def __aenter__(self) -> None:
        await self._budget.take(self._nbytes)

    async def __aexit__(self, *exc: object) -> None:
        self._budget.give_back(self._nbytes)
