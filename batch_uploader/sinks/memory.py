"""A sink that keeps talks in memory, for tests, examples and experiments."""

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

from msgspec import Struct

from batch_uploader.core.errors import SearchFailed, SinkError, SourceChanged, SourceError
from batch_uploader.core.model import AudioInfo, Metadata, Receipt, Recording
from batch_uploader.core.ports import Attempt, Audio, Match

_CHUNK = 64 * 1024


class StoredTalk(Struct, frozen=True):
    """A stored talk; ``sha256`` and ``size`` are of the bytes received.

    ``stamp_field`` is the field that holds ``key``, if any.
    """

    talk_id: str
    connection_id: str
    key: str
    metadata: Metadata
    audio: AudioInfo
    sha256: bytes
    size: int
    stamp_field: str | None = None


class MemorySink:
    """Stores what it is sent, whole or not at all, and fails on demand.

    ``whole_limit`` is in bytes. ``talks`` holds all stored talks in order; a recording sent twice
    is there twice, as in the service. ``attempts`` counts the uploads begun, ``searches`` the calls
    of ``find``, which skips the talks whose IDs are ``unindexed``.
    """

    def __init__(
        self, *, whole_limit: int = 16 * 1024 * 1024, stamp_field: str | None = None
    ) -> None:
        self.talks: list[StoredTalk] = []
        self.attempts = 0
        self.searches = 0
        self.unindexed: set[str] = set()
        self._stamp_field = stamp_field
        self._search: deque[SearchFailed] = deque()
        self._whole_limit = whole_limit
        self._before: deque[SinkError] = deque()
        self._after: deque[SinkError] = deque()

    async def __aenter__(self) -> Self:
        """Does nothing."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Does nothing; the talks stay."""

    @property
    def whole_limit(self) -> int:
        """The largest size in bytes that is taken in one piece."""
        return self._whole_limit

    @property
    def expanded(self) -> bool:
        """Always False."""
        return False

    @property
    def stamp_field(self) -> str | None:
        """The field that carries each recording's key."""
        return self._stamp_field

    def fail_search(self, *errors: SearchFailed) -> None:
        """Let the next searches raise these, one each."""
        self._search.extend(errors)

    def fail_next(self, *errors: SinkError) -> None:
        """Let the next attempts raise these, one each, and store nothing."""
        self._before.extend(errors)

    def lose_next(self, *errors: SinkError) -> None:
        """Let the next attempts store the recording and then raise these, one each."""
        self._after.extend(errors)

    def envelope(self, recording: Recording) -> bytes:  # noqa: ARG002 - messages do not exist here
        """Empty."""
        return b""

    async def upload(self, recording: Recording, audio: Audio, attempt: Attempt) -> Receipt:
        """Store the recording and name its talk ``talk-1``, ``talk-2``, ...

        Raises what ``fail_next`` and ``lose_next`` set, and SourceChanged if ``audio`` cannot be
        read to its end.
        """
        self.attempts += 1
        number = self.attempts
        if self._before:
            raise self._before.popleft()
        digest = hashlib.sha256()
        size = 0
        try:
            async for piece in _pieces(audio):
                digest.update(piece)
                size += len(piece)
                attempt.sent(len(piece))
        except SourceChanged:
            raise
        except SourceError as error:
            raise SourceChanged(error.problem, hint=error.hints) from error
        if size != audio.size:
            raise SourceChanged(f"{recording.path} gave {size} of {audio.size} bytes")
        talk = StoredTalk(
            talk_id=f"talk-{len(self.talks) + 1}",
            connection_id=recording.connection_id,
            key=recording.key,
            metadata=recording.metadata,
            audio=recording.audio,
            sha256=digest.digest(),
            size=size,
            stamp_field=self._stamp_field,
        )
        self.talks.append(talk)
        if self._after:
            raise self._after.popleft()
        return Receipt(talk.talk_id, request_id=f"request-{number}")

    async def find(
        self,
        connection_id: str,
        keys: Sequence[str],
        *,
        waits: Callable[[float], None] | None = None,  # noqa: ARG002 - quotas do not exist here
    ) -> list[Match]:
        """The talks of a connection with one of these stamps. Raises what ``fail_search`` set."""
        self.searches += 1
        if self._search:
            raise self._search.popleft()
        if self._stamp_field is None:
            raise SearchFailed("Search needs a stamp field", hint="name one", code="NO_STAMP_FIELD")
        return [
            Match(talk.talk_id, talk.connection_id, talk.key, talk.audio.duration)
            for talk in self.talks
            if (talk.connection_id, talk.stamp_field) == (connection_id, self._stamp_field)
            and talk.key in keys
            and talk.talk_id not in self.unindexed
        ]


async def _pieces(audio: Audio) -> AsyncIterator[bytes]:
    whole = audio.framed(b"")
    if whole is not None:
        yield whole
        return
    async for piece in audio.chunks(_CHUNK):
        yield piece
