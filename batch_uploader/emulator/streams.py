"""The received part of a stream: checks the order of messages, keeps the audio in a file."""

import hashlib
import tempfile
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from batch_uploader.emulator.inspection import check_declaration
from batch_uploader.emulator.rules import invalid
from batch_uploader.sinks.speechsense import wire

_IN_MEMORY: Final = 1024 * 1024


class Stream:
    """Takes the messages of one stream, refuses wrong orders, keeps the audio on disk.

    A context manager that removes the file. ``take`` and ``finish`` raise RpcRefusal.
    """

    def __init__(self) -> None:
        self.metadata: wire.TalkMetadata | None = None
        self.declared: wire.AudioMetadata | None = None
        self.size = 0
        self._digest = hashlib.sha256()
        # Large ones go to disk, so that many concurrent streams need little memory.
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - see __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file."""
        self._file.close()

    @property
    def handle(self) -> BinaryIO:
        """The audio received so far."""
        return cast("BinaryIO", self._file)

    @property
    def sha256(self) -> bytes:
        """Of the audio received so far."""
        return self._digest.digest()

    def take(self, request: wire.StreamTalkRequest) -> None:
        """Take the next message."""
        kind = request.WhichOneof("Event")
        if self.metadata is None:
            if kind != "metadata":
                raise invalid("metadata", "has to be the first message of the stream")
            self.metadata = request.metadata
            return
        if kind != "audio":
            raise invalid("audio", f"is expected here, not {kind or 'a blank message'}")
        event = request.audio.WhichOneof("AudioEvent")
        if self.declared is None:
            if event != "audio_metadata":
                raise invalid("audio.audio_metadata", "has to be the second message of the stream")
            check_declaration(request.audio.audio_metadata)
            self.declared = request.audio.audio_metadata
            return
        if event != "chunk":
            raise invalid("audio.chunk", f"is expected here, not {event or 'a blank message'}")
        self._digest.update(request.audio.chunk.data)
        self._file.write(request.audio.chunk.data)
        self.size += len(request.audio.chunk.data)

    def finish(self) -> tuple[wire.TalkMetadata, wire.AudioMetadata]:
        """End the stream. Returns what was declared."""
        if self.metadata is None:
            raise invalid("metadata", "is missing: the stream is blank")
        if self.declared is None:
            raise invalid("audio.audio_metadata", "is missing: the stream ended before it")
        return self.metadata, self.declared
