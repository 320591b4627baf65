"""``resolve``: records a human's decisions, or searches the service."""

import io
import signal
import sys
import time
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import click
from anyio import CancelScope

from batch_uploader.app.decisions import PathDecision, Resolution, read_decisions
from batch_uploader.app.resolve import REJECTED, Resolved, resolve_recordings
from batch_uploader.app.search import Searched, search_doubts
from batch_uploader.cli import output
from batch_uploader.cli.again import again, settings_of
from batch_uploader.cli.findable import Findable
from batch_uploader.cli.output import ExitCode
from batch_uploader.cli.signals import Interruption, listening
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.events import DoubtsWaiting, Event
from batch_uploader.core.identity import BY_A_HUMAN, Cause
from batch_uploader.core.states import UNDECIDED, Status, Verdict
from batch_uploader.core.text import plural, printable, sentence
from batch_uploader.core.units import format_duration
from batch_uploader.settings import Settings, closest
from batch_uploader.settings.files import require_places
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Span, warning

_GROUPS = {"--all": UNDECIDED, "--rejected": REJECTED}
_NAMED = 3
_SHOWN = 20
_APART = 60.0
"""Seconds between two lines about waiting."""
_FOUND = {
    Status.UPLOADED: Status.UPLOADED.label,
    Status.FAILED: "absent, to be sent by the next run",
    Status.CONFLICT: "in conflict",
}


class Wanted(NamedTuple):
    """The decision, and the recordings: paths, groups, causes, or what a file lists."""

    resolution: Resolution | None
    paths: Sequence[str]
    groups: Sequence[str]
    causes: Sequence[str]
    kinds: Sequence[str]
    file: Path | None


def resolution_of(
    flags: Sequence[str], talk_id: str | None, *, optional: bool
) -> Resolution | None:
    """The decision of the given flags. Raises ConfigError for several, or none if one is needed."""
    if not flags and optional:
        return None
    if len(flags) != 1:
        given = " and ".join(flags)
        raise ConfigError(
            f"{given} contradict each other" if flags else "the decision is missing",
            hint="specify one of --talk-id ID, --resend, --give-up, --duplicate and --acknowledge,"
            " or let --search find out what is in doubt",
        )
    return Resolution(Verdict(flags[0]), (talk_id or "").strip())


def resolve(directory: Path, flags: Mapping[str, object], wanted: Wanted, *, asks: bool) -> int:
    """Record the decision. Returns the exit code. With ``asks``, confirms what may cost money."""
    return anyio.run(_resolve, settings_of(directory, flags), wanted, asks)


async def _resolve(settings: Settings, wanted: Wanted, asks: bool) -> int:
    places = require_places(settings)
    faults: list[ConfigError] = []
    decisions = _listed(wanted.file, wanted.resolution, faults) if wanted.file else ()
    if wanted.file and not decisions:
        _tell_faults(faults)
        return ExitCode.USAGE
    resolved = await resolve_recordings(
        places,
        wanted.resolution,
        paths=wanted.paths,
        statuses=frozenset[Status]().union(*(_GROUPS[group] for group in wanted.groups)),
        causes=list(map(_cause, wanted.causes)),
        kinds=wanted.kinds,
        decisions=decisions,
        faults=faults if wanted.file else None,
        confirm=_confirmed if asks else None,
    )
    if resolved is None:
        return ExitCode.ATTENTION
    _tell_resolved(resolved, wanted.resolution, settings)
    _tell_faults(faults)
    return ExitCode.ATTENTION if faults else ExitCode.FINE


def _tell_faults(faults: Sequence[ConfigError]) -> None:
    """Name the lines that were not applied."""
    for fault in faults[:_SHOWN]:
        output.error(fault.problem, *fault.hints[:1])
    if len(faults) > _SHOWN:
        output.error(f"{plural(len(faults) - _SHOWN, 'more line')} like these")


def _cause(word: str) -> Cause:
    words = [each.value for each in Cause if each not in BY_A_HUMAN]
    if word not in words:
        raise ConfigError(
            f"--cause: unknown cause {printable(word)}", hint=closest(word, words, "causes")
        )
    return Cause(word)


