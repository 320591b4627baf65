"""What a ledger returns about recordings, as values; ``changes`` has what it is sent."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.model import Container, Failure, Outcome, Timestamp, Version
from batch_uploader.core.states import MAY_TURN_OUT_UP, Status


class Likeness(IntEnum):
    """How files are compared; the value is the number of fields of an ``Entry`` that are."""

    MTIME = 3
    """Path, size and modification time."""
    CTIME = 4
    """Also the change time."""
    INODE = 5
    """Also the inode."""


class ClaimResult(StrEnum):
    """The ledger's answer to a claim."""

    GRANTED = "granted"
    """Durably recorded: send it."""
    DUPLICATE = "duplicate"
    """It is a call that is uploaded or in doubt: recorded, nothing is sent."""
    POSSIBLE = "possible"
    """It may be a call that is uploaded or in doubt: recorded for a human, nothing is sent."""
    BUSY = "busy"
    """Another path that may be the same call is being sent: ask again when it is settled."""
    LOOK = "look"
    """Other records decide: look at their files and ask again with what was seen."""
    KNOWN = "known"
    """This path is uploaded with this audio (its file was only touched); the stat is updated."""
    OUTDATED = "outdated"
    """This path is uploaded with the same audio but other metadata; nothing is sent."""
    DOUBTED = "doubted"
    """The ledger was lost, so this may be uploaded: recorded as in doubt, nothing is sent."""
    HELD = "held"
    """This path is in doubt or in conflict, or claimed by another owner."""


def ids_learned(connection_id: str) -> str:
    """The name of the ledger's fact that all recordings of a connection have IDs that could.

    Its value is empty if that is to be found out.
    """
    return f"ids_learned {connection_id}"


class Corrected(Struct, frozen=True):
    """What a sidecar says since it was corrected: the digest of the metadata, and the ID."""

    metadata: bytes
    default_id: bytes


class Sight(Struct, frozen=True):
    """What a look at the file of a record showed.

    ``gone`` says whether the file that was recorded is missing or replaced. ``identity`` is what
    the record lacks, None if it lacks nothing or the files are not as recorded. ``corrected`` is
    what the sidecar says now, None if that is as recorded or not known.
    """

    gone: bool
    identity: Identity | None = None
    corrected: Corrected | None = None


class ClaimAnswer(Struct, frozen=True):
    """The answer to a claim.

    ``other`` is the other path if busy, ``outcome`` what was recorded instead of a claim, and
    ``look`` are the records whose files decide.
    """

    claim: ClaimResult
    other: str | None = None
    outcome: Outcome | None = None
    look: tuple["Record", ...] = ()


class SharedIds(Struct, frozen=True):
    """Default IDs that do not name calls.

    ``examples`` are paths with the same ID; ``shared`` of ``total`` IDs stand in several recordings
    that are held for them. ``freed`` are the paths of duplicates that are to be judged again.
    """

    examples: tuple[str, ...]
    shared: int
    total: int
    freed: tuple[str, ...] = ()


class Lost(Struct, frozen=True):
    """The answer to an owner that no longer has its claim; nothing was recorded.

    ``status`` is what is on record at the path now, None if nothing is.
    """

    path: str
    status: Status | None

    def __str__(self) -> str:
        """The problem as a sentence."""
        now = "unseen" if self.status is None else self.status.label
        return f"the claim of {self.path} was lost to another run: on record it is {now}"


class Record(Struct, frozen=True):
    """All that is kept of one recording: the latest of its path, or a superseded talk.

    A record read from a manifest has only the size of its files, and neither metadata nor key.

    ``sha256``, ``metadata`` and ``key`` are None where nothing was ever claimed, and as
    ``ledgers.adoption`` says where a ledger was lost. Times are UTC nanoseconds since the epoch;
    ``settled_at_ns`` is None while the recording is being sent. ``policy`` is the digest of the
    rules by which it was found invalid. ``stamp_field`` is the field that its key was sent in, None
    if it was sent without a stamp. For a doubt, ``since`` is when it arose, None if unknown, and
    ``first_miss`` when a search that counts first missed it; for what waits, ``since`` is when it
    was first seen, and ``settled_at_ns`` when it was first seen as it is.

    ``claimed_seq``, ``answered_seq`` and ``doubt_seq`` are sequence numbers of the ledger, which do
    not depend on clocks: of the claim, of the service's answer that it is stored, and of the doubt.
    What was claimed after a doubt was uploaded after the doubt arose, whatever a clock says. None
    if there was none, or from before ledgers had sequence numbers, and then before all that have
    one. ``owner`` is the opening of the ledger that claimed it, by its sequence number; None unless
    it is being sent, and for claims of older versions.

    ``essence``, ``default_id`` and ``named_id`` are as in ``Identity``, None where an older version
    recorded none, and ``cause`` is as in ``Outcome``. ``sent`` is what went up if that was not the
    file itself: a ``Sent`` as JSON. ``parts`` are its files, if there are several, as JSON.
    """

    connection_id: str
    path: str
    status: Status
    stat: Version
    container: Container | None = None
    cause: Cause | None = None
    failure: Failure | None = None
    since: Timestamp | None = None
    first_miss: Timestamp | None = None
    sha256: bytes | None = None
    metadata: bytes | None = None
    key: str | None = None
    policy: bytes | None = None
    duration: float | None = None
    attempts: int = 0
    talk_id: str | None = None
    duplicate_of: str | None = None
    claimed_at_ns: int | None = None
    settled_at_ns: int | None = None
    stamp_field: str | None = None
    claimed_seq: int | None = None
    answered_seq: int | None = None
    doubt_seq: int | None = None
    owner: int | None = None
    essence: bytes | None = None
    default_id: bytes | None = None
    named_id: bytes | None = None
    sent: str | None = None
    parts: str | None = None

    @property
    def outcome(self) -> Outcome:
        """The record as an outcome; one that is being sent has its status."""
        return Outcome(
            self.path,
            self.status,
            self.stat,
            self.attempts,
            self.talk_id,
            self.failure,
            self.duplicate_of,
            self.duration,
            self.container,
            self.cause,
        )

    @property
    def unproved(self) -> bool:
        """Whether it comes from the manifest of a lost ledger and was not inspected since.

        Until then the ledger's record of it holds.
        """
        undecided = self.status in MAY_TURN_OUT_UP
        return self.metadata is None and (undecided or self.sha256 is not None)


class Canary(Struct, frozen=True):
    """A recording with a stamp that the service answered with this talk.

    ``seq`` is the sequence number of its claim.
    """

    key: str
    talk_id: str
    seq: int
