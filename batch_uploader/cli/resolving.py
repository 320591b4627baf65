"""``resolve``: a human decides what nobody else can know."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

import anyio
import typer

from batch_uploader.cli.places import demand_directory, demand_ledger, the_connection
from batch_uploader.cli.voice import ExitCode, advise, quote
from batch_uploader.display import Span, plural, printable, show
from batch_uploader.errors import ConfigError
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.manifest import write_manifest
from batch_uploader.model import Failure, Outcome, Status
from batch_uploader.settings import Settings, refusal
from batch_uploader.sources.directory import escape_name

_UNDECIDED = frozenset({Status.IN_DOUBT, Status.CONFLICT})
_LONGEST_TALK_ID = 200


class Verdict(Enum):
    """What a human found out."""

    UPLOADED = "--talk-id"
    RESEND = "--resend"
    GIVE_UP = "--give-up"


@dataclass(frozen=True, slots=True)
class Decision:
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
                "give one of --talk-id ID, --resend and --give-up",
            )
        verdict = Verdict(flags[0])
        if verdict is not Verdict.UPLOADED:
            return cls(verdict)
        word = (talk_id or "").strip()
        if not (word.isascii() and word.isprintable()) or " " in word or not word:
            raise refusal("--talk-id: this is no talk ID", "copy it from the SpeechSense console")
        if len(word) > _LONGEST_TALK_ID:
            raise refusal("--talk-id: no talk ID is that long", "copy the ID alone")
        return cls(verdict, word)

    @property
    def deciding(self) -> frozenset[Status]:
        """The states that it may end."""
        # What was rejected is not stored, so to send it again is harmless.
        return _UNDECIDED | {Status.REJECTED} if self.verdict is Verdict.RESEND else _UNDECIDED

    def outcome(self, before: Outcome) -> Outcome:
        """What the ledger is to know from now on."""
        match self.verdict:
            case Verdict.UPLOADED:
                status, failure = Status.UPLOADED, None
            case Verdict.RESEND:
                status = Status.FAILED
                failure = Failure("RESEND", "it was decided to send it again with the next run")
            case Verdict.GIVE_UP:
                status = Status.REJECTED
                failure = Failure("GIVEN_UP", "it was decided not to send it any more")
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """The recordings that are decided about: these, or with no paths all that are undecided."""

    paths: tuple[str, ...]

    @classmethod
    def of(cls, paths: Sequence[str], *, everything: bool) -> Self:
        """From the command line. Raises ConfigError for both or neither."""
        if bool(paths) == everything:
            raise refusal(
                "it is not clear which recordings are decided about",
                "name their paths as status prints them, or give --all, and not both",
            )
        return cls(tuple(dict.fromkeys(paths)))


def resolve(
    directory: Path, flags: Mapping[str, object], decision: Decision, wanted: Wanted, *, asks: bool
) -> int:
    """Decide; the exit code. With ``asks`` what may cost money is asked back."""
    if decision.verdict is Verdict.UPLOADED and len(wanted.paths) != 1:
        raise refusal("--talk-id: a talk is one recording", "name exactly one PATH")
    return anyio.run(_resolve, Settings(directory, flags), decision, wanted, asks)


async def _resolve(settings: Settings, decision: Decision, wanted: Wanted, asks: bool) -> int:
    places = settings.places()
    demand_directory(places.directory)
    demand_ledger(places)
    connection_id = await the_connection(places)
    if connection_id is None:
        raise ConfigError(f"the ledger {places.ledger} is empty: there is nothing to decide")
    async with SqliteLedger(places.ledger, connection_id) as ledger:
        recovered = await ledger.recover()
        chosen = (
            [await _one(ledger, path, places.directory, decision) for path in wanted.paths]
            if wanted.paths
            else await _all(ledger)
        )
        doubtful = sum(each.status in _UNDECIDED for each in chosen)
        if asks and decision.verdict is Verdict.RESEND and doubtful and not _agreed(doubtful):
            return ExitCode.ATTENTION
        for before in chosen:
            await ledger.settle(decision.outcome(before))
        if chosen or recovered:
            async with aclosing(ledger.rows()) as rows:
                await write_manifest(rows, places.manifest)
    words = {
        Verdict.UPLOADED: f"recorded as talk {decision.talk_id}",
        Verdict.RESEND: "to be sent by the next run",
        Verdict.GIVE_UP: "given up",
    }
    show([[Span(f"{plural(len(chosen), 'recording')} {words[decision.verdict]}")]], sys.stderr)
    if chosen and decision.verdict is Verdict.RESEND:
        advise(f"batch-uploader upload {quote(os.fspath(places.directory))} sends what is due")
    return ExitCode.FINE


async def _all(ledger: SqliteLedger) -> list[Outcome]:
    async with aclosing(ledger.rows(_UNDECIDED)) as rows:
        paths = [row.path async for row in rows]
    found = [await _known(ledger, path) for path in paths]
    return [outcome for outcome in found if outcome is not None]


async def _one(ledger: SqliteLedger, typed: str, directory: Path, decision: Decision) -> Outcome:
    for path in _readings(typed, directory):
        before = await _known(ledger, path)
        if before is None:
            continue
        if before.status not in decision.deciding:
            raise refusal(
                f"{path} is {before.status.replace('_', ' ')}: there is nothing to decide",
                "only recordings in doubt or in conflict are decided about, and with --resend"
                " those that were rejected",
            )
        return before
    raise refusal(
        f"the ledger knows no recording {printable(typed)}",
        f"batch-uploader status {quote(os.fspath(directory))} prints the paths",
    )


async def _known(ledger: SqliteLedger, path: str) -> Outcome | None:
    known = (await ledger.known(path.rpartition("/")[0])).get(path)
    return known.outcome if known else None


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
    return typer.confirm(question, err=True)
