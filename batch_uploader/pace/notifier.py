"""A way to wait for the next change of something."""

import anyio


class Notifier:
    """Wakes all who wait when it rings; a ring that nobody waits for costs nothing."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def notify_all(self) -> None:
        """Let everybody go on who waits now."""
        event, self._event = self._event, None
        if event is not None:
            event.set()

    async def wait(self) -> None:
        """Return when it rings next."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
