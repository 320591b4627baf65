"""Keeps a run apart from those of directories above and below, and from what they sent."""

import os
from types import TracebackType
from typing import Self

from anyio import to_thread

from batch_uploader.app.adopting import Adopted, adopt, return_home
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.places import Places
from batch_uploader.app.roots import NewHome, Roots, looked_below
from batch_uploader.core.changes import Remember
from batch_uploader.core.errors import LedgerLocked
from batch_uploader.core.ports import Ledger, apply_one
from batch_uploader.host.treelock import Holder, TreeLock
from batch_uploader.sources.directory import DirectorySource


class RootGuard:
    """For one session of an Uploader, as an async context manager around its ledger.

    With ``adopts`` it adopts the ledgers of other directories, else it refuses if there are any.
    """

    def __init__(
        self,
        places: Places,
        belonging: Belonging,
        roots: Roots,
        source: DirectorySource,
        *,
        adopts: bool,
    ) -> None:
        self._places = places
        self._belonging = belonging
        self._roots = roots
        self._source = source
        self._adopts = adopts
        self._lock = TreeLock(roots.root)
        self._conflict: LedgerLocked | None = None
        self._is_new = False

    async def __aenter__(self) -> Self:
        """Lock the directory; before a ledger is created, look for others.

        Raises LedgerLocked if a run above or below goes on, and what ``require`` raises.
        """
        holder = await to_thread.run_sync(self._lock.acquire)
        self._conflict = None if holder is None else self._locked_by(holder)
        try:
            self._is_new = not self._places.ledger.exists()
            if self._is_new:
                await self._require_lock()
                await self._require_none()
            elif holder is not None and holder.root != self._roots.root:
                await self._require_lock()
        except BaseException:
            self._lock.release()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the directory."""
        self._lock.release()

    async def require(self, ledger: Ledger) -> None:
        """Raise ConfigError if another ledger than the open one knows recordings of the directory.

        LedgerLocked if the directory is in use: who has its ledger has been told by then.
        """
        await self._require_lock()
        await self._belonging.require(ledger)
        if not self._is_new:
            await self._require_none()

    async def _require_none(self) -> None:
        if not self._adopts:
            await to_thread.run_sync(self._roots.require_none, self._source)

    async def settle(self, ledger: Ledger) -> list[Adopted]:
        """Adopt what is to be adopted, and record in the open ledger that nothing is left to be."""
        done: list[Adopted] = []
        if self._adopts:
            home = await to_thread.run_sync(self._roots.new_home)
            own = NewHome(
                "", os.fspath(self._roots.root), os.fspath(self._places.ledger.absolute())
            )
            found = await to_thread.run_sync(self._roots.find_all, self._source)
            done = [await adopt(ledger, own, other) for other in found]
            if home is not None and any(self._roots.is_home(each, home) for each in found):
                await return_home(ledger)
        looked = looked_below(ledger.connection_id)
        if await ledger.fact(looked) is None:
            await apply_one(ledger, Remember(looked, "1"))
        if self._adopts:
            await to_thread.run_sync(self._roots.require_none, self._source)
        return done

    async def _require_lock(self) -> None:
        if self._conflict is not None:
            raise self._conflict

    def _locked_by(self, holder: Holder) -> LedgerLocked:
        root = self._roots.root
        who = "another run" if holder.pid is None else f"another run (process {holder.pid})"
        if holder.root == root:
            what = f"uses {root}"
        elif holder.root is not None and root.is_relative_to(holder.root):
            what = f"uses {holder.root}, which contains {root}"
        else:
            what = f"uses {holder.root or 'a directory'} below {root}"
        return LedgerLocked(f"{who} {what}", hint="wait for its end, or stop it")
