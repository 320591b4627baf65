"""A ledger and its manifest through what changes the one: a run, a decision, a search."""

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
    """An open ledger whose manifest says what it says, whenever this is done.

    ``manifest`` is None where none is written, ``belonging`` says which directory the ledger has to
    be of.
    """

    def __init__(
        self, ledger: Ledger, manifest: Path | None, belonging: Belonging | None = None
    ) -> None:
        self._ledger = ledger
        self._manifest = manifest
        self._agreement = Agreement(ledger, manifest, belonging)
        self._stale = False
        self._folder: tuple[int, int] | None = None

    async def begin(self) -> None:
        """See that the ledger is the right one, and that a kill from here on does not go unnoticed.

        What killed runs left is in doubt then. Raises what ``Agreement.begin`` does.
        """
        await self._agreement.begin()
        if self._manifest is not None:
            with suppress(OSError):  # where no note can be made no manifest can, and that is told
                self._folder = identity(self._manifest.parent)
            self._stale = mark_stale(self._manifest) or self._agreement.stale
        await self.recover()

    async def go_on(self) -> None:
        """Between two runs: see that a kill from here on does not go unnoticed either.

        What the first one left claimed, since it failed, is in doubt then. Raises LedgerError.
        """
        if self._manifest is not None:
            self._stale = mark_stale(self._manifest)
        await self.recover(ours=True)

    async def recover(self, *, ours: bool = False) -> None:
        """Have the claims of whoever does not live any more in doubt, and ``ours`` as well."""
        self._stale |= await self._ledger.recover(ours=ours) > 0

    async def finish(self, *, changed: bool = True) -> None:
        """Have the manifest say what the ledger says; ``changed`` if that says something new.

        Raises LedgerError.
        """
        if self._manifest is None:
            return
        self._require_folder(self._manifest)
        if self._stale or changed:
            await self._agreement.write()
        else:
            mark_current(self._manifest)

    async def save(self, error: LedgerGone) -> None:
        """Put what a ledger knew that is gone into the manifest, or else into the error's notes."""
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
        """Raise LedgerError if another directory is where the manifest's was at the beginning.

        It is not ours to write to, and the note in the other one tells the next run.
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
