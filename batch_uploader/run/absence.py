"""Whether most of what was on record is gone at once, as behind a share that is not mounted.

Then nothing is forgotten, and the run tells, until somebody says that files leave this source on
purpose. Compared are the recordings on record that the source lists, not the files: other ones in
their place do not prove that these are still there.
"""

import json
from typing import Final, Protocol

from anyio import CancelScope
from msgspec import Struct

from batch_uploader.core.changes import Forget, Remember
from batch_uploader.core.ports import Ledger, Selective, Source, apply_all
from batch_uploader.plan.batch import Batch

ALLOWS_EMPTY: Final = "allows_empty"
"""The ledger's fact that files leave its source on purpose."""
ABSENT: Final = "absent"
"""The fact with the number of recordings that a run did not see, by connection and selection."""
_GONE: Final = "gone"
"""The fact with the numbers that the last run told of, by connection and selection."""
_OUT_OF: Final = "gone_out_of"
"""The fact with how many there were when that was first told: new ones do not make it less."""
_MOST_KEPT = 16
_MOST_FORGOTTEN = 100_000
"""More are left to the next run, since these paths are kept until the end of the walk."""


class Gone(Struct, frozen=True):
    """How many of the recordings that the run before saw are gone."""

    recordings: int
    of: int

    @property
    def most(self) -> bool:
        """Whether these are more than half."""
        return self.recordings * 2 > self.of


class CountsRecordings(Protocol):
    """The part of a ledger, or of its reader, that has its facts and counts its recordings."""

    async def fact(self, name: str) -> str | None:
        """As ``ports.Ledger``."""

    async def count(self) -> int:
        """As ``ports.Ledger``."""


async def told_as_gone(ledger: CountsRecordings, connection_id: str | None) -> int:
    """How many recordings were gone in the last run over the source, if these were most."""
    told = json.loads(await ledger.fact(_GONE) or "{}")
    ours = "" if connection_id is None else f"{connection_id} "
    return max((number for key, number in told.items() if key.startswith(ours)), default=0)


async def find_gone(
    ledger: CountsRecordings, connection_id: str, source: Source, seen: int, moved: int
) -> Gone | None:
    """What a run would find gone that sees this many of the recordings on record."""
    before = json.loads(await ledger.fact(ABSENT) or "{}").get(_key(connection_id, source))
    if before is None or await ledger.fact(ALLOWS_EMPTY) is not None:
        return None
    told = json.loads(await ledger.fact(_OUT_OF) or "{}").get(_key(connection_id, source))
    return _gone(await ledger.count() - before, seen + moved, told)


def _gone(there: int, seen: int, told: int | None) -> Gone | None:
    gone = Gone(there - seen, there if told is None else min(there, told))
    return gone if gone.most else None


def _key(connection_id: str, source: Source) -> str:
    return f"{connection_id} {source.takes if isinstance(source, Selective) else ''}"


class Absence:
    """Counts what a walk sees of what is on record, and forgets what may be forgotten.

    With another selection of its files the source is another one. ``allowed``: files leave it on
    purpose, which is recorded.
    """

    def __init__(self, ledger: Ledger, source: Source, *, allowed: bool) -> None:
        self._ledger = ledger
        self._key = _key(ledger.connection_id, source)
        self._allowed = allowed
        self._on_record = self._seen = self._regrouped = 0
        self._absent: dict[str, int] = {}
        self._out_of: dict[str, int] = {}
        self._complete = True
        self._forgettable: list[str] = []
        self._waited: list[str] = []
        self._gone: Gone | None = None

    async def begin(self) -> None:
        """Before the walk: what is on record, and how much of it the run before did not see."""
        if self._allowed:
            await self._note(ALLOWS_EMPTY, "1")
        self._allowed = await self._ledger.fact(ALLOWS_EMPTY) is not None
        self._on_record = await self._ledger.count()
        self._absent = json.loads(await self._ledger.fact(ABSENT) or "{}")
        self._out_of = json.loads(await self._ledger.fact(_OUT_OF) or "{}")

    def add(self, batch: Batch) -> None:
        """Take a folder into account."""
        self._seen += batch.on_record
        self._regrouped += batch.regrouped
        self._complete &= batch.listed
        self._forgettable += batch.gone[: _MOST_FORGOTTEN - len(self._forgettable)]
        self._waited += batch.gone_waiting[: _MOST_FORGOTTEN - len(self._waited)]

    async def walked(self) -> None:
        """After the walk: forget what is gone and was never stored, unless most is gone."""
        before = self._absent.get(self._key)
        if before is not None and not self._allowed:
            told = self._out_of.get(self._key)
            # What is forgotten though its file is there proves that nothing is missing.
            seen = self._seen + self._regrouped
            self._gone = _gone(self._on_record - before, seen, told)
        if self._gone is not None:
            return
        changes = [Forget(path) for path in (*self._forgettable, *self._waited)]
        # A drain does not interrupt it: the folders were told with what is forgotten.
        with CancelScope(shield=True):
            if changes:
                await apply_all(self._ledger, changes)
            self._on_record -= len(self._forgettable)
            await self._keep()

    async def judge(self, moved: int) -> Gone | None:
        """At the end of the run: what is gone, if it is most; ``moved`` was found elsewhere."""
        if not self._complete:
            # What cannot be listed is told anyway, and may all be there.
            return None
        gone = None
        if self._gone is not None:
            less = Gone(self._gone.recordings - moved, self._gone.of)
            gone = less if less.most else None
            if gone is None:
                await self._keep()
        told = json.loads(await self._ledger.fact(_GONE) or "{}")
        await self._tell(_GONE, told, None if gone is None else gone.recordings)
        await self._tell(_OUT_OF, self._out_of, None if gone is None else gone.of)
        return gone

    async def _tell(self, fact: str, told: dict[str, int], number: int | None) -> None:
        told.pop(self._key, None)
        await self._note(fact, json.dumps(told | ({} if number is None else {self._key: number})))

    async def _keep(self) -> None:
        if not self._complete:
            return
        absent = {key: each for key, each in self._absent.items() if key != self._key}
        for key in [*absent][: len(absent) + 1 - _MOST_KEPT]:
            del absent[key]
        absent[self._key] = self._on_record - self._seen
        await self._note(ABSENT, json.dumps(absent))

    async def _note(self, name: str, value: str) -> None:
        if (await self._ledger.fact(name) or "{}") != value:
            await apply_all(self._ledger, [Remember(name, value)])
