"""``manifest``: what the ledger knows, as lines for others."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

import anyio

from batch_uploader.app.places import require_ledger, require_replaceable
from batch_uploader.cli.output import ExitCode, data_on_stdout
from batch_uploader.cli.status import tell_of_kept
from batch_uploader.core.cells import defuse, escape, keep
from batch_uploader.core.records import Row
from batch_uploader.host.files import replace_atomically
from batch_uploader.ledgers.manifest import Format, export
from batch_uploader.ledgers.sqlite import LedgerReader
from batch_uploader.settings import RawSetting, Settings
from batch_uploader.settings.files import require_places


def manifest(
    directory: Path, flags: Mapping[str, object], form: str, output: Path | None, *, raw: bool
) -> int:
    """Export the ledger; the exit code. With ``raw`` a spreadsheet is not kept from harm."""
    settings = Settings(directory, flags)
    chosen = RawSetting(form, "--format", Path()).one_of(Format)
    return anyio.run(_manifest, settings, chosen, output, raw)


async def _manifest(settings: Settings, form: Format, output: Path | None, raw: bool) -> int:
    places = require_places(settings, output)
    if output is not None:
        require_replaceable(output, "--output")
    require_ledger(places)
    await tell_of_kept(places)
    async with (
        LedgerReader(places.ledger, places.connection_id) as reader,
        aclosing(reader.rows()) as rows,
    ):
        if output is None:
            await _to_stdout(rows, form, raw)
        else:
            with replace_atomically(output) as file:
                await export(rows, file, form, keep if raw else defuse)
    return ExitCode.FINE


async def _to_stdout(rows: AsyncIterator[Row], form: Format, raw: bool) -> None:
    # A terminal runs no formulas, but it obeys controls.
    shown = escape if sys.stdout.isatty() else keep
    with data_on_stdout():
        sys.stdout.flush()
        await export(rows, sys.stdout.buffer, form, shown if raw else defuse)
        sys.stdout.buffer.flush()
