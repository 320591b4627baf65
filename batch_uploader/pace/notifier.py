"""Waiting for the next change."""

import anyio


class Notifier:
    """Wakes all waiting tasks; without any it costs nothing."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def notify_all(self) -> None:
        """Wake all tasks that wait now."""
        event, self._event = self._event, None
        if event is not None:
            event.set()

    async def wait(self) -> None:
        """Return at the next notification."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
