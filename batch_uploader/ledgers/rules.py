"""The ledger's state machine, independent of any storage.

Each function is one step of a transaction, which the store commits as a whole or not at all. A path
has at most one current record. A talk is never overwritten: when other audio is found at its path,
its record is superseded and stays as history.
"""

from collections.abc import Collection, Iterable
from copy import copy
from typing import Final

from msgspec.structs import replace

from batch_uploader.core.calls import learned
from batch_uploader.core.changes import (
    Adopt,
    Answer,
    BeginRun,
    Change,
    Claim,
    EndRun,
    Forget,
    JudgeDefaultIds,
    Learn,
    LearnIdentity,
    Made,
    Note,
    Rejudge,
    Release,
    Remember,
    Settle,
    TakeBack,
    TakeOver,
    Unanswered,
)
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.identity import BY_A_HUMAN
from batch_uploader.core.model import RESEND, Failure, Outcome, Timestamp
from batch_uploader.core.records import Lost, Record, Sight
from batch_uploader.core.states import (
    AFTER_A_CLAIM,
    FORGETTABLE,
    FOUND_AGAIN,
    KEPT,
    MAY_TURN_OUT_UP,
    MAYBE_STORED,
    UNDECIDED,
    UNRESOLVED,
    WAITS,
    Status,
)
from batch_uploader.ledgers.adoption import adopt
from batch_uploader.ledgers.claims import claim, judge_default_ids, rejudge
from batch_uploader.ledgers.store import Store, of_another, taken_back
from batch_uploader.ledgers.takeover import RUN_ENDED, take_over

_TAKEN_BACK: Final = Failure("TAKEN_BACK", "somebody took back the talk ID given by hand")


def answers(
    store: Store,
    changes: Iterable[Change],
    now: Timestamp,
    owner: int,
    *,
    no_claims: LedgerError | None = None,
) -> list[Answer]:
    """Apply these changes in order; a refused one has no effect and is answered by its error.

    ``owner`` is who makes them; ``no_claims`` is why claims are no longer granted.
    """
    made: list[Answer] = []
    for change in changes:
        try:
            if no_claims is not None and isinstance(change, Claim):
                raise copy(no_claims)
            made.append(apply(store, change, now, owner))
        except LedgerError as refusal:
            made.append(refusal)
    return made


def apply(store: Store, change: Change, now: Timestamp, owner: int) -> Made:
    """Apply one change. Raises LedgerError if it is not possible in the recorded state."""
    match change:
        case Claim():
            return claim(store, change, now.wall_ns, owner)
        case Rejudge():
            return rejudge(store, change, now.wall_ns)
        case JudgeDefaultIds():
            return judge_default_ids(store)
        case Settle():
            return settle(store, change, now, owner)
        case Release():
            return release(store, change.path, now, owner)
        case _:
            _note_down(store, change, now, owner)
            return None


def _note_down(store: Store, change: Unanswered, now: Timestamp, owner: int) -> None:
    match change:
        case Learn():
            store.renew(change.path, change.stat)
        case LearnIdentity():
            learn_identity(store, change)
        case Note():
            note(store, change.doubt)
        case Forget():
            forget(store, change.path)
        case TakeBack():
            take_back(store, change, now)
        case Remember():
            store.remember(change.name, change.value)
        case BeginRun() | EndRun():
            _note_run(store, change, now, owner)
        case Adopt():
            adopt(store, change.row, change.stamp_field, now.wall_ns)
        case TakeOver():
            take_over(store, change.row, now)


def _note_run(store: Store, change: BeginRun | EndRun, now: Timestamp, owner: int) -> None:
    if isinstance(change, BeginRun):
        store.begin_run(change.run, owner, now.wall_ns)
    else:
        store.end_run(change.run_id, change.end, now.wall_ns)


