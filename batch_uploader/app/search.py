"""Searches for recordings in doubt without a run."""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from anyio import CancelScope
from msgspec import Struct

from batch_uploader.app.belonging import Belonging
from batch_uploader.app.bookkeeping import Bookkeeping
from batch_uploader.app.places import (
    Where,
    find_places,
    require_connection,
    require_ledger,
    require_replaceable,
)
from batch_uploader.app.roots import require_not_adopted
from batch_uploader.core.checks import require_number, require_word
from batch_uploader.core.events import Event, Listener
from batch_uploader.core.records import Record
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.doubts import Reconciler, SearchPatience
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.run.options import SHORTEST_HOLD, RunOptions
from batch_uploader.run.stats import RunStats
from batch_uploader.sinks.speechsense.channel import DEFAULT_ENDPOINT, Endpoint
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink


class Searched(Struct, frozen=True):
    """The number of settled doubts by their new status, and the doubts that are left."""

    settled: Mapping[Status, int]
    left: tuple[Record, ...]

    @property
    def needs_attention(self) -> int:
        """How many recordings need a human; absent ones are sent by the next run."""
        unsettled = NEEDS_ATTENTION - {Status.FAILED}
        return len(self.left) + sum(self.settled.get(each, 0) for each in unsettled)


async def search_doubts(  # noqa: PLR0913 - where to ask, in whose name, and about what
    directory: Where,
    *,
    credentials: Credentials,
    stamp_field: str,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    hold: float = RunOptions().hold,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    listeners: Sequence[Listener] = (),
    looking: CancelScope | None = None,
) -> Searched:
    """Search for all recordings in doubt by their stamps, until further searches are useless.

    Nothing is sent: what proves absent is for the next run. ``listeners`` receive what is settled,
    and pauses; cancelling ``looking`` ends it early, with the results so far recorded. The
    connection may be omitted if the ledger has only one. Raises ConfigError, SourceError,
    LedgerLocked or LedgerError.
    """
    require_word("stamp_field", stamp_field)
    require_number("hold", hold, least=SHORTEST_HOLD)
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    require_ledger(places)
    require_replaceable(places.manifest, "--manifest")
    sink = SpeechSenseSink(endpoint, credentials, stamp_field=stamp_field)
    stats = RunStats()

    def hear(event: Event) -> None:
        stats.hear(event)
        for listener in listeners:
            listener(event)

    async with AsyncExitStack() as stack:
        opened = SqliteLedger(places.ledger, await require_connection(places))
        await stack.enter_async_context(opened)
        await stack.enter_async_context(sink)
        books = Bookkeeping(opened, places.manifest, Belonging(places.ledger, places.root))
        await require_not_adopted(opened)
        await books.begin()
        patience = SearchPatience(hold, last_look=math.inf)
        reconciler = Reconciler(sink, opened, hear, patience=patience)
        with looking or CancelScope():
            while await reconciler.after():
                pass
        left = await opened.doubts()
        await books.finish()
    stats.searched.pop(Status.IN_DOUBT, None)
    return Searched(dict(stats.searched), tuple(left))
