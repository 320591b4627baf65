"""The state of a directory's ledger in numbers, how its runs ended, and what needs a human."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from anyio import to_thread
from msgspec import Struct, field

from batch_uploader.app.agreement import require_agreement
from batch_uploader.app.attention import AttentionKind, attention_by_kind
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.history import (
    MOST,
    concerns,
    ended_at,
    merged,
    moment_before,
    refused_runs,
)
from batch_uploader.app.places import (
    Places,
    Where,
    find_places,
    require_ledger,
    require_none_lost,
    require_on_record,
)
from batch_uploader.core.errors import ConfigError, LedgerError
from batch_uploader.core.model import PassedOver
from batch_uploader.core.records import Record
from batch_uploader.core.runs import Run
from batch_uploader.core.states import LASTING, NEEDS_ATTENTION, SENT_BY_ITSELF, Status
from batch_uploader.ledgers.places import has_ledger
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


class ConnectionStatus(Struct, frozen=True):
    """How the runs to one connection ended, and what they left.

    ``runs`` are the last one and the one that goes on, the latest first, or those of the time that
    was given. ``latest`` is the last one that has ended, ``last_success`` the last that did all
    that it could, None if there was none. ``backlog`` is how many recordings are known that are
    still to be sent: what the last run left, what failed and what waits. ``attention`` is by kind.
    The ID is empty for runs that ended before it was known.
    """

    connection_id: str
    runs: tuple[Run, ...]
    latest: Run | None
    last_success: Run | None
    backlog: int
    attention: tuple[AttentionKind, ...]

    @property
    def going_on(self) -> Run | None:
        """The run that goes on."""
        return next((run for run in self.runs if run.end is None), None)

    @property
    def ended_badly(self) -> tuple[Run, ...]:
        """The last run, or all of the time that was given, as far as they ended badly."""
        return tuple(run for run in self.runs if run.end is not None and run.end.is_bad)


class DirectoryStatus(Struct, frozen=True):
    """A snapshot of the ledger; a claim without a running run counts as in doubt.

    ``totals`` has every state, in order. ``running`` says whether a run goes on, ``kept_aside`` how
    many results are not in the ledger yet, since the disk was full. ``refusal`` is why a run would
    refuse this ledger, if so. ``connections`` are all in the ledger, even if one was given.
    ``gone`` is how many recordings on record the last run did not find, if these were most of them.
    ``left_out_by`` counts what filters left out, by filter. ``passed_over`` are the files that look
    like audio and that the last run did not take, by kind. ``by_connection`` has the runs;
    ``since_ns`` is the time from which on they were asked for, if so.
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
    by_connection: tuple[ConnectionStatus, ...] = ()
    since_ns: int | None = None

    @property
    def bad_runs(self) -> tuple[Run, ...]:
        """The last run of each connection, or all of the time that was given, that ended badly."""
        return tuple(run for each in self.by_connection for run in each.ended_badly)

    @property
    def never_ran(self) -> bool:
        """Whether nothing shows that any run did anything, or did in the time that was given."""
        if any(each.runs for each in self.by_connection):
            return False
        return self.since_ns is not None or not any(
            each.recordings for each in self.totals.values()
        )

    @property
    def is_fine(self) -> bool:
        """Whether nobody needs to do anything."""
        wrong = self.needs_attention or self.gone or self.refusal or self.bad_runs
        return not (wrong or self.never_ran)

    def is_new(self, row: Record) -> bool | None:
        """Whether it needs a human since the last run began, or since the time that was given.

        None if that is not dated: what is tried again by each run.
        """
        if row.status not in LASTING:
            return None
        ours = next((e for e in self.by_connection if e.connection_id == row.connection_id), None)
        kinds = () if ours is None else ours.attention
        if any(each.fits(row) and not each.known for each in kinds):
            return True  # what a killed run left is on record before the next one begins
        since_ns = self.since_ns
        if since_ns is None:
            since_ns = ours.runs[0].began_at_ns if ours and ours.runs else 0
        arose = row.settled_at_ns if row.since is None else row.since.wall_ns
        return arose is not None and arose >= since_ns

    @property
    def needs_attention(self) -> int:
        """How many recordings need a human."""
        return sum(self.totals[each].recordings for each in NEEDS_ATTENTION)

    async def records(self, status: Status) -> AsyncGenerator[Record]:
        """The recordings counted under this status, sorted by path."""
        if not self.totals[status].recordings:
            return  # there may be no ledger
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
    since: float | None = None,
) -> DirectoryStatus:
    """The state of a directory's recordings, for all connections or the given one.

    ``since`` asks for the runs of these last seconds, and what is new since then; without it only
    the last run of each connection counts. Changes nothing, and works during a run. Raises
    ConfigError, also for a connection that the ledger does not know, SourceError or LedgerError.
    """
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    since_ns = None if since is None else moment_before(since)
    refused = await refused_runs(places)
    if refused and not has_ledger(places.ledger):
        await to_thread.run_sync(require_none_lost, places)
        return _never_begun(places, refused, since_ns)
    require_ledger(places)
    # Checked before the ledger is read: a run that ends in between leaves no claims.
    running = await to_thread.run_sync(is_running, places.ledger)
    async with LedgerReader(places.ledger, places.connection_id) as reader:
        await require_on_record(places, reader)
        on_record = await reader.counts()
        totals = {each: on_record.get(each, _NONE) for each in Status}
        runs = merged(await reader.runs(MOST), refused, running=running)
        connections = tuple(await reader.connections())
        named = [places.connection_id] if places.connection_id else connections
        known = sorted({*named, *(run.connection_id for run in runs)} - {""}) or [""]
        return DirectoryStatus(
            places,
            totals if running else _without_claims(totals),
            running,
            await to_thread.run_sync(kept_answers, places.ledger),
            None if running else await _refusal(reader, places),
            connections,
            await told_as_gone(reader, places.connection_id),
            await reader.all_left_out(),
            await passed_over_by(reader, places.connection_id),
            tuple(
                [
                    await _of_connection(places, each, runs, since_ns, running=running)
                    for each in known
                ]
            ),
            since_ns,
        )


