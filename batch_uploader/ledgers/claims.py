"""Whether a recording may be sent: it is compared with all that the service may hold.

``core.calls`` has the rules. Each function is one step of a transaction, as in ``ledgers.rules``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from batch_uploader.core.calls import (
    Evidence,
    Ruling,
    Sameness,
    are_alike_in_length,
    ids_differ,
    is_comparable,
    is_piece,
    judge,
    learned,
    may_be_versions_of_one,
    possible,
    sounds_like,
    strongest,
)
from batch_uploader.core.changes import Claim, Rejudge
from batch_uploader.core.identity import BY_A_HUMAN, Cause
from batch_uploader.core.naming import stem
from batch_uploader.core.parts import as_json
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Record, SharedIds, Sight
from batch_uploader.core.states import AT_REST, KEPT, MAYBE_STORED, UNRESOLVED, Status
from batch_uploader.ledgers.adoption import looked_into
from batch_uploader.ledgers.store import ClaimContext, Store

_SEVERAL_CALLS: Final = 3
"""Audio that stands under so many default IDs is a prompt or silence, not a call."""
_PLACES: Final = 4
_LENGTHS: Final = 3
"""A default ID at so many places with so many clearly different lengths names no call."""
_FEW_SHARED: Final = 10
_SHARED_SHARE: Final = 0.02
"""Neither do IDs of which more than this share stands in several recordings. Less than a few, each
at less than a few places, are calls that were put on hold."""
_EXAMPLES: Final = 3
_LAST: Final = {Status.DUPLICATE: 1, Status.POSSIBLE_DUPLICATE: 2, Status.CLAIMED: 3}
_REPLACED: Final = Sight(gone=True)


def claim(store: Store, asked: Claim, now: int, owner: int) -> ClaimAnswer:
    """Grant a claim, or answer why nothing is to be sent."""
    new = _as_record(store, asked, now)
    context = store.claim_context(new)
    current, talk = context.current, context.superseded
    if current is not None and current.status in UNRESOLVED and current.sha256 is not None:
        return ClaimAnswer(ClaimResult.HELD)
    if talk is not None and (
        current is None or current.status not in KEPT or not sounds_like(current, new)
    ):
        current = _restored(store, current, talk)
    if current is not None:
        if sounds_like(current, new):
            answer = _known(store, current, new)
        else:
            answer = looked_into(store, current, asked.recording, asked.stamp_field, now)
        if answer is not None:
            return answer
    decision = None if current is None else _decision(current, new)
    if decision is not Cause.NO_DUPLICATE:
        sure = decision is not None
        context = context._replace(current=current)
        answer = _judged(store, new, context, asked.sights, now, only_sure=sure)
        if answer is None and not sure and current is not None:
            answer = _held_at_its_place(store, current, new, now)
        if answer is None and not sure and (mix := asked.recording.mix) is not None:
            answer = _held_as_leg(store, current, new, mix, now)
        if answer is not None:
            return answer
    _make_room(store, current)
    store.put(
        replace(
            new,
            status=Status.CLAIMED,
            policy=None,
            cause=decision,
            claimed_seq=store.tick(),
            owner=owner,
        )
    )
    return ClaimAnswer(ClaimResult.GRANTED)


def rejudge(store: Store, asked: Rejudge, now: int) -> ClaimAnswer:
    """Compare a possible duplicate again; drop it if it is another call."""
    held = store.current(asked.path)
    if held is None or held.status is not Status.POSSIBLE_DUPLICATE or held.cause is Cause.LEG:
        return ClaimAnswer(ClaimResult.HELD)
    context = store.claim_context(held)
    answer = _judged(store, held, context, asked.sights, now)
    answer = answer or _held_at_its_place(store, held, held, now)
    if answer is None:
        store.drop(held.path)
        return ClaimAnswer(ClaimResult.GRANTED)
    return answer


def judge_default_ids(store: Store) -> SharedIds | None:
    """Turn default IDs off if what is held for them shows that they name no calls."""
    if not _default_ids_count(store):
        return None
    held = store.held_ids()
    total = store.count_ids()
    shared: list[bytes] = []
    for default_id in held:
        rows = _standing_under(store, default_id)
        if len({stem(row.path) for row in rows}) >= _PLACES and _several_lengths(rows):
            return _off(store, SharedIds(_some(rows), len(held), total))
        # An archive that keeps each call in two formats, or trees, has good IDs, twice.
        distinct = [row for row in rows if row.status is not Status.DUPLICATE]
        if len(distinct) >= _FEW_SHARED or not may_be_versions_of_one(distinct):
            shared.append(default_id)
    if shared and len(shared) > _SHARED_SHARE * total:
        most = _standing_under(store, shared[0])
        if max(len(shared), len({stem(row.path) for row in most})) >= _FEW_SHARED:
            return _off(store, SharedIds(_some(most), len(shared), total))
    return None


def _standing_under(store: Store, default_id: bytes) -> list[Record]:
    """The records with this default ID; pieces of one call have it by right."""
    return [row for row in store.with_default_id(default_id) if not is_piece(row)]


def _off(store: Store, shared: SharedIds) -> SharedIds:
    """Ignore default IDs from now on; what only they made a duplicate is free."""
    store.remember(_fact(store), "off")
    freed = store.same_audio()
    for path in freed:
        store.drop(path)
    return replace(shared, freed=tuple(freed))


def _some(rows: Sequence[Record]) -> tuple[str, ...]:
    return tuple(row.path for row in rows[:_EXAMPLES])


def _several_lengths(rows: Sequence[Record]) -> bool:
    kinds: list[float] = []
    for length in sorted(row.duration for row in rows if row.duration is not None):
        if not kinds or not are_alike_in_length(kinds[-1], length):
            kinds.append(length)
    return len(kinds) >= _LENGTHS


def _fact(store: Store) -> str:
    return f"default_ids {store.connection_id}"


def _default_ids_count(store: Store) -> bool:
    return store.fact(_fact(store)) is None


def _as_record(store: Store, asked: Claim, now: int) -> Record:
    recording = asked.recording
    return Record(
        connection_id=store.connection_id,
        path=recording.path,
        status=Status.CLAIMED,
        stat=recording.stat,
        sha256=recording.fingerprint.sha256,
        metadata=recording.fingerprint.metadata,
        key=recording.key,
        policy=asked.policy,
        duration=recording.audio.duration,
        container=recording.audio.container,
        claimed_at_ns=now,
        stamp_field=asked.stamp_field,
        essence=recording.identity.essence,
        default_id=recording.identity.default_id,
        named_id=recording.identity.named_id,
        sent=None if recording.sent is None else recording.sent.as_json(),
        parts=as_json(recording.parts),
    )


def _restored(store: Store, current: Record | None, talk: Record) -> Record:
    """Make the superseded talk current again whose audio is back at its path.

    The recording is that talk's then, whatever its sidecar says and whatever was recorded between.
    """
    if current is not None and current.status in KEPT:
        store.supersede(talk.path)
    store.restore(talk)
    return talk


def _known(store: Store, current: Record, new: Record) -> ClaimAnswer | None:
    """The answer for a path that already has this audio on record; None if it is to be judged."""
    same_metadata = current.metadata in {None, new.metadata}
    if current.status in AT_REST and (same_metadata or current.status is Status.GIVEN_UP):
        known = current.metadata or new.metadata
        store.put(_same_audio(current, new, metadata=known, stat=new.stat))
        return ClaimAnswer(ClaimResult.KNOWN)
    if current.status is Status.UPLOADED:
        # The new metadata are not recorded, so they are reported each time.
        store.put(_same_audio(current, new, stat=new.stat.described_as(current.stat)))
        return ClaimAnswer(ClaimResult.OUTDATED)
    if current.status is Status.DUPLICATE and not _may_be_another(current, new):
        return _stays(store, current, new)
    return None


def _may_be_another(copy: Record, new: Record) -> bool:
    """Whether the new metadata of a copy say that it is another call with the same audio."""
    if copy.cause not in {None, Cause.SAME_CONTENT}:
        return False
    if is_comparable(copy.named_id, new.named_id):
        return copy.named_id != new.named_id
    # What has no ID now says nothing; what was copied by an older version may have had any.
    return bool(new.default_id) and copy.default_id not in {b"", new.default_id}


def _stays(store: Store, current: Record, new: Record) -> ClaimAnswer:
    """A duplicate with other metadata is still the call that it was found to be."""
    store.put(_same_audio(current, new, metadata=new.metadata, stat=new.stat))
    return ClaimAnswer(ClaimResult.OUTDATED)


def _same_audio(current: Record, new: Record, **also: object) -> Record:
    """The record of a recording whose file was rewritten without changing its audio."""
    # Without a talk ID it is by its digest that an earlier manifest's line is known again.
    given_up = current.status is Status.GIVEN_UP
    return replace(
        current,
        sha256=current.sha256 if given_up else new.sha256,
        essence=new.essence,
        default_id=new.default_id or current.default_id,
        named_id=new.named_id or current.named_id,
        **also,
    )


def _decision(current: Record, new: Record) -> Cause | None:
    """What a human decided about this content: that it is another call."""
    if current.cause not in BY_A_HUMAN:
        return None
    unread = current.sha256 is None
    same = current.stat.is_like(new.stat) if unread else sounds_like(current, new)
    return current.cause if same else None


class _Other(NamedTuple):
    """A record to compare with, and what is seen of its file; ``past`` if it is superseded."""

    record: Record
    sight: Sight | None
    past: bool


def _judged(
    store: Store,
    new: Record,
    context: ClaimContext,
    sights: Mapping[str, Sight],
    now: int,
    *,
    only_sure: bool = False,
) -> ClaimAnswer | None:
    """The answer to what is a call on record, or may be; recorded. None if it is another call.

    With ``only_sure`` what may be one is another call: that was decided.
    """
    others = list(_others(store, new, context, sights))
    if not others:
        return None
    evidence = Evidence(_default_ids_count(store), _names_a_call(store, new, others))
    rulings = [(_ruling(new, old, evidence, context.current), old.record) for old in others]
    if only_sure:
        rulings = [each for each in rulings if _is_sure(*each)]
    ruling, other = strongest(rulings)
    if other is None:
        return None
    if ruling.sameness is not Sameness.ONE or other.status is Status.CLAIMED:
        # What is being sent decides first.
        for each, old in rulings:
            if old.status is Status.CLAIMED and each.sameness is not Sameness.ANOTHER:
                return ClaimAnswer(ClaimResult.BUSY, old.path)
    if ruling.cause is None:
        unseen = (old for each, old in rulings if each.sameness is Sameness.UNSEEN)
        return ClaimAnswer(ClaimResult.LOOK, look=tuple(unseen))
    _learn(store, others)
    one, current, cause = _is_sure(ruling, other), context.current, ruling.cause
    if not one and ruling.sameness is Sameness.ONE:
        cause = other.cause or cause
    call = other.duplicate_of or other.path
    if not one and current is not None and _was_found_to_be(current, new, call):
        return _stays(store, current, new)
    record = replace(
        new,
        status=Status.DUPLICATE if one else Status.POSSIBLE_DUPLICATE,
        cause=cause,
        duplicate_of=call,
        failure=None if one else possible(cause, other.path),
        policy=None if one else new.policy,
    )
    return _recorded(store, current, record, now)


def _held_at_its_place(store: Store, held: Record, new: Record, now: int) -> ClaimAnswer | None:
    """Keep what is held for a duplicate that was at its place, whose record it has taken.

    That record was the evidence. None if there was no such one, or IDs tell two calls.
    """
    if held.status is not Status.POSSIBLE_DUPLICATE or held.duplicate_of in {None, held.path}:
        return None
    if held.cause is None or held.failure != possible(held.cause, held.path):
        return None
    call = store.current(held.duplicate_of)
    if call is None or call.status not in MAYBE_STORED or ids_differ(new, call):
        return None
    stays = {"status": held.status, "cause": held.cause, "failure": held.failure}
    return _recorded(store, held, replace(new, **stays, duplicate_of=held.duplicate_of), now)


def _is_sure(ruling: Ruling, other: Record) -> bool:
    """Whether it is a call on record: what is one with a possible duplicate may be."""
    return ruling.sameness is Sameness.ONE and other.status is not Status.POSSIBLE_DUPLICATE


def _held_as_leg(
    store: Store, current: Record | None, new: Record, mix: str, now: int
) -> ClaimAnswer:
    """Keep one side of a call from being billed beside the mix of both."""
    record = replace(
        new,
        status=Status.POSSIBLE_DUPLICATE,
        cause=Cause.LEG,
        duplicate_of=mix,
        failure=possible(Cause.LEG, mix),
    )
    return _recorded(store, current, record, now)


def _recorded(store: Store, current: Record | None, record: Record, now: int) -> ClaimAnswer:
    """Record what is not sent; what is found to be the same again keeps its time."""
    record = replace(record, stamp_field=None, claimed_at_ns=None, settled_at_ns=now)
    if current is None or current != replace(record, settled_at_ns=current.settled_at_ns):
        _make_room(store, current)
        store.put(record)
    one = record.status is Status.DUPLICATE
    result = ClaimResult.DUPLICATE if one else ClaimResult.POSSIBLE
    return ClaimAnswer(result, outcome=record.outcome)


def _make_room(store: Store, current: Record | None) -> None:
    if current is not None and current.status in KEPT:
        store.supersede(current.path)


def _ruling(new: Record, old: _Other, evidence: Evidence, current: Record | None) -> Ruling:
    ruling = judge(new, old.record, old.sight, evidence)
    if ruling.cause is not Cause.CONVERTED or _has_its_id(new, old.record):
        return ruling
    replaced = current is not None and (
        current.status is Status.DUPLICATE or current.cause is Cause.CHANGED_AUDIO
    )
    if old.past or replaced:
        # Other audio lay here since: more likely it is that which was converted, or replaced.
        return Ruling(Sameness.POSSIBLE, Cause.CHANGED_AUDIO)
    return ruling


def _has_its_id(new: Record, old: Record) -> bool:
    if is_comparable(new.named_id, old.named_id):
        return True
    return bool(new.default_id) and new.default_id == old.default_id


def _was_found_to_be(current: Record, new: Record, call: str) -> bool:
    """Whether this audio was found to be that call before."""
    found = current.status is Status.DUPLICATE and current.duplicate_of == call
    return found and sounds_like(current, new)


def _others(
    store: Store, new: Record, context: ClaimContext, sights: Mapping[str, Sight]
) -> Iterator[_Other]:
    """What is to be compared with: first what was sent, last what is being sent; by path."""
    relatives = [
        old for old in context.relatives if not _is_itself(new, old) and _counts(store, old)
    ]
    for old in sorted(relatives, key=lambda each: (_LAST.get(each.status, 0), each.path)):
        yield _Other(old, sights.get(old.path), past=False)
    latest = {old.path for old in relatives}
    for old in context.past:
        # Whether a name was used again was decided when the next call took it.
        if not _same_place(new, old) or sounds_like(new, old) or old.path not in latest:
            yield _Other(old, _REPLACED, past=True)
        latest.add(old.path)


def _is_itself(new: Record, old: Record) -> bool:
    """Whether it is a duplicate, or a possible one, that is to be judged again."""
    if old.path != new.path:
        return False
    again = old.status is Status.DUPLICATE and sounds_like(new, old)
    return again or old.status is Status.POSSIBLE_DUPLICATE


def _counts(store: Store, old: Record) -> bool:
    """Whether what a possible duplicate may be is stored, or may be; true for all others."""
    if old.status is not Status.POSSIBLE_DUPLICATE:
        return True
    call = None if old.duplicate_of is None else store.current(old.duplicate_of)
    return old.cause is not Cause.LEG and call is not None and call.status in MAYBE_STORED


def _same_place(one: Record, other: Record) -> bool:
    return stem(one.path) == stem(other.path)


def _names_a_call(store: Store, new: Record, others: Sequence[_Other]) -> bool:
    """Whether this audio stands for a call: a prompt is heard in many."""
    if not new.essence or not any(sounds_like(new, old.record) for old in others):
        return True
    ids = {*store.ids_of(new.essence), new.default_id} - {b"", None}
    return len(ids) < _SEVERAL_CALLS


def _learn(store: Store, others: Sequence[_Other]) -> None:
    """Record what was learned of records of older versions."""
    for old in others:
        if old.sight is not None and old.sight.identity is not None and not old.past:
            store.put(learned(old.record, old.sight))
