"""Searches for doubts: at the start of a run, and when all else in it has ended."""

import math
from collections import Counter
from collections.abc import Sequence

import anyio
from anyio import CancelScope
from msgspec import Struct, field
from msgspec.structs import replace

from batch_uploader.core.changes import Note, Settle
from batch_uploader.core.clock import Clock
from batch_uploader.core.errors import SearchFailed
from batch_uploader.core.events import (
    CarriedOver,
    DoubtsWaiting,
    Event,
    Listener,
    Reconciled,
    Settled,
)
from batch_uploader.core.model import Failure, Outcome, Timestamp
from batch_uploader.core.ports import Ledger, Sink, apply_all, apply_one
from batch_uploader.core.records import Canary, Record
from batch_uploader.core.states import Status
from batch_uploader.doubts.policy import (
    Absent,
    Contradiction,
    SearchPatience,
    SearchResult,
    SearchVerdict,
    Stays,
    Up,
    judge,
)

_AT_ONCE = 96
"""Keys in one search, including the canaries."""
_CANARIES = 3
_MOST_NARROWED = 32
"""The most extra searches of one pass to find out which key found an unexpected talk."""
_HEAD_START = 30.0
"""Seconds for which the uploads wait for the search for earlier runs' doubts."""
_SHORT_PAUSE = 1.0
"""Seconds; shorter pauses for a quota are not reported."""
MAX_RESENDS = 3
"""A limit, so that a run ends in any case."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 300.0
_PAUSE_SHARE = 0.25
_LEAST_PATIENCE = 60.0


class Look(Struct):
    """The result of a search for all doubts: paths that may be sent again, and doubts that stay."""

    absent: list[str] = field(default_factory=list)
    stays: list[Stays] = field(default_factory=list)

    @property
    def hopeful(self) -> list[Stays]:
        """The doubts that another search may settle."""
        return [each for each in self.stays if each.due != math.inf]


class Reconciler:
    """Settles the doubts of one connection by the sink's stamp field; without one it does nothing.

    A doubt that was claimed with another stamp field, or without one, is left to a human. With
    ``waits`` a run that has nothing else to do waits until the hold ends, otherwise at most for the
    second of two misses. What proves absent is sent again, at most ``MAX_RESENDS`` times in a run.
    ``hear`` must receive all events of the run.
    """

    def __init__(
        self,
        sink: Sink,
        ledger: Ledger,
        publish: Listener,
        *,
        patience: SearchPatience | None = None,
        waits: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._sink = sink
        self._ledger = ledger
        self._publish = publish
        self._patience = patience or SearchPatience()
        self._waits = waits
        self._clock = clock or Clock()
        self._reported: set[str] = set()
        self._absent: Counter[str] = Counter()
        self._time_left = self._patience.spacing + self._patience.last_look
        self._narrowed = 0

    def hear(self, event: Event) -> None:
        """Remember which doubts this run has reported."""
        match event:
            case Settled(outcome) | CarriedOver(outcome) if outcome.status is Status.IN_DOUBT:
                self._reported.add(outcome.path)
            case Settled(outcome) | Reconciled(outcome) if outcome.status is not Status.IN_DOUBT:
                self._reported.discard(outcome.path)
            case _:
                pass

    async def before(self) -> None:
        """Search for the doubts of earlier runs. Raises LedgerError."""
        with anyio.move_on_after(_HEAD_START):
            await self.look()

    async def after(self) -> list[str]:
        """Search for all doubts after everything else. Returns the paths to be sent again.

        Call it until it returns none. Raises LedgerError.
        """
        if self._waits:
            return await self._wait()
        began = self._clock.monotonic()
        look = Look()
        with anyio.move_on_after(self._time_left):
            await self.look(look)
            second = [
                each.due for each in look.hopeful if each.doubt.first_miss and each.due is not None
            ]
            if second and not look.absent:
                await self._rest(min(second), look)
                look.stays.clear()
                await self.look(look)
        self._time_left = max(0.0, self._time_left - (self._clock.monotonic() - began))
        return look.absent

    async def _wait(self) -> list[str]:
        """Search until no doubt is left, or more time cannot settle any."""
        most = 2 * self._patience.hold + 3 * self._patience.spacing + _LEAST_PATIENCE
        until = self._clock.monotonic() + most
        longest = min(max(_FIRST_PAUSE, _PAUSE_SHARE * self._patience.hold), _LONGEST_PAUSE)
        pause = _FIRST_PAUSE
        while True:
            look = await self.look()
            if look.absent or not look.hopeful or self._clock.monotonic() > until:
                return look.absent
            due = min((each.due for each in look.hopeful if each.due is not None), default=pause)
            await self._rest(min(due, pause), look)
            pause = min(2 * pause, longest)

    async def _rest(self, seconds: float, look: Look) -> None:
        self._publish(DoubtsWaiting(seconds, len(look.stays)))
        await self._clock.sleep(seconds)

    async def look(self, look: Look | None = None) -> Look:
        """Search for every doubt once, and record the results. Raises LedgerError.

        Each result is in ``look`` as soon as it is recorded.
        """
        look = look or Look()
        stamp_field = self._sink.stamp_field
        if stamp_field is None:
            return look
        self._narrowed = 0
        doubts = [each for each in await self._ledger.doubts() if each.stamp_field == stamp_field]
        canaries = await self._ledger.canaries(stamp_field, _CANARIES) if doubts else []
        failed: SearchFailed | None = None
        for start in range(0, len(doubts), _AT_ONCE):
            some = doubts[start : start + _AT_ONCE]
            now = self._clock.now()
            answer = failed or await self._search(some, canaries)
            if isinstance(answer, SearchFailed):
                failed = answer
            await self._conclude(some, answer, now, look)
        return look

    async def _search(
        self,
        doubts: Sequence[Record],
        canaries: Sequence[Canary],
        wider: SearchResult | None = None,
    ) -> SearchResult | SearchFailed:
        keys = [doubt.key for doubt in doubts if doubt.key is not None]
        asked = [*keys, *(canary.key for canary in canaries)]

        def waits(seconds: float) -> None:
            if seconds >= _SHORT_PAUSE:
                self._publish(DoubtsWaiting(seconds, len(doubts)))

        connection_id = self._ledger.connection_id
        try:
            matches = await self._sink.find(connection_id, asked, waits=waits)
        except SearchFailed as error:
            return error
        return SearchResult(frozenset(keys), tuple(canaries), matches, wider)

    async def _conclude(
        self,
        doubts: Sequence[Record],
        answer: SearchResult | SearchFailed,
        now: Timestamp,
        look: Look,
    ) -> None:
        """Record the results; if a talk was found that was not asked for, search more narrowly."""
        if (
            isinstance(answer, SearchResult)
            and answer.unexpected
            and self._narrowed < _MOST_NARROWED
        ):
            unclear = [doubt for doubt in doubts if not answer.hits(doubt)]
            if answer.canaries or len(unclear) > 1:
                doubts = [doubt for doubt in doubts if answer.hits(doubt)]
                await self._narrow(unclear, answer, look)
        connection_id = self._ledger.connection_id
        verdicts = [
            (doubt, judge(doubt, answer, connection_id, now, self._patience)) for doubt in doubts
        ]
        with CancelScope(shield=True):
            await self._record(verdicts, look)

    async def _narrow(self, doubts: Sequence[Record], answer: SearchResult, look: Look) -> None:
        """Search without the canaries, then by halves: keys of a clean search are not concerned."""
        middle = 0 if answer.canaries else len(doubts) // 2
        for some in (doubts[:middle], doubts[middle:]):
            if some:
                self._narrowed += 1
                now = self._clock.now()
                narrower = await self._search(some, (), answer.wider or answer)
                await self._conclude(some, narrower, now, look)

    async def _record(self, verdicts: Sequence[tuple[Record, SearchVerdict]], look: Look) -> None:
        before = {doubt.path: doubt.outcome for doubt, _ in verdicts}
        changed: list[Record] = []
        for doubt, verdict in verdicts:
            match verdict:
                case Stays():
                    look.stays.append(verdict)
                    if verdict.doubt != doubt:
                        changed.append(verdict.doubt)
                case Up(talk_id):
                    await self._settle(doubt, Status.UPLOADED, talk_id=talk_id)
                case Contradiction(failure):
                    await self._settle(doubt, Status.CONFLICT, failure=failure)
                case Absent() if self._absent[doubt.path] == MAX_RESENDS:
                    await self._settle(doubt, Status.FAILED, failure=_ABSENT_AGAIN)
                case Absent():
                    self._absent[doubt.path] += 1
                    look.absent.append(doubt.path)
                    await self._settle(doubt, Status.FAILED, failure=_ABSENT)
        if changed:
            await apply_all(self._ledger, list(map(Note, changed)))
            for doubt in changed:
                self._tell(doubt.outcome, before[doubt.path])

    async def _settle(
        self,
        doubt: Record,
        status: Status,
        *,
        talk_id: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        outcome: Outcome = replace(doubt.outcome, status=status, talk_id=talk_id, failure=failure)
        self._tell(await apply_one(self._ledger, Settle(outcome)), doubt.outcome)

    def _tell(self, outcome: Outcome, before: Outcome) -> None:
        reported = before.path in self._reported
        self._publish(Reconciled(outcome, before if reported else None))


_ABSENT = Failure(
    "ABSENT",
    "two searches some time apart did not find it, so it was not stored; the next run that finds"
    " its file sends it",
)
_ABSENT_AGAIN = Failure(
    "ABSENT",
    f"it was sent again {MAX_RESENDS} times and is still absent; check what lies between here and"
    " the service; the next run sends it once more",
)
