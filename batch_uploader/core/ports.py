"""The three seams: where recordings come from, where they go, and what is remembered of them.

Each has one conformance suite in ``tests/conformance`` that every implementation passes.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from typing import BinaryIO, Protocol, Self, overload, runtime_checkable

from msgspec import Struct

from batch_uploader.core.changes import Answer, Change, Claim, Release, Settle, Unanswered
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Entry, Listing, Outcome, Receipt, Recording
from batch_uploader.core.records import Canary, ClaimAnswer, Likeness, Lost, Record
from batch_uploader.core.runs import Run
from batch_uploader.core.states import Status


class Source(Protocol):
    """Where recordings and sidecars are."""

    @property
    def where(self) -> str:
        """The source's name for a human."""

    def entries(self) -> AsyncGenerator[Listing]:
        """Every folder once, as a stream, in no order. Raises SourceError if the root is gone."""

    def is_audio(self, path: str) -> bool:
        """Whether a listed file is a recording, by its name; everything else may be a sidecar."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading from its start: seekable, unbuffered, its reads complete.

        Blocking: call it in a thread. One handle sees one file throughout, whatever happens to the
        name. Raises SourceError for anything that is not a readable
        regular file within the source.
        """

    def read_if_cached(self, listed: Entry) -> bytes | None:
        """A whole file that is just as it was listed, if nobody has to wait for a disk or a share.

        Does not block. None wherever that is not known to be so: then ``open`` tells.
        """

    def stat(self, path: str) -> Entry:
        """The file as it is now. Blocking. Raises SourceError if it is gone."""

    def handle_stat(self, handle: BinaryIO, path: str) -> Entry:
        """The file behind an open handle as it is now. Blocking. Raises SourceError."""


@runtime_checkable
class Local(Protocol):
    """A source of files that the user's own shell can name."""

    def user_path(self, path: str) -> str:
        """What it calls a listed file, for the commands that a cure names."""


@runtime_checkable
class Anchored(Protocol):
    """A source that is held while a run goes on, since its name may come to lead to another one."""

    def __enter__(self) -> Self:
        """Hold it. Blocking. Raises SourceError."""

    def __exit__(self, *exc: object) -> None:
        """Let it go."""

    def require_same(self) -> None:
        """Raise SourceError if its name leads to another source by now. Blocking."""


class Audio(Protocol):
    """The bytes of one recording for a sink, guaranteed to be those that were hashed."""

    @property
    def size(self) -> int:
        """In bytes."""

    def framed(self, envelope: bytes) -> bytes | None:
        """``envelope`` and the whole behind it: whenever ``size`` is at most ``Sink.whole_limit``.

        It is made once, for all attempts, and takes the place of the whole in memory.
        """

    def chunks(self, size: int) -> AsyncIterator[bytes]:
        """The whole in pieces of ``size`` bytes, the last one shorter, from the start each time.

        Raises SourceChanged *before* the last piece is handed out if the bytes are not those that
        were hashed: a sink that fails on it has not sent the whole, so nothing is stored.
        """


class Attempt(Struct, frozen=True):
    """One try at sending one recording.

    ``sent`` is called with the number of bytes of audio each time some left. ``timeout`` in
    seconds bounds the whole of the try. A sink that is cancelled before it sent anything calls
    ``on_not_started``; otherwise the recording is in doubt.
    """

    number: int
    client_request_id: str
    timeout: float
    sent: Callable[[int], None]
    on_not_started: Callable[[], None]


class Match(Struct, frozen=True):
    """A talk that a search by keys found.

    ``key`` is what the talk itself says its stamp is, None where it says none. ``reaches`` is where
    in its audio, in seconds from the start, the service heard the conversation end: the audio is
    as long or longer. None where it does not tell, or not yet.
    """

    talk_id: str
    connection_id: str
    key: str | None
    reaches: float | None = None


class Sink(Protocol):
    """Where recordings go."""

    async def __aenter__(self) -> Self:
        """Make it ready; nothing is sent yet. Raises ConfigError."""

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""

    @property
    def whole_limit(self) -> int:
        """Up to this size in bytes a recording is sent in one message, above it as a stream."""

    @property
    def expanded(self) -> bool:
        """Whether many ways carry more than few now, so that more at once is worth its memory."""

    @property
    def stamp_field(self) -> str | None:
        """The metadata field that carries each recording's key; without one nothing is found."""

    def envelope(self, recording: Recording) -> bytes:
        """What goes before the whole of a recording in its message; blocks for no time.

        It has the same length for every digest and key, so there can be room for it beforehand.
        """

    async def upload(self, recording: Recording, audio: Audio, attempt: Attempt) -> Receipt:
        """Send one recording, once, without repeating anything by itself.

        Raises one of the five SinkError classes, which say whether it may be repeated, or
        SourceChanged if ``audio`` did (nothing was stored then).
        """

    async def find(
        self,
        connection_id: str,
        keys: Sequence[str],
        *,
        waits: Callable[[float], None] | None = None,
    ) -> list[Match]:
        """The talks that a search for any of these stamps brings up, in no order.

        It may bring up talks with other stamps. A key that is not among them proves nothing by
        itself: the index may lag, the search may not go by this field at all. Waits as the
        service's quotas ask for, and tells ``waits`` the seconds of each pause before it. Raises
        SearchFailed, also without a stamp field.
        """


