"""The state of a directory's ledger in numbers, and what needs a human."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from anyio import to_thread
from msgspec import Struct, field

from batch_uploader.app.agreement import require_agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.places import Places, Where, find_places, require_ledger, require_on_record
from batch_uploader.core.errors import ConfigError, LedgerError
from batch_uploader.core.model import PassedOver
from batch_uploader.core.records import Record
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.ledgers.sqlite import (
    LedgerReader,
    Totals,
    is_running,
    kept_answers,
    require_last,
)
from batch_uploader.run.absence import told_as_gone
from batch_uploader.run.passed_over import passed_over_by

_NONE = Totals(0, 0, 0.0)


class DirectoryStatus(Struct, frozen=True):
    """A snapshot of the ledger; a claim without a running run counts as in doubt.

    ``totals`` has every state, in order. ``running`` says whether a run goes on, ``kept_aside`` how
    many results are not in the ledger yet, since the disk was full. ``refusal`` is why a run would
    refuse this ledger, if so. ``connections`` are all in the ledger, even if one was given.
    ``gone`` is how many recordings on record the last run did not find, if these were most of them.
    ``left_out_by`` counts what filters left out, by filter. ``passed_over`` are the files that look
    like audio and that the last run did not take, by kind.
    """

    places: Places
    totals: Mapping[Status, Totals]
    running: bool
    kept_aside: int
    refusal: ConfigError | LedgerError | None
    connections: tuple[str, ...]
    gone: int = 0
    left_out_by: Mapping[str, int] = field(default_factory=dict)
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def needs_attention(self) -> int:
        """How many recordings need a human."""
        return sum(self.totals[each].recordings for each in NEEDS_ATTENTION)

    async def records(self, status: Status) -> AsyncGenerator[Record]:
        """The recordings counted under this status, sorted by path."""
        on_record = frozenset({status})
        if not self.running:
            on_record = _shown_as(status)
        async with (
            LedgerReader(self.places.ledger, self.places.connection_id) as reader,
            aclosing(reader.rows(on_record)) as rows,
        ):
            async for row in rows:
                yield row


async def directory_status(
    directory: Where,
    *,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> DirectoryStatus:
    """The state of a directory's recordings, for all connections or the given one.

    Changes nothing, and works during a run. Raises ConfigError, also for a connection that the
    ledger does not know, SourceError or LedgerError.
    """
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    require_ledger(places)
    # Checked before the ledger is read: a run that ends in between leaves no claims.
    running = await to_thread.run_sync(is_running, places.ledger)
    async with LedgerReader(places.ledger, places.connection_id) as reader:
        await require_on_record(places, reader)
        on_record = await reader.counts()
        totals = {each: on_record.get(each, _NONE) for each in Status}
        return DirectoryStatus(
            places,
            totals if running else _without_claims(totals),
            running,
            await to_thread.run_sync(kept_answers, places.ledger),
            None if running else await _refusal(reader, places),
            tuple(await reader.connections()),
            await told_as_gone(reader, places.connection_id),
            await reader.all_left_out(),
            await passed_over_by(reader, places.connection_id),
        )


async def _refusal(reader: LedgerReader, places: Places) -> ConfigError | LedgerError | None:
    try:
        await to_thread.run_sync(require_last, places.ledger)
        belonging = Belonging(places.ledger, places.root)
        await require_agreement(reader, places.manifest, belonging)
    except (ConfigError, LedgerError) as refusal:
        return refusal
    return None


def _shown_as(status: Status) -> frozenset[Status]:
    """The states that count as this status if no run goes on."""
    if status is Status.CLAIMED:
        return frozenset()
    return frozenset({status, Status.CLAIMED} if status is Status.IN_DOUBT else {status})


def _without_claims(totals: Mapping[Status, Totals]) -> dict[Status, Totals]:
    claimed, doubts = totals[Status.CLAIMED], totals[Status.IN_DOUBT]
    both = Totals(
        claimed.recordings + doubts.recordings,
        claimed.nbytes + doubts.nbytes,
        claimed.duration + doubts.duration,
    )
    return {**totals, Status.CLAIMED: _NONE, Status.IN_DOUBT: both}
