"""Makes listed files a recording that is ready to be claimed: reads, inspects, hashes them."""

import hashlib
import io
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

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
from batch_uploader.core.ports import Source
from batch_uploader.host.beneath import read_ahead
from batch_uploader.prepare import audio
from batch_uploader.prepare.audio import TakesLonger, essence
from batch_uploader.prepare.bundle import Bundle, version_of
from batch_uploader.prepare.convert import (
    Conversion,
    Converted,
    convert,
    examine,
    may_help,
    may_shrink,
)
from batch_uploader.prepare.describer import Describer
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.payload import Content, Payload, changed, read_behind
from batch_uploader.prepare.reading import (
    ContentDigests,
    explaining,
    read,
    require_rest,
    rest_of,
    user_path,
)
from batch_uploader.prepare.rules import Rules

_AT_ONCE = 256 * 1024
"""Bytes; a recording up to this size is read at once, in the event loop if it is cached."""
_NO_DIGEST = bytes(hashlib.sha256().digest_size)


Unsent: TypeAlias = LeftOut | tuple[Defect, ...]
"""Why a recording is not sent: a filter leaves it out, or it has these defects."""


class Prepared(Struct, frozen=True):
    """A recording that is ready to be claimed, and what is sent of it. Close it.

    ``recording`` is what it was made of, and what was found out about that.
    """

    recording: Recording
    payload: Payload

    @classmethod
    def of(cls, recording: Recording, handle: BinaryIO | None, content: Content | None) -> Self:
        """One whose file is sent as it is."""
        sha256, size = recording.fingerprint.sha256, recording.stat.size
        return cls(recording, Payload(recording.path, sha256, size, handle, content))

    def close(self) -> None:
        """Close the payload."""
        self.payload.close()


