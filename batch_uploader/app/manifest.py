"""Exports the ledger."""

import os
from collections.abc import Callable, Collection
from contextlib import aclosing

from batch_uploader.app.places import (
    Where,
    find_places,
    output_file,
    require_ledger,
    require_on_record,
    require_replaceable,
)
from batch_uploader.core.cells import defuse
from batch_uploader.core.checks import as_path
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.states import Status
from batch_uploader.host.files import replace_atomically
from batch_uploader.ledgers.manifest import Format, Writable, export
from batch_uploader.ledgers.sqlite import LedgerReader


async def export_manifest(
    directory: Where,
    output: str | os.PathLike[str] | Writable,
    *,
    form: Format = Format.JSONL,
    guard: Callable[[str], str] = defuse,
    statuses: Collection[Status] | None = None,
    connection_id: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
) -> int:
    """Write a line for each recording in the ledger, sorted by path. Returns their number.

    ``output`` is a file, which is replaced atomically, or a binary stream. ``guard`` converts the
    cells of a CSV; the default keeps spreadsheets from running formulas. ``statuses`` leaves out
    all others; what waits is never in a manifest. Changes nothing else, and works during a run.
    Raises ConfigError, SourceError or LedgerError, and what writing to ``output`` raises.
    """
    file = None if isinstance(output, Writable) else as_path("output", output).absolute()
    places = await find_places(
        directory,
        ledger=ledger,
        manifest=manifest,
        connection_id=connection_id,
        more=() if file is None else (output_file(file),),
    )
    if file is not None:
        require_replaceable(file, "--output")
    require_ledger(places)
    wanted = None if statuses is None else frozenset(statuses)
    async with LedgerReader(places.ledger, places.connection_id) as reader:
        await require_on_record(places, reader)
        async with aclosing(reader.rows(wanted)) as rows:
            if isinstance(output, Writable):
                return await export(rows, output, form, guard)
            try:
                with replace_atomically(as_path("output", output)) as replacing:
                    return await export(rows, replacing, form, guard)
            except OSError as error:
                raise ConfigError(
                    f"{output} cannot be written ({error.strerror})",
                    hint="check its disk and folder, or specify another file",
                    flag="--output",
                ) from error
