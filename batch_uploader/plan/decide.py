"""What to do about one recording, from what is on disk and what the ledger knows: pure."""

from enum import StrEnum

from msgspec import Struct

from batch_uploader.core.model import Stat, Status
from batch_uploader.core.records import Known, Likeness


class Action(StrEnum):
    """What a run does about a recording."""

    UPLOAD = "upload"
    """Look into it and, if the ledger grants the claim, send it."""
    COMPARE_METADATA = "compare_metadata"
    """Its talk is up and the audio is as it was; the sidecar may say something new."""
    SKIP = "skip"
    """It is up; nothing is opened."""
    LOOK = "look"
    """It is at rest, but may hold something else: it is compared when all else has been sent."""
    HOLD = "hold"
    """A human must act before a run touches it again."""


class Decision(Struct, frozen=True):
    """The action, and the reason as the end of the sentence "it is …, because …"."""

    action: Action
    reason: str


_NEW = Decision(Action.UPLOAD, "it is new")
_UNCHANGED = Decision(Action.SKIP, "it is up and unchanged")
_DUPLICATE = Decision(Action.SKIP, "it is a known duplicate and unchanged")
_CHANGED = Decision(Action.UPLOAD, "its file or sidecar changed")
_TOUCHED = Decision(Action.UPLOAD, "the time of change or the inode of its files is new")
_LOOK = Decision(Action.LOOK, "the time of change or the inode of its files is new")
_NEW_SIDECAR = Decision(Action.COMPARE_METADATA, "its talk is up and the sidecar was touched")
_GIVEN_UP = Decision(Action.SKIP, "somebody decided to let it be")
_AGAIN = Decision(Action.UPLOAD, "earlier attempts failed before anything was stored")
_OTHER_RULES = Decision(Action.UPLOAD, "it was invalid under other settings")
_STILL_INVALID = Decision(Action.HOLD, "it is invalid and unchanged")
_STILL_REJECTED = Decision(Action.HOLD, "the service refused it and it is unchanged")
_IN_DOUBT = Decision(Action.HOLD, "the service may hold it already")
_LOST = Decision(Action.UPLOAD, "its ledger was lost, and it is looked into to be searched for")
_CONFLICT = Decision(Action.HOLD, "the service's answers about it contradict each other")
_CLAIMED = Decision(Action.HOLD, "another run is sending it")

_OPEN = {
    Status.IN_DOUBT: _IN_DOUBT,
    Status.CONFLICT: _CONFLICT,
    Status.CLAIMED: _CLAIMED,
}
_UNTOUCHED = {
    Status.UPLOADED: _UNCHANGED,
    Status.DUPLICATE: _DUPLICATE,
    Status.GIVEN_UP: _GIVEN_UP,
    Status.FAILED: _AGAIN,
    Status.REJECTED: _STILL_REJECTED,
}
_NEW_SIDECAR_OF = {
    Status.UPLOADED: _NEW_SIDECAR,
    Status.GIVEN_UP: _GIVEN_UP,
}

_TOUCHED_WHILE = {
    Status.UPLOADED: _LOOK,
    Status.DUPLICATE: _LOOK,
    Status.GIVEN_UP: _LOOK,
    Status.INVALID: _TOUCHED,
    Status.REJECTED: _TOUCHED,
    Status.FAILED: _AGAIN,
}


def _is_audio_touched(before: Stat, now: Stat, by: Likeness) -> bool:
    """Whether audio of the same size and time may be another. What is unknown is not."""
    return (by >= Likeness.CTIME and _differ(before.ctime_ns, now.ctime_ns)) or (
        by >= Likeness.INODE and _differ(before.inode, now.inode)
    )


def _is_sidecar_touched(before: Stat, now: Stat, by: Likeness) -> bool:
    return (by >= Likeness.CTIME and _differ(before.sidecar_ctime_ns, now.sidecar_ctime_ns)) or (
        by >= Likeness.INODE and _differ(before.sidecar_inode, now.sidecar_inode)
    )


def _differ(before: int | None, now: int | None) -> bool:
    return before != now and before is not None and now is not None


def plan(stat: Stat, known: Known | None, policy: bytes, by: Likeness = Likeness.INODE) -> Decision:
    """Decide without opening anything.

    ``policy`` is the digest of the rules in force: what was invalid under other rules is looked
    into anew. ``by`` is what else than name, size and time is a reason to look.
    """
    if known is None:
        return _NEW
    before = known.outcome
    if before.status in _OPEN:
        unseen = before.status is Status.IN_DOUBT and known.sha256 is None
        return _LOST if unseen else _OPEN[before.status]
    audio_touched = _is_audio_touched(before.stat, stat, by)
    if before.stat.is_like(stat):
        touched = audio_touched or _is_sidecar_touched(before.stat, stat, by)
        return _TOUCHED_WHILE[before.status] if touched else _untouched(known, policy)
    if (before.stat.size, before.stat.mtime_ns) != (stat.size, stat.mtime_ns):
        return _CHANGED
    if audio_touched and before.status in _NEW_SIDECAR_OF:
        return _LOOK  # what the sidecar says is not all that may be new
    return _NEW_SIDECAR_OF.get(before.status, _CHANGED)


def _untouched(known: Known, policy: bytes) -> Decision:
    if known.outcome.status is Status.INVALID:
        return _STILL_INVALID if known.policy == policy else _OTHER_RULES
    return _UNTOUCHED[known.outcome.status]
