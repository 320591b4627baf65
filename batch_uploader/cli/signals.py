"""Stopping a run by signals: politely at first, then at once, then as the system does it."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Ends a run by signals; ``signal`` is the first one, None as long as there was none."""

    def __init__(self, politely: Callable[[str], None], at_once: Callable[[], None]) -> None:
        self.signal: int | None = None
        self._politely = politely
        self._at_once = at_once

    def signalled(self, number: int) -> None:
        """Another signal arrived."""
        if self.signal is None:
            self.signal = number
            self._politely(f"stopped by {signal.Signals(number).name}")
            return
        # A third one ends the process, should this not help.
        for each in _STOPPING:
            signal.signal(each, signal.SIG_DFL)
        self._at_once()


@contextmanager
def listening(stop: Interruption) -> Iterator[None]:
    """Hand the signals that end a program to ``stop``, on the event loop that runs now.

    A terminal that hangs up (SIGHUP) does not end the run. The handlers are plain ones, since
    Windows has no others; handing over to the loop is all that they do.
    """
    loop = asyncio.get_running_loop()

    def hand_over(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.signalled, number)

    before = {each: signal.signal(each, hand_over) for each in _STOPPING}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
