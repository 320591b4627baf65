"""Where the metadata of single recordings come from: for people who look for a mistake."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from anyio import to_thread

from batch_uploader.app.places import Places
from batch_uploader.app.preparing import describer_of, indexes_of, joined_by, sidecar_patterns
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Listing
from batch_uploader.core.naming import base_name
from batch_uploader.core.ports import Source
from batch_uploader.prepare.about.describer import Explained, ManySources
from batch_uploader.prepare.about.fields import DEFAULT
from batch_uploader.prepare.about.values import Values
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.describer import Describer, Refreshed, look_ahead
from batch_uploader.prepare.rules import Rules
from batch_uploader.sources.directory import DirectorySource


async def explain_recording(
    places: Places,
    path: str,
    *,
    rules: Rules,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignore: Sequence[Path] = (),
) -> Explained:
    """What describes the recording at a path of the directory, and what is made of it.

    Changes nothing. Raises ConfigError, SourceError.
    """
    with DirectorySource(
        places.directory,
        include=include,
        exclude=exclude,
        ignore=(places.ledger, places.manifest, *ignore),
        sidecars=sidecar_patterns(rules),
    ) as source:
        describer = describer_of(source, rules, indexes_of(places.ledger), keep=False)
        joined = joined_by(source, rules.legs, describer)
        try:
            if isinstance(describer, Refreshed):
                await to_thread.run_sync(describer.refresh, "")
            listing = await _folder_of(joined, path)
            if isinstance(describer, Refreshed):
                await look_ahead(describer, joined)
            return await to_thread.run_sync(_explained, joined, describer, listing, path)
        finally:
            if isinstance(describer, Refreshed):
                describer.close()


async def _folder_of(source: Source, path: str) -> Listing:
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            if any(entry.path == path for entry in listing.entries):
                return listing
    raise ConfigError(
        f"{path}: there is no such recording",
        hint="specify its path in the directory, as check and status show it",
    )


def _explained(source: Source, describer: Describer, listing: Listing, path: str) -> Explained:
    bundles, orphans = describer.gather(listing, source.is_audio)
    for orphan in orphans:
        if orphan.entry.path == path:
            return Explained((), (), (orphan.defect,))
    for bundle in bundles:
        if bundle.path == path:
            return _of(describer, bundle)
    raise ConfigError(
        f"{path}: this is not a recording", hint="specify the recording that it belongs to"
    )


def _of(describer: Describer, bundle: Bundle) -> Explained:
    if isinstance(describer, ManySources):
        return describer.explain(bundle)
    metadata = describer.describe(bundle)
    if isinstance(metadata, tuple):
        return Explained((), (), metadata)
    beside = bundle.sidecar
    origin = DEFAULT if beside is None else base_name(beside.path)
    fields = tuple(
        (name, text, DEFAULT if name in metadata.defaulted else origin)
        for name, text in metadata.fields.items()
    )
    said = () if beside is None else (Values("sidecar", dict(metadata.fields), origin),)
    return Explained(said, fields, ())
