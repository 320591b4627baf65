"""Which kind of connection recordings are for, by their channels."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from batch_uploader.core.errors import SourceError
from batch_uploader.core.examples import spread
from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.prepare.audio import AudioRules
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.prepare.legs.source import JoinedSource
from batch_uploader.prepare.reading import probe
from batch_uploader.prepare.sidecar import Kind
from batch_uploader.sources.directory import DirectorySource

_MOST = 20
_ANY = AudioRules()


def kinds_of(
    directory: Path, bundles: Sequence[Bundle], legs: LegRules | None = None
) -> frozenset[Kind]:
    """The kinds for which a sample of recordings has the channels, once joined. Blocking."""
    found: set[int | None] = set()
    with DirectorySource(directory) as source:
        entries = _joined(source, bundles, legs)
        found.update(len(each.parts) for each in entries if each.parts)
        for entry in spread([each for each in entries if not each.parts], _MOST):
            with suppress(OSError, SourceError):
                found.add(_channels(source, entry))
    return frozenset(kind for kind in Kind if kind.channels in found)


def _channels(source: DirectorySource, entry: Entry) -> int | None:
    with source.open(entry.path) as handle:
        info = probe(source, handle, entry, _ANY)
    return None if isinstance(info, Defect) else info.channels


def _joined(
    source: DirectorySource, bundles: Sequence[Bundle], legs: LegRules | None
) -> list[Entry]:
    """The recordings, with legs as one."""
    if legs is None:
        return [each.audio for each in bundles]
    folders: dict[str, list[Entry]] = {}
    for each in bundles:
        folders.setdefault(each.path.rpartition("/")[0], []).append(each.audio)
    joining = JoinedSource(source, legs)
    listings = (Listing(folder, tuple(entries)) for folder, entries in folders.items())
    return [entry for listing in listings for entry in joining.joined(listing).entries]
