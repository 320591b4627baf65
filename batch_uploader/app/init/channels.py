"""Which kind of connection recordings are for, by their channels."""

from collections.abc import Sequence
from pathlib import Path

from batch_uploader.core.errors import SourceError
from batch_uploader.core.examples import spread
from batch_uploader.core.model import Defect
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.reading import probe
from batch_uploader.prepare.sidecar import Kind
from batch_uploader.sources.directory import DirectorySource

_MOST = 20
_ANY = AudioRules()


def kinds_of(directory: Path, bundles: Sequence[Bundle]) -> frozenset[Kind]:
    """The kinds for which a sample of recordings has the channels. Blocking."""
    kinds: set[Kind] = set()
    with DirectorySource(directory) as source:
        for bundle in spread(bundles, _MOST):
            try:
                with source.open(bundle.path) as handle:
                    info = probe(source, handle, bundle.audio, _ANY)
            except (OSError, SourceError):
                continue
            if not isinstance(info, Defect):
                kinds.update(kind for kind in Kind if kind.channels == info.channels)
    return frozenset(kinds)
