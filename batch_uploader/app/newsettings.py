"""Other settings than those of the last run: said before they send or change much at once."""

import json
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, Protocol

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Metadata
from batch_uploader.core.ports import Selective, Source
from batch_uploader.core.records import Record
from batch_uploader.core.runs import Run
from batch_uploader.core.states import Status
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.prepare.rules import Rules

_FEWEST: Final = 20
"""With fewer talks on record nothing is said."""
_PART: Final = 5
"""More than one in this many of them is said."""
_SAMPLE: Final = 200
CALL_ID: Final = "call_id"


class Past(Protocol):
    """What a ledger knows of earlier runs."""

    async def runs(self, limit: int) -> list[Run]:
        """The latest runs, the latest first."""

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """Every record in these states."""


class NewSettings(Struct, frozen=True):
    """What settings do that are not those of the run that began at ``since``.

    ``differing`` of the ``compared`` talks, drawn from ``on_record``, would have other metadata.
    ``call_ids`` are those of before and of now, if they are others.
    """

    since: datetime
    on_record: int
    compared: int
    differing: int
    call_ids: tuple[str, str] | None = None

    def lines(self, to_send: int) -> tuple[str, ...]:
        """What is worth saying before ``to_send`` recordings are sent."""
        said = []
        if to_send * _PART > self.on_record:
            said.append(f"{to_send:,} recordings are to be sent, {self.on_record:,} are on record")
        if self.differing * _PART > self.compared:
            said.append(
                f"{self.differing:,} of {self.compared:,} talks on record that were compared would"
                " have other metadata (they keep what they have)"
            )
        if self.call_ids is not None:
            before, now = (each or "that of the default" for each in self.call_ids)
            said.append(
                f"the call ID was {before} and is {now}, so what is on record is compared with new"
                " recordings without it"
            )
        if not said:
            return ()
        when = f"{self.since:%Y-%m-%d %H:%M} UTC"
        return (f"the settings are not those of the run of {when}: {'; '.join(said)}",)


def settings_on_record(source: Source, rules: Rules) -> dict[str, str]:
    """What decides which recordings are sent, as a run records it; without dates that move on."""
    takes = source.takes if isinstance(source, Selective) else ""
    filters = replace(rules.filters, since=None, until=None)
    return {
        "rules": rules.digest().hex(),
        "selection": f"{takes} {filters!r}",
        CALL_ID: rules.call_ids.text,
    }


async def new_settings(past: Past, preparer: Preparer) -> NewSettings | None:
    """How these settings differ from those of the last run; None if they do not, or little is lost.

    Raises LedgerError.
    """
    runs = await past.runs(1)
    if not runs:
        return None
    before = json.loads(runs[0].begin.settings)
    now = settings_on_record(preparer.source, preparer.rules)
    # A run of an older version recorded less.
    if all(before.get(name, value) == value for name, value in now.items()):
        return None
    drawn, on_record = await _drawn(past)
    if on_record < _FEWEST:
        return None
    made = await to_thread.run_sync(_made, preparer, drawn)
    differing = sum(metadata.digest() != record.metadata for record, metadata in made)
    since = datetime.fromtimestamp(runs[0].began_at_ns / 1e9, UTC)
    call_ids = before.get(CALL_ID, now[CALL_ID]), now[CALL_ID]
    others = call_ids if call_ids[0] != call_ids[1] else None
    return NewSettings(since, on_record, len(made), differing, others)


async def _drawn(past: Past) -> tuple[list[Record], int]:
    """Some talks, each as likely as any other, and how many there are."""
    chance = random.Random(time.time_ns())  # noqa: S311 - no secret
    drawn: list[Record] = []
    count = 0
    async with aclosing(past.rows(frozenset({Status.UPLOADED}))) as records:
        async for record in records:
            count += 1
            if len(drawn) < _SAMPLE:
                drawn.append(record)
            elif (place := chance.randrange(count)) < _SAMPLE:
                drawn[place] = record
    return drawn, count


def _made(preparer: Preparer, records: Sequence[Record]) -> list[tuple[Record, Metadata]]:
    """The metadata that records would have now, of those whose files are there and valid."""
    comparer = Comparer(preparer)
    made = []
    for record in records:
        try:
            metadata = comparer.metadata_of(record)
        except SourceError:
            continue
        if isinstance(metadata, Metadata):
            made.append((record, metadata))
    return made
