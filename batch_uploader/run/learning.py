"""Learns what ledgers of older versions lack: the IDs of recordings, from their sidecars."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from anyio import to_thread

from batch_uploader.core.changes import LearnIdentity, Remember
from batch_uploader.core.errors import SourceError
from batch_uploader.core.events import LearningStarted, Listener
from batch_uploader.core.identity import Identity
from batch_uploader.core.model import Listing
from batch_uploader.core.ports import Applies, apply_all, apply_one
from batch_uploader.core.records import Record, ids_learned
from batch_uploader.core.states import MAYBE_STORED
from batch_uploader.prepare.bundle import version_of
from batch_uploader.prepare.prepare import Preparer

_LEARNED = "yes"


class KnowsIds(Applies, Protocol):
    """The part of a ledger that has the IDs."""

    @property
    def connection_id(self) -> str:
        """As ``ports.Ledger``, like all of these."""

    async def fact(self, name: str) -> str | None:
        """The fact of that name."""

    async def lacks_ids(self) -> bool:
        """Whether recordings that the service may hold are on record without IDs."""

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder, by path."""


class Learning:
    """Done once for each ledger, before the first recording is claimed that has an ID.

    What was learned is recorded folder by folder, so an interrupted run costs nothing. ``check`` is
    called between two folders, and may raise.
    """

    def __init__(
        self,
        preparer: Preparer,
        ledger: KnowsIds,
        publish: Listener,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = preparer.source
        self._ledger = ledger
        self._preparer = preparer
        self._check = check
        self._publish = publish
        self._over = False
        self._one = asyncio.Lock()

    async def before(self, identity: Identity) -> None:
        """Return once all IDs are on record that a claim of this one is compared with.

        Raises SourceError, LedgerError, and what ``check`` raises.
        """
        if self._over or not (identity.default_id or identity.named_id):
            return
        async with self._one:
            if not self._over:
                await self._learn()
                self._over = True

    async def _learn(self) -> None:
        fact = ids_learned(self._ledger.connection_id)
        if await self._ledger.fact(fact) == _LEARNED:
            return
        if await self._ledger.lacks_ids():
            self._publish(LearningStarted())
            async with aclosing(self._source.entries()) as listings:
                async for listing in listings:
                    self._check()
                    await self._learn_folder(listing)
        await apply_one(self._ledger, Remember(fact, _LEARNED))

    async def _learn_folder(self, listing: Listing) -> None:
        known = await self._ledger.known(listing.folder)
        lacking = {
            path: record
            for path, record in known.items()
            if record.default_id is None and record.status in MAYBE_STORED
        }
        if lacking:
            found = await to_thread.run_sync(self._found, listing, lacking)
            await apply_all(self._ledger, found)

    def _found(self, listing: Listing, lacking: dict[str, Record]) -> list[LearnIdentity]:
        found = []
        at_rest = {path: record.stat.about for path, record in lacking.items()}
        for each in self._preparer.describer.gather(listing, self._source.is_audio, at_rest)[0]:
            record = lacking.get(each.path)
            if record is None or not record.stat.is_like(version_of(each)):
                continue
            try:
                identity = self._preparer.identity(self._preparer.describer.describe(each))
            except SourceError:
                continue
            found.append(LearnIdentity(record.path, record.stat, identity))
        return found
