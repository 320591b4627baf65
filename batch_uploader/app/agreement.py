"""Checks that a ledger has all that its manifest lists: an older one put back in place has not.

A ledger never forgets, so it agrees for ever with a manifest that it once agreed with. It stores
the seals of the last few; any other one is compared with it, line by line.
"""

from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import msgspec
from anyio import CancelScope, to_thread

from batch_uploader.app.belonging import Belonging
from batch_uploader.core.changes import Remember
from batch_uploader.core.errors import LedgerError
from batch_uploader.core.ports import Ledger, apply_one
from batch_uploader.core.records import Record
from batch_uploader.core.states import MAYBE_STORED
from batch_uploader.ledgers.manifest import Seal, look_at, read_manifest, seal_of, write_manifest
from batch_uploader.ledgers.places import TAKE_OVER, manifest_path

_FACT: Final = "manifests"
_REMEMBERED: Final = 8
"""More than the manifests that are written in turns with ``--manifest``."""
_AT_ONCE: Final = 1_000
_CURE: Final = (
    "if the ledger is the newest one, move the manifest away: the next run writes a new one; else"
    " restore both from a backup"
)


class KnowsTalks(Protocol):
    """The part of a ledger that the comparison needs."""

    async def fact(self, name: str) -> str | None:
        """As ``ports.Ledger``."""

    async def unheard(self, rows: Sequence[Record]) -> list[Record]:
        """As ``ports.Ledger``."""


async def find_news(ledger: KnowsTalks, manifest: Path) -> tuple[Record | None, Seal | None]:
    """The first line of a manifest that its ledger lacks, and the manifest's seal.

    The seal is None without a manifest. Raises LedgerError if it cannot be read.
    """
    found = await to_thread.run_sync(look_at, manifest)
    if found is None:
        return None, None
    remembered = _decode(await ledger.fact(_FACT))
    for seal in remembered:
        if seal.fits(found):
            return None, seal
    seal = await to_thread.run_sync(seal_of, manifest)
    if seal.sha256 in {each.sha256 for each in remembered}:
        return None, seal
    lines = (row for row in read_manifest(manifest, _CURE) if row.status in MAYBE_STORED)
    while rows := await to_thread.run_sync(_take, lines):
        for row in await ledger.unheard(rows):
            return row, seal
    return None, seal


async def require_agreement(ledger: KnowsTalks, manifest: Path, belonging: Belonging) -> None:
    """Raise ConfigError or LedgerError as ``Agreement.begin`` does; for readers."""
    await belonging.require(ledger)
    for each in dict.fromkeys((manifest, manifest_path(belonging.root))):
        news, _ = await find_news(ledger, each)
        if news is not None:
            raise behind(each, news)


class Agreement:
    """Keeps an open ledger and its manifest in agreement.

    ``manifest`` is None if none is written. ``belonging`` names the directory that the ledger must
    belong to: then it must also have the content of the manifest at that directory's default path.
    """

    def __init__(
        self,
        ledger: Ledger,
        manifest: Path | None,
        belonging: Belonging | None = None,
    ) -> None:
        self._ledger = ledger
        self._belonging = belonging
        self._manifest = manifest
        self.stale = False
        """Whether the file is not the manifest that the ledger wrote last, and must be
        rewritten."""
        usual = None if belonging is None else manifest_path(belonging.root)
        self._all = [*dict.fromkeys(each for each in (manifest, usual) if each is not None)]

    async def begin(self) -> None:
        """Check that the ledger is the right one, before it is used.

        Raises LedgerError if it is behind, ConfigError if it belongs to another directory. From
        here on it belongs to this one.
        """
        if self._belonging is not None:
            await self._belonging.require(self._ledger)
        await self._require()
        if self._belonging is not None:
            await self._belonging.settle(self._ledger)

    async def _require(self) -> None:
        for manifest in self._all:
            news, seal = await find_news(self._ledger, manifest)
            if news is not None:
                raise behind(manifest, news)
            if seal is not None:
                await self._accept(manifest, seal)

    async def write(self) -> None:
        """Write the manifest, unless another one is there by now. Raises LedgerError."""
        if self._manifest is None:
            return
        with CancelScope(shield=True):
            await self._require()
            async with aclosing(self._ledger.everything()) as rows:
                seal = await write_manifest(rows, self._manifest)
            # After a kill in between, or if the ledger is gone, the manifest is just compared once.
            with suppress(LedgerError):
                await self._remember(seal)

    async def _accept(self, manifest: Path, seal: Seal) -> None:
        before = _decode(await self._ledger.fact(_FACT))
        if manifest == self._manifest:
            self.stale = not before or before[0].sha256 != seal.sha256
        if seal not in before:
            # Not first, which is the seal written last: another manifest may be there until the run
            # ends.
            kept = [seal if each.sha256 == seal.sha256 else each for each in before]
            await self._keep(kept if seal in kept else [*before[: _REMEMBERED - 1], seal])

    async def _remember(self, seal: Seal) -> None:
        before = _decode(await self._ledger.fact(_FACT))
        if before[:1] != [seal]:
            others = [each for each in before if each.sha256 != seal.sha256]
            await self._keep([seal, *others][:_REMEMBERED])

    async def _keep(self, seals: Sequence[Seal]) -> None:
        seals_text = msgspec.json.encode(seals).decode()
        await apply_one(self._ledger, Remember(_FACT, seals_text))


def behind(manifest: Path, news: Record) -> LedgerError:
    """The error of a ledger that lacks a line of a manifest."""
    what = f"the talk {news.talk_id} of {news.path}" if news.talk_id else f"{news.path}"
    return LedgerError(
        f"the ledger is behind the manifest {manifest}, which has {what} ({news.status.label}): an"
        " older ledger was put back, or this is another ledger's manifest; nothing is sent, since"
        " recordings could be sent twice",
        hint=[
            "put the newest ledger back, with all of ledger.db*, or specify the right one",
            "if that is another directory's manifest, specify its own with --manifest",
            TAKE_OVER,
        ],
    )


def _decode(text: str | None) -> list[Seal]:
    return [] if text is None else msgspec.json.decode(text, type=list[Seal])


def _take(rows: Iterator[Record]) -> list[Record]:
    return list(islice(rows, _AT_ONCE))
