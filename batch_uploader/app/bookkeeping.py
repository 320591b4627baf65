"""Keeps a ledger and its manifest together during a run, a decision or a search."""

from contextlib import aclosing, suppress
from pathlib import Path

from anyio import to_thread

from batch_uploader.app.agreement import Agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.core.errors import LedgerError, LedgerGone
from batch_uploader.core.ports import Ledger
from batch_uploader.core.states import MAYBE_STORED
from batch_uploader.host.beneath import identity
from batch_uploader.ledgers.manifest import mark_current, mark_stale, read_manifest
from batch_uploader.ledgers.places import REBUILD


class Bookkeeping:
    """An open ledger whose manifest is brought up to date at the end.

    ``manifest`` is None if none is written, ``belonging`` names the directory that the ledger must
    belong to.
    """

    def __init__(
        self, ledger: Ledger, manifest: Path | None, belonging: Belonging | None = None
    ) -> None:
        self._ledger = ledger
        self._manifest = manifest
        self._agreement = Agreement(ledger, manifest, belonging)
        self.stale = False
        """Whether the manifest is out of date."""
        self._folder: tuple[int, int] | None = None

    async def begin(self) -> None:
        """Check that the ledger is the right one, and note that the manifest may fall behind.

        Claims of killed runs become doubts. Raises what ``Agreement.begin`` does.
        """
        await self._agreement.begin()
        if self._manifest is not None:
            with suppress(OSError):  # then the manifest cannot be written either, which is reported
                self._folder = identity(self._manifest.parent)
            self.stale = mark_stale(self._manifest) or self._agreement.stale
        await self.recover()

    async def go_on(self) -> None:
        """Between two runs: note again that the manifest may fall behind.

        Claims that the first run left because it failed become doubts. Raises LedgerError.
        """
        if self._manifest is not None:
            self.stale = mark_stale(self._manifest)
        await self.recover(ours=True)

    async def recover(self, *, ours: bool = False) -> None:
        """Turn the claims of owners that are gone into doubts; with ``ours`` also this one's."""
        self.stale |= await self._ledger.recover(ours=ours) > 0

    async def finish(self, *, changed: bool = True) -> None:
        """Write the manifest if it is out of date; ``changed``: the ledger has changed.

        Raises LedgerError.
        """
        if self._manifest is None:
            return
        self._require_folder(self._manifest)
        if self.stale or changed:
            await self._agreement.write()
        else:
            mark_current(self._manifest)

    async def save(self, error: LedgerGone) -> None:
        """Write the content of a ledger that is gone to the manifest, else to the error's notes."""
        known: set[str | None] = set()
        try:
            if self._manifest is not None:
                with suppress(LedgerError):
                    known = await to_thread.run_sync(_talks, self._manifest)
                await self.finish()
                error.hints = (*error.hints, "put the ledger back", REBUILD)
                error.add_note(f"the manifest {self._manifest} has all that it knew")
                return
        except LedgerError as also:
            error.add_note(str(also))
        async with aclosing(self._ledger.everything(MAYBE_STORED)) as rows:
            async for row in rows:
                if row.talk_id is None:
                    error.add_note(f"{row.path} may be stored")
                elif row.talk_id not in known:
                    error.add_note(f"{row.path} is stored as talk {row.talk_id}")

    def _require_folder(self, manifest: Path) -> None:
        """Raise LedgerError if the manifest's folder was replaced since the beginning.

        The new one must not be written to, and the note in the old one tells the next run.
        """
        with suppress(OSError):
            if identity(manifest.parent) == self._folder:
                return
        raise LedgerError(
            f"the manifest {manifest} was not written: its directory was moved during the run",
            hint="the next run over the directory, wherever it is, writes it",
        )


def _talks(manifest: Path) -> set[str | None]:
    return {row.talk_id for row in read_manifest(manifest)}
