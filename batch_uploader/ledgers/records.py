"""What a ledger keeps of one recording, and where such records are kept."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from batch_uploader.core.model import (
    Container,
    Failure,
    Fingerprint,
    Outcome,
    Stat,
    Timestamp,
)
from batch_uploader.core.records import Doubt, Known, Row
from batch_uploader.core.states import Status


class Record(Struct, frozen=True, kw_only=True):
    """Everything that is kept of one recording.

    ``sha256``, ``metadata`` and ``key`` are None where nothing was ever claimed, and as
    ``adoption`` says where a ledger was lost. Times are UTC nanoseconds since the epoch;
    ``settled_at_ns`` is None while the recording is being sent.
    ``stamp_field`` is the one it was claimed with; ``since`` and ``first_miss`` are as in ``Doubt``
    and None unless it is in doubt.

    ``claimed_seq``, ``answered_seq`` and ``doubt_seq`` are places in the ledger's order, which no
    clock sets: of the claim, of the service's own word that it is up, and of the doubt. None where
    there was none, and before ledgers had this order: that is, before all that is in it. ``owner``
    is the opening of the ledger that claimed it, by its place in that order; None unless it is
    being sent, and before claims had one.
    """

    path: str
    status: Status
    stat: Stat
    sha256: bytes | None = None
    metadata: bytes | None = None
    key: str | None = None
    policy: bytes | None = None
    duration: float | None = None
    container: Container | None = None
    attempts: int = 0
    talk_id: str | None = None
    duplicate_of: str | None = None
    failure: Failure | None = None
    claimed_at_ns: int | None = None
    settled_at_ns: int | None = None
    stamp_field: str | None = None
    since: Timestamp | None = None
    first_miss: Timestamp | None = None
    claimed_seq: int | None = None
    answered_seq: int | None = None
    doubt_seq: int | None = None
    owner: int | None = None

    def outcome(self) -> Outcome:
        """How it ended, or that it has not."""
        return Outcome(
            path=self.path,
            status=self.status,
            stat=self.stat,
            attempts=self.attempts,
            talk_id=self.talk_id,
            failure=self.failure,
            duplicate_of=self.duplicate_of,
            duration=self.duration,
            container=self.container,
        )

    def known(self) -> Known:
        """The record as planning sees it."""
        return Known(
            self.outcome(), self.sha256, self.metadata, self.policy, self.key, self.settled_at_ns
        )

    def doubt(self) -> Doubt:
        """The record, which is in doubt, as the search sees it. Doubts follow claims: with keys."""
        return Doubt(
            self.outcome(),
            self.key or "",
            self.stamp_field,
            self.since,
            self.first_miss,
            self.claimed_at_ns,
            self.doubt_seq or 0,
        )

    def row(self, connection_id: str) -> Row:
        """The record as the manifest shows it."""
        return Row(
            path=self.path,
            connection_id=connection_id,
            status=self.status,
            size=self.stat.size,
            attempts=self.attempts,
            sha256=self.sha256,
            talk_id=self.talk_id,
            duration=self.duration,
            container=self.container,
            settled_at_ns=self.settled_at_ns,
            duplicate_of=self.duplicate_of,
            failure=self.failure,
            stamp_field=self.stamp_field,
        )


def of_another(path: str, talk_id: str, other: Record) -> Failure:
    """Why a talk that the service or a human named is not this recording's: it is another's."""
    earlier = " as it was earlier" if other.path == path else ""
    return Failure(
        "CONFLICT",
        f"talk {talk_id} was named for {path} and is {other.path}{earlier}, and a talk is one"
        " recording: look at both in the SpeechSense console and decide",
    )


class Standing(NamedTuple):
    """What a claim has to know: the records that stand at its path, or for its content.

    ``current`` and ``holder`` are as in ``Store``; ``superseded`` is what was superseded at this
    path and holds this audio, the latest of several.
    """

    current: Record | None = None
    superseded: Record | None = None
    holder: Record | None = None


class Store(Protocol):
    """Where the records of one connection are kept, within one transaction."""

    def tick(self) -> int:
        """The next place in the ledger's order, higher than any that was given before."""

    def current(self, path: str) -> Record | None:
        """The current record of a path."""

    def claimed(self) -> Sequence[Record]:
        """Every claim that nobody settled."""

    def holder(self, fingerprint: Fingerprint) -> Record | None:
        """Whoever stands for this content at the service, superseded talks included.

        Claimed, in doubt, in conflict, uploaded or given up. One whose metadata are not known
        stands for all of the same audio. Only in a rebuilt ledger there may be several: the first
        by path.
        """

    def talk(self, talk_id: str) -> Record | None:
        """The recording that is up as this talk, a superseded one included."""

    def standing(self, path: str, fingerprint: Fingerprint) -> Standing:
        """All that a claim of this content at this path has to know, at once."""

    def put(self, record: Record) -> None:
        """Make it the current record of its path; the one before vanishes."""

    def renew(self, path: str, stat: Stat) -> None:
        """Renew the times of change and the inodes of a record with files like these.

        Not of what is being sent.
        """

    def supersede(self, path: str) -> None:
        """Turn the current record of a path into history; the path has none then."""

    def restore(self, record: Record) -> None:
        """Make a superseded record current again; the one current by now vanishes."""

    def drop(self, path: str) -> None:
        """Forget the current record of a path."""

    def remember(self, name: str, value: str) -> None:
        """Keep a fact of the ledger itself, in the place of the one of that name."""

    def drop_duplicates(self, of: Record) -> None:
        """Forget the duplicates of a record, if it has a fingerprint.

        Metadata that are not known are like any others.
        """
