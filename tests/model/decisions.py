"""What decides is the real code; here each of its answers is remembered.

``ledgers.rules`` on the memory ledger's store, ``decide.plan``, ``delivery.Delivery``,
``doubts.policy.judge`` and the decisions of ``resolve``. The same ledger meets the same step a
thousand times in a walk.
"""

from functools import cache
from typing import NamedTuple

from model.world import STAMP, File, Ledger, Worker
from msgspec.structs import replace

from batch_uploader.app.decisions import Resolution
from batch_uploader.core.changes import Claim, Forget, Note, Rejudge, Release, Settle
from batch_uploader.core.model import Outcome, Timestamp
from batch_uploader.core.ports import Match
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Lost, Record, Sight
from batch_uploader.core.states import Action, Status, Verdict
from batch_uploader.doubts.policy import (
    Absent,
    Contradiction,
    SearchPatience,
    SearchResult,
    Stays,
    Up,
    judge,
)
from batch_uploader.ledgers import rules
from batch_uploader.plan import decide as planning
from batch_uploader.run.delivery import Delivery

_NO_RUN = 0
_RULES = b"rules"
_NOW = Timestamp(0)


class Search(NamedTuple):
    """What is found of a recording, and all that Search knows."""

    hits: tuple[str, ...]
    index: frozenset[str]


@cache
def recovered(ledger: Ledger, living: frozenset[int]) -> Ledger:
    store = ledger.store()
    rules.recover(store, _NOW, living)
    return Ledger.of(store)


@cache
def planned(file: File, record: Record | None) -> Action:
    known = None if record is None else record
    return planning.plan(file.recording().stat, known, _RULES).action


@cache
def touched(ledger: Ledger, file: File) -> Ledger:
    record, recording = ledger.at(file.path), file.recording()
    if record is None or record.metadata != recording.fingerprint.metadata:
        return ledger
    return settled(ledger, replace(record.outcome, stat=recording.stat))


@cache
def gone(ledger: Ledger, files: tuple[File, ...]) -> frozenset[str]:
    """The records whose files are missing or replaced."""
    there = {(file.path, file.identity.essence) for file in files}
    return frozenset(
        record.path for record in ledger.current if (record.path, record.essence) not in there
    )


@cache
def claimed(
    ledger: Ledger, file: File, owner: int, gone: frozenset[str]
) -> tuple[ClaimResult, str | None, Ledger]:
    return _answered(ledger, Claim(file.recording(), STAMP, _RULES), owner, gone)


@cache
def rejudged(
    ledger: Ledger, path: str, gone: frozenset[str]
) -> tuple[ClaimResult, str | None, Ledger]:
    return _answered(ledger, Rejudge(path), _NO_RUN, gone)


def _answered(
    ledger: Ledger, asked: Claim | Rejudge, owner: int, gone: frozenset[str]
) -> tuple[ClaimResult, str | None, Ledger]:
    """The answer once all was seen that decides."""
    store = ledger.store()
    answer = rules.apply(store, asked, _NOW, owner)
    assert isinstance(answer, ClaimAnswer)
    if answer.claim is ClaimResult.LOOK:
        sights = {each.path: Sight(each.path in gone) for each in answer.look}
        answer = rules.apply(store, replace(asked, sights=sights), _NOW, owner)
        assert isinstance(answer, ClaimAnswer)
        assert answer.claim is not ClaimResult.LOOK
    return answer.claim, answer.other, Ledger.of(store)


@cache
def forgotten(ledger: Ledger, path: str) -> Ledger:
    store = ledger.store()
    rules.apply(store, Forget(path), _NOW, _NO_RUN)
    return Ledger.of(store)


@cache
def released(ledger: Ledger, path: str, owner: int) -> Ledger | None:
    """None if the claim is lost: somebody else has turned it into a doubt."""
    store = ledger.store()
    lost = isinstance(rules.apply(store, Release(path), _NOW, owner), Lost)
    return None if lost else Ledger.of(store)


@cache
def ended(ledger: Ledger, outcome: Outcome, owner: int) -> Ledger | None:
    """How a claim ended, None if it is lost."""
    store = ledger.store()
    lost = isinstance(rules.apply(store, Settle(outcome, claimed=True), _NOW, owner), Lost)
    return None if lost else Ledger.of(store)


@cache
def settled(ledger: Ledger, outcome: Outcome) -> Ledger:
    """What ends no claim."""
    store = ledger.store()
    answer = rules.apply(store, Settle(outcome), _NOW, _NO_RUN)
    assert not isinstance(answer, Lost)
    return Ledger.of(store)


@cache
def judged(
    ledger: Ledger, record: Record, search: Search, after: float, wait: SearchPatience
) -> Ledger:
    """What a search so many seconds after the doubt arose leaves."""
    canaries = ledger.store().canaries(STAMP, 3)
    found = [Match(talk_id, "c", record.key) for talk_id in search.hits]
    found += [
        Match(each.talk_id, "c", each.key) for each in canaries if each.talk_id in search.index
    ]
    answer = SearchResult(frozenset({record.key or ""}), tuple(canaries), found)
    verdict = judge(record, answer, "c", Timestamp(int(after * 1e9)), wait)
    before = record.outcome
    match verdict:
        case Up(talk_id):
            return settled(ledger, replace(before, status=Status.UPLOADED, talk_id=talk_id))
        case Absent():
            return settled(ledger, replace(before, status=Status.FAILED))
        case Contradiction():
            return settled(ledger, replace(before, status=Status.CONFLICT))
        case Stays(doubt):
            store = ledger.store()
            rules.apply(store, Note(doubt), _NOW, _NO_RUN)
            return Ledger.of(store)


@cache
def decided(ledger: Ledger, record: Record, talk_id: str | None) -> Ledger:
    verdict = Verdict.RESEND if talk_id is None else Verdict.UPLOADED
    return settled(ledger, Resolution(verdict, talk_id or "").outcome(record.outcome))


@cache
def compared(ledger: Ledger, record: Record, *, same: bool) -> Ledger:
    """A human compared both files of a possible duplicate."""
    verdict = Verdict.DUPLICATE if same else Verdict.RESEND
    return settled(ledger, Resolution(verdict).outcome(record.outcome))


def forget() -> None:
    """Ask the real code again: it was changed."""
    of_a_run = (recovered, planned, touched, claimed, released, ended, gone, rejudged, forgotten)
    for step in (*of_a_run, settled, judged, decided, compared):
        step.cache_clear()


def transfer_of(worker: Worker) -> Delivery:
    return Delivery(worker.file.recording(), 0, lambda _: None)
