"""Where a ledger's records are kept, as the rules see it."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from batch_uploader.core.model import (
    Failure,
    Fingerprint,
    Stat,
)
from batch_uploader.core.records import Record
from batch_uploader.core.runs import RunBegin, RunEnd


def of_another(path: str, talk_id: str, other: Record) -> Failure:
    """Why a talk that the service or a human named is not this recording's: it is another's."""
    earlier = " as it was earlier" if other.path == path else ""
    return Failure(
        "CONFLICT",
        f"talk {talk_id} was named for {path}, but it is {other.path}{earlier}; look at both in the"
        " SpeechSense console and decide",
    )


class ClaimContext(NamedTuple):
    """What a claim has to know: the records that stand at its path, or for its content.

    ``current`` and ``holder`` are as in ``Store``; ``superseded`` is what was superseded at this
    path and holds this audio, the latest of several.
    """

    current: Record | None = None
    superseded: Record | None = None
    holder: Record | None = None


class Store(Protocol):
    """Where the records of one connection are kept, within one transaction."""

    @property
    def connection_id(self) -> str:
        """The connection that its records are of."""

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

    def claim_context(self, path: str, fingerprint: Fingerprint) -> ClaimContext:
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

    def begin_run(self, run: RunBegin, owner: int, now: int) -> None:
        """Record that a run of an owner begins; ``now`` is UTC nanoseconds since the epoch."""

    def end_run(self, run_id: str, end: RunEnd, now: int) -> None:
        """Record how a run ended, unless that is on record."""

    def lose_runs(self, living: Collection[int]) -> None:
        """Record that the runs of all but the living owners were killed, unless they ended."""

    def drop_duplicates(self, of: Record) -> None:
        """Forget the duplicates of a record, if it has a fingerprint.

        Metadata that are not known are like any others.
        """
