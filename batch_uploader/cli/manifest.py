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
from batch_uploader.ledgers.manifest import Format
from batch_uploader.ledgers.sqlite import kept_answers
from batch_uploader.settings import RawSetting, Settings
from batch_uploader.settings.files import require_places


def manifest(
    directory: Path, flags: Mapping[str, object], form: str, output: Path | None, *, raw: bool
) -> int:
    """Export the ledger. Returns the exit code. With ``raw``, formulas in CSV are not defused."""
    settings = settings_of(directory, flags)
    chosen = RawSetting(form, "--format", Path()).one_of(Format)
    return anyio.run(_manifest, settings, chosen, output, raw)


async def _manifest(settings: Settings, form: Format, output: Path | None, raw: bool) -> int:
    places = require_places(settings, output)
    require_ledger(places)
    tell_of_kept(await to_thread.run_sync(kept_answers, places.ledger), settings)
    if output is not None:
        await export_manifest(places, output, form=form, guard=keep if raw else defuse)
        return ExitCode.FINE
    # A terminal does not run formulas, but interprets control characters.
    shown = escape if sys.stdout.isatty() else keep
    with data_on_stdout():
        sys.stdout.flush()
        guard = shown if raw else defuse
        await export_manifest(places, sys.stdout.buffer, form=form, guard=guard)
        sys.stdout.buffer.flush()
    return ExitCode.FINE
