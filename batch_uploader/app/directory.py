"""Uploads a directory: makes its source, sink and ledger."""

import os
from collections.abc import Sequence
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.app.belonging import Belonging
from batch_uploader.app.emptiness import require_recordings
from batch_uploader.app.guard import RootGuard
from batch_uploader.app.places import (
    Where,
    find_places,
    require_none_lost,
    require_replaceable,
)
from batch_uploader.app.preparing import describer_of, indexes_of, sidecar_patterns
from batch_uploader.app.roots import Roots
from batch_uploader.app.uploader import Uploader
from batch_uploader.core.checks import require_texts, require_word
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.events import Listener
from batch_uploader.core.model import Summary
from batch_uploader.ledgers.places import LEDGER_FOLDER
from batch_uploader.ledgers.sqlite import SqliteLedger
from batch_uploader.prepare.rules import Rules
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import DEFAULT_ENDPOINT, Endpoint
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.sinks.speechsense.evidence import Unavailable
from batch_uploader.sinks.speechsense.sink import WHOLE_LIMIT, SpeechSenseSink
from batch_uploader.sources.directory import DirectorySource


async def upload_directory(  # noqa: PLR0913 - all parameters of a run in one call
    directory: Where,
    *,
    connection_id: str,
    credentials: Credentials,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    stamp_field: str | None = None,
    unavailable: Unavailable = Unavailable.BELIEVED,
    whole_limit: int = WHOLE_LIMIT,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignore: Sequence[Path] = (),
    rules: Rules | None = None,
    options: RunOptions | None = None,
    adopt: bool = False,
    listeners: Sequence[Listener] = (),
) -> Summary:
    """Upload a directory of recordings with their sidecars, exactly once, and write its manifest.

    The parameters mean what the flags of the same names do; ``ignore`` are files in the directory
    that are not recordings. Ledger and manifest are at their default paths unless others are given.
    ``adopt`` adopts the ledgers of directories above and below that have recordings of the
    connection; without it, they are a ConfigError.
    Raises ConfigError, SourceError, LedgerLocked or LedgerError for what ends the whole run. If it
    is cancelled, what is in flight is in doubt; use ``directory_uploader`` to drain instead.
    """
    uploader = await directory_uploader(
        directory,
        connection_id=connection_id,
        credentials=credentials,
        endpoint=endpoint,
        stamp_field=stamp_field,
        unavailable=unavailable,
        whole_limit=whole_limit,
        ledger=ledger,
        manifest=manifest,
        include=include,
        exclude=exclude,
        ignore=ignore,
        rules=rules,
        options=options,
        adopt=adopt,
        listeners=listeners,
    )
    async with uploader:
        return await uploader.run()


async def directory_uploader(  # noqa: PLR0913 - as above
    directory: Where,
    *,
    connection_id: str,
    credentials: Credentials,
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    stamp_field: str | None = None,
    unavailable: Unavailable = Unavailable.BELIEVED,
    whole_limit: int = WHOLE_LIMIT,
    ledger: str | os.PathLike[str] | None = None,
    manifest: str | os.PathLike[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignore: Sequence[Path] = (),
    rules: Rules | None = None,
    options: RunOptions | None = None,
    adopt: bool = False,
    listeners: Sequence[Listener] = (),
) -> Uploader:
    """The Uploader that ``upload_directory`` runs: enter it, run it, drain it if needed.

    Takes and raises what ``upload_directory`` does. Creates and locks nothing before it is entered.
    """
    require_word("connection_id", connection_id)
    require_texts("include", include)
    require_texts("exclude", exclude)
    # The path is resolved now, for the whole run.
    places = await find_places(
        directory, ledger=ledger, manifest=manifest, connection_id=connection_id, include=include
    )
    await to_thread.run_sync(require_replaceable, places.manifest, "manifest")
    await to_thread.run_sync(require_none_lost, places)
    roots = Roots(places, connection_id)
    source = DirectorySource(
        places.directory,
        include=include,
        exclude=exclude,
        ignore=(places.ledger, places.manifest, *ignore),
        sidecars=sidecar_patterns(rules),
        leads_to=places.root,
        # A directory below may be uploaded by itself at any time.
        watch={LEDGER_FOLDER: roots.require_none_in},
    )
    sink = SpeechSenseSink(
        endpoint,
        credentials,
        whole_limit=whole_limit,
        stamp_field=stamp_field,
        unavailable=unavailable,
    )
    allowed = options is not None and options.allow_empty
    await require_recordings(places, source, allowed=allowed)
    belonging = Belonging(places.ledger, places.root)
    ruled = _with_stamp(rules or Rules(), stamp_field)
    return Uploader(
        source=source,
        sink=sink,
        ledger=SqliteLedger(places.ledger, connection_id),
        rules=ruled,
        describer=describer_of(source, ruled, indexes_of(places.ledger)),
        options=options,
        manifest=places.manifest,
        belonging=belonging,
        guard=RootGuard(places, belonging, roots, source, adopts=adopt),
        listeners=listeners,
    )


def _with_stamp(rules: Rules, stamp_field: str | None) -> Rules:
    """The rules, with the stamp field forbidden to sidecars."""
    known = rules.schema.stamp_field
    if known not in {None, stamp_field}:
        raise ConfigError(f"the rules have the stamp field {known!r}, the call has {stamp_field!r}")
    return replace(rules, schema=replace(rules.schema, stamp_field=stamp_field))
