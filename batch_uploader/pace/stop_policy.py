"""When to stop because more of the same would only do more harm."""

from collections import deque

from msgspec import Struct

from batch_uploader.core.errors import InDoubt, SinkError, Unauthorized, UnknownConnection
from batch_uploader.core.model import Ending

UNKNOWN = 16
"""So many recordings in a row are refused since the service does not know the connection, after it
has taken others; where it has taken none, the first one says it all."""
REPEATED = 16
"""So many recordings in a row are named a talk that another one has."""
DOUBTS = 12
"""So many probes of an outage in a row end in doubt, which takes two and a half minutes."""
FIRST_DOUBTS = 4
"""The same where nothing has ever got through, so that there is nothing to wait for: a second."""

RECENT = 128
"""Of so many attempts, or four windows of them, not more than four fifths may end in doubt."""
_WINDOWS = 4
_MOST_DOUBTED = 0.8


class Stop(Struct, frozen=True):
    """How the run is to end, why, and what to do about it."""

    ending: Ending
    reason: str
    hints: tuple[str, ...] = ()


class StopPolicy:
    """Counts the ends that are not about the recording and yet decide its fate.

    An outage that leaves nothing in doubt is not among them: it costs nothing to wait for its end.
    ``ceiling`` is how many attempts there may be at once: all of them in doubt is one accident.
    """

    def __init__(self, ceiling: int) -> None:
        self._recent: deque[bool] = deque(maxlen=max(RECENT, _WINDOWS * ceiling))
        self._proven = False
        self._doubts = 0
        self._unknown = 0
        self._repeated = 0

    def succeeded(self) -> None:
        """Something got through."""
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
        """The service named a talk, ``again`` if that is another recording's."""
        self._repeated = self._repeated + 1 if again else 0
        if self._repeated < REPEATED:
            return None
        return Stop(
            Ending.UNREACHABLE,
            "every upload ends in conflict: the service names talks that other recordings have",
            ("ask the support of the service what became of these uploads",),
        )

    def doubted(self, error: SinkError) -> Stop | None:
        """A recording came into doubt."""
        self._recent.append(True)
        most = (self._recent.maxlen or RECENT) * _MOST_DOUBTED
        if sum(self._recent) <= most:
            return None
        reason = f"most uploads end in doubt: {error.problem}"
        return Stop(Ending.UNREACHABLE, reason, error.hints)

    def probed(self, error: SinkError) -> Stop | None:
        """A probe of an outage failed."""
        if not isinstance(error, InDoubt):
            self._doubts = 0
            return None
        self._doubts += 1
        if self._doubts < (DOUBTS if self._proven else FIRST_DOUBTS):
            return None
        reason = f"every upload ends in doubt: {error.problem}"
        return Stop(Ending.UNREACHABLE, reason, error.hints)
