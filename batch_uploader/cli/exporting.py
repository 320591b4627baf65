"""``manifest``: what the ledger knows, as lines for others."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

import anyio

from batch_uploader.cli.places import (
    demand_ledger,
    demand_places,
    demand_replaceable,
    tell_of_kept,
)
from batch_uploader.cli.voice import ExitCode, data_on_stdout
from batch_uploader.ledgers.sqlite import LedgerReader
from batch_uploader.manifest import Format, export
from batch_uploader.ports import Row
from batch_uploader.settings import Given, Settings
from batch_uploader.system.ownfiles import replace_atomically


def manifest(directory: Path, flags: Mapping[str, object], form: str, output: Path | None) -> int:
    """Export the ledger; the exit code."""
    settings = Settings(directory, flags)
    chosen = Given(form, "--format", Path()).one_of(Format)
    return anyio.run(_manifest, settings, chosen, output)


async def _manifest(settings: Settings, form: Format, output: Path | None) -> int:
    places = demand_places(settings, output)
    if output is not None:
        demand_replaceable(output, "--output")
    demand_ledger(places)
    await tell_of_kept(places)
    async with (
        LedgerReader(places.ledger, places.connection_id) as reader,
        aclosing(reader.rows()) as rows,
    ):
        if output is None:
            await _to_stdout(rows, form)
        else:
            await _to_file(rows, form, output)
    return ExitCode.FINE


async def _to_stdout(rows: AsyncIterator[Row], form: Format) -> None:
    with data_on_stdout():
        sys.stdout.flush()
        await export(rows, sys.stdout.buffer, form)
        sys.stdout.buffer.flush()


async def _to_file(rows: AsyncIterator[Row], form: Format, output: Path) -> None:
    with replace_atomically(output) as file:
        await export(rows, file, form)
