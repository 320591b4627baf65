"""When to retry, and how long one attempt may take; the only import of tenacity."""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random,
    wait_random_exponential,
)

from batch_uploader.core.checks import require_number, require_whole
from batch_uploader.core.errors import NotSent, SinkError, Throttled

_T = TypeVar("_T")

Sleep = Callable[[float], Awaitable[None]]
OnRetry = Callable[[SinkError, float], None]


class RetryPolicy(Struct, frozen=True):
    """Exponential backoff with full jitter; all times in seconds.

    An attempt to send ``size`` bytes may take ``deadline + size / slowest_rate``; the rate, in
    bytes a second, is what one of many uploads gets on a poor line. An attempt that is cut off by
    its deadline leaves the recording in doubt, so the deadline is generous.
    """

    attempts: int = 10
    first_pause: float = 0.5
    longest_pause: float = 60.0
    deadline: float = 60.0
    slowest_rate: int = 32 * 1024

    def __post_init__(self) -> None:
        require_whole("attempts", self.attempts, least=1)
        require_number("first_pause", self.first_pause, above=0)
        require_number("longest_pause", self.longest_pause, least=self.first_pause)
        require_number("deadline", self.deadline, above=0)
        require_number("slowest_rate", self.slowest_rate, above=0)

    def timeout(self, size: int) -> float:
        """How long one attempt at ``size`` bytes may take."""
        return self.deadline + size / self.slowest_rate

    async def run(
        self,
        attempt: Callable[[int], Awaitable[_T]],
        *,
        longest: float = math.inf,
        sleep: Sleep,
        on_retry: OnRetry,
    ) -> _T:
        """Call ``attempt`` with 1, 2, … until it returns or raises what may not be repeated.

        ``longest`` is the longest pause, in seconds, that the service may ask for. ``on_retry`` is
        called with each error that will be retried, and the pause; ``sleep`` makes the pause and
        may raise to end the run. The last error is raised unchanged.
        """
        try:
            # Nearly all attempts succeed, and tenacity costs as much as all else here.
            return await attempt(1)
        except SinkError as error:
            if not may_repeat(error, longest):
                raise
            failure = error

        async def again(number: int) -> _T:
            if number == 1:
                raise failure
            return await attempt(number)

        retrying = AsyncRetrying(
            sleep=sleep,
            stop=stop_after_attempt(self.attempts),
            retry=retry_if_exception(lambda error: may_repeat(error, longest)),
            wait=self._pause,
            before_sleep=lambda state: on_retry(_error(state), state.upcoming_sleep),
            reraise=True,
        )
        async for step in retrying:
            with step:
                result = await again(step.retry_state.attempt_number)
        return result

    def _pause(self, state: RetryCallState) -> float:
        asked = _error(state).retry_after
        if asked is not None:
            # Never earlier than the service asked for, and not all at the same moment.
            return asked + wait_random(0, self.first_pause)(state)
        return wait_random_exponential(self.first_pause, max=self.longest_pause)(state)


def may_repeat(error: BaseException, longest: float = math.inf) -> bool:
    """Whether nothing was stored, provably, and the service allows a retry in time."""
    if not isinstance(error, NotSent | Throttled):
        return False
    return error.retry_after is None or 0 <= error.retry_after <= longest


def _error(state: RetryCallState) -> SinkError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, SinkError):  # pragma: no cover - may_repeat lets nothing else here
        raise TypeError(f"not an error to repeat after: {error!r}")
    return error
