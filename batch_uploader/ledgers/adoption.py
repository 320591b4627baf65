"""How the manifest of a lost ledger is taken into the ledger that replaces it.

A manifest may be older than the ledger that was lost. Where it says uploaded, in doubt or given up,
that is still true, but it lacks the metadata. Any other recording may have been uploaded since.
"""

from msgspec.structs import replace

from batch_uploader.core.identity import Cause
from batch_uploader.core.model import (
    LEDGER_LOST,
    UNKNOWN_MTIME,
    Fingerprint,
    Recording,
    Version,
    recording_key,
)
from batch_uploader.core.parts import as_json
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Record
from batch_uploader.core.states import AFTER_A_CLAIM, KEPT, Status
from batch_uploader.ledgers.store import Store, of_another


def adopt(store: Store, row: Record, stamp_field: str | None, now: int) -> None:
    """Take a line of a manifest into a new ledger, in the order of the manifest.

    The duplicates of a talk come after it. Until a run has inspected them, the metadata of all of
    these are unknown, and for what may have been uploaded since, the digest as well.
    ``stamp_field`` is the one that it was probably sent with.
    """
    current = store.current(row.path)
    other = store.talk(row.talk_id) if row.talk_id is not None else None
    if other is not None and (other.path, other.sha256) == (row.path, row.sha256):
        return  # already on record
    if _still_true(store, row):
        if current is not None and current.status in KEPT:
            store.supersede(row.path)
        record = _adopted(store, row, stamp_field, now)
        if other is not None and row.talk_id is not None:
            failure = of_another(row.path, row.talk_id, other)
            record = replace(record, status=Status.CONFLICT, talk_id=None, failure=failure)
        store.put(record)
    elif current is None:
        store.put(
            Record(
                connection_id=store.connection_id,
                path=row.path,
                status=Status.IN_DOUBT,
                stat=Version(row.stat.size, UNKNOWN_MTIME),
                failure=LEDGER_LOST,
                settled_at_ns=now,
                doubt_seq=store.tick(),
            )
        )


def _still_true(store: Store, row: Record) -> bool:
    if row.status is Status.GIVEN_UP:
        return True
    if row.sha256 is None:
        return False
    if row.status is Status.DUPLICATE:
        other = _call_of(store, row)
        return other is not None and other.status is Status.UPLOADED
    if row.status is Status.IN_DOUBT:
        return row.failure is None or row.failure.code != LEDGER_LOST.code
    return row.status in AFTER_A_CLAIM


def _call_of(store: Store, row: Record) -> Record | None:
    """The recording of which a line lists a duplicate: in the same format, or in another one."""
    same = None if row.sha256 is None else store.holder(Fingerprint(row.sha256, b""))
    if same is not None or row.duplicate_of is None:
        return same
    return store.current(row.duplicate_of)


def _cause_of(store: Store, row: Record) -> Cause | None:
    """Why a line lists a duplicate. A manifest does not say, but has both digests."""
    if row.status is not Status.DUPLICATE or row.cause is not None:
        return row.cause
    other = _call_of(store, row)
    same = other is None or other.sha256 == row.sha256
    return Cause.SAME_CONTENT if same else Cause.CONVERTED


def _adopted(store: Store, row: Record, stamp_field: str | None, now: int) -> Record:
    sha256 = row.sha256
    return Record(
        connection_id=store.connection_id,
        path=row.path,
        status=row.status,
        stat=Version(row.stat.size, UNKNOWN_MTIME),
        sha256=sha256,
        key=recording_key(row.connection_id, row.path, sha256) if sha256 else None,
        duration=row.duration,
        container=row.container,
        attempts=row.attempts,
        talk_id=row.talk_id,
        duplicate_of=row.duplicate_of,
        failure=row.failure,
        settled_at_ns=now if row.settled_at_ns is None else row.settled_at_ns,
        stamp_field=stamp_field,
        doubt_seq=store.tick() if row.status is Status.IN_DOUBT else None,
        essence=row.essence,
        default_id=row.default_id,
        named_id=row.named_id,
        parts=row.parts,
        cause=_cause_of(store, row),
    )


def looked_into(
    store: Store, current: Record, recording: Recording, stamp_field: str | None, now: int
) -> ClaimAnswer | None:
    """Answer the claim of a recording that may have been sent before its ledger was lost.

    It can be searched for from now on. None if the record at its path is not from a manifest.
    """
    if current.metadata is not None or not current.unproved:
        return None
    if current.status in KEPT and current.sha256 is not None:
        store.supersede(current.path)
    let_be = current.status is Status.GIVEN_UP and current.sha256 is None
    record = Record(
        connection_id=store.connection_id,
        path=recording.path,
        status=Status.GIVEN_UP if let_be else Status.IN_DOUBT,
        stat=recording.stat,
        sha256=recording.fingerprint.sha256,
        metadata=recording.fingerprint.metadata,
        key=recording.key,
        duration=recording.audio.duration,
        container=recording.audio.container,
        failure=current.failure if let_be else LEDGER_LOST,
        settled_at_ns=now,
        stamp_field=stamp_field,
        doubt_seq=None if let_be else store.tick(),
        essence=recording.identity.essence,
        default_id=recording.identity.default_id,
        named_id=recording.identity.named_id,
        parts=as_json(recording.parts),
    )
    store.put(record)
    if let_be:
        return ClaimAnswer(ClaimResult.KNOWN)
    return ClaimAnswer(ClaimResult.DOUBTED, outcome=record.outcome)
