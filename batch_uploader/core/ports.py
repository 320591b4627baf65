"""The protocols of a source, a sink and a ledger.

Each has one conformance suite in ``tests/conformance`` that every implementation passes.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from typing import BinaryIO, Protocol, Self, overload, runtime_checkable

from msgspec import Struct

from batch_uploader.core.changes import (
    Answer,
    Change,
    Claim,
    JudgeDefaultIds,
    Rejudge,
    Release,
    Settle,
    Told,
    Unanswered,
)
from batch_uploader.core.errors import LedgerError, SinkError
from batch_uploader.core.model import Entry, Listing, Outcome, Receipt, Recording
from batch_uploader.core.records import Canary, ClaimAnswer, Likeness, Lost, Record, SharedIds
from batch_uploader.core.runs import Run
from batch_uploader.core.states import Status


class Source(Protocol):
    """A source of recordings and sidecars."""

    @property
    def where(self) -> str:
        """The source's name for a human."""

    def entries(self) -> AsyncGenerator[Listing]:
        """Every folder once, unsorted. Raises SourceError if the root is gone."""

    def is_audio(self, path: str) -> bool:
        """Whether a listed file is a recording by its name; any other file may be a sidecar."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading from its start: seekable, unbuffered, its reads complete.

        Blocking: call it in a thread. A handle stays with its file if the name changes. Raises
        SourceError for anything but a readable regular file within the source.
        """

    def read_if_cached(self, listed: Entry) -> bytes | None:
        """A whole file, unchanged since it was listed, if reading waits for no disk and no share.

        Does not block. None if that is not certain; then use ``open``.
        """

    def stat(self, path: str) -> Entry:
        """The file as it is now. Blocking. Raises SourceGone if it is missing, else SourceError."""

    def handle_stat(self, handle: BinaryIO, path: str) -> Entry:
        """The file behind an open handle as it is now. Blocking. Raises SourceError."""


@runtime_checkable
class Local(Protocol):
    """A source of files that the user's own shell can name."""

    def user_path(self, path: str) -> str:
        """The path of a listed file as the user gave it, for commands in hints."""


@runtime_checkable
class Selective(Protocol):
    """A source of which only some files are taken."""

    @property
    def takes(self) -> str:
        """A short text that is another one for another selection."""


@runtime_checkable
class Anchored(Protocol):
    """A source that is held during a run, since another one may be put in its place."""

    def __enter__(self) -> Self:
        """Hold the source. Blocking. Raises SourceError."""

    def __exit__(self, *exc: object) -> None:
        """Let it go."""

    def require_same(self) -> None:
        """Raise SourceError if another source is in its place by now. Blocking."""


class Audio(Protocol):
    """The bytes of one recording for a sink, guaranteed to be those that were hashed."""

    @property
    def size(self) -> int:
        """In bytes."""

    def framed(self, envelope: bytes) -> bytes | None:
        """``envelope`` followed by the whole audio, if ``size`` is at most ``Sink.whole_limit``.

        It is made once for all attempts, and replaces the audio in memory.
        """

    def chunks(self, size: int) -> AsyncIterator[bytes]:
        """The audio in pieces of ``size`` bytes, the last one shorter, from the start each time.

        Raises SourceChanged *before* the last piece is yielded if the bytes are not those that were
        hashed: the sink has not sent the whole then, so nothing is stored.
        """


class Attempt(Struct, frozen=True):
    """One attempt to send one recording.

    ``sent`` is called with the number of bytes each time some audio was sent. ``timeout`` in
    seconds bounds the whole attempt. A sink that is cancelled before it sent anything calls
    ``on_not_started``; otherwise the recording is in doubt.
    """

    number: int
    client_request_id: str
    timeout: float
    sent: Callable[[int], None]
    on_not_started: Callable[[], None]


class Match(Struct, frozen=True):
    """A talk that a search by keys found.

    ``key`` is the stamp that the talk itself holds, None if it has none. ``reaches`` is where the
    service heard the conversation end, in seconds from the start of the audio, which is at least as
    long; None if the service does not tell, or not yet.
    """

    talk_id: str
    connection_id: str
    key: str | None
    reaches: float | None = None


class Sink(Protocol):
    """Where recordings go."""

    async def __aenter__(self) -> Self:
        """Prepare the sink; nothing is sent yet. Raises ConfigError."""

    async def __aexit__(self, *exc: object) -> None:
        """Close the sink."""

    @property
    def whole_limit(self) -> int:
        """The largest size in bytes that is sent in one message; a larger recording is streamed."""

    @property
    def expanded(self) -> bool:
        """Whether more connections raise the throughput, so that more concurrency is worth it."""

    @property
    def stamp_field(self) -> str | None:
        """The metadata field that carries each recording's key; None: nothing can be found."""

    def envelope(self, recording: Recording) -> bytes:
        """The bytes of the message before the audio. Does not block.

        The length is the same for every digest and key, so that space can be reserved for it.
        """

    async def upload(self, recording: Recording, audio: Audio, attempt: Attempt) -> Receipt:
        """Send one recording once, without retrying anything.

        Raises one of the five SinkError classes, which say whether it may be retried, or
        SourceChanged if ``audio`` raised it (nothing was stored then).
        """

    async def find(
        self,
        connection_id: str,
        keys: Sequence[str],
        *,
        waits: Callable[[float], None] | None = None,
    ) -> list[Match]:
        """The talks that a search for any of these stamps finds, unsorted.

        It may find talks with other stamps. A missing key proves nothing by itself: the index may
        lag, or not cover this field. Waits as the service's quotas require, and calls ``waits``
        with the seconds of each pause before it. Raises SearchFailed, also without a stamp field.
        """


