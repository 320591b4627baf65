"""Limits of a run: a number of recordings, hours of audio."""

import math
from typing import Self

from batch_uploader.core.units import format_duration
from batch_uploader.pace.notifier import Notifier

_EPSILON = 1e-6


class RunLimits:
    """``recordings`` and ``seconds`` of audio, None without a limit.

    What is in flight counts as used until its result is known; the last of it is waited for.
    """

    def __init__(self, recordings: int | None, seconds: float | None) -> None:
        self._recordings = math.inf if recordings is None else recordings
        self._seconds = math.inf if seconds is None else seconds
        self._taken = (0, 0.0)
        self._open = 0
        self._changed = Notifier()

    def share(self, seconds: float) -> "Reservation":
        """A reservation for one recording of that length: an async context manager."""
        return Reservation(self, seconds)

    async def take(self, seconds: float) -> bool:
        """Reserve a recording of that length. Returns whether the limits allow it."""
        while self.reason(seconds) and self._open:
            await self._changed.wait()
        if self.reason(seconds):
            return False
        self._count(1, seconds)
        self._open += 1
        return True

    def settle(self, seconds: float, *, used: bool) -> None:
        """Settle whether a reservation was used."""
        self._open -= 1
        if not used:
            self._count(-1, -seconds)
        self._changed.notify_all()

    def _count(self, recordings: int, seconds: float) -> None:
        self._taken = (self._taken[0] + recordings, self._taken[1] + seconds)

    def excludes(self, seconds: float) -> bool:
        """Whether a recording of that length exceeds the whole limit."""
        return seconds > self._seconds + _EPSILON

    def reason(self, seconds: float) -> str:
        """Why a recording of that length is not sent; empty if it may be."""
        recordings, before = self._taken
        if recordings + 1 > self._recordings:
            return f"--max-recordings is reached ({recordings:,})"
        if before + seconds > self._seconds + _EPSILON:
            return (
                f"--max-audio is reached ({format_duration(before)} of"
                f" {format_duration(self._seconds)}, the next one has {format_duration(seconds)})"
            )
        return ""


class Reservation:
    """One recording's part of the limits; used unless it is released.

    As an async context manager it yields itself, or None if the limits are used up.
    """

    __slots__ = ("_limits", "_seconds", "_taken", "used")

    def __init__(self, limits: RunLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self._taken = False
        self.used = True

    async def __aenter__(self) -> Self | None:
        self._taken = await self._limits.take(self._seconds)
        return self if self._taken else None

    async def __aexit__(self, *exc: object) -> None:
        if self._taken:
            self._limits.settle(self._seconds, used=self.used)