async def _of_connection(
    places: Places, connection_id: str, runs: Sequence[Run], since_ns: int | None, *, running: bool
) -> ConnectionStatus:
    mine = [run for run in runs if concerns(run, connection_id)]
    async with LedgerReader(places.ledger, connection_id) as reader:
        counts = await reader.counts()
        claims = 0 if running else counts.get(Status.CLAIMED, _NONE).recordings
        kinds = await attention_by_kind(reader, mine, since_ns=since_ns, claims=claims)
    latest = next((run for run in mine if run.end is not None), None)
    left = latest.end.left_over if latest and latest.end else 0
    return ConnectionStatus(
        connection_id,
        _shown(mine, latest, since_ns),
        latest,
        next((run for run in mine if run.end is not None and not run.end.is_bad), None),
        left + sum(counts.get(each, _NONE).recordings for each in SENT_BY_ITSELF),
        tuple(kinds),
    )


def _shown(runs: Sequence[Run], latest: Run | None, since_ns: int | None) -> tuple[Run, ...]:
    if since_ns is not None:
        return tuple(run for run in runs if run.end is None or ended_at(run) >= since_ns)
    going_on = [run for run in runs if run.end is None]
    return (*going_on, latest) if latest else tuple(going_on)


def _never_begun(places: Places, refused: Sequence[Run], since_ns: int | None) -> DirectoryStatus:
    """The status of a directory all of whose runs ended before there was a ledger."""
    latest, *_ = refused
    shown = _shown(refused, latest, since_ns)
    runs = ConnectionStatus(places.connection_id or "", shown, latest, None, 0, ())
    totals = dict.fromkeys(Status, _NONE)
    return DirectoryStatus(
        places,
        totals,
        running=False,
        kept_aside=0,
        refusal=None,
        connections=(),
        by_connection=(runs,),
        since_ns=since_ns,
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
