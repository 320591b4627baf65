"""Possible duplicates: judged once the scan has ended, and told at the end of the run."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

from batch_uploader.core.changes import JudgeDefaultIds, Rejudge
from batch_uploader.core.events import CarriedOver, DefaultIdsOff, Judged, Listener
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Outcome
from batch_uploader.core.ports import Applies, apply_all, apply_one
from batch_uploader.core.records import ClaimAnswer, ClaimResult, Record, Sight
from batch_uploader.core.states import POSSIBLE, Status
from batch_uploader.run.lookout import Lookout

_AT_ONCE = 500
_LOOKS = 3
"""A second look may be needed once a first one has learned an ID."""


class KnowsHeld(Applies, Protocol):
    """The part of a ledger that has the possible duplicates."""

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """The records in these states, as ``ports.Ledger``."""

    async def get(self, paths: Iterable[str]) -> dict[str, Record]:
        """What is recorded of these paths."""


class HeldBack:
    """What is on record as a possible duplicate, from earlier runs and from this one.

    ``began`` is when the run began, in UTC nanoseconds since the epoch.
    """

    def __init__(self, ledger: KnowsHeld, lookout: Lookout, publish: Listener, began: int) -> None:
        self._ledger = ledger
        self._lookout = lookout
        self._publish = publish
        self._began = began

    async def judge(self) -> list[str]:
        """Compare each with what is on record now. Returns the paths of those that are free."""
        held: list[str] = []
        by_default_id = False
        async with aclosing(self._ledger.rows(POSSIBLE)) as rows:
            async for row in rows:
                held.append(row.path)
                by_default_id |= row.cause is Cause.SAME_DEFAULT_ID
        free = list(await self._judge_default_ids()) if by_default_id else []
        for start in range(0, len(held), _AT_ONCE):
            free += await self._judge(held[start : start + _AT_ONCE])
        return free

    async def report(self) -> None:
        """Tell what is held at the end of the run."""
        async with aclosing(self._ledger.rows(POSSIBLE)) as rows:
            async for row in rows:
                new = row.settled_at_ns is not None and row.settled_at_ns >= self._began
                self._publish(Judged(row.outcome) if new else CarriedOver(row.outcome))

    async def _judge_default_ids(self) -> Sequence[str]:
        shared = await apply_one(self._ledger, JudgeDefaultIds())
        if shared is None:
            return ()
        records = await self._ledger.get(shared.examples)
        values = await self._lookout.values(list(records.values()))
        self._publish(DefaultIdsOff(values, shared.examples, shared.shared, shared.total))
        return shared.freed

    async def _judge(self, paths: Sequence[str]) -> list[str]:
        """Of these paths those that are free."""
        free: list[str] = []
        sights: dict[str, dict[str, Sight]] = {path: {} for path in paths}
        for _ in range(_LOOKS):
            asked = [Rejudge(path, seen) for path, seen in sights.items()]
            answers = zip(sights, await apply_all(self._ledger, asked), strict=True)
            unseen: dict[str, Sequence[Record]] = {}
            for path, answer in answers:
                match answer:
                    case ClaimAnswer(ClaimResult.GRANTED):
                        free.append(path)
                    case ClaimAnswer(ClaimResult.LOOK, look=look):
                        unseen[path] = look
                    case ClaimAnswer(ClaimResult.DUPLICATE, outcome=Outcome() as outcome):
                        self._publish(Judged(outcome))
            if not unseen:
                break
            # Many are held for the same file, which is looked at once.
            others = {each.path: each for look in unseen.values() for each in look}
            seen = await self._lookout.see(list(others.values()))
            sights = {
                path: sights[path] | {each.path: seen[each.path] for each in look}
                for path, look in unseen.items()
            }
        return free
