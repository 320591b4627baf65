"""Makes workers wait for the governor's decisions, first come, first served."""

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from batch_uploader.core.errors import SinkError
from batch_uploader.core.ports import Audio
from batch_uploader.pace.budget import RetryBudget
from batch_uploader.pace.governor import Caps, Governor, Verdict
from batch_uploader.pace.notifier import Notifier
from batch_uploader.pace.stop_policy import Stop
from batch_uploader.pace.token_bucket import TokenBucket, local_minute

_LONG_WAIT = 20.0
_LONGEST_WAIT = 3600.0


class Permit:
    """The right to one attempt: begin it, then tell it how that went.

    One that never begins costs nothing, neither of the rate nor of the bandwidth.
    """

    def __init__(
        self,
        governor: Governor,
        clock: Callable[[], float],
        nbytes: int,
        on_begin: Callable[[], None],
    ) -> None:
        self.started = clock()
        self.begun = False
        self._governor = governor
        self._clock = clock
        self._nbytes = nbytes
        self._on_begin = on_begin

    def begin(self) -> None:
        """The attempt begins now: how long it takes counts from here."""
        self.started = self._clock()
        self.begun = True
        self._on_begin()

    def succeeded(self, *, expanded: bool = False) -> None:
        """The recording was uploaded; ``expanded`` is ``Sink.expanded``."""
        self._governor.succeeded(self._clock(), self.started, self._nbytes, expanded=expanded)

    def failed(self, error: SinkError) -> Verdict:
        """It is not; what that means for all."""
        return self._governor.failed(self._clock(), self.started, error)


class Pacer:
    """Gives turns.

    ``check`` is called after each wait and may raise, to end it all. ``held_back`` is told of long
    waits for the bandwidth, in seconds. ``clock`` gives seconds and never goes back, ``minute`` the
    minute of the day.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        check: Callable[[], None] = lambda: None,
        held_back: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        minute: Callable[[], int] = local_minute,
    ) -> None:
        now = clock()
        self._governor = Governor(caps, now)
        self._budget = RetryBudget(now)
        self._pipe = TokenBucket(caps.bandwidth, now, minute)
        self._check = check
        self._held_back = held_back
        self._clock = clock
        self._line = anyio.Lock(fast_acquire=True)
        self._pipe_line = anyio.Lock(fast_acquire=True)
        self._changed = Notifier()

    @property
    def limit(self) -> int:
        """How many attempts may run at once now."""
        return self._governor.window.limit

    @property
    def down_for(self) -> float:
        """Seconds since nothing gets through any more; 0 as long as something does."""
        outage = self._governor.outage
        return self._clock() - outage.since if outage.down else 0.0

    def named(self, *, again: bool) -> Stop | None:
        """What got through was named a talk, ``again`` if that is another recording's."""
        return self._governor.named(again=again)

    def wake(self) -> None:
        """Let everybody who waits check whether to go on."""
        self._changed.notify_all()

    @asynccontextmanager
    async def turn(
        self, size: int, *, whole: bool = True, again: bool = False
    ) -> AsyncIterator[Permit]:
        """Wait until an attempt at so many bytes may begin, and hold the place.

        The bytes of one that goes in one message leave at once; a stream's are held back piece by
        piece by ``paced``. ``again`` is what the budget for retries is asked for.
        """
        paid = await self._pay() if again else True
        on_begin = _nothing if again else self._budget.fresh_began
        if not again:
            self._budget.fresh_asked()
        at_once = size if whole else 0
        try:
            await self._line_up(at_once)
            turn = Permit(self._governor, self._clock, size, on_begin)
            self._governor.begin(turn.started)
            try:
                yield turn
            finally:
                if not turn.begun:
                    self._governor.rate.given_back(self._clock())
                    self._pipe.give_back(self._clock(), at_once)
                self._governor.ended(turn.started)
        finally:
            if not again:
                self._budget.fresh_ended(self._clock())
            elif not paid:
                self._budget.give_back()
            self.wake()

    def paced(self, audio: Audio) -> Audio:
        """The same audio, its pieces held back to keep the bandwidth."""
        return audio if self._pipe.timetable is None else _Paced(audio, self._through)

    def slowest_share(self) -> float:
        """Bytes a second that one of many streams gets at the worst; infinite without a limit."""
        timetable = self._pipe.timetable
        least = timetable.least if timetable else None
        return math.inf if least is None else least / self._governor.window.ceiling

    async def _line_up(self, at_once: int) -> None:
        """Wait until an attempt may begin that sends so many bytes in one piece."""
        idle = not self._line.locked() and self._pipe.timetable is None
        if idle and self._governor.wait(self._clock()) <= 0:
            self._check()
            return
        async with self._line:
            self._check()
            await self._through(at_once, self._check)
            while (wait := self._governor.wait(self._clock())) > 0:
                await self._rest(wait)
                self._check()

    async def _pay(self) -> bool:
        """Wait until a retry may begin; whether it is paid for."""
        while (wait := self._budget.wait(self._clock())) > 0:
            await self._rest(wait)
            self._check()
        return self._budget.take()

    async def _through(self, nbytes: int, check: Callable[[], None] = lambda: None) -> None:
        async with self._pipe_line:
            told_until = -math.inf
            while (wait := self._pipe.wait(self._clock())) > 0:
                if wait >= _LONG_WAIT and self._clock() >= told_until:
                    told_until = self._clock() + wait
                    self._held_back(wait)
                await self._rest(wait)
                check()
            self._pipe.take(self._clock(), nbytes)

    async def _rest(self, seconds: float) -> None:
        with anyio.move_on_after(min(seconds, _LONGEST_WAIT)):
            await self._changed.wait()


def _nothing() -> None:
    pass


class _Paced:
    """Audio whose pieces wait until there is room for them."""

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
