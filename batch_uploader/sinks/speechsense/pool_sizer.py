"""How many channels lead to the service: many where each carries little and many carry more."""

from typing import Final

START: Final = 4
MOST: Final = 32

_GAIN: Final = 1.15  # so many times as much must many carry to be worth it
_POOR: Final = 12_500_000  # bytes a second: a channel that carries 100 Mbit/s needs no others
_REST: Final = 300.0  # seconds until the next trial after one that brought nothing


class PoolSizer:
    """Tries many channels when all are crowded and carry little, and takes that back if in vain.

    Where the way is long and loses packets, each channel carries so much and no more; elsewhere
    more of them only cost. A trial that is lost, or was won by more calls at once than the few had,
    is judged by another measurement of the few: at the first one nothing may have been lost yet, or
    the run only began. ``now`` is in seconds, of a clock that never goes back.
    """

    def __init__(self) -> None:
        self.channels = START
        """How many there may be now."""
        self._few: Sample | None = None
        """What few carried, while many are tried."""
        self._many: Sample | None = None
        """What many carried, while few are measured once more."""
        self._rests_until = 0.0
        self._sample = Sample(START, passing=2 * START)

    @property
    def proved(self) -> bool:
        """Whether there are many, and they carry more than few did."""
        return self.channels == MOST and self._few is None

    def crowded(self) -> None:
        """A call came and all channels there may be had enough to carry."""
        self._sample.crowded = True

    def began(self) -> "Sample | None":
        """A call with something to deliver begins; the sample that is to hear of its end."""
        return self._sample if self._sample.takes() else None

    def ended(
        self, now: float, sample: "Sample", seconds: float, nbytes: int, running: int
    ) -> None:
        """A call of the sample took so long for so many bytes, 0 if it failed, one of so many."""
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
        # As many as go at once: all of them are under way together.
        self._sample = Sample(max(START, min(MOST, round(sample.running))))

    def failed(self, now: float) -> None:
        """New channels are of no use: a trial is over, and there is none for minutes."""
        if self._few is not None:
            self.channels = START
            self._sample = Sample(START)
        self._few = self._many = None
        self._rests_until = now + _REST

    def _pays(self, now: float, sample: "Sample") -> bool:
        return (
            self.channels < MOST
            and now >= self._rests_until
            and sample.crowded
            and 0 < sample.goodput < _POOR * min(sample.running, self.channels)
        )


class Sample:
    """So many calls, from their beginning to the end of the last.

    As many before them are let pass, or ``passing`` of them: new channels are connecting, and old
    ones are still shared. Which calls these are is settled when they begin: those that end first
    are the fast ones.
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
        """Whether the call that begins now is one of them."""
        if self._passing:
            self._passing -= 1
            return False
        if self._to_come:
            self._to_come -= 1
            return True
        return False

    def add(self, seconds: float, nbytes: int, running: int) -> None:
        """One of them has ended."""
        self._awaited -= 1
        if nbytes:
            self._delivered += 1
            self._nbytes += nbytes
            self._seconds += seconds
            self._running += running

    @property
    def complete(self) -> bool:
        """Whether all of them have ended."""
        return not self._awaited

    @property
    def running(self) -> float:
        """How many calls there were at once, on average."""
        return self._running / max(self._delivered, 1)

    @property
    def goodput(self) -> float:
        """In bytes a second: of one call on average, times as many as there were at once.

        What ended within some time over its length would go up and down with calls that end
        together.
        """
        return self._nbytes / max(self._seconds, 1e-6) * self.running
