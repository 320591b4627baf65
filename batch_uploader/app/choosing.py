"""Which recordings on record a human means: by path, folder, pattern or state."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from batch_uploader.app.places import Places
from batch_uploader.core.errors import CommandHint, ConfigError
from batch_uploader.core.records import Record
from batch_uploader.core.states import NEEDS_ATTENTION, Status
from batch_uploader.core.text import printable
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.sources.names import escape_name
from batch_uploader.sources.selection import matches

_WILD = re.compile(r"[*?[]")


async def in_states(ledger: SqliteLedger, states: frozenset[Status]) -> list[Record]:
    """All recordings in these states."""
    paths = await paths_in(ledger, states)
    known = await ledger.get(paths)
    # A listed record may be superseded: the path's current record may be another.
    return [known[path] for path in paths if path in known and known[path].status in states]


async def paths_in(ledger: SqliteLedger, states: frozenset[Status]) -> list[str]:
    """The paths with a record in these states, superseded or not."""
    async with aclosing(ledger.rows(states)) as rows:
        return list(dict.fromkeys([row.path async for row in rows]))


async def named(
    ledger: SqliteLedger,
    words: Sequence[str],
    places: Places,
    states: frozenset[Status],
    *,
    many: bool = True,
) -> list[Record]:
    """The recordings in these states that the words name; each word is one path, or ``many``.

    A word that is not a path on record is a folder or a pattern as of ``--include``: it names all
    that it fits and that need attention. Raises ConfigError for a word that names none.
    """
    known = await by_path(ledger, words, places)
    chosen: dict[str, Record] = {}
    to_decide: list[Record] | None = None
    for word in words:
        if (record := known.get(word)) is not None:
            if record.status not in states:
                raise needs_none(record)
            chosen[record.path] = record
            continue
        if to_decide is None:
            to_decide = await in_states(ledger, states & NEEDS_ATTENTION) if many else []
        fits = _fits(word, places)
        found = {each.path: each for each in to_decide if fits(each.path)}
        if not found:
            raise unknown(word, places)
        chosen |= found
    return list(chosen.values())


async def by_path(ledger: SqliteLedger, words: Iterable[str], places: Places) -> dict[str, Record]:
    """The recordings whose paths these words are; other words are left out."""
    readings = {word: _readings(word, places.directory) for word in words}
    known = await ledger.get(path for paths in readings.values() for path in paths)
    found = {word: next(filter(known.get, paths), None) for word, paths in readings.items()}
    return {word: known[path] for word, path in found.items() if path is not None}


def unknown(word: str, places: Places) -> ConfigError:
    """The error for a word that names no recording."""
    problem = f"{printable(word)} is not in the ledger"
    if _WILD.search(word):
        problem = f"{printable(word)} matches nothing that is to be decided"
    elif (places.directory / word).is_dir():
        problem = f"nothing in {printable(word)} is to be decided"
    return ConfigError(problem, hint=CommandHint("to see the paths", "status"))


def needs_none(record: Record) -> ConfigError:
    """The error for a recording that cannot be decided about so."""
    path, state = printable(record.path), record.status
    if ways := " or ".join(sorted(each.value for each in state.state.verdicts)):
        return ConfigError(
            f"{path} is {state.label}: this decision does not apply to it",
            hint=f"decide about it with {ways}",
        )
    return ConfigError(f"{path} is {state.label}: it needs no decision", hint="leave it out")


def _fits(word: str, places: Places) -> Callable[[str], bool]:
    """Whether a path is in this folder, or fits this pattern."""
    if _WILD.search(word):
        return matches([word.removeprefix("./")])
    folders = {reading.strip("/") for reading in _readings(word, places.directory)}
    # The directory itself has everything.
    starts = tuple(f"{folder}/" if folder else "" for folder in folders)
    return lambda path: path.startswith(starts)


def _readings(typed: str, directory: Path) -> list[str]:
    """The possible meanings: the ledger's path, or a file system path from shell completion."""
    readings = [typed.removeprefix("./")]
    try:
        parts = Path(typed).absolute().relative_to(directory.absolute()).parts
    except ValueError:
        return readings
    return [*readings, "/".join(map(escape_name, parts))]
