"""``init``: recognises an archive, asks what only its owner knows, writes the settings file."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import anyio
import click
from anyio import to_thread
from msgspec import Struct

from batch_uploader import layouts
from batch_uploader.app.emptiness import require_recordings
from batch_uploader.app.init.channels import kinds_of
from batch_uploader.app.init.guessing import GUESSED, guessed, is_ours
from batch_uploader.app.init.heads import head_of, near
from batch_uploader.app.init.learned import learn_fields
from batch_uploader.app.init.preview import preview
from batch_uploader.app.init.proposal import Answers, compose, needs_timezone, quoted
from batch_uploader.app.init.recognition import LIKELY, SURE, Fit, Head, fit, recognise
from batch_uploader.app.init.survey import Survey, survey
from batch_uploader.cli import output
from batch_uploader.cli.again import command_line, settings_of
from batch_uploader.cli.output import ExitCode
from batch_uploader.core.errors import ConfigError, SourceError, UploaderError
from batch_uploader.core.text import plural, printable, quote
from batch_uploader.core.zones import time_zone
from batch_uploader.layouts import Layout
from batch_uploader.prepare.legs.lookalikes import LooksLikeLegs
from batch_uploader.prepare.legs.pattern import LegPattern
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.prepare.sidecar import FieldType, Kind
from batch_uploader.settings import CREDENTIALS, FILE_NAME, Settings
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.ui.preview import preview_lines
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Line, Span, warning

_WRITTEN = (
    *("connection-id", "endpoint", "ca-file", "plaintext", "ignore-proxy", "api-key-file"),
    *("iam-token-file", "service-account-key-file", "iam-endpoint", "stamp-field", "ledger"),
    *("manifest", "api-key-command", "iam-token-command", "metadata-credentials"),
)
_PATHS = frozenset(
    {"ca-file", "api-key-file", "iam-token-file", "service-account-key-file", "ledger", "manifest"}
)
_MOST_OTHERS = 3
_LOOKED_AT = 50
_LARGE = 100_000_000


class Asked(Struct, frozen=True):
    """What the flags of ``init`` say."""

    tables: tuple[str, ...]
    layout: str | None
    timezone: str | None
    talk_id: str | None
    output: Path | None


def init(directory: Path, flags: Mapping[str, object], asked: Asked) -> int:
    """Write the settings file of a directory. Returns the exit code."""
    target = asked.output or Path(FILE_NAME)
    if os.path.lexists(target):
        raise ConfigError(
            f"{target} exists, and init overwrites nothing",
            hint="move it away, or specify another file with --output",
        )
    if asked.timezone is not None:
        time_zone(asked.timezone)
    return anyio.run(_init, settings_of(directory, flags), asked, target)


async def _init(settings: Settings, asked: Asked, target: Path) -> int:
    known = [layouts.load(name) for name in layouts.names()]
    named = asked.layout not in {None, GUESSED}
    chosen = [layouts.load(str(asked.layout))] if named else known
    tables = list(asked.tables) or await to_thread.run_sync(near, settings.directory, chosen)
    heads = [await to_thread.run_sync(head_of, Path(each), each) for each in tables]
    found = await survey(settings.directory, known, heads)
    if not found.bundles:
        with DirectorySource(settings.directory) as source:
            await require_recordings(settings.places(), source, allowed=False)
        raise SourceError(f"{settings.directory} has no recordings", hint="check the directory")
    output.data(_seen(settings.directory, found, tables))
    best = _chosen(found, chosen, asked)
    output.data(_recognised(best, found, known))
    while best is not None and best.lacks:
        heads.append(await to_thread.run_sync(_ask_table, best))
        found = await survey(settings.directory, known, heads)
        best = fit(found.seen, best.layout)
    answers = await _answers(settings, asked, found, best, target)
    title = f"Settings for {printable(os.fspath(settings.directory))}."
    if best is None and found.described < LIKELY:
        title += "\n# What describes its recordings is not known: say so in [metadata]."
    text = compose(best.layout if best else None, answers, title)
    await to_thread.run_sync(_write, target, text)
    if large := [head.path for head in heads if _size(head.path) > _LARGE]:
        output.hint(f"reading {', '.join(large)}, which may take minutes")
    if unused := _unused(best, asked.tables):
        show([warning(f"the settings do not use {', '.join(map(printable, unused))}")], sys.stderr)
        output.hint(*_ways_to_use(head for head in heads if head.path in unused))
    with _noting(target):
        reading = Settings(settings.directory, {"config": target}).reading()
        shown = await preview(
            settings.directory, reading.rules, _LOOKED_AT, reading.include, reading.exclude
        )
    output.data(preview_lines(shown))
    output.data(_next(settings, asked, target, answers))
    return ExitCode.FINE


def _seen(directory: Path, found: Survey, tables: Sequence[str]) -> Iterator[Line]:
    more = " and more" if found.more else ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.extensions.most_common())
    recordings = plural(len(found.bundles), "recording")
    yield _line(
        f"{printable(os.fspath(directory))}: {recordings}{more} ({kinds}) in"
        f" {plural(found.folders, 'folder')}, the first"
        f" {printable(found.bundles[0].path)}"
    )
    if tables:
        yield _line(f"tables: {', '.join(map(printable, tables))}")


def _chosen(found: Survey, chosen: Sequence[Layout], asked: Asked) -> Fit | None:
    """The layout to use; None if there is none, or sidecars in our own form say all."""
    if asked.layout == GUESSED:
        return guessed(found)
    if asked.layout:
        return fit(found.seen, chosen[0])
    fits = recognise(found.seen, chosen)
    if fits and fits[0].score >= SURE:
        return fits[0]
    if is_ours(found):
        return None
    # A table or sidecars that are there count more than a table that a layout lacks.
    guess = guessed(found)
    return guess if guess is not None and (guess.described or not fits) else next(iter(fits), None)


def _recognised(best: Fit | None, found: Survey, known: Sequence[Layout]) -> Iterator[Line]:
    if best is None and found.described >= LIKELY:
        yield _line(f"{found.described:.0%} of the recordings have a sidecar (call.json)")
        return
    if best is None:
        yield _line("what describes the recordings is not known: no layout fits, and no guess")
        yield _line("  if a table does, specify it: --metadata TABLE")
        return
    layout, score = best.layout, best.score
    if layout.name == GUESSED:
        yield [Span(layout.title)]
    else:
        sure = "sure" if score >= SURE else "likely" if score >= LIKELY else "it does not seem so"
        yield [Span(f"{layout.title} ("), Span(layout.name, "bold"), Span(f"): {sure}")]
    yield from (_line(f"  {each}") for each in best.evidence)
    others = [each for each in recognise(found.seen, known) if each.layout != layout]
    names = [f"{each.layout.name} {each.score:.0%}" for each in others[:_MOST_OTHERS]]
    if names:
        yield _line(f"  other layouts that may fit (--layout NAME): {', '.join(names)}")


def _unused(best: Fit | None, tables: Sequence[str]) -> list[str]:
    """The tables that were named and say nothing that the settings use."""
    used = () if best is None else best.files.values()
    return [each for each in tables if not any(fnmatchcase(each, path) for path in used)]


def _ways_to_use(unused: Iterable[Head]) -> Iterator[str]:
    """How to declare tables whose use was not found out."""
    yield (
        "to use it, declare it there as [[metadata.table]], or as [[metadata.lookup]] if it has"
        " names for IDs; see docs/metadata.md"
    )
    for head in unused:
        if not head.columns:
            count = plural(head.width, "column")
            yield f"{printable(head.path)} has no header: name its {count} with columns = [...]"


async def _answers(
    settings: Settings, asked: Asked, found: Survey, best: Fit | None, target: Path
) -> Answers:
    layout = best.layout if best else None
    zone = asked.timezone
    if zone is None and needs_timezone(layout):
        zone = _ask_timezone()
    given: dict[str, object] = {
        name: settings.flags[name] for name in _WRITTEN if name in settings.flags
    }
    connection = settings.places().connection_id
    if connection is None:
        connection = _ask("ID of the SpeechSense connection (empty: later)", optional=True)
    if connection:
        given["connection-id"] = connection
    if found.included and (layout is None or layout.name == GUESSED):
        given["include"] = found.included
    alike = None if layout is not None and "legs" in layout.settings else found.lookalikes
    if alike is not None and await to_thread.run_sync(_ask_legs, alike):
        given["legs"] = [alike.pattern]
    fields = await _fields(settings, asked, connection)
    if "kind" in settings.flags:
        kinds = frozenset({settings.one_of("kind", Kind.TWO_CHANNEL)})
    else:
        legs = _legs(layout, given)
        kinds = await to_thread.run_sync(kinds_of, settings.directory, found.bundles, legs)
    if len(kinds) > 1:
        output.hint(
            "the recordings have one and two channels, so the kind of the connection is left open:"
            f" specify --kind {' or '.join(sorted(kinds))}"
        )
    return Answers(
        {name: _as_written(name, value, target) for name, value in given.items()},
        zone,
        {name: _file(name, path, target) for name, path in (best.files if best else {}).items()},
        frozenset(best.absent if best else ()),
        next(iter(kinds)) if len(kinds) == 1 else None,
        fields,
        asked.talk_id,
    )


async def _fields(
    settings: Settings, asked: Asked, connection: str | None
) -> Mapping[str, FieldType]:
    if asked.talk_id is None:
        return {}
    if not connection:
        raise ConfigError(
            "--from-talk needs the connection of the talk", hint="specify --connection-id"
        )
    sending = settings.sending()
    return await learn_fields(connection, asked.talk_id, sending.endpoint, sending.credentials)


def _ask_table(best: Fit) -> Head:
    """The head of the table that a layout lacks."""
    needed = f"{best.layout.name} needs {' and '.join(best.lacks)}"
    path = _ask(f"{needed}. Where is it")
    if path is None:
        raise ConfigError(
            needed,
            hint=(
                "specify it with --metadata FILE, whatever its name is; see docs/layouts.md",
                f"or do without it, as far as that goes: --layout {GUESSED}",
            ),
        )
    return head_of(Path(path).expanduser(), path)


def _ask_timezone() -> str:
    while True:
        zone = _ask("Time zone of the times in names, tables and sidecars, like Europe/Moscow")
        if zone is None:
            raise ConfigError(
                "its times have no time zone, and it is not known which one is meant",
                hint="specify it: --timezone Europe/Moscow",
            )
        try:
            time_zone(zone)
        except ConfigError as error:
            output.error(error.problem, *error.hints)
        else:
            return zone


def _legs(layout: Layout | None, given: Mapping[str, object]) -> LegRules | None:
    """Which files are legs by the settings that are written."""
    told = given.get("legs") or (layout.settings.get("legs") if layout is not None else None)
    named = told.get("pattern") if isinstance(told, dict) else told
    texts = [named] if isinstance(named, str) else named
    if not isinstance(texts, list):
        return None
    return LegRules(tuple(LegPattern.parse(str(each)) for each in texts))


def _ask_legs(alike: LooksLikeLegs) -> bool:
    """Whether pairs of files that look like legs are to be joined; never by a guess."""
    names = f"{printable(alike.first)} and {printable(alike.second)}"
    question = f"{plural(alike.pairs, 'pair')} of files may be the two sides of a call ({names})"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        line = f"legs = [{quoted(alike.pattern)}]"
        output.hint(f"{question}: if so, write {line} at the top of the settings file")
        return False
    return click.confirm(f"{question}. Send each pair as one stereo recording?", err=True)


def _ask(question: str, *, optional: bool = False) -> str | None:
    """An answer, None where there is no terminal to ask at."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    default = "" if optional else None
    answer: str = click.prompt(question, default=default, show_default=False, err=True)
    return answer.strip() or None


