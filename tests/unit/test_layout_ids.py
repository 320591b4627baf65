"""The ID that a layout declares is that of the recording: each has one, no two have the same."""

import anyio
import pytest
from support.archives import MAKERS, make

from batch_uploader.app.preparing import many_sources, sidecar_patterns
from batch_uploader.core.model import Metadata
from batch_uploader.prepare.callid import NO_ID
from batch_uploader.settings import Settings
from batch_uploader.sources.directory import DirectorySource


async def metadata_of(made, settings):
    """The metadata of all recordings that have any."""
    rules = settings.reading().rules
    include = settings.patterns("include")
    with DirectorySource(made.root, include=include, sidecars=sidecar_patterns(rules)) as source:
        describer = many_sources(source, rules)
        try:
            describer.refresh("")
            bundles = [
                bundle
                async for listing in source.entries()
                for bundle in describer.gather(listing, source.is_audio)[0]
            ]
            found = [describer.describe(bundle) for bundle in bundles]
            return rules, [each for each in found if isinstance(each, Metadata)]
        finally:
            describer.close()


@pytest.mark.parametrize("layout", MAKERS)
def test_each_recording_has_an_id_of_its_own(layout, tmp_path):
    made = make(layout, tmp_path / "archive", 60)
    flags = {"layout": layout, **made.answers}
    settings = Settings(made.root, flags, {}, made.root.parent)
    rules, described = anyio.run(metadata_of, made, settings)
    ids = [rules.call_ids.named_id(each) for each in described]
    assert len(ids) >= len(made.talks)
    assert NO_ID not in ids
    assert len(set(ids)) == len(ids)
