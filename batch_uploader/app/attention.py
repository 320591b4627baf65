"""What needs a human, by kind, and how much of that is new."""

from collections.abc import Sequence

from msgspec import Struct

from batch_uploader.app.history import ended_at
from batch_uploader.app.places import Places
from batch_uploader.core.records import Record
from batch_uploader.core.runs import KILLED, Attention, Run
from batch_uploader.core.states import POSSIBLE, UNDECIDED, Status
from batch_uploader.ledgers.sqlite import LedgerReader

_BEFORE = 100
"""As many runs are looked at for what was known; most often it is the second one."""
_CUT_OFF = "RUN_ENDED"
"""The code of claims that a killed run left."""


class AttentionKind(Struct, frozen=True):
    """Recordings that need a human for the same reason; ``new`` of them since the last run began.

    ``code`` is that of the error, or the cause of possible duplicates.
    """

    status: Status
    code: str
    recordings: int
    new: int

    @property
    def known(self) -> int:
        """How many of them needed a human before."""
        return self.recordings - self.new

    def fits(self, row: Record) -> bool:
        """Whether this recording, which needs a human, is of this kind."""
        code = row.failure and row.failure.code
        return (row.status, (row.cause if row.status in POSSIBLE else code) or "") == (
            self.status,
            self.code,
        )


async def attention_of_last_run(places: Places) -> list[AttentionKind]:
    """What needs a human at the end of a run to the connection of these places, by kind.

    Raises LedgerError.
    """
    async with LedgerReader(places.ledger, places.connection_id) as reader:
        return await attention_by_kind(reader, await reader.runs(_BEFORE))


async def attention_by_kind(
    reader: LedgerReader, runs: Sequence[Run], *, since_ns: int | None = None, claims: int = 0
) -> list[AttentionKind]:
    """The kinds, those with something new first, then what only a human or a search can decide.

    ``reader`` is of one connection, ``runs`` are its runs, the latest first. New is what arose
    since ``since_ns``, or else since the latest of them began. ``claims`` were left by a killed
    run.
    """
    before = _before(runs, since_ns)
    if since_ns is None:
        since_ns = runs[0].began_at_ns if runs else 0
    kinds = [
        _kind(status, code, number, new, before)
        for status, code, number, new in await reader.attention(since_ns)
    ]
    if claims:
        kinds.append(AttentionKind(Status.IN_DOUBT, _CUT_OFF, claims, claims))
    return sorted(kinds, key=_place)


def _place(kind: AttentionKind) -> tuple[object, ...]:
    return (not kind.new, kind.status not in UNDECIDED, [*Status].index(kind.status), kind.code)


def _kind(
    status: Status, code: str, number: int, new: int, before: Attention | None
) -> AttentionKind:
    if before is not None:
        # Those that are tried again each night are not dated.
        new = max(new, number - before.get(status.value, {}).get(code, 0))
    return AttentionKind(status, code, number, new)


def _before(runs: Sequence[Run], since_ns: int | None) -> Attention | None:
    """What needed a human before the latest run, or before that time; None if that is not known."""
    earlier = runs[1:]
    if since_ns is not None:
        earlier = [run for run in runs if run.end is not None and ended_at(run) <= since_ns]
    for run in earlier:
        if run.end is None or not run.begin.run_id or run.end.ending == KILLED:
            continue  # it says nothing about it
        return run.end.attention  # None if an older version recorded it
    return {}