def _as_written(name: str, value: object, target: Path) -> str | bool | Sequence[str]:
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return list(map(str, value))
    return _relative(str(value), target) if name in _PATHS else str(value)


def _file(name: str, path: str, target: Path) -> str:
    """A table's path as the layout has such a file."""
    prefix = "sqlite:" if name.startswith("sqlite:") else ""
    return prefix + _relative(path, target)


def _relative(path: str, target: Path) -> str:
    """A path from the folder of the settings file, if it is below that."""
    absolute, folder = Path(path).absolute(), target.absolute().parent
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _size(path: str) -> int:
    try:
        return Path(path).expanduser().stat().st_size
    except OSError:
        return 0


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written ({error.strerror})",
            hint="specify another file with --output",
        ) from error


@contextmanager
def _noting(target: Path) -> Iterator[None]:
    """Say of an error that the file was written all the same."""
    try:
        yield
    except UploaderError as error:
        error.add_note(f"{target} was written; correct it there, or remove it and run init again")
        raise


def _next(settings: Settings, asked: Asked, target: Path, answers: Answers) -> Iterator[Line]:
    config = () if asked.output is None else ("--config", quote(os.fspath(target)))
    given = answers.settings
    more = [] if "connection-id" in given else ["--connection-id", "ID"]
    if given.keys().isdisjoint(CREDENTIALS):
        more += ["--api-key-file", "FILE"]
    directory = os.fspath(settings.directory)
    yield [Span("written to "), Span(printable(os.fspath(target)), "bold")]
    yield _line("look it over, then go on with:")
    yield _line(f"  {command_line('check', directory, *config)}")
    yield _line(f"  {command_line('upload', directory, *config, *more, '--sample', '3')}")
    yield _line(f"  {command_line('upload', directory, *config, *more)}")


def _line(text: str) -> Line:
    return [Span(text)]
