"""Plans folder by folder what a run sends, skips, holds and reports."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Protocol, Self, TypeGuard

from anyio import to_thread
from msgspec import Struct, field
from msgspec.structs import replace

from batch_uploader.core.calls import files_of, possible
from batch_uploader.core.identity import BY_A_HUMAN, Cause
from batch_uploader.core.model import Entry, Listing, Outcome, Version
from batch_uploader.core.naming import is_sidecar, stem
from batch_uploader.core.ports import Source
from batch_uploader.core.records import Likeness, Record
from batch_uploader.core.states import (
    AT_REST,
    FILTERED,
    FORGETTABLE,
    FOUND_AGAIN,
    UNRESOLVED,
    WAITS,
    Action,
    Decision,
    Status,
)
from batch_uploader.core.waiting import Wait
from batch_uploader.plan.batch import Batch, Job, orphaned
from batch_uploader.plan.decide import (
    explained,
    filter_of,
    is_acknowledged,
    is_left_out,
    left_out,
    may_be_left_out,
    plan,
)
from batch_uploader.plan.passed_over import OtherFiles
from batch_uploader.plan.patience import Ages, Patience, postponed
from batch_uploader.plan.sampling import draw, is_drawn
from batch_uploader.prepare.bundle import Bundle, bundle_of, version_of
from batch_uploader.prepare.describer import Describer, Refreshed, look_ahead
from batch_uploader.prepare.filters import Digests, Filter, Filters
from batch_uploader.prepare.legs.lookalikes import Lookalikes
from batch_uploader.prepare.pairing import Orphan, names_of

_SMALL_FOLDER = 1_000
"""Larger folders are planned in a thread, so that they do not block the uploads."""
_DRAWN = Decision(Action.UPLOAD, "it was outside the sample")
_ALONE = Decision(Action.UPLOAD, "the mix that it was one side of is gone")


class Remembers(Protocol):
    """What planning needs of a ledger, or of its reader."""

    async def known(self, folder: str) -> dict[str, Record]:
        """The records of a folder, by path."""

    async def unchanged(
        self,
        folder: str,
        entries: Sequence[Entry],
        by: Likeness = Likeness.INODE,
        left_out: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """The number of recordings in a folder if a run can skip them all, else 0."""

    async def left_out(self, folder: str) -> dict[str, int]:
        """How many recordings of a folder are left out, by filter."""

    def rows(self, statuses: frozenset[Status] | None = None) -> AsyncGenerator[Record]:
        """Every record (in these states)."""


class FolderPlanner(Struct, frozen=True):
    """Plans a whole source against a ledger.

    What is younger than ``ages`` waits. ``policy`` is ``Rules.digest()``. With ``explain`` the
    batches have every decision. ``clock`` gives UTC nanoseconds. ``by`` is what is compared for
    files with the same sizes and times; with ``watches_inodes``, changed inodes are at least
    counted. ``drawn`` is the sample, if that is a number of recordings: see ``draw``. ``others``
    counts the files that look like audio and are not taken, ``lookalikes`` those that look like
    legs and are not joined.
    """

    source: Source
    ledger: Remembers
    describer: Describer
    policy: bytes
    ages: Ages
    explain: bool = False
    clock: Callable[[], int] = time.time_ns
    by: Likeness = Likeness.CTIME
    watches_inodes: bool = False
    filters: Filters = Filters()
    drawn: frozenset[int] | None = None
    others: OtherFiles = field(default_factory=OtherFiles)
    lookalikes: Lookalikes = field(default_factory=Lookalikes)

    @property
    def digests(self) -> Digests:
        """The digests of rules and filters."""
        return self.filters.digests(self.policy)

    async def with_sample(self) -> Self:
        """The same with the sample drawn, which takes a walk if it is a number of recordings."""
        sample = self.filters.sample
        if sample is None or sample.count is None:
            return self
        return replace(self, drawn=await draw(sample.count, self.source, self.ledger))

    async def batches(self) -> AsyncGenerator[Batch]:
        """One batch a folder. Raises SourceError if the root cannot be read."""
        self.others.begin()
        self.lookalikes.begin()
        async with aclosing(self._listings(counted=True)) as listings:
            async for listing in listings:
                yield await self._planned(listing)

    async def again(self, paths: Collection[str]) -> Batch:
        """Plan single recordings again, with their current sidecars.

        Walks the whole source, as a run does. Raises SourceError if the root cannot be read.
        """
        wanted, batch = set(paths), Batch("")
        folders = {path.rpartition("/")[0] for path in wanted}
        async with aclosing(self._listings()) as listings:
            async for listing in listings:
                if listing.folder not in folders:
                    continue
                known = await self.ledger.known(listing.folder)
                found = await self._off_the_loop(listing, known, wanted)
                batch.jobs += found.jobs
                batch.decisions += found.decisions
                batch.orphans += found.orphans
                batch.legs += found.legs
                batch.outside += found.outside
        found_again = {*(job.path for job in batch.jobs), *(o.entry.path for o in batch.orphans)}
        found_again.update(each.path for each in batch.legs + batch.outside)
        batch.dropped = sorted(wanted - found_again)
        return batch

    async def count(self, began: int) -> tuple[int, int]:
        """How many recordings and bytes a run has to send, including those sent already.

        ``began`` is when the run began, by the clock. Keeps only the sums.
        """
        files = nbytes = 0
        async with aclosing(self._listings()) as listings:
            async for listing in listings:
                known = await self.ledger.known(listing.folder)
                before = {
                    path: each
                    for path, each in known.items()
                    # What is open, or was settled since, belongs to this run.
                    if each.settled_at_ns is not None and each.settled_at_ns < began
                }
                batch = await self._off_the_loop(listing, before)
                files += len(batch.jobs)
                nbytes += sum(job.size for job in batch.jobs)
        return files, nbytes

    async def _listings(self, *, counted: bool = False) -> AsyncGenerator[Listing]:
        """What the source lists, without the sidecars of files that are not taken."""
        async with aclosing(self.source.entries()) as listings:
            async for listing in listings:
                if counted:
                    self.lookalikes.see(listing.entries, self.source.is_audio)
                yield await self.others.sort_out(self.source, listing, counted=counted)

    async def _planned(self, listing: Listing) -> Batch:
        # Most folders are unchanged in most runs: then their records are not even decoded.
        plain = listing.entries and not listing.unreadable and not self.explain
        if plain and self.describer.settled(listing):
            by = Likeness.INODE if self.watches_inodes else self.by
            still = self.digests.leaving_out
            unchanged = await self.ledger.unchanged(listing.folder, listing.entries, by, still)
            if unchanged and not (self.drawn and any(is_drawn(self.drawn, listing.entries))):
                kept = unchanged if by is Likeness.INODE else 0
                left = Counter(await self.ledger.left_out(listing.folder) if still else {})
                there = unchanged - left.total()
                if listing.mixes:
                    left[Filter.LEGS.value] = listing.mixes
                return Batch(
                    listing.folder,
                    left_out=left,
                    already_there=there,
                    kept=kept,
                    on_record=unchanged,
                )
        return await self._off_the_loop(listing, await self.ledger.known(listing.folder))

    async def _off_the_loop(
        self, listing: Listing, known: dict[str, Record], only: Collection[str] | None = None
    ) -> Batch:
        if not isinstance(self.describer, Refreshed):
            if len(listing.entries) <= _SMALL_FOLDER and only is None:
                return self._plan(listing, known)
            return await to_thread.run_sync(self._plan, listing, known, only)
        # What is asked of tables has to be waited for.
        batch = await to_thread.run_sync(self._plan, listing, known, only)
        news = any(job.action is Action.UPLOAD for job in batch.jobs)
        if news and await look_ahead(self.describer, self.source):
            batch = await to_thread.run_sync(self._plan, listing, known, only)
        return batch

    def _plan(
        self, listing: Listing, known: dict[str, Record], only: Collection[str] | None = None
    ) -> Batch:
        known = dict(known)
        batch = Batch(
            listing.folder,
            on_record=sum(is_result(known.get(entry.path)) for entry in listing.entries),
            left_out=Counter({Filter.LEGS.value: listing.mixes} if listing.mixes else {}),
            # In a folder that cannot be listed, missing files are not known to be gone.
            listed=all(defect.path != listing.folder for defect in listing.unreadable),
        )
        at_rest = {
            path: record.stat.about for path, record in known.items() if record.status in AT_REST
        }
        bundles, orphans = self.describer.gather(listing, self.source.is_audio, at_rest)
        if only is not None:
            bundles = [each for each in bundles if each.path in only]
            orphans = [each for each in orphans if each.entry.path in only]
        now = self.clock()
        undecided: set[str] = set()
        for each in bundles:
            before = known.pop(each.path, None)
            if not is_result(before) or before.status is Status.POSSIBLE_DUPLICATE:
                undecided.add(stem(each.path))
            self._plan_bundle(batch, each, Patience(self.ages, now, version_of(each), before))
        for orphan in orphans:
            seen = version_of(bundle_of(orphan.entry))
            before = known.pop(orphan.entry.path, None)
            self._plan_orphan(batch, orphan, Patience(self.ages, now, seen, before))
        for defect in listing.unreadable:
            known.pop(defect.path, None)
            batch.unreadable.append(defect)
        if batch.listed and known:
            files = {path for entry in listing.entries for path in names_of(entry)}
            for path, last in known.items():
                if last.status in FORGETTABLE and not self._is_kept(path, last, undecided):
                    (batch.gone if is_result(last) else batch.gone_waiting).append(path)
                    there = files.issuperset(part.path for part in files_of(last))
                    batch.regrouped += there and is_result(last)
        return batch

    def _plan_bundle(self, batch: Batch, bundle: Bundle, patience: Patience) -> None:
        wait = patience.still(*bundle.parts, *bundle.about)
        if wait is None and bundle.audio.lacks is not None:
            wait = patience.counterpart(bundle.audio, Wait.LEG)
        if wait is not None:
            self._wait(batch, bundle.path, patience, wait)
        elif self._leaves_out(batch, bundle.path, patience.version, patience.before):
            pass
        elif bundle.mix is not None and not _is_another_call(patience.before):
            self._hold_leg(batch, bundle, bundle.mix, patience)
        else:
            self._decide(batch, bundle, patience)

    def _plan_orphan(self, batch: Batch, orphan: Orphan, patience: Patience) -> None:
        wait = patience.still(orphan.entry)
        if wait is None and orphan.defect.may_pass:
            wait = patience.counterpart(orphan.entry, Wait.RECORDING)
        if wait is not None:
            self._wait(batch, orphan.entry.path, patience, wait)
        else:
            self._report(batch, orphan, patience.before)

    def _is_kept(self, path: str, left: Record, undecided: Collection[str]) -> bool:
        """Whether others may need the record of a missing file.

        What is new at the place of a possible duplicate may be made of that. If the file is
        excluded in this run, a defect needs none: a run that does not exclude it finds it again,
        and so it is with what a filter left out.
        """
        if left.status is Status.POSSIBLE_DUPLICATE and stem(path) in undecided:
            return True
        excluded = not (self.source.is_audio(path) or is_sidecar(path))
        return excluded and left.status not in (FILTERED & FOUND_AGAIN) | WAITS

    def _wait(self, batch: Batch, path: str, patience: Patience, wait: Wait) -> None:
        if self.explain:
            batch.decisions.append((path, Decision(Action.WAIT, wait.message)))
        batch.waits.append(postponed(path, patience.version, wait, patience.before, patience.now))

    def _leaves_out(self, batch: Batch, path: str, now: Version, before: Record | None) -> bool:
        """Whether it is outside the sample."""
        left = self.filters.by_sample(path, self.drawn)
        if left is None or not may_be_left_out(before, now):
            return False
        outcome = left_out(path, now, left)
        if self.explain:
            batch.decisions.append((path, Decision(Action.SKIP, left.message)))
        if (
            before is not None
            and (before.status, before.failure) == (outcome.status, outcome.failure)
            and self.digests.leave_out(before.policy)
            and before.stat.is_like(now)
        ):
            batch.left_out[left.by.value] += 1
        else:
            batch.outside.append(outcome)
        return True

    def _decide(self, batch: Batch, bundle: Bundle, patience: Patience) -> None:
        stat, before = patience.version, patience.before
        decision = plan(stat, before, self.policy, self.by, self.digests)
        if before is not None and is_left_out(before) and filter_of(before) == Filter.SAMPLE:
            # It is in the sample now.
            decision = _DRAWN
        if before is not None and before.cause is Cause.LEG and decision.action is Action.HOLD:
            decision = _ALONE
        if self.explain:
            batch.decisions.append((bundle.path, explained(decision, before)))
        if before is not None and before.stat.is_like(stat):
            self._compare(batch, before, stat)
        if decision.action is Action.COMPARE:
            batch.already_there += 1
            inode_alone = plan(stat, before, self.policy, Likeness.CTIME).action is Action.SKIP
            some = batch.by_inode if inode_alone else batch.looks
            some.append(Job(bundle, decision.action, before))
        elif decision.action is Action.SKIP and before is not None and is_left_out(before):
            batch.left_out[filter_of(before)] += 1
        elif decision.action is Action.SKIP and not is_acknowledged(before):
            batch.already_there += 1
        elif decision.action in {Action.HOLD, Action.SKIP} and before is not None:
            batch.held.append(before.outcome)
        else:
            batch.jobs.append(Job(bundle, decision.action, before, due=patience.due(bundle.audio)))

    def _hold_leg(self, batch: Batch, leg: Bundle, mix: str, patience: Patience) -> None:
        """Keep one side of a call from being billed beside the mix of both."""
        before = patience.before
        outcome = Outcome(
            leg.path,
            Status.POSSIBLE_DUPLICATE,
            version_of(leg),
            failure=possible(Cause.LEG, mix),
            duplicate_of=mix,
            cause=Cause.LEG,
        )
        if before is not None and before.status in AT_REST:
            # It was uploaded before its mix came; perhaps its file is another one now.
            self._decide(batch, leg, patience)
        elif before is not None and (before.status in UNRESOLVED or _is_held_leg(before, outcome)):
            batch.held.append(before.outcome)
        else:
            batch.legs.append(outcome)

    def _compare(self, batch: Batch, before: Record, stat: Version) -> None:
        """Compare change times and inodes of files with the same sizes and modification times."""
        if before.stat.inode is not None and before.stat.ctime_ns == stat.ctime_ns:
            same = before.stat.inode == stat.inode
            batch.kept += same
            batch.moved += not same
        if self.by > Likeness.MTIME and before.status not in UNRESOLVED and before.stat.lacks(stat):
            batch.learned.append((before.path, stat))

    def _report(self, batch: Batch, orphan: Orphan, before: Record | None) -> None:
        entry = orphan.entry
        now = Version(entry.size, entry.mtime_ns)
        if self.source.is_audio(entry.path) and self._leaves_out(batch, entry.path, now, before):
            return
        if before is None:
            batch.orphans.append(orphan)
        elif before.status in AT_REST:
            # It is uploaded; an extra sidecar does not change that.
            batch.already_there += 1
        elif before.status in UNRESOLVED or _as_found(before.outcome) == orphaned(orphan):
            batch.held.append(before.outcome)
        else:
            batch.orphans.append(orphan)


def is_result(before: Record | None) -> TypeGuard[Record]:
    """Whether it is on record as more than waiting."""
    return before is not None and before.status not in WAITS


def _as_found(outcome: Outcome) -> Outcome:
    """An acknowledged defect as it was found."""
    if outcome.status is not Status.ACKNOWLEDGED:
        return outcome
    return replace(outcome, status=Status.INVALID)


def _is_another_call(before: Record | None) -> bool:
    """Whether a human decided that it is a call of its own."""
    return before is not None and before.cause in BY_A_HUMAN


def _is_held_leg(before: Record, now: Outcome) -> bool:
    """Whether it is on record as a side of the same mix already."""
    same = (before.status, before.cause, before.duplicate_of) == (
        *(now.status, now.cause),
        now.duplicate_of,
    )
    return same and before.stat.is_like(now.stat)
