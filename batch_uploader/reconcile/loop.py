"""Looking for what is in doubt: at the start of a run, at its end, and in between if it waits."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio
from anyio import CancelScope

from batch_uploader.errors import SearchFailed
from batch_uploader.events import DoubtsWaiting, Event, Held, Listener, Reconciled, Settled
from batch_uploader.model import Failure, Instant, Outcome, Status
from batch_uploader.ports import Doubt, Ledger, Sink
from batch_uploader.reconcile.policy import (
    Absent,
    Answer,
    Contradiction,
    Patience,
    Stays,
    Up,
    Verdict,
    judge,
)
from batch_uploader.system import boot_time

_AT_ONCE = 96
"""So many keys go into one search, with the witnesses."""
_WITNESSES = 3
_HEAD_START = 30.0
"""For so many seconds the uploads wait for the doubts of earlier runs."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 300.0
_PAUSE_SHARE = 0.25
_LEAST_PATIENCE = 60.0


def wall_and_boot() -> Instant:
    """This moment, by the system's clocks."""
    return Instant(time.time_ns(), *(boot_time() or ()))


@dataclass(slots=True)
class Look:
    """What a look at all doubts brought: paths that may be sent again, and what stays in doubt."""

    absent: list[str] = field(default_factory=list)
    stays: list[Stays] = field(default_factory=list)


class Reconciler:
    """Settles the doubts of one connection by the sink's stamp field; without one it does nothing.

    A doubt that was claimed with another stamp field, or with none, is left to a human. With
    ``waits`` a run that has nothing else to do waits for the hold to end, otherwise at most for
    the second of two misses. ``hear`` has to hear all events of the run.
    """

    def __init__(
        self,
        sink: Sink,
        ledger: Ledger,
        publish: Listener,
        *,
        patience: Patience | None = None,
        waits: bool = False,
        now: Callable[[], Instant] = wall_and_boot,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._sink = sink
        self._ledger = ledger
        self._publish = publish
        self._patience = patience or Patience()
        self._waits = waits
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._reported: set[str] = set()
        self._since: dict[str, float] = {}
        self._pause = _FIRST_PAUSE

    def hear(self, event: Event) -> None:
        """Keep in mind what this run has reported as in doubt."""
        match event:
            case Settled(outcome) | Held(outcome) | Reconciled(outcome):
                if outcome.status is Status.IN_DOUBT:
                    self._reported.add(outcome.path)
                else:
                    self._reported.discard(outcome.path)

    async def before(self) -> None:
        """Look for what earlier runs left. Raises LedgerError."""
        with anyio.move_on_after(_HEAD_START):
            await self.look()

    async def after(self) -> list[str]:
        """Look for what is left when everything else has ended; the paths to be sent again.

        Call it until there are none. Raises LedgerError.
        """
        while True:
            look = await self.look()
            if look.absent:
                self._pause = _FIRST_PAUSE
                for path in look.absent:
                    # Should it come into doubt again, that is another doubt.
                    self._since.pop(path, None)
                return look.absent
            pause = self._until_next(look.stays)
            if pause is None:
                return []
            self._publish(DoubtsWaiting(pause, len(look.stays)))
            await self._sleep(pause)

    async def look(self) -> Look:
        """Search for every doubt once, and record what follows. Raises LedgerError."""
        look = Look()
        stamp_field = self._sink.stamp_field
        if stamp_field is None:
            return look
        doubts = [each for each in await self._ledger.doubts() if each.stamp_field == stamp_field]
        witnesses = await self._ledger.stamped(stamp_field, _WITNESSES) if doubts else []
        failed: SearchFailed | None = None
        for start in range(0, len(doubts), _AT_ONCE):
            some = doubts[start : start + _AT_ONCE]
            now = self._now()
            answer = failed or await self._search(some, witnesses)
            if isinstance(answer, SearchFailed):
                failed = answer
            connection_id = self._ledger.connection_id
            verdicts = [
                (doubt, judge(doubt, answer, connection_id, now, self._patience)) for doubt in some
            ]
            with CancelScope(shield=True):
                await self._record(verdicts, look)
        return look

    async def _search(
        self, doubts: Sequence[Doubt], witnesses: Sequence[str]
    ) -> Answer | SearchFailed:
        keys = [doubt.key for doubt in doubts]
        try:
            matches = await self._sink.find(self._ledger.connection_id, [*keys, *witnesses])
        except SearchFailed as error:
            return error
        return Answer(frozenset(keys), frozenset(witnesses), matches)

    async def _record(self, verdicts: Sequence[tuple[Doubt, Verdict]], look: Look) -> None:
        before = {doubt.path: doubt.outcome for doubt, _ in verdicts}
        changed: list[Doubt] = []
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
                case Absent():
                    look.absent.append(doubt.path)
                    await self._settle(doubt, Status.FAILED, failure=_ABSENT)
        if changed:
            await self._ledger.note(changed)
            for doubt in changed:
                self._tell(doubt.outcome, before[doubt.path])

    async def _settle(
        self,
        doubt: Doubt,
        status: Status,
        *,
        talk_id: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        outcome: Outcome = replace(doubt.outcome, status=status, talk_id=talk_id, failure=failure)
        await self._ledger.settle(outcome)
        self._tell(outcome, doubt.outcome)

    def _tell(self, outcome: Outcome, before: Outcome) -> None:
        reported = before.path in self._reported
        self._publish(Reconciled(outcome, before if reported else None))

    def _until_next(self, stays: Sequence[Stays]) -> float | None:
        """The pause before the next look in seconds, None if this run has had its last."""
        now = self._clock()
        known, self._since = self._since, {}
        for each in stays:
            self._since[each.doubt.path] = known.get(each.doubt.path, now)
        if not self._waits:
            second = [each.due for each in stays if each.doubt.missed and each.due is not None]
            return min(second, default=None)
        # Long enough for all that time can bring; what does not come then may never come.
        most = 2 * self._patience.hold + 3 * self._patience.spacing + _LEAST_PATIENCE
        hoped_for = [each for each in stays if now - self._since[each.doubt.path] <= most]
        if not hoped_for:
            return None
        due = min((each.due for each in hoped_for if each.due is not None), default=self._pause)
        pause = min(due, self._pause)
        longest = max(_FIRST_PAUSE, _PAUSE_SHARE * self._patience.hold)
        self._pause = min(2 * self._pause, longest, _LONGEST_PAUSE)
        return pause


_ABSENT = Failure(
    "ABSENT", "two searches some time apart did not find it: the service does not hold it"
)
