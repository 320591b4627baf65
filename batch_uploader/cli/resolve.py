"""``resolve``: a human decides what nobody else can know."""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Self

import anyio
import click
from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.agreement import Agreement
from batch_uploader.app.belonging import Belonging
from batch_uploader.app.places import known_connection, require_ledger, require_replaceable
from batch_uploader.cli import output
from batch_uploader.cli.output import ExitCode
from batch_uploader.core.changes import Settle
from batch_uploader.core.errors import SourceError
from batch_uploader.core.model import Failure, Outcome
from batch_uploader.core.ports import apply_all
from batch_uploader.core.states import MAYBE_STORED, UNDECIDED, Status, Verdict, decided_by
from batch_uploader.core.text import plural, printable, quote
from batch_uploader.ledgers.manifest import mark_behind
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.settings import Settings, refusal
from batch_uploader.settings.files import require_places
from batch_uploader.sources.directory import DirectorySource, escape_name
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Span

_REJECTED = frozenset({Status.REJECTED})
_LONGEST_TALK_ID = 200
_AT_ONCE = 1_000
_NAMED = 3


class Decision(Struct, frozen=True):
    """The verdict; ``talk_id`` is there with UPLOADED alone."""

    verdict: Verdict
    talk_id: str = ""

    @classmethod
    def of(cls, flags: Sequence[str], talk_id: str | None) -> Self:
        """From the flags that were given. Raises ConfigError unless it is exactly one."""
        if len(flags) != 1:
            given = " and ".join(flags)
            raise refusal(
                f"{given} contradict each other" if flags else "there is no decision",
                "give one of --talk-id ID, --resend and --give-up, or have --search find out",
            )
        verdict = Verdict(flags[0])
        if verdict is not Verdict.UPLOADED:
            return cls(verdict)
        word = (talk_id or "").strip()
        if not (word.isascii() and word.isprintable()) or " " in word or not word:
            raise refusal(
                "--talk-id: this is not a talk ID", "copy it from the SpeechSense console"
            )
        if len(word) > _LONGEST_TALK_ID:
            raise refusal("--talk-id: no talk ID is that long", "copy the ID alone")
        return cls(verdict, word)

    @property
    def deciding(self) -> frozenset[Status]:
        """The states that it may end."""
        return decided_by(self.verdict)

    def outcome(self, before: Outcome) -> Outcome:
        """What the ledger is to know from now on."""
        match self.verdict:
            case Verdict.UPLOADED:
                status, failure = Status.UPLOADED, None
            case Verdict.RESEND:
                status = Status.FAILED
                failure = Failure("RESEND", "it was decided to send it again with the next run")
            case Verdict.GIVE_UP:
                status = Status.GIVEN_UP
                failure = Failure("GIVEN_UP", "it was decided to let it be")
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


_GROUPS = {"--all": UNDECIDED, "--rejected": _REJECTED}


class Wanted(Struct, frozen=True):
    """The recordings that are decided about: these paths, or with none all of these states."""

    paths: tuple[str, ...]
    states: frozenset[Status]

    @classmethod
    def of(cls, paths: Sequence[str], groups: Sequence[str]) -> Self:
        """From the paths and flags of the command line. Raises ConfigError for both or neither."""
        if bool(paths) == bool(groups):
            raise refusal(
                "it is not clear which recordings are decided about",
                "name their paths as status prints them, or else give --all or --rejected",
            )
        states = frozenset[Status]().union(*(_GROUPS[group] for group in groups))
        return cls(tuple(dict.fromkeys(paths)), states)


def require_nothing_else(
    talk_id: str | None,
    paths: Sequence[str] | None,
    *,
    resend: bool,
    give_up: bool,
    rejected: bool,
) -> None:
    """Raise ConfigError for a decision, or recordings, beside ``--search``."""
    if talk_id is not None or resend or give_up:
        raise refusal("--search decides by itself", "leave the decision out")
    if paths or rejected:
        what = "--rejected" if rejected else "the paths"
        raise refusal("--search looks for all that are in doubt", f"leave {what} out")


def resolve(
    directory: Path, flags: Mapping[str, object], decision: Decision, wanted: Wanted, *, asks: bool
) -> int:
    """Decide; the exit code. With ``asks`` what may cost money is asked back."""
    if decision.verdict is Verdict.UPLOADED and len(wanted.paths) != 1:
        raise refusal("--talk-id: a talk is one recording", "name exactly one PATH")
    if not wanted.states <= decision.deciding:
        raise refusal(
            f"--rejected and {decision.verdict.value} contradict each other",
            "what was rejected can only be sent again, with --resend",
        )
    return anyio.run(_resolve, Settings(directory, flags), decision, wanted, asks)