def settle(store: Store, change: Settle, now: Timestamp, owner: int | None) -> Outcome | Lost:
    """Record how a recording ended. Returns what is then on record.

    That is a conflict if the talk is another recording's. Raises LedgerError if the outcome is not
    possible in the recorded state.
    """
    outcome = change.outcome
    current = store.current(outcome.path)
    if current is not None and _is_seen_again(current, outcome):
        store.put(replace(current, stat=outcome.stat, policy=change.policy))
        return replace(current.outcome, stat=outcome.stat)
    before = current.status if current is not None else None
    if (before is Status.CLAIMED or change.claimed) and not _is_claim_of(current, owner):
        return Lost(outcome.path, before)
    same = current is not None and _about_the_same(current, outcome)
    if current is not None and _only_touched(current, outcome):
        store.put(replace(current, stat=outcome.stat))
        return outcome
    _require_possible(outcome, before, same=same)
    if outcome.status is Status.UPLOADED and current is not None and current.sha256 is None:
        raise LedgerError(
            f"{outcome.path} has not been read since the ledger was lost, so a talk cannot be"
            " assigned to it",
            hint="fix what check reports for it, upload, and decide then",
        )
    if outcome.talk_id is not None and (other := store.talk(outcome.talk_id)) is not None:
        failure = of_another(outcome.path, outcome.talk_id, other)
        outcome = replace(outcome, status=Status.CONFLICT, talk_id=None, failure=failure)
    if same and current is not None and outcome.status not in MAYBE_STORED:
        # It is to be sent, perhaps from the path of a copy, since its own file may be gone:
        # the first of them that claims is sent, and the others are its duplicates.
        store.drop_duplicates(current.path)
    if current is None or not same:
        if before in KEPT:
            store.supersede(outcome.path)
        current = Record(store.connection_id, outcome.path, outcome.status, outcome.stat)
    doubtful = outcome.status is Status.IN_DOUBT
    waits = outcome.status in WAITS
    first = _waiting_since(store.current(outcome.path), now) if waits else now
    # Settling a doubt by a search or a human does not show how current Search's index is.
    answered = outcome.status is Status.UPLOADED and before is Status.CLAIMED
    # A doubt that is reported again keeps its age.
    still = doubtful and before is Status.IN_DOUBT
    store.put(
        replace(
            current,
            status=outcome.status,
            policy=change.policy,
            duration=current.duration if outcome.duration is None else outcome.duration,
            container=current.container if outcome.container is None else outcome.container,
            attempts=outcome.attempts,
            talk_id=outcome.talk_id,
            duplicate_of=outcome.duplicate_of,
            cause=outcome.cause or (current.cause if same else None),
            failure=outcome.failure,
            settled_at_ns=now.wall_ns,
            owner=None,
            since=current.since if still else first if doubtful or waits else None,
            first_miss=current.first_miss if still else None,
            answered_seq=store.tick() if answered else None,
            doubt_seq=current.doubt_seq if still else store.tick() if doubtful else None,
        )
    )
    return outcome


def _waiting_since(current: Record | None, now: Timestamp) -> Timestamp:
    """When what waits was first seen waiting; a clock that was ahead then does not count."""
    if current is None or current.status not in WAITS or current.since is None:
        return now
    return min(current.since, now, key=lambda each: each.wall_ns)


def _is_seen_again(current: Record, outcome: Outcome) -> bool:
    """Whether what a human has acknowledged is found once more."""
    if current.status is not Status.ACKNOWLEDGED or not current.stat.is_like(outcome.stat):
        return False
    found = outcome.status is Status.INVALID and outcome.failure == current.failure
    return found or outcome.status is Status.ACKNOWLEDGED


def _require_possible(outcome: Outcome, before: Status | None, *, same: bool) -> None:
    """Raise LedgerError if the outcome is not possible in the recorded state."""
    if outcome.status is Status.CLAIMED:
        raise _bug(outcome, "a claim is not an ending")
    if outcome.status is Status.UPLOADED and not outcome.talk_id:
        raise _bug(outcome, "it has no talk ID")
    if outcome.status in AFTER_A_CLAIM:
        if before not in MAY_TURN_OUT_UP:
            raise _bug(outcome, f"it is {before or 'unseen'} and was not claimed")
        if not same:
            raise _bug(outcome, "its file is not the one that was claimed")
    held = MAYBE_STORED if outcome.status is Status.ACKNOWLEDGED else UNDECIDED
    if outcome.status in FOUND_AGAIN and before in held:
        raise _bug(outcome, f"it is {before}: the service may hold it")
    if outcome.status is Status.DUPLICATE and before in UNRESOLVED:
        raise _bug(outcome, f"it is {before}")


