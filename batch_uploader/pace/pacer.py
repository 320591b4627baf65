"""Makes workers wait for the governor's decisions, first come, first served."""

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Self

import anyio

from batch_uploader.core.errors import SinkError
from batch_uploader.core.ports import Audio
from batch_uploader.pace.budget import RetryBudget
from batch_uploader.pace.governor import Caps, Consequence, Governor
from batch_uploader.pace.notifier import Notifier
from batch_uploader.pace.stop_policy import Stop
from batch_uploader.pace.token_bucket import TokenBucket, local_minute

_LONG_WAIT = 20.0
_LONGEST_WAIT = 3600.0


class Permit:
    """Permission for one attempt, as an async context manager that waits for it.

    Call ``begin``, then report the result. One that never begins uses neither rate nor bandwidth.
    """

    __slots__ = ("_again", "_at_once", "_nbytes", "_pacer", "_paid", "begun", "started")

    def __init__(self, pacer: "Pacer", nbytes: int, at_once: int, *, again: bool) -> None:
        self.started = 0.0
        self.begun = False
        self._pacer = pacer
        self._nbytes = nbytes
        self._at_once = at_once
        self._again = again
        self._paid = True

    async def __aenter__(self) -> Self:
        pacer = self._pacer
        if self._again:
            self._paid = await pacer.pay()
        else:
            pacer.budget.fresh_asked()
        try:
            if not pacer.is_free():
                await pacer.line_up(self._at_once)
        except BaseException:
            self._leave()
            raise
        self.started = pacer.clock()
        pacer.governor.begin(self.started)
        return self

    async def __aexit__(self, *exc: object) -> None:
        pacer = self._pacer
        if not self.begun:
            pacer.give_back(self._at_once)
        pacer.governor.ended(self.started)
        self._leave()

    def begin(self) -> None:
        """The attempt begins now: its duration counts from here."""
        self.started = self._pacer.clock()
        self.begun = True
        if not self._again:
            self._pacer.budget.fresh_began()

    def succeeded(self, *, expanded: bool = False) -> None:
        """The recording was uploaded; ``expanded`` is ``Sink.expanded``."""
        now = self._pacer.clock()
        self._pacer.governor.succeeded(now, self.started, self._nbytes, expanded=expanded)

    def failed(self, error: SinkError) -> Consequence:
        """The attempt failed. Returns what that means for all workers."""
        return self._pacer.governor.failed(self._pacer.clock(), self.started, error)

    def _leave(self) -> None:
        pacer = self._pacer
        if not self._again:
            pacer.budget.fresh_ended(pacer.clock())
        elif not self._paid:
            pacer.budget.give_back()
        pacer.wake()


class Pacer:
    """Gives permits, to one run after another; it keeps what it learned about the service.

    ``clock`` gives monotonic seconds, ``minute`` the minute of the day.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        clock: Callable[[], float] = time.monotonic,
        minute: Callable[[], int] = local_minute,
    ) -> None:
        now = clock()
        self.governor = Governor(caps, now)
        self.budget = RetryBudget(now)
        self._bucket = TokenBucket(caps.bandwidth, now, minute)
        self._check: Callable[[], None] = lambda: None
        self._held_back: Callable[[float], None] = lambda _: None
        self.clock = clock
        self._queue = anyio.Lock(fast_acquire=True)
        self._bucket_queue = anyio.Lock(fast_acquire=True)
        self._changed = Notifier()

    def serve(
        self, *, check: Callable[[], None], held_back: Callable[[float], None] = lambda _: None
    ) -> None:
        """Give permits to a run from now on.

        ``check`` is called after each wait and may raise to end the run. ``held_back`` is called
        with long waits for the bandwidth, in seconds.
        """
        self._check = check
        self._held_back = held_back
        self.governor.outage.since = self.clock()  # how long it is for this run

    @property
    def limit(self) -> int:
        """How many attempts may run at once now."""
        return self.governor.window.limit

    @property
    def down_for(self) -> float:
        """Seconds since the outage began; 0 without one."""
        outage = self.governor.outage
        return self.clock() - outage.since if outage.down else 0.0

    def named(self, *, again: bool) -> Stop | None:
        """A success was named a talk; ``again``: it is another recording's."""
        return self.governor.named(again=again)

    def wake(self) -> None:
        """Let all waiting workers check whether to go on."""
        self._changed.notify_all()

    def turn(self, size: int, *, whole: bool = True, again: bool = False) -> Permit:
        """The permit for an attempt with ``size`` bytes.

        The bytes of a single message are sent at once; those of a stream are delayed piece by piece
        by ``paced``. ``again`` marks a retry, which needs retry budget.
        """
        return Permit(self, size, size if whole else 0, again=again)

    def is_free(self) -> bool:
        """Whether an attempt may begin at once, and no other one waits."""
        if self._queue.locked() or self._bucket.timetable is not None:
            return False
        if self.governor.wait(self.clock()) > 0:
            return False
        self._check()
        return True

    def give_back(self, at_once: int) -> None:
        """An attempt with ``at_once`` bytes in one message did not begin."""
        self.governor.rate.given_back(self.clock())
        self._bucket.give_back(self.clock(), at_once)

    def paced(self, audio: Audio) -> Audio:
        """The audio with its pieces delayed to keep the bandwidth."""
        return audio if self._bucket.timetable is None else _Paced(audio, self._through)

    def slowest_share(self) -> float:
        """The least bytes a second that one of many streams gets; infinite without a limit."""
        timetable = self._bucket.timetable
        least = timetable.least if timetable else None
        return math.inf if least is None else least / self.governor.window.ceiling

    async def line_up(self, at_once: int) -> None:
        """Wait until an attempt with ``at_once`` bytes in one message may begin."""
        async with self._queue:
            self._check()
            await self._through(at_once, self._check)
            while (wait := self.governor.wait(self.clock())) > 0:
                await self._rest(wait)
                self._check()

    async def pay(self) -> bool:
        """Wait until a retry may begin. Returns whether the budget pays for it."""
        while (wait := self.budget.wait(self.clock())) > 0:
            await self._rest(wait)
            self._check()
        return self.budget.take()

    async def _through(self, nbytes: int, check: Callable[[], None] = lambda: None) -> None:
        async with self._bucket_queue:
            told_until = -math.inf
            while (wait := self._bucket.wait(self.clock())) > 0:
                if wait >= _LONG_WAIT and self.clock() >= told_until:
                    told_until = self.clock() + wait
                    self._held_back(wait)
                await self._rest(wait)
                check()
            self._bucket.take(self.clock(), nbytes)

    async def _rest(self, seconds: float) -> None:
        with anyio.move_on_after(min(seconds, _LONGEST_WAIT)):
            await self._changed.wait()


class _Paced:
    """Audio whose pieces wait for bandwidth."""

    def __init__(self, audio: Audio, through: Callable[[int], Awaitable[None]]) -> None:
        self._audio = audio
        self._through = through

    @property
    def size(self) -> int:
        return self._audio.size

    def framed(self, envelope: bytes) -> bytes | None:
        return self._audio.framed(envelope)

    async def chunks(self, size: int) -> AsyncGenerator[bytes]:
        pieces = self._audio.chunks(size)
        try:
            async for piece in pieces:
                await self._through(len(piece))
                yield piece
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
