"""Compares files with their records: whether they are still there, and what they hold now."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeAlias

from msgspec import Struct

from batch_uploader.core.errors import SourceError, SourceGone
from batch_uploader.core.events import Comparison
from batch_uploader.core.identity import Identity
from batch_uploader.core.model import AudioInfo, Defect, Entry, Metadata
from batch_uploader.core.naming import whole_path
from batch_uploader.core.parts import from_json, sha256_of
from batch_uploader.core.ports import Source
from batch_uploader.core.records import Corrected, Record, Sight
from batch_uploader.prepare.audio import AudioRules, essence
from batch_uploader.prepare.bundle import Bundle, version_of
from batch_uploader.prepare.convert import Conversion, decode, examine
from batch_uploader.prepare.convert.cutting import digests_of, examine_long
from batch_uploader.prepare.convert.joining import examine_leg
from batch_uploader.prepare.describer import Describer
from batch_uploader.prepare.legs.source import call_of
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.prepare.reading import ContentDigests, explaining, read, require_rest, rest_of

_Examine: TypeAlias = Callable[
    [Source, BinaryIO, Entry, AudioRules], AudioInfo | Conversion | Defect
]


class Comparer(Struct, frozen=True):
    """Looks at the files of records, and reads them if that is not enough.

    Its methods block: use a thread.
    """

    preparer: Preparer

    @property
    def _source(self) -> Source:
        return self.preparer.source

    @property
    def _describer(self) -> Describer:
        return self.preparer.describer

    def sight(self, record: Record) -> Sight:
        """Look at the file of a record: whether it is still there, and what the record lacks.

        A file that cannot be read is there, and so is one without its sidecar.
        """
        heard = None
        lacks = None in {record.essence, record.default_id, record.named_id}
        try:
            entry = self._entry(record)
            there = (entry.size, entry.mtime_ns) == (record.stat.size, record.stat.mtime_ns)
            if lacks or not there:
                sha256, heard = self._digests(entry)
                if sha256 != record.sha256 and (heard is None or heard != record.essence):
                    return Sight(gone=True)
        except SourceGone:
            return Sight(gone=True)
        except SourceError:
            return Sight(gone=False)
        try:
            if lacks:
                return Sight(
                    gone=False, identity=self.preparer.identity(self.metadata_of(record), heard)
                )
            return Sight(gone=False, corrected=self._corrected(record, entry))
        except SourceError:
            return Sight(gone=False)

    def _corrected(self, record: Record, audio: Entry) -> Corrected | None:
        """What describes a record, if it is not as recorded."""
        bundle = self._describer.find(audio, record.stat.sidecar)
        if version_of(bundle).is_described_like(record.stat):
            return None
        metadata = self._describer.describe(bundle)
        if isinstance(metadata, tuple):
            return None
        return Corrected(metadata.digest(), self.preparer.rules.call_ids.default_id(metadata))

    def metadata_of(self, record: Record) -> Metadata | tuple[Defect, ...]:
        """The metadata of a record as they are now. Raises SourceError."""
        audio = self._entry(record)
        return self._describer.describe(self._describer.find(audio, record.stat.sidecar))

    def _entry(self, record: Record) -> Entry:
        """The file of a record, or its legs, as they are now. Raises SourceError."""
        if record.parts is None:
            return self._source.stat(record.path)
        kept = from_json(record.parts)
        if any(each.cut is not None for each in kept) or whole_path(record.path) == kept[0].path:
            with suppress(SourceGone):
                return self._source.stat(record.path)
        parts = tuple(self._source.stat(each.path) for each in kept if not each.mix)
        mixes = tuple(each.path for each in kept if each.mix)
        return call_of(record.path, parts)._replace(mixes=mixes)

    def _digests(self, entry: Entry) -> tuple[bytes, bytes | None]:
        """SHA-256 and essence of a file, or of legs; no essence for what is not sound."""
        if not entry.parts:
            return self._digests_of(entry, examine)
        if entry.cut is not None:
            sha256, heard = self._digests_of(entry.parts[0], examine_long)
            # Without an essence the file is not what it was.
            return digests_of((sha256, heard), entry.cut) if heard else (sha256, None)
        legs = [self._digests_of(part, examine_leg) for part in entry.parts]
        if len(legs) == 1:
            return legs[0]
        essences = [heard for _, heard in legs if heard is not None]
        sha256 = sha256_of([digest for digest, _ in legs])
        return sha256, essence.of_parts(essences) if len(essences) == len(legs) else None

    def _digests_of(self, entry: Entry, examined: _Examine) -> tuple[bytes, bytes | None]:
        with explaining(entry.path), self._source.open(entry.path) as handle:
            found = examined(self._source, handle, entry, self.preparer.rules.audio)
            if isinstance(found, Conversion):
                decoded = decode(handle, entry, found, lambda _: None)
                if isinstance(decoded, tuple):
                    return decoded
            elif isinstance(found, AudioInfo):
                digests = ContentDigests(essence.begin(handle, entry.size, found))
                read(handle, entry, digests.update)
                return digests.digest()
            digest = hashlib.sha256()
            read(handle, entry, digest.update)
            return digest.digest(), None

    def _sha256(self, entry: Entry) -> bytes:
        with explaining(entry.path), self._source.open(entry.path) as handle:
            opened = require_rest(self._source, handle, entry)
            digest = hashlib.sha256()
            read(handle, entry, digest.update)
            require_rest(self._source, handle, entry, opened)
        return digest.digest()

    def _sha256_of(self, bundle: Bundle) -> bytes:
        """That of a recording, by its files."""
        sha256 = sha256_of([self._sha256(part) for part in bundle.parts])
        cut = bundle.audio.cut
        return sha256 if cut is None else digests_of((sha256, b""), cut)[0]

    def compare(self, bundle: Bundle, known: Record) -> tuple[Comparison, Identity | None]:
        """Compare audio of the same size and time, and its sidecar, with their record.

        Returns also the IDs of metadata that are not those on record.

        Raises as ``prepare`` does.
        """
        before, now = known.stat, version_of(bundle)
        touched = (before.ctime_ns, before.inode) != (now.ctime_ns, now.inode)
        if touched and self._sha256_of(bundle) != known.sha256:
            return Comparison.CHANGED, None
        seen = (before.sidecar_ctime_ns, before.sidecar_inode)
        if before.is_like(now) and seen == (now.sidecar_ctime_ns, now.sidecar_inode):
            return Comparison.SAME, None
        metadata = self._describer.describe(bundle)
        _ = rest_of(self._source, bundle.about)
        if not isinstance(metadata, tuple) and metadata.digest() == known.metadata:
            return Comparison.SAME, None
        return Comparison.OUTDATED, self.preparer.identity(metadata)
