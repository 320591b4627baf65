"""The storage of a ledger's records, as the rules use it."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

from batch_uploader.core.model import (
    Failure,
    Fingerprint,
    Version,
)
from batch_uploader.core.records import Record
from batch_uploader.core.runs import RunBegin, RunEnd


def of_another(path: str, talk_id: str, other: Record) -> Failure:
    """The failure if a talk that the service or a human named is another recording's."""
    earlier = " as it was earlier" if other.path == path else ""
    return Failure(
        "CONFLICT",
        f"talk {talk_id} was named for {path}, but it is {other.path}{earlier}; look at both in the"
        " SpeechSense console and decide",
    )


def taken_back(talk_id: str) -> str:
    """The name of the fact that a human took back this talk, with the path as its value."""
    return f"taken back {talk_id}"


class ClaimContext(NamedTuple):
    """The records that a claim depends on.

    ``current`` is that of its path, ``superseded`` the latest one with this audio that was
    superseded there. ``relatives`` are current records that the service holds, or may hold, and
    duplicates, with the same audio, place or ID, or a part in common; ``past`` are superseded ones,
    the latest first. Of very many with one audio or ID only a few are among them, and always one
    with the same metadata.
    """

    current: Record | None = None
    superseded: Record | None = None
    relatives: Sequence[Record] = ()
    past: Sequence[Record] = ()


RELATIVES: Final = 20
"""The most records of one kind that a claim is compared with."""


class Store(Protocol):
    """The records of one connection, within one transaction."""

    @property
    def connection_id(self) -> str:
        """The connection of its records."""

    def tick(self) -> int:
        """The ledger's next sequence number, higher than all before."""

    def current(self, path: str) -> Record | None:
        """The current record of a path."""

    def claimed(self) -> Sequence[Record]:
        """Every open claim."""

    def holder(self, fingerprint: Fingerprint) -> Record | None:
        """The record that holds this content at the service, superseded talks included.

        It is claimed, in doubt, in conflict, uploaded or given up. One with unknown metadata holds
        all content of the same audio. Only a rebuilt ledger may have several: the first by path.
        """

    def talk(self, talk_id: str) -> Record | None:
        """The recording uploaded as this talk, superseded ones included."""

    def claim_context(self, new: Record) -> ClaimContext:
        """All records that a claim of this recording depends on."""

    def ids_of(self, essence: bytes) -> Collection[bytes]:
        """A few of the default IDs under which this audio is on record, in any state."""

    def held_ids(self) -> Sequence[bytes]:
        """The default IDs for which possible duplicates are held, the most frequent first."""

    def same_audio(self) -> Sequence[str]:
        """The paths of duplicates by their audio and default ID, sorted."""

    def count_ids(self) -> int:
        """How many default IDs are on record."""

    def with_default_id(self, default_id: bytes) -> Sequence[Record]:
        """Up to 1,000 records with this default ID, superseded ones included."""

    def fact(self, name: str) -> str | None:
        """The fact of that name about the ledger itself."""

    def put(self, record: Record) -> None:
        """Make it the current record of its path, replacing the one before."""

    def renew(self, path: str, stat: Version) -> None:
        """Update the change times and inodes of a record with files like these.

        Does nothing while it is being sent.
        """

    def supersede(self, path: str) -> None:
        """Turn the current record of a path into history; the path then has none."""

    def restore(self, record: Record) -> None:
        """Make a superseded record current again, replacing the current one."""

    def drop(self, path: str) -> None:
        """Delete the current record of a path."""

    def remember(self, name: str, value: str) -> None:
        """Store a fact about the ledger itself, replacing the one of that name."""

    def begin_run(self, run: RunBegin, owner: int, now: int) -> None:
        """Record that an owner's run begins; ``now`` is UTC nanoseconds since the epoch."""

    def end_run(self, run_id: str, end: RunEnd, now: int) -> None:
        """Record how a run ended, unless that is already on record."""

    def lose_runs(self, living: Collection[int]) -> None:
        """Record that open runs of all but the living owners were killed."""

    def drop_duplicates(self, path: str) -> None:
        """Delete the duplicates of the record of a path: the next run judges them again."""