class Preparer(Struct, frozen=True):
    """Inspects and hashes the recordings of one source for one connection.

    Its methods block unless their docstrings say otherwise: use a thread.
    """

    source: Source
    connection_id: str
    rules: Rules
    describer: Describer

    def inspect(self, bundle: Bundle) -> AudioInfo | Conversion | Unsent:
        """All but hashing: what is in the audio and how it is converted, or why it is not sent.

        Raises as ``prepare`` does.
        """
        metadata = self.describer.describe(bundle)
        with explaining(bundle.path), self.source.open(bundle.path) as handle:
            found = examine(self.source, handle, bundle.audio, self.rules.audio)
            info: AudioInfo | Defect = found.info if isinstance(found, Conversion) else found
            if isinstance(found, Conversion) and found.seconds is None:
                info = self._measured(bundle.audio, handle, found)
        if (left := self.left_out(bundle, metadata, info)) is not None:
            return left
        if isinstance(metadata, tuple) or isinstance(info, Defect) or isinstance(found, Defect):
            return _all_defects(metadata, info)
        return found

    def _measured(
        self, entry: Entry, handle: BinaryIO, conversion: Conversion
    ) -> AudioInfo | Defect:
        """What a file turns out to be that does not say how long it is, if a filter asks."""
        if not self.rules.filters.measure:
            return conversion.info
        made = convert(handle, entry, conversion, self.rules.audio)
        if isinstance(made, Converted):
            made.close()
            return made.info
        return made

    def identity(
        self, metadata: Metadata | tuple[Defect, ...], heard: bytes | None = None
    ) -> Identity:
        """The IDs that metadata make, beside an essence. Does not block."""
        if isinstance(metadata, tuple):
            return Identity(heard)
        ids = self.rules.call_ids
        return Identity(heard, ids.default_id(metadata), ids.named_id(metadata))

    def prepare(
        self, bundle: Bundle, whole_limit: int, envelope: Callable[[Recording], bytes]
    ) -> Prepared | Unsent:
        """A recording ready to be claimed, or why it is not sent.

        Up to ``whole_limit`` bytes its content is kept in memory, a large one after space for the
        sink's ``envelope``. Raises SourceChanged if a file of the bundle is not as it was listed,
        SourceError if it cannot be read.
        """
        listed = bundle.audio
        with explaining(listed.path), ExitStack() as stack:
            before = rest_of(self.source, bundle.about)
            if self.rules.filters.dated and (left := self._by_date(bundle)) is not None:
                return left
            handle = stack.enter_context(self.source.open(listed.path))
            if listed.size <= _AT_ONCE:
                # The audio is read from the disk while the sidecar is.
                read_ahead(handle, 0, listed.size)
            metadata = self.describer.describe(bundle)
            if rest_of(self.source, bundle.about) != before:
                raise changed(listed.path)
            prepared = self._look_and_hash(bundle, metadata, handle, whole_limit, envelope)
            if isinstance(prepared, Prepared) and prepared.recording.sent is None:
                stack.pop_all()
            return prepared

    def prepare_cached(self, bundle: Bundle, whole_limit: int) -> Prepared | Unsent | None:
        """As ``prepare`` for a small recording that is already in memory; None for all others.

        Does not block, and takes a third of a millisecond for nearly all valid recordings: 32 of
        them in one turn of the event loop take ten. A thread hop costs more.
        """
        if bundle.audio.size > min(_AT_ONCE, whole_limit):
            return None
        metadata = self.describer.describe_cached(bundle)
        content = None if metadata is None else self.source.read_if_cached(bundle.audio)
        if metadata is None or content is None:
            return None
        try:
            sound = self._judge(bundle, metadata, content, at_once=True)
        except TakesLonger:
            return None
        if self._converts(sound):
            return None
        return Prepared.of(sound, None, content) if isinstance(sound, Recording) else sound

    def _converts(self, sound: Recording | Unsent) -> bool:
        if isinstance(sound, Recording):
            return may_shrink(sound.audio, self.rules.audio)
        return isinstance(sound, tuple) and any(may_help(each, self.rules.audio) for each in sound)

    def _judge(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        content: bytes,
        *,
        at_once: bool = False,
    ) -> Recording | Unsent:
        """The recording with this content, or why it is not sent."""
        handle = io.BytesIO(content)
        info = audio.probe(
            handle,
            bundle.path,
            len(content),
            self.rules.audio,
            at_once=at_once,
            user_path=partial(user_path, self.source),
        )
        if (left := self.left_out(bundle, metadata, info)) is not None:
            return left
        if isinstance(metadata, tuple) or isinstance(info, Defect):
            return _all_defects(metadata, info)
        digests = ContentDigests(essence.begin(handle, len(content), info))
        digests.update(content)
        return self._recording(bundle, metadata, info, *digests.digest())

    def _look_and_hash(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        handle: BinaryIO,
        whole_limit: int,
        envelope: Callable[[Recording], bytes],
    ) -> Prepared | Unsent:
        """The recording of the handle, or why it is not sent; converted, it has another file."""
        listed = bundle.audio
        opened = require_rest(self.source, handle, listed)
        if listed.size <= min(_AT_ONCE, whole_limit):
            content = handle.read(listed.size)
            if len(content) != listed.size:
                raise changed(listed.path)
            require_rest(self.source, handle, listed, opened)
            sound = self._judge(bundle, metadata, content)
            if not self._converts(sound):
                if isinstance(sound, Recording):
                    return Prepared.of(sound, handle, content)
                return sound
        # A large one that is not sent need not be read.
        found = examine(self.source, handle, listed, self.rules.audio)
        if isinstance(found, Conversion):
            made = self._converted(bundle, metadata, handle, found)
            require_rest(self.source, handle, listed, opened)
            return made
        if (left := self.left_out(bundle, metadata, found)) is not None:
            return left
        if isinstance(metadata, tuple) or isinstance(found, Defect):
            return _all_defects(metadata, found)
        digests = ContentDigests(essence.begin(handle, listed.size, found))
        kept = None
        if listed.size <= whole_limit:
            room = len(envelope(self._recording(bundle, metadata, found, _NO_DIGEST)))
            kept = read_behind(room, handle, listed, digests.update)
        else:
            read(handle, listed, digests.update)
        require_rest(self.source, handle, listed, opened)
        recording = self._recording(bundle, metadata, found, *digests.digest())
        return Prepared.of(recording, handle, kept)

    def _converted(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        handle: BinaryIO,
        conversion: Conversion,
    ) -> Prepared | Unsent:
        says_length = conversion.seconds is not None
        if says_length and (left := self.left_out(bundle, metadata, conversion.info)) is not None:
            return left
        if isinstance(metadata, tuple):
            return metadata
        made = convert(handle, bundle.audio, conversion, self.rules.audio)
        info = made if isinstance(made, Defect) else made.info
        # What does not say how long it is must be decoded before it can be left out by that.
        left = None if says_length else self.left_out(bundle, metadata, info)
        if isinstance(made, Defect):
            return left or (made,)
        if left is not None:
            made.close()
            return left
        return self._made(bundle, metadata, made)

    def _made(self, bundle: Bundle, metadata: Metadata, made: Converted) -> Prepared:
        recording = self._recording(bundle, metadata, made.info, made.sha256, made.heard)
        sent = made.sent
        payload = Payload(bundle.path, None, sent.size, made.file, made.content)
        return Prepared(replace(recording, sent=sent), payload)

    def _by_date(self, bundle: Bundle) -> LeftOut | None:
        """Before the audio is opened: most recordings of an archive may be too old."""
        metadata = self.describer.describe(bundle)
        return self.rules.filters.by_date(metadata, bundle.audio.mtime_ns)

    def left_out(
        self, bundle: Bundle, metadata: Metadata | tuple[Defect, ...], info: AudioInfo | Defect
    ) -> LeftOut | None:
        """What a filter says; it comes before all defects that it does not depend on."""
        filters, longest = self.rules.filters, self.rules.audio.max_duration
        by_date = filters.by_date(metadata, bundle.audio.mtime_ns)
        return by_date or filters.by_length(info, longest)

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


def _all_defects(
    metadata: Metadata | tuple[Defect, ...], info: AudioInfo | Defect
) -> tuple[Defect, ...]:
    wrong = metadata if isinstance(metadata, tuple) else ()
    return (*wrong, info) if isinstance(info, Defect) else wrong
