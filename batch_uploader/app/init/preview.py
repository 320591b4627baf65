"""Shows what metadata recordings would get, without sending or writing anything."""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from msgspec import Struct

from batch_uploader.app.preparing import joined_by, many_sources, sidecar_patterns
from batch_uploader.core.errors import SourceError
from batch_uploader.core.examples import spread
from batch_uploader.core.model import Defect
from batch_uploader.core.ports import Source
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.describer import look_ahead
from batch_uploader.prepare.rules import Rules
from batch_uploader.sources.directory import DirectorySource

if TYPE_CHECKING:
    from batch_uploader.prepare.about.describer import Explained, ManySources

_MOST_GATHERED = 2_000


class Preview(Struct, frozen=True):
    """What a sample of recordings would get: each path with what is made of it.

    ``faults`` are those of tables.
    """

    explained: tuple[tuple[str, "Explained"], ...]
    faults: tuple[Defect, ...] = ()

    @property
    def whole(self) -> int:
        """How many of them have metadata."""
        return sum(not each.defects for _, each in self.explained)


async def preview(
    directory: Path,
    rules: Rules,
    most: int,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Preview:
    """What recordings from all over a directory would get. Raises SourceError, ConfigError."""
    with DirectorySource(
        directory, include=include, exclude=exclude, sidecars=sidecar_patterns(rules)
    ) as source:
        describer = many_sources(source, rules)
        joined = joined_by(source, rules.legs, describer)
        try:
            await to_thread.run_sync(describer.refresh, "")
            await look_ahead(describer, joined)
            bundles = await _gathered(joined, describer)
            some = spread(bundles, most)
            explained = await to_thread.run_sync(_explained, describer, some)
            return Preview(tuple(explained), describer.faults().first)
        finally:
            describer.close()


async def _gathered(source: Source, describer: "ManySources") -> list[Bundle]:
    bundles: list[Bundle] = []
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            bundles += await to_thread.run_sync(
                lambda listing: describer.gather(listing, source.is_audio)[0], listing
            )
            if len(bundles) >= _MOST_GATHERED:
                break
    return bundles


def _explained(
    describer: "ManySources", bundles: Sequence[Bundle]
) -> list[tuple[str, "Explained"]]:
    found = []
    for bundle in bundles:
        try:
            found.append((bundle.path, describer.explain(bundle)))
        except SourceError:
            continue  # it is gone meanwhile, or cannot be read
    return found
