"""Records a human's decisions about recordings."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

from anyio import to_thread
from msgspec import Struct, field

from batch_uploader.app.belonging import Belonging
from batch_uploader.app.bookkeeping import Bookkeeping
from batch_uploader.app.choosing import by_path, in_states, named, needs_none, paths_in, unknown
from batch_uploader.app.decisions import PathDecision, Resolution
from batch_uploader.app.places import (
    Places,
    Where,
    find_places,
    require_connection,
    require_ledger,
    require_replaceable,
)
from batch_uploader.app.roots import require_not_adopted
from batch_uploader.core.cells import defuse
from batch_uploader.core.changes import Change, Remember, Settle, TakeBack
from batch_uploader.core.checks import require_texts, require_type
from batch_uploader.core.errors import ConfigError, SourceError
from batch_uploader.core.identity import Cause
from batch_uploader.core.parts import paths
from batch_uploader.core.ports import apply_all
from batch_uploader.core.records import Record
from batch_uploader.core.states import (
    DECIDABLE,
    MAYBE_STORED,
    NEEDS_ATTENTION,
    POSSIBLE,
    UNDECIDED,
    Status,
    Verdict,
)
from batch_uploader.core.text import printable
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.sources.directory import DirectorySource

REJECTED = frozenset({Status.REJECTED})
BY_HAND = frozenset({Status.UPLOADED})
"""These can be decided about if a human named their talk."""
_AT_ONCE = 1_000

_Chosen: TypeAlias = list[tuple[Record, Resolution]]


class Resolved(Struct, frozen=True):
    """The paths that were decided about, and those to be sent whose files are gone.

    ``counts`` has the number of recordings by verdict. ``rejected`` is the number of recordings
    rejected by the service that were not decided about, if all others are to be sent again.
    ``passed_over`` of the given decisions were for recordings that do not need them.
    """

    paths: tuple[str, ...]
    gone: tuple[str, ...] = ()
    rejected: int = 0
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    passed_over: int = 0


class _Wanted(Struct, frozen=True):
    """Which recordings are to be decided about, and how."""

    resolution: Resolution | None
    paths: Collection[str]
    statuses: frozenset[Status]
    causes: frozenset[Cause]
    kinds: frozenset[str]
    decisions: Sequence[PathDecision]

    def require_clear(self) -> None:
        """Raise ConfigError if it contradicts itself."""
        require_type("resolution", self.resolution, Resolution, optional=True)
        require_texts("paths", self.paths)
        for cause in self.causes:
            require_type("causes", cause, Cause)
        require_texts("kinds", self.kinds)
        named = self.paths or self.causes or self.kinds
        ways = [bool(named), bool(self.statuses), bool(self.decisions)]
        if ways.count(True) != 1:
            raise ConfigError(
                "it is unclear which recordings are meant",
                hint="specify their paths as status prints them, or --all, --rejected, --cause,"
                " --kind or --from",
            )
        if self.resolution is not None:
            self._require_possible(self.resolution)
        elif not self.decisions:
            raise ConfigError("the decision is missing", hint="give a resolution")

    def _require_possible(self, resolution: Resolution) -> None:
        if resolution.verdict is Verdict.UPLOADED and (len(set(self.paths)) != 1 or self.causes):
            raise ConfigError("--talk-id: a talk is one recording", hint="specify exactly one PATH")
        if self.causes and not resolution.ends & POSSIBLE:
            raise ConfigError(
                f"--cause and {resolution.verdict.value} contradict each other",
                hint="decide about possible duplicates with --resend or --duplicate",
            )
        if self.kinds and resolution.verdict is not Verdict.ACKNOWLEDGE:
            raise ConfigError(
                f"--kind and {resolution.verdict.value} contradict each other",
                hint="a kind of defect can be acknowledged",
            )
        for wrong in sorted(self.statuses - resolution.ends):
            what = "--rejected" if wrong in REJECTED else f"{wrong.label} recordings"
            ways = " or ".join(sorted(each.value for each in wrong.state.verdicts))
            raise ConfigError(
                f"{what} and {resolution.verdict.value} contradict each other",
                hint=f"decide about them with {ways}" if ways else "they need no decision",
            )

    @property
    def resends_all(self) -> bool:
        """Whether all that can be decided about is sent again, but for what was rejected."""
        resends = self.resolution is not None and self.resolution.verdict is Verdict.RESEND
        return resends and self.statuses == UNDECIDED

    async def choose(
        self, ledger: SqliteLedger, places: Places, faults: list[ConfigError] | None
    ) -> _Chosen:
        """The recordings with the decision about each. Raises ConfigError if one is unknown.

        With ``faults`` those of ``decisions`` are added there instead.
        """
        if self.resolution is None or self.decisions:
            return await _decided(ledger, self.decisions, places, faults)
        if not self.paths:
            chosen = await in_states(ledger, self._states(self.resolution))
        else:
            states = POSSIBLE if self.causes else self.resolution.ends
            # What a human named wrongly is decided about again, as the doubt that it was.
            states |= BY_HAND if states >= UNDECIDED else frozenset()
            words, many = list(dict.fromkeys(self.paths)), not self.resolution.talk_id
            chosen = await named(ledger, words, places, states, many=many)
            for each in chosen:
                if each.status in BY_HAND and not await _is_by_hand(ledger, each):
                    raise needs_none(each)
        if self.causes:
            chosen = [each for each in chosen if each.cause in self.causes]
            if self.paths and not chosen:
                causes = ", ".join(sorted(self.causes))
                raise ConfigError(
                    f"none of these has the cause {causes}", hint="see status for the causes"
                )
        if self.kinds:
            chosen = [each for each in chosen if each.failure and each.failure.code in self.kinds]
            if not chosen:
                kinds = " or ".join(map(printable, sorted(self.kinds)))
                raise ConfigError(
                    f"no recording there has the error {kinds}",
                    hint="status --json has the code of each error",
                )
        return [(each, self.resolution) for each in chosen]

    def _states(self, resolution: Resolution) -> frozenset[Status]:
        """The states of all that is meant without paths."""
        if self.kinds:
            return resolution.ends
        return POSSIBLE if self.causes else self.statuses


async def resolve_recordings(  # noqa: PLR0913 - all ways to say which recordings are meant
    directory: Where,
    resolution: Resolution | None = None,
    *,
    paths: Collection[str] = (),
    statuses: Collection[Status] = (),
    causes: Collection[Cause] = (),
    kinds: Collection[str] = (),
    decisions: Sequence[PathDecision] = (),
    faults: list[ConfigError] | None = None,
    confirm: Callable[[int], bool] | None = None,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> Resolved | None:
    """Decide about recordings: those of these paths, or all in these states.

    A path may be a folder or a pattern, and then stands for all that need attention there.
    ``causes`` are of possible duplicates: all of them, or those among the paths; ``kinds`` are the
    codes of the errors of what is invalid or rejected, likewise. ``decisions`` have
    a resolution each; those that a recording does not need are passed over. With ``faults``
    decisions about what is not on record, or with a talk of another recording, are added there as
    errors, and the others are applied.

    If some may be billed twice, ``confirm`` is called first, with the number that the service may
    hold; if it returns False, nothing is decided, and None is returned. Without it there is no
    confirmation. The connection may be omitted if the ledger has only one. Raises ConfigError,
    SourceError, LedgerLocked or LedgerError.
    """
    wanted = _Wanted(
        resolution, paths, frozenset(statuses), frozenset(causes), frozenset(kinds), decisions
    )
    wanted.require_clear()
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    require_replaceable(places.manifest, "--manifest")
    require_ledger(places)
    belonging = Belonging(places.ledger, places.root)
    async with SqliteLedger(places.ledger, await require_connection(places)) as opened:
        books = Bookkeeping(opened, places.manifest, belonging)
        await require_not_adopted(opened)
        await books.begin()
        wrong = len(faults or ())
        chosen = await wanted.choose(opened, places, faults)
        chosen = await _credible(opened, chosen, faults, of_any_form=confirm is None)
        resent = [each for each, how in chosen if how.verdict is Verdict.RESEND]
        stored = sum(
            each.status in MAYBE_STORED or each.duplicate_of is not None for each in resent
        )
        if stored and confirm is not None and not confirm(stored):
            await books.finish(changed=False)
            return None
        await _settle(opened, chosen)
        await books.finish()
        left = await paths_in(opened, REJECTED) if wanted.resends_all else []
    return Resolved(
        tuple(each.path for each, _ in chosen),
        tuple(await to_thread.run_sync(_gone, places.root, resent) if resent else ()),
        len(left),
        Counter(how.verdict for _, how in chosen),
        len(decisions) - len(chosen) - len(faults or ()) + wrong if decisions else 0,
    )


def _gone(directory: Path, chosen: Sequence[Record]) -> list[str]:
    """The paths whose files are missing, which cannot be sent."""
    gone = []
    with DirectorySource(directory) as source:
        for record in chosen:
            try:
                for path in paths(record.parts) or (record.path,):
                    source.stat(path)
            except SourceError:
                gone.append(record.path)
    return gone


async def _settle(ledger: SqliteLedger, chosen: _Chosen) -> None:
    # Many at a time share a commit, and each commit syncs the disk.
    for start in range(0, len(chosen), _AT_ONCE):
        some = chosen[start : start + _AT_ONCE]
        await apply_all(ledger, [change for each in some for change in _changes(ledger, *each)])


def _changes(ledger: SqliteLedger, record: Record, how: Resolution) -> Iterator[Change]:
    if record.status in BY_HAND and record.talk_id is not None:
        yield TakeBack(record.path, record.talk_id)
    # What is acknowledged was found by the rules on record.
    policy = record.policy if how.verdict is Verdict.ACKNOWLEDGE else None
    yield Settle(how.outcome(record.outcome), policy)
    if how.talk_id:
        yield Remember(_by_hand(ledger, record), how.talk_id)


def _by_hand(ledger: SqliteLedger, record: Record) -> str:
    """The name of the fact with the talk that a human named for a recording."""
    return f"by hand {ledger.connection_id} {record.path}"


async def _is_by_hand(ledger: SqliteLedger, record: Record) -> bool:
    """Whether a human, and not the service, says that it is this talk."""
    told = await ledger.fact(_by_hand(ledger, record))
    return record.talk_id is not None and told == record.talk_id and record.answered_seq is None


async def _decided(
    ledger: SqliteLedger,
    decisions: Sequence[PathDecision],
    places: Places,
    faults: list[ConfigError] | None,
) -> _Chosen:
    """The recordings that need these decisions."""
    ours = [each for each in decisions if each.connection_id in {None, ledger.connection_id}]
    known = await by_path(ledger, [each.path for each in ours], places)
    written = await _as_written(ledger) if any(each.is_defused for each in ours) else {}
    chosen: dict[str, tuple[Record, Resolution]] = {}
    for each in ours:
        record = written.get(each.path) if each.is_defused else known.get(each.path)
        if record is None:
            _found(faults, unknown(each.path, places), each.where)
            continue
        ends = each.resolution.ends
        if record.status in (ends if each.explicit else ends & NEEDS_ATTENTION):
            chosen[record.path] = record, each.resolution
    return list(chosen.values())


async def _as_written(ledger: SqliteLedger) -> dict[str, Record | None]:
    """What can be decided about, by its path in a CSV; None if two are written alike."""
    found: dict[str, Record | None] = {}
    for record in await in_states(ledger, DECIDABLE):
        path = defuse(record.path)
        found[path] = None if path in found else record
    return found


def _found(faults: list[ConfigError] | None, fault: ConfigError, where: str = "") -> None:
    """Add a fault, or raise it if faults are not collected."""
    if faults is None:
        raise fault
    if where:
        fault = ConfigError(f"{where}: {fault.problem}", hint=fault.hints)
    faults.append(fault)


async def _credible(
    ledger: SqliteLedger,
    chosen: _Chosen,
    faults: list[ConfigError] | None,
    *,
    of_any_form: bool,
) -> _Chosen:
    """Those whose talk can be theirs; the others are faults.

    A talk cannot be if it belongs to another recording, or is named for two. Unless it is
    ``of_any_form``, nor if it looks like none of those that the service named.
    """
    named = Counter(how.talk_id for _, how in chosen if how.talk_id)
    if not named:
        return chosen
    examples: dict[str, str] = {}
    owners: dict[str, str] = {}
    async with aclosing(ledger.everything(frozenset({Status.UPLOADED}))) as rows:
        async for row in rows:
            if row.talk_id and row.talk_id in named:
                owners[row.talk_id] = row.path
            if row.talk_id and row.answered_seq is not None:
                examples.setdefault(_form(row.talk_id), row.talk_id)
    credible = []
    for record, how in chosen:
        fault = None
        if how.talk_id in owners:
            earlier = " (as it was earlier)" if owners[how.talk_id] == record.path else ""
            fault = ConfigError(
                f"--talk-id: the talk {how.talk_id} belongs to"
                f" {printable(owners[how.talk_id])}{earlier}",
                hint="check the SpeechSense console again, or give this one up",
            )
        elif named[how.talk_id] > 1:
            fault = ConfigError(
                f"{printable(record.path)}: the talk {how.talk_id} is named for another one, too",
                hint="a talk is one recording: check the SpeechSense console again",
            )
        elif how.talk_id and examples and not of_any_form and _form(how.talk_id) not in examples:
            (first, *_) = examples.values()
            fault = ConfigError(
                f"--talk-id: {how.talk_id} has another form than the talks on record, such as"
                f" {first}",
                hint="copy the ID from the SpeechSense console; if it is right as it is, add --yes",
            )
        if fault is None:
            credible.append((record, how))
        else:
            _found(faults, fault)
    return credible


def _form(talk_id: str) -> str:
    """What the talk IDs of a service have in common: the length, and where they are divided."""
    return re.sub("[A-Za-z0-9]", "x", talk_id)