def _listed(file: Path, usual: Resolution | None, faults: list[ConfigError]) -> list[PathDecision]:
    """The decisions of ``--from``; what is wrong with its lines is added to ``faults``."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        lines = io.StringIO(content.decode(_encoding(content)), newline="\n")
    except OSError as error:
        problem = f"--from: {printable(str(file))} cannot be read ({error.strerror})"
        raise ConfigError(problem, hint="check its name and mode") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            "--from: it is not UTF-8", hint="save it as UTF-8, in Excel as CSV UTF-8"
        ) from error
    return read_decisions(lines, "--from", usual, faults)


def _encoding(content: bytes) -> str:
    """As Excel writes tables: UTF-8, or UTF-16 with a mark."""
    return "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"


def _tell_resolved(resolved: Resolved, resolution: Resolution | None, settings: Settings) -> None:
    words = {
        Verdict.UPLOADED: f"recorded as talk {resolution.talk_id}"
        if resolution and resolution.talk_id
        else "recorded with its talk",
        Verdict.RESEND: "to be sent by the next run",
        Verdict.GIVE_UP: "given up",
        Verdict.DUPLICATE: "recorded as duplicate",
        Verdict.ACKNOWLEDGE: Status.ACKNOWLEDGED.label,
    }
    none = {resolution.verdict: 0} if resolution else {}
    decided = [
        f"{plural(number, 'recording')} {words[verdict]}"
        for verdict, number in (resolved.counts or none).items()
    ]
    show([[Span("; ".join(decided) or "nothing was decided")]], sys.stderr)
    if resolved.passed_over:
        them = plural(resolved.passed_over, "recording")
        output.hint(f"{them} of the list left as they are: the decision does not apply to them")
    if resolved.rejected:
        others = plural(resolved.rejected, "rejected recording")
        output.hint(f"{others} not included: see --rejected")
    if resolved.gone:
        named = ", ".join(map(printable, resolved.gone[:_NAMED]))
        gone = plural(len(resolved.gone), "recording")
        output.hint(f"the files of {gone} are missing: {named}")
    if resolved.counts.get(Verdict.RESEND):
        output.hint(f"to send them: {again(settings, 'upload')}")


def _confirmed(stored: int) -> bool:
    """Ask whether this many recordings are to be sent, perhaps for the second time."""
    if not sys.stdin or not sys.stdin.isatty():
        raise ConfigError(
            "recordings may be billed twice with --resend, and there is no terminal to confirm it",
            hint="look for them in the SpeechSense console first, then add --yes",
        )
    one = stored == 1
    problem = (
        f"{plural(stored, 'recording')} may be {'a call' if one else 'calls'} that the service"
        f" already holds. If so, {'it is' if one else 'they are'} billed twice, and nothing can be"
        " deleted."
    )
    show([[Span(problem)]], sys.stderr)
    return click.confirm("Send anyway?", err=True)


def require_nothing_else(decisions: Sequence[str], recordings: Sequence[str]) -> None:
    """Raise ConfigError for a decision or recordings given with ``--search``."""
    if decisions:
        raise ConfigError("--search decides by itself", hint="leave out the decision")
    if recordings:
        hint = f"leave out {' and '.join(recordings)}"
        raise ConfigError("--search covers all recordings in doubt", hint=hint)


def search(directory: Path, flags: Mapping[str, object]) -> int:
    """Search for all doubts. Returns the exit code."""
    return anyio.run(_search, settings_of(directory, flags))


async def _search(settings: Settings) -> int:
    places, sending = require_places(settings), settings.sending()
    if sending.stamp_field is None:
        raise ConfigError(
            "--search needs a stamp field",
            hint="add --stamp-field NAME, as the recordings were uploaded with",
        )
    looking = CancelScope()
    stop = Interruption(lambda _reason: looking.cancel(), looking.cancel)
    with listening(stop):
        searched = await search_doubts(
            places,
            credentials=sending.credentials,
            stamp_field=sending.stamp_field,
            endpoint=sending.endpoint,
            hold=settings.options().hold,
            listeners=[_Waiting()],
            looking=looking,
        )
    findable = await Findable.of(settings, places, [doubt.path for doubt in searched.left])
    _tell_searched(searched, sending.stamp_field, settings, findable)
    if stop.signal is not None:
        name = signal.Signals(stop.signal).name
        show([warning(f"stopped by {name}; what was found by then is recorded")], sys.stderr)
        return 128 + stop.signal
    return ExitCode.ATTENTION if searched.needs_attention else ExitCode.FINE


class _Waiting:
    """A Listener that prints from time to time what is waited for."""

    def __init__(self) -> None:
        self._told_at = -_APART

    def __call__(self, event: Event) -> None:
        """Print it, unless it was printed recently."""
        now = time.monotonic()
        if isinstance(event, DoubtsWaiting) and now - self._told_at >= _APART:
            self._told_at = now
            them, pause = plural(event.recordings, "recording"), format_duration(event.resumes_in)
            show([[Span(f"searching for {them} again in {pause}")]], sys.stderr)


def _tell_searched(
    searched: Searched, stamp_field: str, settings: Settings, findable: Findable
) -> None:
    counts = [(word, searched.settled.get(status, 0)) for status, word in _FOUND.items()]
    words = [f"{plural(number, 'recording')} {word}" for word, number in counts if number]
    if searched.left:
        words.append(f"{plural(len(searched.left), 'recording')} still in doubt")
    show([[Span("; ".join(words) or "nothing is in doubt")]], sys.stderr)
    for doubt in searched.left[:_SHOWN]:
        reason = doubt.failure.message if doubt.failure else ""
        if doubt.stamp_field != stamp_field:
            reason = f"it was sent without {stamp_field}, so it cannot be searched for"
            if doubt.stamp_field is not None:
                reason = f"it was sent with another stamp: add --stamp-field {doubt.stamp_field}"
        lines = [f"  {printable(doubt.path)}: {sentence(reason)}", f"    {findable.line(doubt)}"]
        show([[Span(line)] for line in lines if line.strip()], sys.stderr)
    if searched.needs_attention:
        output.hint(f"to decide: {again(settings, 'status')}")
