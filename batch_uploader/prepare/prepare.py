"""Makes listed files a recording that is ready to be claimed: reads, inspects, hashes them."""

import io
import sys
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
    Sent,
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
from batch_uploader.prepare.convert.joining import foretell
from batch_uploader.prepare.convert.spool import SpaceFor
from batch_uploader.prepare.convert.swapping import swap
from batch_uploader.prepare.describer import Describer
from batch_uploader.prepare.filters import LeftOut
from batch_uploader.prepare.legs import preparing as legs
from batch_uploader.prepare.legs.opening import OpenLegs
from batch_uploader.prepare.legs.sides import crossed_channels
from batch_uploader.prepare.memory import NO_DIGEST, OneMessage
from batch_uploader.prepare.payload import Content, Payload, changed, read_behind
from batch_uploader.prepare.pieces import preparing as pieces
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
_STEREO = 2


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
        if bundle.audio.cut is not None:
            with explaining(bundle.path), self.source.open(bundle.parts[0].path) as handle:
                piece = pieces.look(self.source, handle, bundle, metadata, self.rules)
            return piece.info if isinstance(piece, pieces.SoundPiece) else piece
        if not bundle.audio.parts:
            return self._inspect(bundle, metadata)
        with OpenLegs(self.source, bundle.audio, self.rules.audio) as opened:
            found = legs.look(opened, bundle, metadata, self.rules)
        if isinstance(found, Entry):
            return self._inspect(replace(bundle, audio=found), metadata)
        return foretell(found.legs) if isinstance(found, legs.Sound) else found

    def _inspect(
        self, bundle: Bundle, metadata: Metadata | tuple[Defect, ...]
    ) -> AudioInfo | Conversion | Unsent:
        with explaining(bundle.path), self.source.open(bundle.path) as handle:
            found = examine(self.source, handle, bundle.audio, self.rules.audio)
            info: AudioInfo | Defect = found.info if isinstance(found, Conversion) else found
            if isinstance(found, Conversion) and found.seconds is None:
                info = self._measured(bundle.audio, handle, found)
        if (left := self.left_out(bundle, metadata, info)) is not None:
            return left
        if isinstance(metadata, tuple) or isinstance(info, Defect) or isinstance(found, Defect):
            return _all_defects(metadata, info)
        crossed = self._crossed(bundle.path, metadata, info)
        return (crossed,) if isinstance(crossed, Defect) else found

    def _crossed(self, path: str, metadata: Metadata, info: AudioInfo) -> bool | Defect:
        """Whether the channels of a stereo file are to be swapped."""
        rules = self.rules.channels
        return info.channels == _STEREO and crossed_channels(path, metadata, rules)

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
        self,
        bundle: Bundle,
        whole_limit: int,
        envelope: Callable[[Recording], bytes],
        granted: int = sys.maxsize,
    ) -> Prepared | Unsent:
        """A recording ready to be claimed, or why it is not sent.

        Up to ``whole_limit`` bytes its content is kept in memory, a large one after space for the
        sink's ``envelope``. Raises NeedsMemory if that is more than ``granted``, before it is made,
        SourceChanged if a file of the bundle is not as it was listed, SourceError if it cannot be
        read.
        """
        listed = bundle.audio
        with explaining(listed.path), ExitStack() as stack:
            before = rest_of(self.source, bundle.about)
            if self.rules.filters.dated and (left := self._by_date(bundle)) is not None:
                return left
            handle = None
            if not listed.parts:
                handle = stack.enter_context(self.source.open(listed.path))
                if listed.size <= _AT_ONCE:
                    # The audio is read from the disk while the sidecar is.
                    read_ahead(handle, 0, listed.size)
            metadata = self.describer.describe(bundle)
            if rest_of(self.source, bundle.about) != before:
                raise changed(listed.path)
            whole = OneMessage(whole_limit, envelope, granted)
            if listed.cut is not None:
                handle = stack.enter_context(self.source.open(listed.parts[0].path))
                return self._of_piece(bundle, metadata, handle, whole)
            if handle is None:
                return self._of_legs(bundle, metadata, whole)
            prepared = self._look_and_hash(bundle, metadata, handle, whole)
            if isinstance(prepared, Prepared) and prepared.recording.sent is None:
                stack.pop_all()
            return prepared

    def _of_piece(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        handle: BinaryIO,
        whole: OneMessage,
    ) -> Prepared | Unsent:
        """The recording that a piece of an open file makes, or why it is not sent."""
        piece = pieces.look(self.source, handle, bundle, metadata, self.rules)
        if not isinstance(piece, pieces.SoundPiece):
            return piece
        space_for = self._space_for(bundle, piece.metadata, piece.info, whole)
        made = pieces.made_of(
            self.source, handle, bundle, piece, rules=self.rules, space_for=space_for
        )
        if isinstance(made, Defect):
            return (made,)
        prepared = self._made(bundle, piece.metadata, made[0])
        return replace(prepared, recording=replace(prepared.recording, parts=(made[1],)))

    def _of_legs(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        whole: OneMessage,
    ) -> Prepared | Unsent:
        """The recording that two legs make, or the only one, or why it is not sent."""
        with OpenLegs(self.source, bundle.audio, self.rules.audio) as opened:
            found = legs.look(opened, bundle, metadata, self.rules)
            if isinstance(found, legs.Sound):
                space_for = self._space_for(bundle, found.metadata, foretell(found.legs), whole)
                made = legs.joined(opened, bundle, found, self.rules, space_for)
                if isinstance(made, Defect):
                    return (made,)
                heard: tuple[bytes | None, ...] = tuple(heard for _, heard in made.parts)
                prepared = self._made(bundle, found.metadata, made.made)
                left = self.left_out(bundle, found.metadata, prepared.recording.audio)
                if left is not None:
                    prepared.close()
                    return left
            elif isinstance(found, Entry):
                alone = self._alone(bundle, metadata, found, whole)
                if not isinstance(alone, Prepared):
                    return alone
                prepared = alone
                essence_of = {found: prepared.recording.identity.essence}
                heard = tuple(essence_of.get(part) for part in bundle.audio.parts)
            else:
                return found
        parts = legs.parts_of(bundle.audio, heard)
        return replace(prepared, recording=replace(prepared.recording, parts=parts))

    def _alone(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        leg: Entry,
        whole: OneMessage,
    ) -> Prepared | Unsent:
        """The only leg of a call, as the recording of that call."""
        with ExitStack() as stack:
            handle = stack.enter_context(self.source.open(leg.path))
            single = replace(bundle, audio=leg)
            prepared = self._look_and_hash(single, metadata, handle, whole)
            if not isinstance(prepared, Prepared):
                return prepared
            if prepared.recording.sent is None:
                stack.pop_all()
            sha256, sent = prepared.recording.fingerprint.sha256, prepared.recording.sent
            if sent is None and bundle.audio.size != leg.size:
                # The record has the size of both legs, of which the other one is empty.
                container = prepared.recording.audio.container
                sent = Sent(container, leg.size, sha256, container.value)
            named = replace(
                prepared.recording,
                path=bundle.path,
                stat=version_of(bundle),
                key=recording_key(self.connection_id, bundle.path, sha256),
                sent=sent,
            )
            return replace(prepared, recording=named)

    def prepare_cached(self, bundle: Bundle, whole_limit: int) -> Prepared | Unsent | None:
        """As ``prepare`` for a small recording that is already in memory; None for all others.

        Does not block, and takes a third of a millisecond for nearly all valid recordings: 32 of
        them in one turn of the event loop take ten. A thread hop costs more.
        """
        if bundle.audio.size > min(_AT_ONCE, whole_limit) or bundle.audio.parts:
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
            crossed = self._crossed(sound.path, sound.metadata, sound.audio)
            return crossed is not False or may_shrink(sound.audio, self.rules.audio)
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
        whole: OneMessage,
    ) -> Prepared | Unsent:
        """The recording of the handle, or why it is not sent; converted, it has another file."""
        listed = bundle.audio
        opened = require_rest(self.source, handle, listed)
        if listed.size <= min(_AT_ONCE, whole.limit):
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
        examined = examine(self.source, handle, listed, self.rules.audio)
        found = self._sent_instead(bundle, metadata, handle, examined, whole)
        if not isinstance(found, AudioInfo | Defect):
            require_rest(self.source, handle, listed, opened)
            return found
        if (left := self.left_out(bundle, metadata, found)) is not None:
            return left
        if isinstance(metadata, tuple) or isinstance(found, Defect):
            return _all_defects(metadata, found)
        digests = ContentDigests(essence.begin(handle, listed.size, found))
        kept = None
        if listed.size <= whole.limit:
            room = len(whole.envelope(self._recording(bundle, metadata, found, NO_DIGEST)))
            kept = read_behind(room, handle, listed, digests.update)
        else:
            read(handle, listed, digests.update)
        require_rest(self.source, handle, listed, opened)
        recording = self._recording(bundle, metadata, found, *digests.digest())
        return Prepared.of(recording, handle, kept)

    def _sent_instead(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        handle: BinaryIO,
        found: AudioInfo | Conversion | Defect,
        whole: OneMessage,
    ) -> Prepared | Unsent | AudioInfo | Defect:
        """What is made of a file to be sent instead; what is in it if nothing is."""
        if isinstance(metadata, Metadata) and not isinstance(found, Defect):
            info = found.info if isinstance(found, Conversion) else found
            if self._crossed(bundle.path, metadata, info) is not False:
                return self._swapped(bundle, metadata, handle, found, whole)
        if isinstance(found, Conversion):
            return self._converted(bundle, metadata, handle, found, whole)
        return found

    def _swapped(
        self,
        bundle: Bundle,
        metadata: Metadata,
        handle: BinaryIO,
        found: AudioInfo | Conversion,
        whole: OneMessage,
    ) -> Prepared | Unsent:
        """The recording with its channels swapped, unless its side is not known."""
        says_length = not isinstance(found, Conversion) or found.seconds is not None
        info = found.info if isinstance(found, Conversion) else found
        if says_length and (left := self.left_out(bundle, metadata, info)) is not None:
            return left
        if isinstance(crossed := self._crossed(bundle.path, metadata, info), Defect):
            return (crossed,)
        space_for = self._space_for(bundle, metadata, info, whole)
        made = swap(handle, bundle.audio, found, self.rules.audio, space_for)
        if isinstance(made, Defect):
            return (made,)
        if (left := self.left_out(bundle, metadata, made.info)) is not None:
            made.close()
            return left
        return self._made(bundle, metadata, made)

    def _converted(
        self,
        bundle: Bundle,
        metadata: Metadata | tuple[Defect, ...],
        handle: BinaryIO,
        conversion: Conversion,
        whole: OneMessage,
    ) -> Prepared | Unsent:
        says_length = conversion.seconds is not None
        if says_length and (left := self.left_out(bundle, metadata, conversion.info)) is not None:
            return left
        if isinstance(metadata, tuple):
            return metadata
        space_for = self._space_for(bundle, metadata, conversion.info, whole)
        space = space_for(conversion.made_size)
        made = convert(handle, bundle.audio, conversion, self.rules.audio, space)
        info = made if isinstance(made, Defect) else made.info
        # What does not say how long it is must be decoded before it can be left out by that.
        left = None if says_length else self.left_out(bundle, metadata, info)
        if isinstance(made, Defect):
            return left or (made,)
        if left is not None:
            made.close()
            return left
        return self._made(bundle, metadata, made)

    def _space_for(
        self, bundle: Bundle, metadata: Metadata, info: AudioInfo, whole: OneMessage
    ) -> SpaceFor:
        """Where that is kept which is made of a recording."""
        return partial(whole.space, self._recording(bundle, metadata, info, NO_DIGEST))

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
        return self.rules.leave_out(metadata, bundle.audio.mtime_ns, info)

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