async def _resolve(settings: Settings, decision: Decision, wanted: Wanted, asks: bool) -> int:
    places = require_places(settings)
    require_replaceable(places.manifest, "--manifest")
    require_ledger(places)
    connection_id = await known_connection(places)
    async with SqliteLedger(places.ledger, connection_id) as ledger:
        agreement = Agreement(ledger, places.manifest, Belonging(places.ledger, places.root))
        await agreement.begin()
        mark_behind(places.manifest)
        await ledger.recover()
        chosen = (
            await _named(ledger, wanted.paths, places.directory, decision)
            if wanted.paths
            else await _all(ledger, wanted.states)
        )
        if decision.verdict is Verdict.UPLOADED:
            await _require_unused(ledger, decision.talk_id, chosen[0].path)
        doubtful = sum(each.status in MAYBE_STORED for each in chosen)
        if asks and decision.verdict is Verdict.RESEND and doubtful and not _agreed(doubtful):
            return ExitCode.ATTENTION
        await _settle(ledger, map(decision.outcome, chosen))
        await agreement.write()
        left = decision.verdict is Verdict.RESEND and wanted.states == UNDECIDED
        rejected = len(await _paths(ledger, _REJECTED)) if left else 0
    words = {
        Verdict.UPLOADED: f"recorded as talk {decision.talk_id}",
        Verdict.RESEND: "to be sent by the next run",
        Verdict.GIVE_UP: "given up",
    }
    show([[Span(f"{plural(len(chosen), 'recording')} {words[decision.verdict]}")]], sys.stderr)
    if rejected:
        output.hint(f"{plural(rejected, 'rejected recording')} not among them: see --rejected")
    if chosen and decision.verdict is Verdict.RESEND:
        gone = await to_thread.run_sync(_gone, places.root, chosen)
        if gone:
            named = ", ".join(map(printable, gone[:_NAMED]))
            output.hint(f"the files of {plural(len(gone), 'recording')} are not there: {named}")
        output.hint(f"batch-uploader upload {quote(os.fspath(places.directory))} sends what is due")
    return ExitCode.FINE


def _gone(directory: Path, chosen: Sequence[Outcome]) -> list[str]:
    """Those that cannot be sent, since their files are not there."""
    gone = []
    with DirectorySource(directory) as source:
        for outcome in chosen:
            try:
                source.stat(outcome.path)
            except SourceError:
                gone.append(outcome.path)
    return gone


async def _settle(ledger: SqliteLedger, outcomes: Iterator[Outcome]) -> None:
    # Many at a time share a commit, and a commit is a sync of the disk.
    while batch := list(islice(outcomes, _AT_ONCE)):
        await apply_all(ledger, list(map(Settle, batch)))


async def _all(ledger: SqliteLedger, states: frozenset[Status]) -> list[Outcome]:
    paths = await _paths(ledger, states)
    known = await _known(ledger, paths)
    # A line may be history: what is current may be something else by now.
    return [known[path] for path in paths if path in known and known[path].status in states]


async def _paths(ledger: SqliteLedger, states: frozenset[Status]) -> list[str]:
    async with aclosing(ledger.rows(states)) as rows:
        # The file may hold other connections too.
        mine = [row.path async for row in rows if row.connection_id == ledger.connection_id]
    return list(dict.fromkeys(mine))


async def _named(
    ledger: SqliteLedger, typed: Sequence[str], directory: Path, decision: Decision
) -> list[Outcome]:
    readings = {word: _readings(word, directory) for word in typed}
    known = await _known(ledger, [path for paths in readings.values() for path in paths])
    chosen: dict[str, Outcome] = {}
    for word, paths in readings.items():
        before = next((known[path] for path in paths if path in known), None)
        if before is None:
            raise refusal(
                f"{printable(word)} is not in the ledger",
                f"batch-uploader status {quote(os.fspath(directory))} prints the paths",
            )
        if before.status not in decision.deciding:
            raise refusal(
                f"{before.path} is {before.status.label}: there is nothing to decide",
                "only recordings in doubt or in conflict are decided about, with --resend also"
                " those that were rejected, with that and --talk-id those that were given up",
            )
        chosen[before.path] = before
    return list(chosen.values())


async def _known(ledger: SqliteLedger, paths: Iterable[str]) -> dict[str, Outcome]:
    """What is known of these paths; each folder is read once."""
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        wanted[path.rpartition("/")[0]].append(path)
    found: dict[str, Outcome] = {}
    for folder, names in wanted.items():
        known = await ledger.known(folder)
        found |= {path: known[path].outcome for path in names if path in known}
    return found


async def _require_unused(ledger: SqliteLedger, talk_id: str, path: str) -> None:
    """Raise ConfigError if the talk is another recording's."""
    async with aclosing(ledger.rows(frozenset({Status.UPLOADED}))) as rows:
        async for row in rows:
            if row.talk_id == talk_id:
                earlier = " (as it was earlier)" if row.path == path else ""
                raise refusal(
                    f"--talk-id: the talk {talk_id} is {printable(row.path)}{earlier},"
                    " and a talk is one recording",
                    "look in the SpeechSense console once more, or give this one up",
                )


def _readings(typed: str, directory: Path) -> list[str]:
    """What may be meant: the ledger's path, or one of the file system, as shells complete it."""
    readings = [typed.removeprefix("./")]
    try:
        parts = Path(typed).absolute().relative_to(directory.absolute()).parts
    except ValueError:
        return readings
    return [*readings, "/".join(map(escape_name, parts))]


def _agreed(doubtful: int) -> bool:
    """Ask the human whether so many recordings are to be sent, perhaps for the second time."""
    if not sys.stdin or not sys.stdin.isatty():
        raise refusal(
            "--resend may have recordings billed twice, and there is nobody here to ask",
            "look for them in the SpeechSense console first, then add --yes",
        )
    question = (
        f"The service may hold {plural(doubtful, 'recording')} of these already. Sent again,"
        " they are billed twice, and nothing can be deleted. Send them again?"
    )
    return click.confirm(question, err=True)
