"""What a ledger tells of recordings, as values; ``changes`` are what it is told."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from batch_uploader.core.model import Container, Failure, Outcome, Stat, Timestamp
from batch_uploader.core.states import MAY_TURN_OUT_UP, Status


class Likeness(IntEnum):
    """What files are told apart by; the number is how many fields of an ``Entry`` that takes."""

    MTIME = 3
    """Path, size and time of the last writing."""
    CTIME = 4
    """The time of the last change of any kind as well."""
    INODE = 5
    """The inode as well."""


class ClaimResult(StrEnum):
    """How the ledger answers to a claim."""

    GRANTED = "granted"
    """Durably recorded: send it."""
    DUPLICATE = "duplicate"
    """Another path holds the same audio and metadata and is up, or in doubt."""
    BUSY = "busy"
    """Another path with the same audio and metadata is being sent: ask again when it is settled."""
    KNOWN = "known"
    """This very path is up with the same audio (its file was only touched); the stat is renewed."""
    OUTDATED = "outdated"
    """This path is up with the same audio but other metadata; nothing is sent."""
    DOUBTED = "doubted"
    """The ledger was lost and this may have gone up before: recorded as in doubt, nothing sent."""
    HELD = "held"
    """This path is in doubt or in conflict, or claimed by somebody else."""


class ClaimAnswer(Struct, frozen=True):
    """The answer, for a busy one the other path, and what was recorded if that is no claim."""

    claim: ClaimResult
    other: str | None = None
    outcome: Outcome | None = None


class Lost(Struct, frozen=True):
    """What answers an owner whose claim is not his any more; nothing was recorded then.

    ``status`` is what stands at the path now, None if nothing does.
    """

    path: str
    status: Status | None

    def __str__(self) -> str:
        """For people."""
        now = "unseen" if self.status is None else self.status.label
        return f"the claim of {self.path} was lost to another run: on record it is {now}"


class Record(Struct, frozen=True):
    """All that is kept of one recording: the latest of its path, or a superseded talk.

    A manifest tells less of it: of its files the size alone, and neither metadata nor key.

    ``sha256``, ``metadata`` and ``key`` are None where nothing was ever claimed, and as
    ``ledgers.adoption`` says where a ledger was lost. Times are UTC nanoseconds since the epoch;
    ``settled_at_ns`` is None while the recording is being sent. ``policy`` is the digest of the
    rules by which it was found invalid. ``stamp_field`` is the field in which its key went along,
    None if it was sent without a stamp. Of what is in doubt ``since`` is when that arose, None if
    that is not known, and ``first_miss`` when a search that counts did not find it.

    ``claimed_seq``, ``answered_seq`` and ``doubt_seq`` are places in the ledger's order, which no
    clock sets: of the claim, of the service's own word that it is up, and of the doubt; what was
    claimed after a doubt went up after it arose, whatever any clock said. None where
    there was none, and before ledgers had this order: that is, before all that is in it. ``owner``
    is the opening of the ledger that claimed it, by its place in that order; None unless it is
    being sent, and before claims had one.
    """

    connection_id: str
    path: str
    status: Status
    stat: Stat
    container: Container | None = None
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

    @property
    def outcome(self) -> Outcome:
        """How it ended, or that it has not."""
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
        )

    @property
    def unproved(self) -> bool:
        """Whether it comes from the manifest of a lost ledger and nobody has looked into it since.

        What the ledger says of it stands until somebody has.
        """
        undecided = self.status in MAY_TURN_OUT_UP
        return self.metadata is None and (undecided or self.sha256 is not None)


class Canary(Struct, frozen=True):
    """A recording of which the service itself said that it stored it, as this talk, by its stamp.

    ``seq`` is the place of its claim in the ledger's order.
    """

    key: str
    talk_id: str
    seq: int