def _only_touched(current: Record, outcome: Outcome) -> bool:
    """Whether an uploaded talk is reported again, so that only its files' stat can be new."""
    return (
        current.status is outcome.status is Status.UPLOADED
        and outcome.talk_id is not None
        and current.talk_id == outcome.talk_id
    )


def _about_the_same(current: Record, outcome: Outcome) -> bool:
    """Whether the outcome is for the recorded content, so that the fingerprint stays."""
    if current.status is Status.GIVEN_UP:
        # Another stat is another file, which was not decided on.
        return current.stat.is_like(outcome.stat)
    if current.duplicate_of is not None and outcome.cause is not None:
        # A decision about whether it is the same call.
        return current.stat.is_like(outcome.stat)
    if outcome.status is Status.ACKNOWLEDGED:
        return current.stat.is_like(outcome.stat)
    return current.status in UNRESOLVED


def recover(store: Store, now: Timestamp, living: Collection[int], *, ours: bool = False) -> int:
    """Turn the claims of all but the living owners into doubts. Returns how many there were.

    With ``ours`` includes the living owners' claims. Runs that the other owners left open were
    killed.

    The doubts begin now, since it is unknown when that run died. Their sequence number follows all
    claims of that run, since a later claim may have been stored before an earlier one, and so
    proves nothing about it.
    """
    store.lose_runs(living)
    claims = [each for each in store.claimed() if ours or each.owner not in living]
    place = store.tick() if claims else None
    for record in claims:
        doubt = replace(record, status=Status.IN_DOUBT, owner=None, failure=RUN_ENDED, since=now)
        store.put(replace(doubt, settled_at_ns=now.wall_ns, doubt_seq=place))
    return len(claims)


def note(store: Store, doubt: Record) -> None:
    """Record what a search found out about a doubt that stays."""
    current = store.current(doubt.path)
    if current is None or current.status is not Status.IN_DOUBT or current.key != doubt.key:
        return
    failure = doubt.failure or current.failure
    store.put(replace(current, failure=failure, since=doubt.since, first_miss=doubt.first_miss))


def release(store: Store, path: str, now: Timestamp, owner: int) -> Lost | None:
    """Drop a claim."""
    current = store.current(path)
    if not _is_claim_of(current, owner):
        return Lost(path, None if current is None else current.status)
    if current is not None and current.cause in BY_A_HUMAN:
        # The decision stays; nothing of it was sent.
        back = replace(current, status=Status.FAILED, owner=None, failure=RESEND)
        store.put(replace(back, settled_at_ns=now.wall_ns))
    else:
        store.drop(path)
    return None


def learn_identity(store: Store, change: LearnIdentity) -> None:
    """Add the identity to a record of an older version, or the IDs that it has by now."""
    current = store.current(change.path)
    if current is None or current.status is Status.CLAIMED or not current.stat.is_like(change.stat):
        return
    if change.corrected:
        ids = change.identity
        current = replace(
            current,
            default_id=ids.default_id or current.default_id,
            named_id=ids.named_id or current.named_id,
        )
    store.put(learned(current, Sight(gone=False, identity=change.identity)))


def _is_claim_of(record: Record | None, owner: int | None) -> bool:
    return record is not None and record.status is Status.CLAIMED and record.owner == owner


def take_back(store: Store, change: TakeBack, now: Timestamp) -> None:
    """Put a recording in doubt again that a human recorded as another talk."""
    path, talk_id = change.path, change.talk_id
    current = store.current(path)
    named = current is not None and current.status is Status.UPLOADED
    if current is None or not named or current.talk_id != talk_id or current.answered_seq:
        raise LedgerError(f"{path} is not uploaded as {talk_id} by hand")
    # A manifest of that time is no news.
    store.remember(taken_back(talk_id), path)
    doubt = replace(current, status=Status.IN_DOUBT, talk_id=None, failure=_TAKEN_BACK, since=now)
    store.put(replace(doubt, settled_at_ns=now.wall_ns, doubt_seq=store.tick()))


def forget(store: Store, path: str) -> None:
    """Drop a recording that is proved not to be stored."""
    current = store.current(path)
    if current is not None and current.status in FORGETTABLE:
        store.drop(path)


def _bug(outcome: Outcome, why: str) -> LedgerError:
    return LedgerError(
        f"{outcome.path} cannot be recorded as {outcome.status}: {why}",
        hint="this is a bug; please report it",
    )
