"""The errors of a run; each class carries the decision that follows.

::

    UploaderError
      ConfigError             the user's settings; exit 2
        BadValue              a text that should be a number, a duration or the like
        OtherRoots            another ledger knows recordings of the directory
      LedgerError             the ledger or the disk; exit 7
        LedgerLocked          another run holds it; exit 5
        LedgerGone            it is not where it was opened; nothing more is sent
      SourceError             the directory cannot be read; exit 4
        SourceChanged         one file is not what it was when it was hashed; that one fails
      SinkError               one attempt at one recording; see the five below
        NotSent               nothing was stored: safe to retry
          NoSuchService       nor will be with these settings, if it was never reached; exit 2
        Throttled             nothing was stored: safe to retry, later; slows all workers down
        Rejected              this recording, never again
          UnknownConnection   nor any other; if it persists the run drains; exit 3
        InDoubt               may be stored: never retried automatically
          Contradicted        stored, says the service, but names no credible talk
        Unauthorized          not stored; the run drains; exit 3
        SearchFailed          a search, not an upload; doubts stay

An error states the problem first, and what to do about it as a hint.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self


class UploaderError(Exception):
    """The base class of all errors that this package raises on purpose.

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
    """A setting is missing, contradictory or unusable.

    The problem begins with its ``flag``, if that is given. ``setting`` is its name if the problem
    says by itself what is wrong; the command line tells where it was given.
    """

    def __init__(
        self,
        problem: str,
        *,
        hint: str | Iterable[str] | None = None,
        flag: str = "",
        setting: str = "",
    ) -> None:
        super().__init__(f"{flag}: {problem}" if flag else problem, hint=hint)
        self.flag = flag
        self.setting = setting or flag.removeprefix("--")


class CommandHint(str):
    """A hint that ends with a command of ours on the directory; ``more`` are words for its end.

    The command line shows the command with the flags that it was given itself.
    """

    __slots__ = ("command", "more", "why")
    why: str
    command: str
    more: tuple[str, ...]

    def __new__(cls, why: str, command: str, *more: str) -> Self:
        """The hint as a text, with a placeholder for the directory."""
        line = " ".join(["batch-uploader", command, "DIRECTORY", *more])
        hint = super().__new__(cls, f"{why}: {line}")
        hint.why, hint.command, hint.more = why, command, more
        return hint


class BadValue(ConfigError, ValueError):  # noqa: N818 - what is wrong, as the states below
    """A text cannot be read as the value that it should be."""


class OtherRoots(ConfigError):  # noqa: N818 - the state of the directory, not a mistake
    """Other ledgers know recordings of the directory: with its own they would be sent twice.

    ``others`` are the directories to upload instead, each with its ledger if that is not at its
    default path.
    """

    def __init__(
        self,
        problem: str,
        *,
        hint: str | Iterable[str] | None = None,
        others: Sequence[tuple[str, str | None]] = (),
    ) -> None:
        super().__init__(problem, hint=hint)
        self.others = tuple(others)


class LedgerError(UploaderError):
    """The ledger cannot be read or written; nothing may be sent without it."""


class LedgerLocked(LedgerError):  # noqa: N818 - the state of the ledger, not a mistake
    """Another run is using this ledger."""


class LedgerGone(LedgerError):  # noqa: N818 - as above
    """The ledger was removed or replaced during the run, which can still read it."""


class SourceError(UploaderError):
    """The source cannot be read."""


class SourceGone(SourceError):  # noqa: N818 - as above
    """A file is missing."""


class SourceChanged(SourceError):  # noqa: N818 - as above
    """A file changed, shrank or vanished after it had been inspected."""


class SinkError(UploaderError):
    """One attempt at one recording did not end in a talk ID.

    ``code`` is the gRPC status name or a word of our own in capitals, ``request_id`` the service's
    ID of the request, ``retry_after`` the pause in seconds that the service asked for (negative: it
    asked for no retry). ``leaves`` is the status that the last attempt leaves the recording in, "in
    doubt" unless a subclass proves more. It is a string, since ``--help`` imports this module but
    not the table of states. ``fault`` is a word for what is wrong with refused credentials: wrong,
    expired, clock, role or scope.
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
        fault: str = "",
    ) -> None:
        super().__init__(problem, hint=hint)
        self.code = code
        self.fault = fault
        self.request_id = request_id
        self.retry_after = retry_after


class NotSent(SinkError):  # noqa: N818 - the five are named as decisions
    """Nothing was stored, which is proved: the attempt may be repeated."""

    leaves = "failed"


class NoSuchService(NotSent):
    """There is no such host, or its certificate is refused: a wrong setting, if it never worked."""


class Throttled(SinkError):  # noqa: N818
    """Nothing was stored because the service is busy: repeat later; all workers slow down."""

    leaves = "failed"


class Rejected(SinkError):  # noqa: N818
    """The service refuses this recording; repeating it changes nothing."""

    leaves = "rejected"


class UnknownConnection(Rejected):
    """The service does not know the connection, so it refuses every recording."""


class InDoubt(SinkError):  # noqa: N818
    """The service may have stored the recording, but its answer did not arrive."""


class Contradicted(InDoubt):
    """The service says that it stored the recording, and contradicts itself: a human decides."""

    leaves = "conflict"


class Unauthorized(SinkError):  # noqa: N818
    """The service refuses the credentials, or does not know the method: no attempt can succeed."""

    leaves = "failed"


class SearchFailed(SinkError):  # noqa: N818
    """A search failed; doubts stay as they are."""
