"""Decides how many channels to use: many if each is slow and more of them are faster."""

from typing import Final

START: Final = 4
MOST: Final = 32

_GAIN: Final = 1.15  # the factor in goodput that makes many channels worth it
_POOR: Final = 12_500_000  # bytes a second: one channel of 100 Mbit/s is enough
_REST: Final = 300.0  # seconds until the next trial after one without gain


class PoolSizer:
    """Tries many channels when all are crowded and slow, and reverts without a gain.

    On a long path that loses packets, each channel has a limited throughput; elsewhere more
    channels only cost. A trial without gain, or with a gain at higher concurrency than the few had,
    is judged by measuring the few once more: at the first measurement there may have been no loss
    yet, or the run had just begun. ``now`` is monotonic seconds.
    """

    def __init__(self) -> None:
        self.channels = START
        """How many channels are allowed now."""
        self._few: Measurement | None = None
        """The sample of few channels, while many are tried."""
        self._many: Measurement | None = None
        """The sample of many channels, while few are measured again."""
        self._rests_until = 0.0
        self._sample = Measurement(START, passing=2 * START)

    @property
    def proved(self) -> bool:
        """Whether many channels are used and have proved faster than few."""
        return self.channels == MOST and self._few is None

    def crowded(self) -> None:
        """A call found all allowed channels busy."""
        self._sample.crowded = True

    def began(self) -> "Measurement | None":
        """A call with bytes to deliver begins. Returns the sample that its end belongs to."""
        return self._sample if self._sample.takes() else None

    def ended(
        self, now: float, sample: "Measurement", seconds: float, nbytes: int, running: int
    ) -> None:
        """A call of the sample took ``seconds`` for ``nbytes`` (0 if it failed).

        ``running`` calls ran at once.
        """
        sample.add(seconds, nbytes, running)
        if sample is not self._sample or not sample.complete:
            return
        few, many = self._few, self._many
        self._few = self._many = None
        if few is not None:
            if sample.goodput < _GAIN * few.goodput or sample.running > _GAIN * few.running:
                self._many = sample
                self.channels = START
        elif many is not None:
            if many.goodput >= _GAIN * sample.goodput > 0:
                self.channels = MOST
            else:
                self._rests_until = now + _REST
        elif self._pays(now, sample):
            self._few = sample
            self.channels = MOST
        # One sample is as many calls as run concurrently.
        self._sample = Measurement(max(START, min(MOST, round(sample.running))))

    def failed(self, now: float) -> None:
        """New channels fail: the trial ends, and there is none for minutes."""
        if self._few is not None:
            self.channels = START
            self._sample = Measurement(START)
        self._few = self._many = None
        self._rests_until = now + _REST

    def _pays(self, now: float, sample: "Measurement") -> bool:
        return (
            self.channels < MOST
            and now >= self._rests_until
            and sample.crowded
            and 0 < sample.goodput < _POOR * min(sample.running, self.channels)
        )


class Measurement:
    """A measurement of ``calls`` calls, from their beginning to the end of the last.

    Skips as many calls before, or ``passing``: new channels are still connecting, and old ones
    shared. Calls are selected when they begin, since those that end first are the fast ones.
    """

    def __init__(self, calls: int, passing: int | None = None) -> None:
        self.crowded = False
        self._passing = calls if passing is None else passing
        self._awaited = self._to_come = calls
        self._nbytes = 0
        self._seconds = 0.0
        self._running = 0
        self._delivered = 0

    def takes(self) -> bool:
        """Whether the call that begins now is in the sample."""
        if self._passing:
            self._passing -= 1
            return False
        if self._to_come:
            self._to_come -= 1
            return True
        return False

    def add(self, seconds: float, nbytes: int, running: int) -> None:
        """A call of the sample ended."""
        self._awaited -= 1
        if nbytes:
            self._delivered += 1
            self._nbytes += nbytes
            self._seconds += seconds
            self._running += running

    @property
    def complete(self) -> bool:
        """Whether all calls of the sample have ended."""
        return not self._awaited

    @property
    def running(self) -> float:
        """The average concurrency."""
        return self._running / max(self._delivered, 1)

    @property
    def goodput(self) -> float:
        """In bytes a second: the average of a call, times the average concurrency.

        Bytes ended in an interval over its length would vary with calls that end together.
        """
        return self._nbytes / max(self._seconds, 1e-6) * self.running