@runtime_checkable
class Remote(Protocol):
    """A sink whose service may be misnamed in the settings."""

    @property
    def service(self) -> str:
        """The service, as the settings name it."""


@runtime_checkable
class Renewing(Protocol):
    """A sink whose credentials expire and are renewed while it is used."""

    on_renewal_failed: Callable[[SinkError, float | None], None] | None
    """Is told why credentials could not be renewed ahead of time, and in how many seconds those in
    use expire (None: not known); once for each reason."""


class Ledger(Protocol):
    """The durable record of every recording of one connection."""

    @property
    def connection_id(self) -> str:
        """The connection of this ledger."""

    async def __aenter__(self) -> Self:
        """Open it and take its lock. Raises LedgerLocked or LedgerError."""

    async def __aexit__(self, *exc: object) -> None:
        """Release the lock. Everything settled before is durable.

        Raises what ``check`` raises, unless an exception is being handled.
        """

    async def check(self) -> None:
        """Raise LedgerGone if the ledger was removed or replaced; it can be read until it is left.

        Raises LedgerLocked if another owner has it by now. In both cases claims are refused.
        """

    async def recover(self, *, ours: bool = False) -> int:
        """Turn the claims of owners that are gone into doubts. Returns how many there were.

        An owner is one opening of the ledger. With ``ours`` includes the claims of this one, which
        will no longer be settled.
        """

    async def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """Apply these changes in order, in one transaction; durable when it returns.

        Each sees the effects of those before it. A change that is not possible in the recorded
        state, or a claim when nothing may be sent any more, has no effect and is answered by a
        LedgerError; if the transaction fails, every change is. If the caller is cancelled, all of
        them are applied or none.
        """

    async def fact(self, name: str) -> str | None:
        """The fact of that name about the ledger itself, for all connections."""

    async def unheard(self, rows: Sequence[Record]) -> list[Record]:
        """Those of these lines of a manifest that the ledger lacks, for any connection.

        It lacks a line if it has the talk at no path, or if the service may hold the line's
        recording and the ledger has no record of the same audio at its path that the service may
        hold.
        """

    async def count(self) -> int:
        """The number of paths that are on record, without those that wait."""

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder (not of those below), by path, in one range query."""

    async def get(self, paths: Iterable[str]) -> dict[str, Record]:
        """What is recorded of these paths, as far as anything is."""

    async def unchanged(
        self,
        folder: str,
        entries: Sequence[Entry],
        by: Likeness = Likeness.INODE,
        left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """The number of recordings in a folder if a run can skip them all, else 0.

        It can if ``entries`` are exactly the recorded files and sidecars, compared by ``by``, and
        each recording is uploaded, a duplicate or given up, or was left out under a digest that is
        in one of these ranges.
        """

    async def left_out(self, folder: str) -> dict[str, int]:
        """How many recordings of a folder (not of those below) are left out, by filter."""

    async def doubts(self) -> list[Record]:
        """Every recording in doubt, sorted by path."""

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs of this connection, the latest first.

        A killed run is shown as killed once the next owner has recovered its claims.
        """

    async def lacks_ids(self) -> bool:
        """Whether recordings that the service may hold are on record without IDs."""

    async def canaries(self, stamp_field: str, limit: int) -> list[Canary]:
        """The latest claims with that stamp that the service answered with a talk, latest first.

        Without those that a search or a human settled.
        """

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """Every record (in these states), sorted by path, as of one moment.

        Superseded talks, whose path holds other audio by now, are records of their own. Close the
        iterator (``contextlib.aclosing``) if it is not read to its end.
        """

    def everything(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """The same of all connections that the ledger holds recordings of."""


class Applies(Protocol):
    """What changes can be applied to."""

    async def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """As ``Ledger``."""


@overload
async def apply_one(ledger: Applies, change: Claim | Rejudge) -> ClaimAnswer: ...
@overload
async def apply_one(ledger: Applies, change: JudgeDefaultIds) -> SharedIds | None: ...
@overload
async def apply_one(ledger: Applies, change: Settle) -> Outcome: ...
@overload
async def apply_one(ledger: Applies, change: Release | Unanswered) -> None: ...
async def apply_one(ledger: Applies, change: Change) -> Told:
    """Apply one change. Raises the LedgerError that answers it."""
    (answer,) = await apply_all(ledger, [change])
    return answer


async def apply_all(ledger: Applies, changes: Sequence[Change]) -> list[Told]:
    """Apply these changes. Raises the first LedgerError among the answers; the others are applied.

    ``Lost`` raises a LedgerError, too.
    """
    made: list[Told] = []
    for change, answer in zip(changes, await ledger.apply(changes), strict=True):
        result = told(change, answer)
        if isinstance(result, LedgerError):
            raise result
        made.append(result)
    return made


def told(change: Change, answer: Answer) -> Told | LedgerError:
    """The answer to a change, with a lost claim as a LedgerError."""
    if not isinstance(answer, Lost):
        return answer
    error = LedgerError(str(answer))
    if isinstance(change, Settle) and change.outcome.talk_id is not None:
        error.add_note(f"{answer.path} is stored as talk {change.outcome.talk_id}")
    return error
