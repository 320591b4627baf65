"""``manifest``: exports the ledger."""

import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
from anyio import to_thread

from batch_uploader.app.manifest import export_manifest
from batch_uploader.app.places import require_ledger
from batch_uploader.cli.again import settings_of
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.cli.status import tell_of_kept
from batch_uploader.core.cells import defuse, escape, keep
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.states import WAITS, Status
from batch_uploader.core.text import printable
from batch_uploader.ledgers.manifest import Format
from batch_uploader.ledgers.sqlite import kept_answers
from batch_uploader.settings import RawSetting, Settings, closest
from batch_uploader.settings.files import require_places


def manifest(
    directory: Path,
    flags: Mapping[str, object],
    form: str,
    output: Path | None,
    *,
    raw: bool,
    statuses: str | None = None,
) -> int:
    """Export the ledger, or only these statuses of it. Returns the exit code.

    With ``raw``, formulas in CSV are not defused.
    """
    settings = settings_of(directory, flags)
    chosen = RawSetting(form, "--format", Path()).one_of(Format)
    wanted = None if statuses is None else _statuses(statuses)
    return anyio.run(_manifest, settings, chosen, output, raw, wanted)


def _statuses(words: str) -> frozenset[Status]:
    """The statuses of ``--status``."""
    listed = [each.value for each in Status if each not in WAITS]
    found = set()
    for word in words.split(","):
        name = word.strip().replace("-", "_").replace(" ", "_")
        if name not in listed:
            raise ConfigError(
                f"--status: unknown status {printable(word)!r}",
                hint="what waits has not been decided about yet: status lists it"
                if name in WAITS
                else closest(name, listed, "statuses"),
            )
        found.add(Status(name))
    return frozenset(found)


async def _manifest(
    settings: Settings,
    form: Format,
    output: Path | None,
    raw: bool,
    statuses: frozenset[Status] | None,
) -> int:
    places = require_places(settings, output)
    require_ledger(places)
    tell_of_kept(await to_thread.run_sync(kept_answers, places.ledger), settings)
    if output is not None:
        guard = keep if raw else defuse
        await export_manifest(places, output, form=form, guard=guard, statuses=statuses)
        return ExitCode.FINE
    # A terminal does not run formulas, but interprets control characters.
    shown = escape if sys.stdout.isatty() else keep
    with data_on_stdout():
        sys.stdout.flush()
        guard = shown if raw else defuse
        out = sys.stdout.buffer
        await export_manifest(places, out, form=form, guard=guard, statuses=statuses)
        sys.stdout.buffer.flush()
    return ExitCode.FINE
