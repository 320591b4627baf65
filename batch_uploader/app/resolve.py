"""Records a human's decisions about recordings that may or may not be stored."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.belonging import Belonging
from batch_uploader.app.bookkeeping import Bookkeeping
from batch_uploader.app.places import (
    Places,
    Where,
    find_places,
    require_connection,
    require_ledger,
    require_replaceable,
)
from batch_uploader.core.changes import Settle
from batch_uploader.core.checks import require_texts, require_type
from batch_uploader.core.errors import ConfigError, SourceError
from batch_uploader.core.model import Failure, Outcome
from batch_uploader.core.ports import apply_all
from batch_uploader.core.states import MAYBE_STORED, UNDECIDED, Status, Verdict, decided_by
from batch_uploader.core.text import printable, quote
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.sources.directory import DirectorySource, escape_name

REJECTED = frozenset({Status.REJECTED})
_LONGEST_TALK_ID = 200
_AT_ONCE = 1_000


class Resolution(Struct, frozen=True):
    """A human's verdict; ``talk_id`` only with UPLOADED. Raises ConfigError otherwise."""

    verdict: Verdict
    talk_id: str = ""

    def __post_init__(self) -> None:
        """Raise ConfigError for an invalid, missing or superfluous talk ID."""
        require_type("verdict", self.verdict, Verdict)
        require_type("talk_id", self.talk_id, str)
        word = self.talk_id
        if self.verdict is not Verdict.UPLOADED:
            if word:
                raise ConfigError(f"--talk-id and {self.verdict.value} contradict each other")
        elif not (word.isascii() and word.isprintable()) or " " in word or not word:
            raise ConfigError(
                "--talk-id: not a talk ID", hint="copy it from the SpeechSense console"
            )
        elif len(word) > _LONGEST_TALK_ID:
            raise ConfigError("--talk-id: too long for a talk ID", hint="copy only the ID")

    @property
    def ends(self) -> frozenset[Status]:
        """The states in which it is allowed."""
        return decided_by(self.verdict)

    def outcome(self, before: Outcome) -> Outcome:
        """The outcome to record."""
        match self.verdict:
            case Verdict.UPLOADED:
                status, failure = Status.UPLOADED, None
            case Verdict.RESEND:
                status = Status.FAILED
                failure = Failure("RESEND", "somebody decided to send it again with the next run")
            case Verdict.GIVE_UP:
                status = Status.GIVEN_UP
                failure = Failure("GIVEN_UP", "somebody decided to give it up")
        return Outcome(
            path=before.path,
            status=status,
            stat=before.stat,
            attempts=before.attempts,
            talk_id=self.talk_id or None,
            failure=failure,
            duration=before.duration,
            container=before.container,
        )


class Resolved(Struct, frozen=True):
    """The paths that were decided about, and those of them whose files are gone.

    ``rejected`` is the number of recordings rejected by the service that were not decided about, if
    all others are to be sent again.
    """

    paths: tuple[str, ...]
    gone: tuple[str, ...] = ()
    rejected: int = 0


async def resolve_recordings(
    directory: Where,
    resolution: Resolution,
    *,
    paths: Collection[str] = (),
    statuses: Collection[Status] = (),
    confirm: Callable[[int], bool] | None = None,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> Resolved | None:
    """Decide about recordings: those of these paths, or all in these states.

    If some may be billed twice, ``confirm`` is called first, with the number that the service may
    hold; if it returns False, nothing is decided, and None is returned. Without it there is no
    confirmation. The connection may be omitted if the ledger has only one. Raises ConfigError,
    SourceError, LedgerLocked or LedgerError.
    """
    states = _wanted(resolution, paths, statuses)
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id
    )
    require_replaceable(places.manifest, "--manifest")
    require_ledger(places)
    belonging = Belonging(places.ledger, places.root)
    async with SqliteLedger(places.ledger, await require_connection(places)) as opened:
        books = Bookkeeping(opened, places.manifest, belonging)
        await books.begin()
        chosen = (
            await _named(opened, list(dict.fromkeys(paths)), places, resolution)
            if paths
            else await _all(opened, states)
        )
        if resolution.verdict is Verdict.UPLOADED:
            await _require_unused(opened, resolution.talk_id, chosen[0].path)
        resends = resolution.verdict is Verdict.RESEND
        stored = sum(each.status in MAYBE_STORED for each in chosen)
        if resends and stored and confirm is not None and not confirm(stored):
            await books.finish(changed=False)
            return None
        await _settle(opened, map(resolution.outcome, chosen))
        await books.finish()
        left = await _paths(opened, REJECTED) if resends and states == UNDECIDED else []
    gone = await to_thread.run_sync(_gone, places.root, chosen) if resends else []
    return Resolved(tuple(each.path for each in chosen), tuple(gone), len(left))


