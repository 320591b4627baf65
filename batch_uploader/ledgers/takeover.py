"""How the records of another ledger, of a directory above or below, are taken over.

Both may have sent the same file before they knew of each other: then all talks stay on record, and
what either of them holds in doubt is not sent.
"""

from typing import Final

from msgspec.structs import replace

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Failure, Timestamp
from batch_uploader.core.records import Record, ids_learned
from batch_uploader.core.states import FORGETTABLE, KEPT, MAYBE_STORED, UNRESOLVED, Status
from batch_uploader.ledgers.store import Store, of_another

RUN_ENDED: Final = Failure(
    "RUN_ENDED",
    "the run that was sending it ended before the answer of the service was recorded, so it may"
    " have been stored",
)
"""Why a claim of a run that is gone is in doubt."""
_TWO_DOUBTS: Final = Failure(
    "CONFLICT",
    "two ledgers have it in doubt, each with an upload of its own, and one of them took over the"
    " other; look it up in the SpeechSense console and decide",
)
_FURTHEST: Final = (Status.IN_DOUBT, Status.GIVEN_UP, Status.CONFLICT, Status.UPLOADED)
"""Of two records of one recording the later of these stays."""


def take_over(store: Store, row: Record, now: Timestamp) -> None:
    """Take over a record, with the path that it has here; again without effect.

    For the records of a path one by one, the oldest first. Its key and its stamp field stay as they
    were sent; sequence numbers are this ledger's, and what was sent elsewhere proves nothing about
    the doubts of this one. Raises LedgerError if two doubts about different audio meet at a path.
    """
    row = _as_ours(store, row, now)
    if row.default_id is None:
        store.remember(ids_learned(store.connection_id), "")
    other = store.talk(row.talk_id) if row.talk_id is not None else None
    if other is not None and row.talk_id is not None:
        if (other.path, other.sha256) == (row.path, row.sha256):
            return
        row = _copy_of(other, row, row.talk_id)
    current = store.current(row.path)
    if row.status not in MAYBE_STORED:
        # What needs no proof gives way to what took a decision.
        if current is None or (current.status in FORGETTABLE and row.status not in FORGETTABLE):
            store.put(row)
        elif current.status in KEPT and row.sha256 not in {None, current.sha256}:
            # Other audio took the place of a talk, and was decided about.
            store.supersede(row.path)
            store.put(row)
    elif not _is_history(store, row):
        _put(store, current, row)


def _as_ours(store: Store, row: Record, now: Timestamp) -> Record:
    if row.status is Status.CLAIMED:
        row = replace(
            row,
            status=Status.IN_DOUBT,
            failure=RUN_ENDED,
            since=now,
            settled_at_ns=now.wall_ns,
        )
    return replace(
        row,
        owner=None,
        first_miss=None,
        claimed_seq=None,
        answered_seq=None,
        doubt_seq=store.tick() if row.status is Status.IN_DOUBT else None,
    )


def _copy_of(other: Record, row: Record, talk_id: str) -> Record:
    """The record of a recording whose talk is on record at another path, as of a copy."""
    if other.sha256 == row.sha256:
        return replace(
            row,
            status=Status.DUPLICATE,
            talk_id=None,
            stamp_field=None,
            duplicate_of=other.path,
            cause=Cause.SAME_CONTENT,
        )
    failure = of_another(row.path, talk_id, other)
    return replace(row, status=Status.CONFLICT, talk_id=None, failure=failure)


def _is_history(store: Store, row: Record) -> bool:
    if row.sha256 is None or row.status not in KEPT:
        return False
    past = store.claim_context(row).superseded
    return past is not None and (past.status, past.talk_id) == (row.status, row.talk_id)


def _put(store: Store, current: Record | None, row: Record) -> None:
    """Put a record that may be stored beside the current one."""
    if current is None or current.status not in MAYBE_STORED:
        store.put(row)
    elif Status.UPLOADED is current.status is row.status:
        _as_history(store, row, current)
    elif current.sha256 == row.sha256 or None in {current.sha256, row.sha256}:
        if Status.IN_DOUBT is current.status is row.status:
            if current.key != row.key:
                store.put(replace(current, status=Status.CONFLICT, failure=_TWO_DOUBTS))
        elif _FURTHEST.index(row.status) > _FURTHEST.index(current.status):
            store.put(row)
    elif row.status in KEPT:
        _as_history(store, row, current)
    elif current.status in UNRESOLVED:
        raise LedgerError(
            f"{row.path} is in doubt in two ledgers, with different audio",
            hint="decide about it in the ledger of its own directory first (resolve)",
        )
    else:
        store.supersede(row.path)
        store.put(row)


def _as_history(store: Store, row: Record, current: Record) -> None:
    """Put a record among the superseded ones of its path."""
    store.put(row)
    store.supersede(row.path)
    store.put(current)
