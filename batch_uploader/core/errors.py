"""What can go wrong with a run, as types that carry the decision.

::

    UploaderError
      ConfigError             the user's settings; exit 2
        BadValue              a text that should be a number, a duration or the like
      LedgerError             the ledger or the disk; exit 7
        LedgerLocked          another run holds it; exit 5
        LedgerGone            it is not where it was opened; nothing more is sent
      SourceError             the directory cannot be read; exit 4
        SourceChanged         one file is not what it was when it was hashed; that one fails
      SinkError               one attempt at one recording; see the five below
        NotSent               nothing was stored: safe to retry
        Throttled             nothing was stored: safe to retry, later; slows everybody down
        Rejected              this recording, never again
          UnknownConnection   nor any other; the run drains if it goes on so; exit 3
        InDoubt               may be stored: never retried by itself
          Contradicted        stored, as the service says, and it names no talk that can be believed
        Unauthorized          not stored; the run drains; exit 3
        SearchFailed          no upload: it is not known what the service holds; doubts stay

An error says what is wrong first, and what to do about it as a hint.
"""

from collections.abc import Iterable
from typing import ClassVar


class UploaderError(Exception):
    """The root: everything that this package raises on purpose.

    ``problem`` says what is wrong, ``hints`` what to do about it; ``str()`` has both in one line.
    """

    def __init__(self, problem: str, *, hint: str | Iterable[str] | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hints = (hint,) if isinstance(hint, str) else tuple(hint or ())

    def __str__(self) -> str:
        """Problem and hints in one line."""
        return "; ".join((self.problem, *self.hints))


class ConfigError(UploaderError):
    """A setting is missing, contradictory or unusable."""


class BadValue(ConfigError, ValueError):  # noqa: N818 - what is wrong, as the states below
    """A text cannot be read as the value that it should be."""


class LedgerError(UploaderError):
    """The ledger cannot be read or written; nothing may be sent without it."""


class LedgerLocked(LedgerError):  # noqa: N818 - the state of the ledger, not a mistake
    """Another run is using this ledger."""


class LedgerGone(LedgerError):  # noqa: N818 - as above
    """The ledger was removed or replaced during the run, which can still read it."""


class SourceError(UploaderError):
    """The source cannot be read."""


class SourceChanged(SourceError):  # noqa: N818 - as above
    """A file changed, shrank or vanished after it had been looked into."""


class SinkError(UploaderError):
    """One attempt at one recording did not end in a talk ID.

    ``code`` is the gRPC status name or a word of our own in capitals, ``request_id`` the service's
    id of the request, ``retry_after`` the pause in seconds that the service asked for (negative: it
    asked for no retry at all). ``leaves`` is the state, by its word, in which the last attempt
    leaves the recording: a class that says nothing else proves nothing. A word, since help imports
    this module and no table of states.
    """

    leaves: ClassVar[str] = "in_doubt"

    def __init__(
        self,
        problem: str,
        *,
        code: str,
        hint: str | Iterable[str] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, hint=hint)
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class NotSent(SinkError):  # noqa: N818 - the five are decisions, named as such
    """It is proved that nothing was stored: the attempt may be repeated."""

    leaves = "failed"


class Throttled(SinkError):  # noqa: N818
    """Nothing was stored because the service is busy: repeat later, and everybody slows down."""

    leaves = "failed"


class Rejected(SinkError):  # noqa: N818
    """The service refuses this recording; repeating it changes nothing."""

    leaves = "rejected"


class UnknownConnection(Rejected):
    """The service does not know the connection, so it refuses each recording alike."""


class InDoubt(SinkError):  # noqa: N818
    """The service may have stored the recording and we did not hear so."""


class Contradicted(InDoubt):
    """The service says that it stored the recording, and contradicts itself: a human decides."""

    leaves = "conflict"


class Unauthorized(SinkError):  # noqa: N818
    """The service refuses the credentials, or does not know the method: no attempt can succeed."""

    leaves = "failed"


class SearchFailed(SinkError):  # noqa: N818
    """The service did not tell which talks it holds; what is in doubt stays so."""
