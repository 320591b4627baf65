"""Stops a run by signals: the first drains it, the second cancels it, the third kills it."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
_ECHO: Final = 2.0
"""Seconds within which a repeated signal is ignored: some supervisors, and GNU timeout, send it to
the process and to its group."""
_AT_ONCE: Final = 2


def _nothing() -> None:
    pass


class Interruption:
    """Ends a run by signals; ``signal`` is the first one, None before.

    ``on_hangup`` is called after a hangup, which ends nothing.
    """

    def __init__(self, politely: Callable[[str], None], at_once: Callable[[], None]) -> None:
        self.signal: int | None = None
        self.on_hangup: Callable[[], None] = _nothing
        self._politely = politely
        self._at_once = at_once
        self._count = 0
        self._came_at = 0.0

    def signalled(self, number: int, now: float) -> Callable[[], None] | None:
        """A signal arrived. Returns what the run has to do, None if it is a repetition.

        ``now`` is monotonic seconds. The third signal ends the process, if the second did not.
        """
        if self._count and now - self._came_at < _ECHO:
            return None
        self._count += 1
        self._came_at = now
        if self.signal is None:
            self.signal = number
            return lambda: self._politely(f"stopped by {signal.Signals(number).name}")
        if self._count > _AT_ONCE:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        return self._at_once


@contextmanager
def ignoring_hangups() -> Iterator[None]:
    """A hangup of the terminal (SIGHUP) does not end the process meanwhile."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def listening(stop: Interruption) -> Iterator[None]:
    """Pass terminating signals to ``stop``, on the running event loop.

    A hangup (SIGHUP) does not end the run: it calls ``on_hangup``. The handlers are plain ones,
    since Windows has only these; they do little more than call the loop.
    """
    loop = asyncio.get_running_loop()

    def hand_over(number: int, _frame: FrameType | None) -> None:
        if (respond := stop.signalled(number, time.monotonic())) is not None:
            loop.call_soon_threadsafe(respond)

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.on_hangup)

    before = {each: signal.signal(each, hand_over) for each in _STOPPING}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
