"""What is left to the next run, since it may still be being written or come later: pure."""

from typing import Final

from msgspec import Struct

from batch_uploader.core.model import (
    LEG_MISSING,
    ROW_MISSING,
    AudioInfo,
    Entry,
    Failure,
    Outcome,
    Version,
)
from batch_uploader.core.records import Record
from batch_uploader.core.states import MAY_WAIT, WAITS, Action, Status
from batch_uploader.core.waiting import Wait
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.prepare import Prepared, Unsent

_SECOND_NS: Final = 1_000_000_000
_FAR_FUTURE_NS: Final = 24 * 3600 * _SECOND_NS
_TOO_LONG_NS: Final = 20 * 3600 * _SECOND_NS
"""What two runs saw waiting that are so far apart needs a human. Nightly runs are a day apart."""


class Ages(Struct, frozen=True):
    """How long to leave files alone, in seconds.

    ``still`` is how long any file must not have been modified, ``still_open`` the same for audio
    that does not show its end, ``sidecar`` how long a sidecar, or its recording, may come later.
    """

    still: float = 0.0
    still_open: float = 0.0
    sidecar: float = 0.0


class Postponed(Struct, frozen=True):
    """A recording that is left to the next run; ``new`` if that is not on record yet."""

    outcome: Outcome
    new: bool


class Due(Struct, frozen=True):
    """What a recording waits for unless it shows its end, and if it lacks its sidecar."""

    end: Wait | None = None
    sidecar: Wait | None = None

    def wait(self, found: Prepared | AudioInfo | Unsent) -> Wait | None:
        """What it waits for, by what an inspection found."""
        if not isinstance(found, tuple):
            seen = found.recording.audio if isinstance(found, Prepared) else found
            info = seen.audio if isinstance(seen, LeftOut) else seen
            return None if info is None or info.shows_end else self.end
        kinds = {defect.kind for defect in found if defect.may_pass}
        if self.sidecar is not None and kinds:
            if LEG_MISSING in kinds:
                return Wait.LEG
            return Wait.ROW if ROW_MISSING in kinds else self.sidecar
        return self.end if any(defect.may_grow for defect in found) else None


class Patience(Struct, frozen=True):
    """Judges one recording, or a sidecar without one, by its record; ``now`` is UTC nanoseconds."""

    ages: Ages
    now: int
    version: Version
    before: Record | None

    def still(self, *entries: Entry | None) -> Wait | None:
        """What any of these files waits for, whatever is in it."""
        if self._same and not self._is_sent_again:
            return None  # a run has dealt with these very files
        for entry in entries:
            # A time far in the future is wrong, and a little of it another machine's clock.
            if entry is None or entry.mtime_ns >= self.now + _FAR_FUTURE_NS:
                continue
            if self._age(entry) < self.ages.still:
                return self._young(entry, Wait.STILLNESS)
        return None

    def due(self, audio: Entry) -> Due:
        """What a recording waits for, depending on what is found in it."""
        young = self._age(audio) < self.ages.still_open
        end = self._young(audio, Wait.END) if young else None
        return Due(end, self.counterpart(audio, Wait.SIDECAR))

    def counterpart(self, entry: Entry, what: Wait) -> Wait | None:
        """``what`` it waits for if it has no counterpart yet."""
        if self.before is None or self.before.status in WAITS:
            seen = self._since()
        elif self._same:
            return None  # only touched
        else:
            seen = 0  # long ago
        times = (entry.mtime_ns, entry.ctime_ns or 0, seen)
        latest = max(each for each in times if each <= self.now)
        return what if (self.now - latest) / _SECOND_NS < self.ages.sidecar else None

    @property
    def _same(self) -> bool:
        return self.before is not None and self.before.stat.is_like(self.version)

    @property
    def _is_sent_again(self) -> bool:
        return self.before is None or self.before.status.state.unchanged.action is Action.UPLOAD

    def _since(self) -> int:
        """When it was first seen."""
        if self.before is None:
            return self.now
        first = (
            self.before.settled_at_ns if self.before.since is None else self.before.since.wall_ns
        )
        return self.now if first is None else min(first, self.now)

    def _age(self, entry: Entry) -> float:
        """For how many seconds it is known to be as it is; a time in the future says nothing."""
        since = entry.mtime_ns
        if since > self.now:
            seen = self.before.settled_at_ns if self.before is not None and self._same else None
            since = self.now if seen is None else seen
        return (self.now - since) / _SECOND_NS

    def _young(self, entry: Entry, wait: Wait) -> Wait:
        return Wait.CLOCK if entry.mtime_ns > self.now else wait


def postponed(
    path: str, version: Version, wait: Wait, before: Record | None, now: int
) -> Postponed:
    """Leave a recording to the next run; what waited long ago already needs a human."""
    failure = Failure(wait.value, wait.message)
    known = before if before is not None and before.status in WAITS else None
    first = None if known is None or known.since is None else known.since.wall_ns
    too_long = first is not None and now - first >= _TOO_LONG_NS
    status = Status.STUCK if too_long else Status.WAITING
    outcome = Outcome(path, status, version, failure=failure)
    if known is None:
        return Postponed(outcome, before is None or before.status in MAY_WAIT)
    same = (known.status, known.failure) == (status, failure) and known.stat.is_like(version)
    # What is on record from a clock that was ahead says nothing.
    ahead = max(first or 0, known.settled_at_ns or 0) > now
    return Postponed(outcome, not same or ahead)
