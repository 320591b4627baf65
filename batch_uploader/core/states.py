"""The states of a recording: one table, from which all else about states is derived.

A row of ``Status`` defines a state completely: the sets below it, SQL, labels and the table in
docs/concepts.md follow from the rows. The ways between states are in ``ledgers.rules``.
"""

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Final, Self

from msgspec import Struct


class Stored(Enum):
    """Whether the service holds a recording in this state."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class Action(StrEnum):
    """What a run does with a recording."""

    UPLOAD = "upload"
    """Inspect it and, if the ledger grants the claim, send it."""
    COMPARE_METADATA = "compare_metadata"
    """It is uploaded and the audio is unchanged; its sidecar may have changed."""
    SKIP = "skip"
    """Nothing is to be done; no file is opened."""
    COMPARE = "compare"
    """Nothing is to be done unless its content changed: compare it when all else has been sent."""
    WAIT = "wait"
    """It may not be complete yet: the next run looks again."""
    HOLD = "hold"
    """A human must act before a run touches it again."""


class Decision(Struct, frozen=True):
    """The action, and the reason: the end of the sentence "it is …, because …"."""

    action: Action
    reason: str


class Verdict(Enum):
    """A human's decision about a recording; the value is the flag of ``resolve``."""

    UPLOADED = "--talk-id"
    RESEND = "--resend"
    GIVE_UP = "--give-up"
    DUPLICATE = "--duplicate"
    ACKNOWLEDGE = "--acknowledge"


_OF_DOUBTS: Final = frozenset({Verdict.UPLOADED, Verdict.RESEND, Verdict.GIVE_UP})


