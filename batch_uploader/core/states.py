"""The states of a recording: one table, of which everything else that tells them apart is made.

A row of ``Status`` is all that there is to say of a state: the sets below it, SQL, what people read
and the table in docs/concepts.md follow from the rows. The ways between states are in
``ledgers.rules``.
"""

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Final, Self

from msgspec import Struct


class Stored(Enum):
    """Whether the service holds a recording that is in this state."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class Action(StrEnum):
    """What a run does about a recording."""

    UPLOAD = "upload"
    """Look into it and, if the ledger grants the claim, send it."""
    COMPARE_METADATA = "compare_metadata"
    """Its talk is up and the audio is as it was; the sidecar may say something new."""
    SKIP = "skip"
    """It is up; nothing is opened."""
    COMPARE = "compare"
    """It is at rest, but may hold something else: it is compared when all else has been sent."""
    HOLD = "hold"
    """A human must act before a run touches it again."""


class Decision(Struct, frozen=True):
    """The action, and the reason as the end of the sentence "it is …, because …"."""

    action: Action
    reason: str


class Verdict(Enum):
    """What a human may decide about a recording; the value is the flag of ``resolve``."""

    UPLOADED = "--talk-id"
    RESEND = "--resend"
    GIVE_UP = "--give-up"


class State(Struct, frozen=True, kw_only=True):
    """A row of the table.

    ``means`` and ``then``, what the next run does, are for docs/concepts.md. ``label`` is what
    people read, the word itself where there is none. ``attention`` tells in ``status`` what a human
    has to do, None where nobody has to.

    ``stored`` says whether the service holds it, ``forgotten`` that nothing is kept of it once its
    file is gone. ``unchanged`` is what a run does while the files are as they were; if their
    sidecar alone changed, ``new_sidecar``, where there is one; if the digest of the rules did,
    ``other_rules``. Any other change has it sent, unless it is not known whether it is stored.
    ``verdicts`` are what a human may decide. An attempt that is proved to have stored nothing may
    end so if it is ``attempted``; else only the files are looked at, or somebody decides.
    ``at_zero`` has its count shown where it is 0.
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
    verdicts: frozenset[Verdict] = frozenset()
    attempted: bool = False
    at_zero: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a row that would have a talk forgotten, or sent twice."""
        if self.stored is Stored.NO:
            return
        if self.forgotten:
            raise ValueError("what the service may hold is not forgotten")
        if self.unchanged.action not in {Action.SKIP, Action.HOLD}:
            raise ValueError("what the service may hold is not sent again")


class Status(StrEnum):
    """What the ledger knows of a recording; the state machine is drawn in docs/concepts.md."""

    _value_: str
    state: State

    def __new__(cls, word: str, state: State | None = None) -> Self:
        """A member that is its word, with the row beside it."""
        if state is None:
            raise TypeError(f"{word} has no row")
        member = str.__new__(cls, word)
        member._value_ = word
        member.state = state
        return member

    @property
    def label(self) -> str:
        """What people read."""
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
    INVALID = (
        "invalid",
        State(
            means="the file or the sidecar has a defect",
            then="nothing until the files or the settings change",
            stored=Stored.NO,
            attention="fix these: the next run sends them",
            unchanged=Decision(Action.HOLD, "it is invalid and unchanged"),
            other_rules=Decision(Action.UPLOAD, "it was invalid under other settings"),
            forgotten=True,
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
            # It is not stored, so to send it again is harmless.
            verdicts=frozenset({Verdict.RESEND}),
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
            attention="the service may have stored these: check each as said below, then decide",
            unchanged=Decision(Action.HOLD, "the service may have stored it already"),
            forgotten=False,
            verdicts=frozenset(Verdict),
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
            verdicts=frozenset(Verdict),
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
            means="another path has the same audio and metadata",
            then="nothing",
            stored=Stored.NO,
            attention=None,
            unchanged=Decision(Action.SKIP, "it is a known duplicate and unchanged"),
            forgotten=False,
        ),
    )


def _where(holds: Callable[[State], bool]) -> frozenset[Status]:
    return frozenset(status for status in Status if holds(status.state))


MAYBE_STORED: Final = _where(lambda row: row.stored is not Stored.NO)
"""The service holds these, or may: a copy of one is not sent."""
MAY_TURN_OUT_UP: Final = _where(lambda row: row.stored is Stored.MAYBE)
"""Of these it may yet be recorded that they are up."""
UNRESOLVED: Final = MAY_TURN_OUT_UP & _where(lambda row: row.unchanged.action is Action.HOLD)
"""Of these it is not known whether the service holds them, and somebody has to find out."""
UNDECIDED: Final = UNRESOLVED - {Status.CLAIMED}
"""The same where no run is about to: a search or a human decides."""
KEPT: Final = MAYBE_STORED - UNRESOLVED
"""Never overwritten: when the path comes to hold something else, this is superseded."""
AFTER_A_CLAIM: Final = MAYBE_STORED - {Status.CLAIMED}
"""Only what was claimed ends so."""
AT_REST: Final = _where(lambda row: row.unchanged.action is Action.SKIP and row.other_rules is None)
"""Nothing is done about these while their files are as they were."""
STANDING: Final = MAYBE_STORED | AT_REST
"""Nothing is sent while one of these stands at its path, and its file is as it was."""
FORGETTABLE: Final = _where(lambda row: row.forgotten)
"""It is proved that nothing of these is stored: they are dropped when their files are gone."""
FOUND_AGAIN: Final = _where(lambda row: row.stored is Stored.NO and not row.attempted)
"""What the next run sees for itself, of what was not sent: no doubt ends so."""
BY_RULES: Final = _where(lambda row: row.other_rules is not None)
"""What other rules may decide otherwise: the digest of those that did is on record."""
NEEDS_ATTENTION: Final = _where(lambda row: row.attention is not None)
"""A human must look at these."""


def decided_by(verdict: Verdict) -> frozenset[Status]:
    """The states that a human's verdict may end."""
    return _where(lambda row: verdict in row.verdicts)