class Ledger(Protocol):
    """What is remembered, durably, of every recording of one connection."""

    @property
    def connection_id(self) -> str:
        """The connection that it is the ledger of."""

    async def __aenter__(self) -> Self:
        """Open it and take its lock. Raises LedgerLocked or LedgerError."""

    async def __aexit__(self, *exc: object) -> None:
        """Let the lock go. Everything settled before is durable.

        Raises what ``check`` does, unless something was raised.
        """

    async def check(self) -> None:
        """Raise LedgerGone if it was taken away under us: what it knows can be read until we leave.

        Raises LedgerLocked if somebody else has it by now. Then claims are refused as well.
        """

    async def recover(self, *, ours: bool = False) -> int:
        """Turn the claims of owners that are gone into doubts; how many there were.

        An owner is one opening of the ledger. With ``ours`` those of this one as well: nobody
        settles them any more.
        """

    async def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """Make all of these in order, in one atomic step; durable when it returns.

        Each sees what the ones before it did. One that cannot follow from what is on record, or
        a claim where nothing may be sent any more, is answered by a LedgerError and leaves nothing;
        where the whole fails each is. A caller that is cancelled may find all of them made, or
        none.
        """

    async def fact(self, name: str) -> str | None:
        """What it knows of itself by that name, whichever connection it is the ledger of."""

    async def unheard(self, rows: Sequence[Record]) -> list[Record]:
        """Those of these lines that tell of what it never heard of, of any connection.

        Such is a talk that it has at no path, and a recording that the service may hold where at
        its path nothing is on record that the service may hold, of the same audio.
        """

    async def known(self, folder: str) -> dict[str, Record]:
        """All that is recorded of a folder (not of those below), by path, in one range read."""

    async def get(self, paths: Iterable[str]) -> dict[str, Record]:
        """What is recorded of these paths, as far as anything is."""

    async def unchanged(
        self, folder: str, entries: Sequence[Entry], by: Likeness = Likeness.INODE
    ) -> int:
        """How many recordings a folder holds that a run has no reason to look at: all, or 0.

        All if ``entries`` are just those that were recorded of it, by all that ``by`` names, with
        their sidecars, and each is up, a duplicate or given up.
        """

    async def doubts(self) -> list[Record]:
        """Every recording in doubt, sorted by path."""

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs of this connection, the latest first.

        One that was killed is known to be when the next owner has recovered what it left.
        """

    async def canaries(self, stamp_field: str, limit: int) -> list[Canary]:
        """The latest claims with that stamp that the service answered with a talk, latest first.

        Neither what a search found is among them nor what a human decided.
        """

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """Every record (in these states), sorted by path, as of one moment.

        Superseded talks, whose path holds other audio by now, are records of their own. Close the
        iterator (``contextlib.aclosing``) if it is not read to its end.
        """

    def everything(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """The same of all connections that the ledger holds recordings of."""


@overload
async def apply_one(ledger: Ledger, change: Claim) -> ClaimAnswer: ...
@overload
async def apply_one(ledger: Ledger, change: Settle) -> Outcome: ...
@overload
async def apply_one(ledger: Ledger, change: Release | Unanswered) -> None: ...
async def apply_one(ledger: Ledger, change: Change) -> ClaimAnswer | Outcome | None:
    """Make one change. Raises the LedgerError that answers it."""
    (answer,) = await apply_all(ledger, [change])
    return answer


async def apply_all(
    ledger: Ledger, changes: Sequence[Change]
) -> list[ClaimAnswer | Outcome | None]:
    """Make all of these. Raises the first LedgerError that answers one; the others are made.

    A claim that was lost is one, too.
    """
    made: list[ClaimAnswer | Outcome | None] = []
    for change, answer in zip(changes, await ledger.apply(changes), strict=True):
        result = told(change, answer)
        if isinstance(result, LedgerError):
            raise result
        made.append(result)
    return made


def told(change: Change, answer: Answer) -> ClaimAnswer | Outcome | LedgerError | None:
    """What an answer means for whoever asked: a claim that was lost is an error as well."""
    if not isinstance(answer, Lost):
        return answer
    error = LedgerError(str(answer))
    if isinstance(change, Settle) and change.outcome.talk_id is not None:
        error.add_note(f"{answer.path} is stored as talk {change.outcome.talk_id}")
    return error
