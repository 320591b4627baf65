"""When an attempt is repeated, after what pause, and how long one may take."""

import math

import pytest

from batch_uploader.core.errors import (
    InDoubt,
    NotSent,
    Rejected,
    SinkError,
    Throttled,
    Unauthorized,
)
from batch_uploader.pace.retry import RetryPolicy


class Attempts:
    """Fails with each error in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.numbers: list[int] = []
        self.pauses: list[float] = []

    async def __call__(self, number: int) -> str:
        self.numbers.append(number)
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def run(self, policy: RetryPolicy, longest: float = math.inf) -> str:
        heard = []
        try:
            return await policy.run(
                self,
                longest=longest,
                sleep=self.sleep,
                on_retry=lambda error, pause: heard.append((error, pause)),
            )
        finally:
            assert [pause for _, pause in heard] == self.pauses


def not_sent(retry_after: float | None = None) -> NotSent:
    return NotSent("try again", code="UNAVAILABLE", retry_after=retry_after)


async def test_what_was_not_sent_is_sent_again():
    attempts = Attempts(not_sent(), Throttled("slower", code="RESOURCE_EXHAUSTED"), not_sent())
    assert await attempts.run(RetryPolicy()) == "done"
    assert attempts.numbers == [1, 2, 3, 4]


@pytest.mark.parametrize("error", [Rejected, InDoubt, Unauthorized])
async def test_nothing_else_is_repeated(error):
    attempts = Attempts(error("no", code="X"))
    with pytest.raises(error):
        await attempts.run(RetryPolicy())
    assert attempts.numbers == [1]


async def test_attempts_run_out_with_the_last_error():
    errors = [not_sent() for _ in range(5)]
    attempts = Attempts(*errors)
    with pytest.raises(NotSent) as caught:
        await attempts.run(RetryPolicy(attempts=3))
    assert caught.value is errors[2]
    assert attempts.numbers == [1, 2, 3]


async def test_backoff_has_full_jitter_under_a_growing_cap():
    pauses = []
    for _ in range(50):
        attempts = Attempts(*[not_sent() for _ in range(8)])
        await attempts.run(RetryPolicy(first_pause=1, longest_pause=20))
        pauses.append(attempts.pauses)
    for n, cap in enumerate([1, 2, 4, 8, 16, 20, 20, 20]):
        column = [row[n] for row in pauses]
        assert max(column) <= cap
        assert min(column) < cap / 4, "full jitter begins at zero"
        assert max(column) > cap / 2


async def test_pushback_is_obeyed_and_not_by_everybody_at_once():
    """Fault 23: 5,000 ms means 5,000 ms."""
    attempts = Attempts(not_sent(5.0), not_sent(5.0), not_sent(5.0))
    await attempts.run(RetryPolicy(first_pause=0.5))
    assert all(5.0 <= pause <= 5.5 for pause in attempts.pauses)
    assert len(set(attempts.pauses)) == 3


async def test_negative_pushback_means_no_retry():
    """Fault 23: -1 ms."""
    attempts = Attempts(not_sent(-0.001))
    with pytest.raises(NotSent):
        await attempts.run(RetryPolicy())
    assert attempts.numbers == [1]


async def test_a_pause_that_is_too_long_means_no_retry():
    attempts = Attempts(not_sent(60.0), not_sent(60.5))
    with pytest.raises(NotSent):
        await attempts.run(RetryPolicy(), longest=60)
    assert attempts.numbers == [1, 2]


async def test_a_pause_may_end_it_all():
    class StopError(Exception):
        pass

    async def sleep(_seconds: float) -> None:
        raise StopError

    attempts = Attempts(not_sent())
    with pytest.raises(StopError):
        await RetryPolicy().run(attempts, sleep=sleep, on_retry=lambda *_: None)
    assert attempts.numbers == [1]


def test_the_deadline_grows_with_the_bytes():
    policy = RetryPolicy(deadline=60, slowest_rate=32 * 1024)
    assert policy.timeout(0) == 60
    assert policy.timeout(32 * 1024 * 100) == 160


def test_an_error_knows_its_decision():
    assert {error.__name__ for error in SinkError.__subclasses__()} == {
        "NotSent",
        "Throttled",
        "Rejected",
        "InDoubt",
        "Unauthorized",
        "SearchFailed",
    }
