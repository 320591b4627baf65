"""When to end a run because continuing would do harm."""

from collections import deque

from msgspec import Struct

from batch_uploader.core.errors import (
    InDoubt,
    NoSuchService,
    SinkError,
    Unauthorized,
    UnknownConnection,
)
from batch_uploader.core.model import Ending

UNKNOWN = 16
"""Recordings in a row refused because the service does not know the connection, after it has
accepted others; if it has accepted none, the first one ends the run."""
REPEATED = 16
"""Recordings in a row that are named a talk of another one."""
DOUBTS = 12
"""Probes of an outage in a row that end in doubt, which takes two and a half minutes."""
FIRST_DOUBTS = 4
"""The same before the first success, when waiting has no reason; takes a second."""

NO_SERVICE = 8
"""Probes in a row that find no service, where none was ever reached; takes half a minute."""

RECENT = 128
"""Of this many attempts, or four times the ceiling, at most four fifths may end in doubt."""
_WINDOWS = 4
_MOST_DOUBTED = 0.8


class Stop(Struct, frozen=True):
    """The ending of the run, why, and what to do about it; ``usage``: it is a wrong setting."""

    ending: Ending
    reason: str
    hints: tuple[str, ...] = ()
    usage: bool = False


class StopPolicy:
    """Counts failures that are not about the recording but do harm.

    An outage without doubts is not counted: waiting for its end costs nothing. ``ceiling`` is the
    maximum concurrency: if all attempts in flight end in doubt, that is one incident.
    """

    def __init__(self, ceiling: int) -> None:
        self._recent: deque[bool] = deque(maxlen=max(RECENT, _WINDOWS * ceiling))
        self._proven = False
        self._doubts = 0
        self._unknown = 0
        self._repeated = 0
        self._no_service = 0
        self.reached = True
        """Whether the service was reached before, in this run or an earlier one."""

    def succeeded(self) -> None:
        """An attempt succeeded."""
        self._recent.append(False)
        self._proven = True
        self._doubts = self._unknown = 0

    def spoken(self, error: SinkError) -> Stop | None:
        """The service refused a recording, or all of them."""
        self._doubts = 0
        if isinstance(error, UnknownConnection):
            self._unknown += 1
            hopeless = self._unknown >= (UNKNOWN if self._proven else 1)
        else:
            hopeless = isinstance(error, Unauthorized)
        return Stop(Ending.UNAUTHORIZED, error.problem, error.hints) if hopeless else None

    def named(self, *, again: bool) -> Stop | None:
        """The service named a talk; ``again``: it is another recording's."""
        self._repeated = self._repeated + 1 if again else 0
        if self._repeated < REPEATED:
            return None
        return Stop(
            Ending.UNREACHABLE,
            "every upload ends in conflict: the service names talks that other recordings have",
            ("ask the support of the service what became of these uploads",),
        )

    def doubted(self, error: SinkError) -> Stop | None:
        """A recording ended in doubt."""
        self._recent.append(True)
        most = (self._recent.maxlen or RECENT) * _MOST_DOUBTED
        if sum(self._recent) <= most:
            return None
        reason = f"most uploads end in doubt: {error.problem}"
        return Stop(Ending.UNREACHABLE, reason, error.hints)

    def probed(self, error: SinkError) -> Stop | None:
        """A probe of an outage failed."""
        if isinstance(error, NoSuchService) and not self.reached:
            self._no_service += 1
            if self._no_service >= NO_SERVICE:
                return Stop(Ending.UNREACHABLE, error.problem, error.hints, usage=True)
        else:
            self._no_service = 0
        if not isinstance(error, InDoubt):
            self._doubts = 0
            return None
        self._doubts += 1
        if self._doubts < (DOUBTS if self._proven else FIRST_DOUBTS):
            return None
        reason = f"every upload ends in doubt: {error.problem}"
        return Stop(Ending.UNREACHABLE, reason, error.hints)
