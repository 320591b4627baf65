"""Makes listed files a recording that is ready to be claimed: reads, inspects, hashes them."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import BinaryIO

from msgspec import Struct, field

from batch_uploader import __version__
from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError, SourceError, SourceGone
from batch_uploader.core.events import Comparison
from batch_uploader.core.identity import Identity
from batch_uploader.core.model import (
    AudioInfo,
    Defect,
    Entry,
    Fingerprint,
    Metadata,
    Recording,
    recording_key,
)
from batch_uploader.core.ports import Local, Source
from batch_uploader.core.records import Corrected, Likeness, Record, Sight
from batch_uploader.host.beneath import read_ahead
from batch_uploader.prepare import audio, sidecar
from batch_uploader.prepare.audio import AudioRules, TakesLonger, essence
from batch_uploader.prepare.audio.essence import Block, Essence
from batch_uploader.prepare.bundle import Bundle, bundle_of, version_of
from batch_uploader.prepare.callid import CallIds
from batch_uploader.prepare.payload import Content, Payload, changed, read_behind
from batch_uploader.prepare.sidecar import Schema

_HASH_STEP = 1024 * 1024
_AT_ONCE = 256 * 1024
"""Bytes; a recording up to this size is read at once, in the event loop if it is cached."""
_SIDECAR_AT_ONCE = 4096
_NO_DIGEST = bytes(hashlib.sha256().digest_size)


class SidecarMode(StrEnum):
    """Whether every recording must have a sidecar."""

    REQUIRED = "required"
    """A recording without a sidecar is invalid."""
    OPTIONAL = "optional"
    """A recording without a sidecar has the defaults as metadata."""


class Rules(Struct, frozen=True):
    """The rules by which a recording with its sidecar is valid, and which call it is.

    Raises ConfigError.
    """

    schema: Schema = field(default_factory=Schema)
    audio: AudioRules = field(default_factory=AudioRules)
    sidecar: SidecarMode = SidecarMode.REQUIRED
    call_ids: CallIds = field(default_factory=CallIds)

    def __post_init__(self) -> None:
        require_type("schema", self.schema, Schema)
        require_type("audio", self.audio, AudioRules)
        require_type("sidecar", self.sidecar, SidecarMode)
        require_type("call_ids", self.call_ids, CallIds)
        for name in sorted(self.call_ids.named):
            if problem := self.schema.check_name(name):
                raise ConfigError(
                    f"the call ID's field {name!r}: {problem.message}", hint=problem.cure
                )

    def digest(self) -> bytes:
        """The digest of the rules: under the same rules, invalid files stay so until they change.

        It includes the version of the program, so that a newer one inspects again what an older one
        found invalid.
        """
        schema = self.schema
        form = (
            __version__,
            sorted(schema.defaults.items()),
            sorted(schema.required),
            sorted(schema.types.items()),
            None if schema.declared is None else sorted(schema.declared),
            schema.stamp_field,
            self.audio,
            self.sidecar,
            sorted(self.call_ids.named),
            self.call_ids.default,
        )
        return hashlib.sha256(repr(form).encode()).digest()


class Preparer(Struct, frozen=True):
    """Inspects and hashes the recordings of one source for one connection.

    Its methods block unless their docstrings say otherwise: use a thread.
    """

    source: Source
    connection_id: str
    rules: Rules

    def _user_path(self, path: str) -> str:
        return self.source.user_path(path) if isinstance(self.source, Local) else path

    def metadata(self, bundle: Bundle) -> Metadata | tuple[Defect, ...]:
        """The metadata of the sidecar, or all its defects. Raises SourceError."""
        return self._metadata(bundle, self._small_file(bundle.sidecar) if bundle.sidecar else b"")

    def _metadata(self, bundle: Bundle, text: bytes) -> Metadata | tuple[Defect, ...]:
        schema = self.rules.schema
        if bundle.sidecar is not None:
            return sidecar.parse(text, bundle.sidecar.path, schema, self._user_path)
        if self.rules.sidecar is SidecarMode.OPTIONAL:
            return sidecar.without_sidecar(bundle.path, schema)
        path = bundle.path
        stem = path.rpartition(".")[0]
        return (
            Defect(
                path,
                "sidecar-missing",
                "it has no sidecar",
                f"write its metadata to {stem}.json or {path}.json, "
                "or allow recordings without one with --sidecar optional",
            ),
        )

    def inspect(self, bundle: Bundle) -> AudioInfo | tuple[Defect, ...]:
        """All but hashing: what is in the audio, or all defects of the bundle.

        Raises as ``prepare`` does.
        """
        metadata = self.metadata(bundle)
        with _explaining(bundle.path), self.source.open(bundle.path) as handle:
            info = self._probe(handle, bundle.audio)
        if isinstance(metadata, tuple) or isinstance(info, Defect):
            return _all_defects(metadata, info)
        return info

    def sight(self, record: Record) -> Sight:
        """Look at the file of a record: whether it is still there, and what the record lacks.

        A file that cannot be read is there, and so is one without its sidecar.
        """
        heard = None
        lacks = None in {record.essence, record.default_id, record.named_id}
        try:
            entry = self.source.stat(record.path)
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
                return Sight(gone=False, identity=self.identity(self.metadata_of(record), heard))
            return Sight(gone=False, corrected=self._corrected(record, entry))
        except SourceError:
            return Sight(gone=False)

    def _corrected(self, record: Record, audio: Entry) -> Corrected | None:
        """What the sidecar of a record says, if it is not as recorded."""
        beside = self._sidecar_of(record)
        before = record.stat.sidecar_size, record.stat.sidecar_mtime_ns
        if beside is None or (beside.size, beside.mtime_ns) == before:
            return None
        metadata = self.metadata(bundle_of(audio, beside))
        if isinstance(metadata, tuple):
            return None
        return Corrected(metadata.digest(), self.rules.call_ids.default_id(metadata))

    def _sidecar_of(self, record: Record) -> Entry | None:
        folder, slash, _ = record.path.rpartition("/")
        name = record.stat.sidecar
        return None if name is None else self.source.stat(f"{folder}{slash}{name}")

    def metadata_of(self, record: Record) -> Metadata | tuple[Defect, ...]:
        """The metadata of a record's sidecar as it is now. Raises SourceError."""
        beside = self._sidecar_of(record)
        return self.metadata(bundle_of(self.source.stat(record.path), beside))

    def identity(
        self, metadata: Metadata | tuple[Defect, ...], heard: bytes | None = None
    ) -> Identity:
        """The IDs that metadata make, beside an essence. Does not block."""
        if isinstance(metadata, tuple):
            return Identity(heard)
        ids = self.rules.call_ids
        return Identity(heard, ids.default_id(metadata), ids.named_id(metadata))

    def _digests(self, entry: Entry) -> tuple[bytes, bytes | None]:
        """SHA-256 and essence of a file; no essence for what is not sound."""
        with _explaining(entry.path), self.source.open(entry.path) as handle:
            info = self._probe(handle, entry)
            if isinstance(info, Defect):
                digest = hashlib.sha256()
                _read(handle, entry, digest.update)
                return digest.digest(), None
            digests = _Digests(essence.begin(handle, entry.size, info))
            _read(handle, entry, digests.update)
        return digests.digest()

    def compare(self, bundle: Bundle, known: Record) -> tuple[Comparison, Identity | None]:
        """Compare audio of the same size and time, and its sidecar, with their record.

        Returns also the IDs of metadata that are not those on record.

        Raises as ``prepare`` does.
        """
        before, now = known.stat, version_of(bundle)
        if (before.ctime_ns, before.inode) != (now.ctime_ns, now.inode):
            with _explaining(bundle.path), self.source.open(bundle.path) as handle:
                opened = self._require_rest(handle, bundle.audio)
                digest = hashlib.sha256()
                _read(handle, bundle.audio, digest.update)
                self._require_rest(handle, bundle.audio, opened)
            if digest.digest() != known.sha256:
                return Comparison.CHANGED, None
        seen = (before.sidecar_ctime_ns, before.sidecar_inode)
        if before.is_like(now) and seen == (now.sidecar_ctime_ns, now.sidecar_inode):
            return Comparison.SAME, None
        metadata = self.metadata(bundle)
        _ = self._sidecar_now(bundle.sidecar)
        if not isinstance(metadata, tuple) and metadata.digest() == known.metadata:
            return Comparison.SAME, None
        return Comparison.OUTDATED, self.identity(metadata)

    def prepare(
        self, bundle: Bundle, whole_limit: int, envelope: Callable[[Recording], bytes]
    ) -> Payload | tuple[Defect, ...]:
        """A recording ready to be claimed, or all its defects.

        Up to ``whole_limit`` bytes its content is kept in memory, a large one after space for the
        sink's ``envelope``. Raises SourceChanged if a file of the bundle is not as it was listed,
        SourceError if it cannot be read.
        """
        listed = bundle.audio
        with _explaining(listed.path), ExitStack() as stack:
            before = self._sidecar_now(bundle.sidecar)
            handle = stack.enter_context(self.source.open(listed.path))
            if listed.size <= _AT_ONCE:
                # The audio is read from the disk while the sidecar is.
                read_ahead(handle, 0, listed.size)
            metadata = self.metadata(bundle)
            if self._sidecar_now(bundle.sidecar) != before:
                raise changed(listed.path)
            sound, content = self._look_and_hash(bundle, metadata, handle, whole_limit, envelope)
            if isinstance(sound, tuple):
                return sound
            stack.pop_all()
        return Payload(sound, handle, content)

    def prepare_cached(
        self, bundle: Bundle, whole_limit: int
    ) -> Payload | tuple[Defect, ...] | None:
        """As ``prepare`` for a small recording that is already in memory; None for all others.

        Does not block, and takes a third of a millisecond for nearly all valid recordings: 32 of
        them in one turn of the event loop take ten. A thread hop costs more.
        """
        if bundle.audio.size > min(_AT_ONCE, whole_limit):
            return None
        text = self._glance_at_sidecar(bundle.sidecar)
        content = None if text is None else self.source.read_if_cached(bundle.audio)
        if text is None or content is None:
            return None
        try:
            sound = self._judge(bundle, self._metadata(bundle, text), content, at_once=True)
        except TakesLonger:
            return None
        return sound if isinstance(sound, tuple) else Payload(sound, None, content)

    def _glance_at_sidecar(self, listed: Entry | None) -> bytes | None:
        if listed is None:
            return b""
        return self.source.read_if_cached(listed) if listed.size <= _SIDECAR_AT_ONCE else None

    def _judge(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        content: bytes,
        *,
        at_once: bool = False,
    ) -> Recording | tuple[Defect, ...]:
        """The recording with this content, or all its defects."""
        path, rules, handle = bundle.path, self.rules.audio, io.BytesIO(content)
        info = audio.probe(
            handle,
            path,
            len(content),
            rules,
            at_once=at_once,
            user_path=self._user_path,
        )
        if isinstance(metadata, tuple) or isinstance(info, Defect):
            return _all_defects(metadata, info)
        digests = _Digests(essence.begin(handle, len(content), info))
        digests.update(content)
        return self._recording(bundle, metadata, info, *digests.digest())

    def _look_and_hash(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        handle: BinaryIO,
        whole_limit: int,
        envelope: Callable[[Recording], bytes],
    ) -> tuple[Recording | tuple[Defect, ...], Content | None]:
        """The recording of the handle, or all its defects; its content if that is kept."""
        listed = bundle.audio
        opened = self._require_rest(handle, listed)
        if listed.size <= min(_AT_ONCE, whole_limit):
            content = handle.read(listed.size)
            if len(content) != listed.size:
                raise changed(listed.path)
            self._require_rest(handle, listed, opened)
            return self._judge(bundle, metadata, content), content
        # A large one that is invalid need not be read.
        info = self._probe(handle, listed)
        if isinstance(metadata, tuple) or isinstance(info, Defect):
            return _all_defects(metadata, info), None
        digests = _Digests(essence.begin(handle, listed.size, info))
        kept = None
        if listed.size <= whole_limit:
            room = len(envelope(self._recording(bundle, metadata, info, _NO_DIGEST)))
            kept = read_behind(room, handle, listed, digests.update)
        else:
            _read(handle, listed, digests.update)
        self._require_rest(handle, listed, opened)
        return self._recording(bundle, metadata, info, *digests.digest()), kept

    def _recording(
        self,
        bundle: Bundle,
        metadata: Metadata,
        info: AudioInfo,
        sha256: bytes,
        heard: bytes | None = None,
    ) -> Recording:
        path = bundle.path
        return Recording(
            connection_id=self.connection_id,
            path=path,
            stat=version_of(bundle),
            fingerprint=Fingerprint(sha256, metadata.digest()),
            metadata=metadata,
            audio=info,
            key=recording_key(self.connection_id, path, sha256),
            identity=self.identity(metadata, heard),
            mix=bundle.mix,
        )

    def _probe(self, handle: BinaryIO, entry: Entry) -> AudioInfo | Defect:
        info = audio.probe(
            handle, entry.path, entry.size, self.rules.audio, user_path=self._user_path
        )
        # What looks truncated may still be being written.
        self._require_rest(handle, entry)
        return info

    def _require_rest(
        self, handle: BinaryIO, listed: Entry, opened: tuple[object, ...] | None = None
    ) -> tuple[object, ...]:
        """Raise SourceChanged if it is not as listed, or was touched since ``opened``.

        Returns its current entry. A writer can set the modification time back, but not the change
        time.
        """
        now = self.source.handle_stat(handle, listed.path)
        seen = now[: Likeness.CTIME]
        if opened not in {None, seen}:
            raise changed(listed.path)
        if not now.is_like(listed) and not self._is_like_by_name(now, listed):
            raise changed(listed.path)
        return seen

    def _is_like_by_name(self, now: Entry, listed: Entry) -> bool:
        """Whether a file of the same size is as listed if it is asked for by its name, too.

        Some file systems tell other times of an open file than of a name: GlusterFS, SMB, FAT.
        """
        return now.size == listed.size and self.source.stat(listed.path).is_like(listed)

    def _sidecar_now(self, listed: Entry | None) -> tuple[object, ...]:
        """Values that show, without an inode, whether the sidecar is replaced meanwhile.

        If another call's sidecar is put in its place, the audio must not be sent. Raises
        SourceChanged if it is not as it was listed.
        """
        if listed is None:
            return ()
        now = self.source.stat(listed.path)
        if not now.is_like(listed):
            raise changed(listed.path)
        return now[: Likeness.CTIME]

    def _small_file(self, entry: Entry) -> bytes:
        with _explaining(entry.path), self.source.open(entry.path) as handle:
            # Reading up to the limit would allocate as much memory.
            text = handle.read(min(entry.size, sidecar.SIZE_LIMIT) + 1)
            if len(text) > entry.size:
                text += handle.read(sidecar.SIZE_LIMIT + 1 - len(text))
            return text


@contextmanager
def _explaining(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror})",
            hint="check the disk; the next run tries again",
        ) from error


class _Digests:
    """The SHA-256 and the essence of a file, in one pass over its blocks."""

    def __init__(self, heard: Essence) -> None:
        self._sha256, self._heard = hashlib.sha256(), heard

    def update(self, block: Block) -> None:
        self._sha256.update(block)
        self._heard.update(block)

    def digest(self) -> tuple[bytes, bytes]:
        return self._sha256.digest(), self._heard.digest()


def _read(handle: BinaryIO, listed: Entry, update: Callable[[bytes], None]) -> None:
    handle.seek(0)
    left = listed.size
    while left > 0:
        piece = handle.read(min(_HASH_STEP, left))
        if not piece:
            raise changed(listed.path)
        update(piece)
        left -= len(piece)


def _all_defects(
    metadata: Metadata | tuple[Defect, ...], info: AudioInfo | Defect
) -> tuple[Defect, ...]:
    wrong = metadata if isinstance(metadata, tuple) else ()
    return (*wrong, info) if isinstance(info, Defect) else wrong
