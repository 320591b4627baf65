"""Where the metadata of single recordings come from: for people who look for a mistake."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from batch_uploader.app.places import Places
from batch_uploader.app.preparing import describer_of, indexes_of, joined_by, sidecar_patterns
from batch_uploader.core.errors import ConfigError, SourceError
from batch_uploader.core.model import Listing
from batch_uploader.core.naming import base_name, whole_path
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
    # What describes a piece describes its file.
    rules, path = replace(rules, split_long=False), (rules.split_long and whole_path(path)) or path
    async with _opened(places, rules, include, exclude, ignore) as (source, describer):
        listing = await _folder_of(source, path)
        await look_ahead(describer, source)
        return await to_thread.run_sync(_explained, source, describer, listing, path)


async def describe_recordings(
    places: Places,
    paths: Collection[str],
    *,
    rules: Rules,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignore: Sequence[Path] = (),
) -> dict[str, Mapping[str, str]]:
    """The fields of the recordings at these paths, as far as their files are still there.

    Walks the directory until it has found all. Changes nothing. Raises ConfigError, SourceError.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    found: dict[str, Mapping[str, str]] = {}
    async with _opened(places, rules, include, exclude, ignore) as (source, describer):
        await look_ahead(describer, source)
        async with aclosing(source.entries()) as listings:
            async for listing in listings:
                if listing.folder in folders:
                    folders.discard(listing.folder)
                    described = partial(_fields_in, source, describer, listing, frozenset(paths))
                    found |= await to_thread.run_sync(described)
                if not folders:
                    break
    return found


@asynccontextmanager
async def _opened(
    places: Places,
    rules: Rules,
    include: Sequence[str],
    exclude: Sequence[str],
    ignore: Sequence[Path],
) -> AsyncIterator[tuple[Source, Describer]]:
    """The recordings of a directory, and what describes them; not looked ahead yet."""
    with DirectorySource(
        places.directory,
        include=include,
        exclude=exclude,
        ignore=(places.ledger, places.manifest, *ignore),
        sidecars=sidecar_patterns(rules),
    ) as source:
        describer = describer_of(source, rules, indexes_of(places.ledger), keep=False)
        try:
            if isinstance(describer, Refreshed):
                await to_thread.run_sync(describer.refresh, "")
            yield joined_by(source, rules.legs, describer), describer
        finally:
            if isinstance(describer, Refreshed):
                describer.close()


def _fields_in(
    source: Source, describer: Describer, listing: Listing, paths: Collection[str]
) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    bundles, _ = describer.gather(listing, source.is_audio)
    for bundle in bundles:
        if bundle.path in paths:
            with suppress(SourceError):
                metadata = describer.describe(bundle)
                if not isinstance(metadata, tuple):
                    found[bundle.path] = metadata.fields
    return found


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
