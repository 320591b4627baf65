"""What to do with one recording, from its files and its record: pure."""

from batch_uploader.core.identity import BY_A_HUMAN
from batch_uploader.core.model import RESEND, Failure, Outcome, Version
from batch_uploader.core.records import Likeness, Record
from batch_uploader.core.states import (
    AT_REST,
    FILTERED,
    FORGETTABLE,
    UNRESOLVED,
    Action,
    Decision,
    State,
    Status,
)
from batch_uploader.prepare.filters import Digests, LeftOut

_NEW = Decision(Action.UPLOAD, "it is new")
_CHANGED = Decision(Action.UPLOAD, "its file or sidecar changed")
_TOUCHED = Decision(Action.UPLOAD, "the time of change or the inode of its files is new")
_COMPARE = Decision(Action.COMPARE, "the time of change or the inode of its files is new")
_LOST = Decision(Action.UPLOAD, "the ledger was lost; fingerprinting it so that Search can find it")


def _is_audio_touched(before: Version, now: Version, by: Likeness) -> bool:
    """Whether audio of the same size and time may differ; unknown values count as equal."""
    return (by >= Likeness.CTIME and _differ(before.ctime_ns, now.ctime_ns)) or (
        by >= Likeness.INODE and _differ(before.inode, now.inode)
    )


def _is_sidecar_touched(before: Version, now: Version, by: Likeness) -> bool:
    return (by >= Likeness.CTIME and _differ(before.sidecar_ctime_ns, now.sidecar_ctime_ns)) or (
        by >= Likeness.INODE and _differ(before.sidecar_inode, now.sidecar_inode)
    )


def _differ(before: int | None, now: int | None) -> bool:
    return before != now and before is not None and now is not None


def plan(
    stat: Version,
    known: Record | None,
    policy: bytes,
    by: Likeness = Likeness.INODE,
    digests: Digests | None = None,
) -> Decision:
    """Decide without opening any file.

    ``policy`` is the digest of the current rules, ``digests`` are all of them if there are filters:
    what was invalid under other rules is inspected again. ``by`` is what is compared besides name,
    size and modification time.
    """
    if known is None:
        return _NEW
    status, row, before = known.status, known.status.state, known.stat
    if status in UNRESOLVED:
        unseen = status is Status.IN_DOUBT and known.sha256 is None
        return _LOST if unseen else row.unchanged
    audio_touched = _is_audio_touched(before, stat, by)
    if before.is_like(stat):
        touched = audio_touched or _is_sidecar_touched(before, stat, by)
        digests = digests or Digests(policy, policy, policy)
        return _touched(status) if touched else _untouched(row, known, digests)
    if (before.size, before.mtime_ns) != (stat.size, stat.mtime_ns):
        return _CHANGED
    if row.new_sidecar is None:
        return _CHANGED
    # The audio may have changed, not only the sidecar.
    return _COMPARE if audio_touched else row.new_sidecar


def may_be_left_out(known: Record | None, stat: Version) -> bool:
    """Whether a filter may leave these files out, by what is on record.

    It never changes what is known of a recording that is stored, may be, or is held, nor what a
    human decided.
    """
    if known is None:
        return True
    resent = known.failure is not None and known.failure.code == RESEND.code
    if resent or known.cause in BY_A_HUMAN:
        return False
    changed = known.status in FORGETTABLE and not known.stat.is_like(stat)
    return known.status in FILTERED or changed


def left_out(path: str, stat: Version, left: LeftOut) -> Outcome:
    """The outcome of a recording that a filter leaves out."""
    seen = left.audio
    return Outcome(
        path,
        Status.LEFT_OUT,
        stat,
        failure=Failure(left.by.value, left.message),
        duration=None if seen is None else seen.duration,
        container=None if seen is None else seen.container,
    )


def is_left_out(before: Record) -> bool:
    """Whether a filter left it out."""
    return before.status is Status.LEFT_OUT


def is_acknowledged(before: Record | None) -> bool:
    """Whether a human has seen what is wrong with it."""
    return before is not None and before.status is Status.ACKNOWLEDGED


def filter_of(left: Record | Outcome) -> str:
    """Which filter left it out."""
    return left.failure.code if left.failure is not None else ""


def explained(decision: Decision, before: Record | None) -> Decision:
    """With the reason for which it was left out before, if it still is."""
    still = decision.action is Action.SKIP and before is not None and is_left_out(before)
    if not still or before is None or before.failure is None:
        return decision
    return Decision(decision.action, before.failure.message)


def _touched(status: Status) -> Decision:
    if status in AT_REST:
        return _COMPARE
    unchanged = status.state.unchanged
    return unchanged if unchanged.action is Action.UPLOAD else _TOUCHED


def _untouched(row: State, known: Record, digests: Digests) -> Decision:
    if row.other_rules is None:
        return row.unchanged
    if is_left_out(known):
        same = digests.leave_out(known.policy)
    else:
        same = known.policy == (digests.filtered if row.filtered else digests.rules)
    return row.unchanged if same else row.other_rules