def _wanted(
    resolution: Resolution, paths: Collection[str], statuses: Collection[Status]
) -> frozenset[Status]:
    """The states whose recordings are all decided about. Raises ConfigError if unclear."""
    require_type("resolution", resolution, Resolution)
    require_texts("paths", paths)
    if bool(paths) == bool(statuses):
        raise ConfigError(
            "it is unclear which recordings are meant",
            hint="specify their paths as status prints them, or --all or --rejected",
        )
    if resolution.verdict is Verdict.UPLOADED and len(set(paths)) != 1:
        raise ConfigError("--talk-id: a talk is one recording", hint="specify exactly one PATH")
    states = frozenset(statuses)
    for wrong in sorted(states - resolution.ends):
        what = "--rejected" if wrong in REJECTED else f"{wrong.label} recordings"
        ways = " or ".join(sorted(each.value for each in wrong.state.verdicts))
        raise ConfigError(
            f"{what} and {resolution.verdict.value} contradict each other",
            hint=f"decide about them with {ways}" if ways else "they need no decision",
        )
    return states


def _gone(directory: Path, chosen: Sequence[Outcome]) -> list[str]:
    """The paths whose files are missing, which cannot be sent."""
    gone = []
    with DirectorySource(directory) as source:
        for outcome in chosen:
            try:
                source.stat(outcome.path)
            except SourceError:
                gone.append(outcome.path)
    return gone


async def _settle(ledger: SqliteLedger, outcomes: Iterator[Outcome]) -> None:
    # Many at a time share a commit, and each commit syncs the disk.
    while batch := list(islice(outcomes, _AT_ONCE)):
        await apply_all(ledger, list(map(Settle, batch)))


async def _all(ledger: SqliteLedger, states: frozenset[Status]) -> list[Outcome]:
    paths = await _paths(ledger, states)
    known = await ledger.get(paths)
    # A listed record may be superseded: the path's current record may be another.
    return [known[path].outcome for path in paths if path in known and known[path].status in states]


async def _paths(ledger: SqliteLedger, states: frozenset[Status]) -> list[str]:
    async with aclosing(ledger.rows(states)) as rows:
        return list(dict.fromkeys([row.path async for row in rows]))


async def _named(
    ledger: SqliteLedger, typed: Sequence[str], places: Places, resolution: Resolution
) -> list[Outcome]:
    readings = {word: _readings(word, places.directory) for word in typed}
    known = await ledger.get(path for paths in readings.values() for path in paths)
    chosen: dict[str, Outcome] = {}
    for word, paths in readings.items():
        before = next((known[path] for path in paths if path in known), None)
        if before is None:
            raise ConfigError(
                f"{printable(word)} is not in the ledger",
                hint=f"to see the paths: batch-uploader status {quote(os.fspath(places.directory))}"
                f"{places.elsewhere()}",
            )
        if before.status not in resolution.ends:
            raise ConfigError(
                f"{before.path} is {before.status.label}: it needs no decision",
                hint="recordings in doubt or in conflict can be decided about; with --resend also"
                " rejected ones, and with --resend or --talk-id those that were given up",
            )
        chosen[before.path] = before.outcome
    return list(chosen.values())


async def _require_unused(ledger: SqliteLedger, talk_id: str, path: str) -> None:
    """Raise ConfigError if the talk belongs to another recording."""
    async with aclosing(ledger.everything(frozenset({Status.UPLOADED}))) as rows:
        async for row in rows:
            if row.talk_id == talk_id:
                earlier = " (as it was earlier)" if row.path == path else ""
                raise ConfigError(
                    f"--talk-id: the talk {talk_id} belongs to {printable(row.path)}{earlier}",
                    hint="check the SpeechSense console again, or give this one up",
                )


def _readings(typed: str, directory: Path) -> list[str]:
    """The possible meanings: the ledger's path, or a file system path from shell completion."""
    readings = [typed.removeprefix("./")]
    try:
        parts = Path(typed).absolute().relative_to(directory.absolute()).parts
    except ValueError:
        return readings
    return [*readings, "/".join(map(escape_name, parts))]