class State(Struct, frozen=True, kw_only=True):
    """A row of the table.

    ``means`` and ``then``, what the next run does, are for docs/concepts.md. ``label`` is what
    people read, the status itself if it is not set. ``attention`` is what ``status`` tells a human
    to do, None if there is nothing to do.

    ``stored`` says whether the service holds it, ``forgotten`` that its record is dropped once its
    file is gone. ``unchanged`` is what a run does while the files are unchanged;
    ``new_sidecar``, if set, when only the sidecar changed; ``other_rules``, if set, when the
    digest of the rules changed. After any other change it is sent, unless it may be stored.
    ``filtered``: a filter may leave it out though its files are unchanged, and then the digest
    of the rules has the filters. ``verdicts`` are what a human may decide. ``attempted``: an
    attempt that is proved to have stored nothing may end in this state; otherwise only an
    inspection of the files or a decision does. ``at_zero``: its count is shown even if it is 0.
    ``waits``: it may become ready by itself, and is not a result yet, so the
    manifest does not have it.
    """

    means: str
    then: str
    stored: Stored
    attention: str | None
    unchanged: Decision
    forgotten: bool
    label: str = ""
    new_sidecar: Decision | None = None
    other_rules: Decision | None = None
    filtered: bool = False
    verdicts: frozenset[Verdict] = frozenset()
    attempted: bool = False
    at_zero: bool = False
    waits: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a row that would let a talk be forgotten, or sent unasked."""
        if self.unchanged.action is Action.UPLOAD and not self.filtered:
            raise ValueError("what is sent by itself may be left out by a filter")
        if self.stored is Stored.NO:
            return
        if self.forgotten:
            raise ValueError("what the service may hold is not forgotten")
        if self.unchanged.action not in {Action.SKIP, Action.HOLD}:
            raise ValueError("what the service may hold is not sent again")


class Status(StrEnum):
    """The state of a recording in the ledger; docs/concepts.md has the diagram."""

    _value_: str
    state: State

    def __new__(cls, word: str, state: State | None = None) -> Self:
        """A member that is its string, with its row of the table."""
        if state is None:
            raise TypeError(f"{word} has no row")
        member = str.__new__(cls, word)
        member._value_ = word
        member.state = state
        return member

    @property
    def label(self) -> str:
        """The name of the state for people."""
        return self.state.label or self.replace("_", " ")

    CLAIMED = (
        "claimed",
        State(
            label="being sent",
            means="on record before the first byte is sent",
            then="the claims of a killed run become `in_doubt`",
            stored=Stored.MAYBE,
            attention=None,
            unchanged=Decision(Action.HOLD, "another run is sending it"),
            forgotten=False,
        ),
    )
    UPLOADED = (
        "uploaded",
        State(
            means="the service has stored it; the talk ID is recorded",
            then="nothing, without opening it, while file and sidecar stay as they are",
            stored=Stored.YES,
            attention=None,
            unchanged=Decision(Action.SKIP, "it is uploaded and unchanged"),
            new_sidecar=Decision(
                Action.COMPARE_METADATA, "it is uploaded and the sidecar was touched"
            ),
            forgotten=False,
            at_zero=True,
        ),
    )
    WAITING = (
        "waiting",
        State(
            means="it may still be being written, or its sidecar may come later",
            then="looks again, and sends it as soon as it is ready",
            stored=Stored.NO,
            attention=None,
            unchanged=Decision(Action.UPLOAD, "it was waiting"),
            forgotten=True,
            waits=True,
            filtered=True,
        ),
    )
    STUCK = (
        "stuck",
        State(
            label="waiting too long",
            means="two runs that were 20 hours apart or more saw it waiting",
            then="looks again, and sends it as soon as it is ready",
            stored=Stored.NO,
            attention="these have waited for a day: see what for, or leave them out (--exclude)",
            unchanged=Decision(Action.UPLOAD, "it was waiting"),
            forgotten=True,
            waits=True,
            filtered=True,
        ),
    )
    INVALID = (
        "invalid",
        State(
            means="the file or the sidecar has a defect",
            then="nothing until the files or the settings change",
            stored=Stored.NO,
            attention="fix these, and the next run sends them; or acknowledge what is to stay",
            unchanged=Decision(Action.HOLD, "it is invalid and unchanged"),
            other_rules=Decision(Action.UPLOAD, "it was invalid under other settings"),
            filtered=True,
            forgotten=True,
            verdicts=frozenset({Verdict.ACKNOWLEDGE}),
            at_zero=True,
        ),
    )
    REJECTED = (
        "rejected",
        State(
            means="the service refused it",
            then="nothing until the file or the sidecar changes",
            stored=Stored.NO,
            attention=("the service rejected these: fix the file or the sidecar, or resend them"),
            unchanged=Decision(Action.HOLD, "the service rejected it and it is unchanged"),
            forgotten=True,
            attempted=True,
            # It is not stored, so sending it again does no harm.
            verdicts=frozenset({Verdict.RESEND, Verdict.ACKNOWLEDGE}),
        ),
    )
    FAILED = (
        "failed",
        State(
            means="the attempts ran out, and it is proved that nothing was stored",
            then="sends it",
            stored=Stored.NO,
            attention="nothing was stored: the next run retries",
            unchanged=Decision(Action.UPLOAD, "earlier attempts failed before anything was stored"),
            filtered=True,
            forgotten=True,
            attempted=True,
            at_zero=True,
        ),
    )
    IN_DOUBT = (
        "in_doubt",
        State(
            means="the service may have stored it without an answer, or its ledger was lost",
            then="with its stamp: searches for it; else nothing: `resolve` decides",
            stored=Stored.MAYBE,
            attention="the service may have stored these: look each up in the SpeechSense console,"
            " then decide",
            unchanged=Decision(Action.HOLD, "the service may have stored it already"),
            forgotten=False,
            verdicts=_OF_DOUBTS,
            at_zero=True,
        ),
    )
    CONFLICT = (
        "conflict",
        State(
            means="the service's answers contradict each other",
            then="nothing: `resolve` decides",
            stored=Stored.MAYBE,
            attention="the service's answers contradict each other: check its console, then decide",
            unchanged=Decision(Action.HOLD, "the service's answers about it contradict each other"),
            forgotten=False,
            verdicts=_OF_DOUBTS,
        ),
    )
    GIVEN_UP = (
        "given_up",
        State(
            means="a human left it in doubt for good: the service may have stored it",
            then="nothing, nor for a copy; `resolve` can take it up again",
            stored=Stored.MAYBE,
            attention=None,
            unchanged=Decision(Action.SKIP, "somebody decided to give it up"),
            new_sidecar=Decision(Action.SKIP, "somebody decided to give it up"),
            forgotten=False,
            verdicts=frozenset({Verdict.UPLOADED, Verdict.RESEND}),
        ),
    )
    DUPLICATE = (
        "duplicate",
        State(
            means="another path has the same call",
            then="nothing; `resolve` can say that it is another call",
            stored=Stored.NO,
            attention=None,
            unchanged=Decision(Action.SKIP, "it is a known duplicate and unchanged"),
            forgotten=False,
            verdicts=frozenset({Verdict.RESEND}),
        ),
    )
    POSSIBLE_DUPLICATE = (
        "possible_duplicate",
        State(
            means="it may be a call that is on record already: held, not sent",
            then="compares it again; sends it if the other one turns out not to be stored",
            stored=Stored.NO,
            attention="these may be calls that are stored already: compare both files, then decide",
            unchanged=Decision(Action.HOLD, "it may be a call that is stored already"),
            other_rules=Decision(Action.UPLOAD, "it was held under other settings"),
            forgotten=True,
            verdicts=frozenset({Verdict.RESEND, Verdict.DUPLICATE}),
        ),
    )
    ACKNOWLEDGED = (
        "acknowledged",
        State(
            means="invalid or rejected, and a human has seen it",
            then="nothing until its file, its sidecar or the settings change",
            stored=Stored.NO,
            attention=None,
            unchanged=Decision(Action.SKIP, "somebody has seen what is wrong with it"),
            other_rules=Decision(Action.UPLOAD, "it was acknowledged under other settings"),
            forgotten=True,
            verdicts=frozenset({Verdict.RESEND}),
        ),
    )
    LEFT_OUT = (
        "left_out",
        State(
            means="a filter (`--min-length`, `--sample`, ...) leaves it out",
            then="nothing until its file, its sidecar or the filters change",
            stored=Stored.NO,
            attention=None,
            unchanged=Decision(Action.SKIP, "a filter leaves it out"),
            other_rules=Decision(Action.UPLOAD, "other filters left it out"),
            filtered=True,
            forgotten=True,
        ),
    )


def _where(holds: Callable[[State], bool]) -> frozenset[Status]:
    return frozenset(status for status in Status if holds(status.state))


MAYBE_STORED: Final = _where(lambda row: row.stored is not Stored.NO)
"""The service holds these, or may: copies of them are not sent."""
COMPARED: Final = MAYBE_STORED | {Status.DUPLICATE}
"""What a recording is compared with: a duplicate stands for the call that it is one of."""
COMPARED_AT_PLACE: Final = COMPARED | {Status.POSSIBLE_DUPLICATE}
"""The same at its place: what was made of a possible duplicate is one, too."""
MAY_TURN_OUT_UP: Final = _where(lambda row: row.stored is Stored.MAYBE)
"""These may later be recorded as uploaded."""
UNRESOLVED: Final = MAY_TURN_OUT_UP & _where(lambda row: row.unchanged.action is Action.HOLD)
"""The service may hold these; a run, a search or a human must find out."""
UNDECIDED: Final = UNRESOLVED - {Status.CLAIMED}
"""The service may hold these, and a search or a human must find out."""
KEPT: Final = MAYBE_STORED - UNRESOLVED
"""Never overwritten: when other audio is found at the path, the record is superseded."""
AFTER_A_CLAIM: Final = MAYBE_STORED - {Status.CLAIMED}
"""Only a claimed recording gets these."""
AT_REST: Final = _where(lambda row: row.unchanged.action is Action.SKIP and row.other_rules is None)
"""Runs skip these while their files are unchanged."""
POSSIBLE: Final = _where(lambda row: Verdict.DUPLICATE in row.verdicts)
"""These may be calls that are on record: a human decides."""
STANDING: Final = MAYBE_STORED | AT_REST
"""Nothing is sent for a path in one of these states while its file is unchanged."""
FORGETTABLE: Final = _where(lambda row: row.forgotten)
"""These are proved not to be stored: they are dropped when their files are gone."""
FOUND_AGAIN: Final = _where(lambda row: row.stored is Stored.NO and not row.attempted)
"""Found by inspecting the files, never by sending: a doubt cannot become one of these."""
BY_RULES: Final = _where(lambda row: row.other_rules is not None)
"""Other rules may decide these differently: the digest of the rules is on record."""
FILTERED: Final = _where(lambda row: row.filtered)
"""A filter may leave these out: the digest of the rules on record includes the filters."""
SENT_BY_ITSELF: Final = _where(lambda row: row.unchanged.action is Action.UPLOAD)
"""A run sends these as soon as it can, unasked."""
WAITS: Final = _where(lambda row: row.waits)
"""These may become ready without anybody's doing."""
DEFECTIVE: Final = frozenset({Status.INVALID, Status.ACKNOWLEDGED})
"""A defect keeps these from being sent, or did until a human had seen it."""
MAY_WAIT: Final = WAITS | {Status.INVALID, Status.LEFT_OUT}
"""In place of these it goes on record that a recording waits; of others more is known."""
NEEDS_ATTENTION: Final = _where(lambda row: row.attention is not None)
"""These need a human."""
LASTING: Final = NEEDS_ATTENTION & _where(lambda row: row.unchanged.action is Action.HOLD)
"""These stay as they are until a human acts: when they were settled, the need arose."""

DECIDABLE: Final = _where(lambda row: bool(row.verdicts))
"""A human may decide about these."""


def decided_by(verdict: Verdict) -> frozenset[Status]:
    """The states in which a human may give this verdict."""
    return _where(lambda row: verdict in row.verdicts)
