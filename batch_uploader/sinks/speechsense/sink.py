"""The sink for SpeechSense: one attempt at one recording is one call."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Self

import grpc

from batch_uploader.core.checks import require_type, require_word
from batch_uploader.core.errors import (
    ConfigError,
    InDoubt,
    NotSent,
    Rejected,
    SearchFailed,
    SinkError,
    SourceChanged,
    SourceError,
    Unauthorized,
)
from batch_uploader.core.model import Receipt, Recording
from batch_uploader.core.ports import Attempt, Audio, Match
from batch_uploader.sinks.speechsense import exchange, framing, wire
from batch_uploader.sinks.speechsense.authorization import Authorization
from batch_uploader.sinks.speechsense.channel import Endpoint, named, proxy_in_use
from batch_uploader.sinks.speechsense.channel_pool import Call, ChannelPool
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.sinks.speechsense.evidence import Extent, Unavailable, classify, never_left
from batch_uploader.sinks.speechsense.lookup import Lookup, fields_of
from batch_uploader.sinks.speechsense.quota import Quota
from batch_uploader.sinks.speechsense.reply import Over, Reply, Rpc, write
from batch_uploader.sinks.speechsense.rpc_result import ENDED_WITHIN, RpcResult, unreadable

WHOLE_LIMIT: Final = 16 * 1024 * 1024
LARGEST_WHOLE: Final = 128_000_000 - framing.OVERHEAD
"""The service accepts less than 128 MB in one message."""
LARGEST_CHUNK: Final = 4 * 1024 * 1024 - framing.OVERHEAD
"""A gRPC server accepts 4 MiB in one message by default."""

_QUERY_SECONDS: Final = 30.0
_CLOSED: Final = "the sink is not open"
_OPEN_IT: Final = "open it before the first upload, and close it after the last one"

_UNPARSABLE: Final = b"\xff"


class SpeechSenseSink:
    """Uploads to SpeechSense, as an async context manager that holds the connection.

    Recordings of up to ``whole_limit`` bytes go in one message, larger ones as a stream of
    ``chunk_size`` bytes a message. With ``stamp_field`` that metadata field of each talk has its
    recording's key, overriding the sidecar. ``quota`` limits Search and Get; the default is the
    service's default quota. Raises ConfigError for sizes that the service does not accept; entering
    raises it for an unusable CA file.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        whole_limit: int = WHOLE_LIMIT,
        chunk_size: int = 512 * 1024,
        stamp_field: str | None = None,
        unavailable: Unavailable = Unavailable.BELIEVED,
        quota: Quota | None = None,
    ) -> None:
        require_type("endpoint", endpoint, Endpoint)
        require_word("stamp_field", stamp_field, optional=True)
        require_type("unavailable", unavailable, Unavailable)
        require_type("whole_limit", whole_limit, int)
        require_type("chunk_size", chunk_size, int)
        if not 0 <= whole_limit <= LARGEST_WHOLE:
            raise ConfigError(
                f"whole_limit is {whole_limit}, and no service takes a message of that size",
                hint=f"set it to {LARGEST_WHOLE} at most",
            )
        if not 1 <= chunk_size <= LARGEST_CHUNK:
            raise ConfigError(
                f"chunk_size is {chunk_size}, and no service takes a piece of that size",
                hint=f"set it to a value from 1 to {LARGEST_CHUNK}",
            )
        self._endpoint = endpoint
        self._authorization = Authorization(credentials)
        self._whole_limit = whole_limit
        self._chunk_size = chunk_size
        self._stamp_field = stamp_field
        self._unavailable = unavailable
        self._quota = quota or Quota()
        self._lookup = Lookup(stamp_field, self._quota) if stamp_field else None
        self._pool: ChannelPool | None = None

    async def __aenter__(self) -> Self:
        """Create the channels; they connect with the first upload."""
        self._pool = ChannelPool(self._endpoint)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the channels; an upload in flight ends as if the connection broke."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    @property
    def service(self) -> str:
        """The endpoint."""
        return str(self._endpoint)

    @property
    def on_renewal_failed(self) -> Callable[[SinkError, float | None], None] | None:
        """As ``ports.Renewing``."""
        return self._authorization.on_renewal_failed

    @on_renewal_failed.setter
    def on_renewal_failed(self, heard: Callable[[SinkError, float | None], None] | None) -> None:
        self._authorization.on_renewal_failed = heard

    @property
    def whole_limit(self) -> int:
        """The largest size in bytes that is sent in one message."""
        return self._whole_limit

    @property
    def expanded(self) -> bool:
        """Whether many channels are used and have proved faster than few."""
        return self._pool is not None and self._pool.expanded

    @property
    def stamp_field(self) -> str | None:
        """The field that has each recording's key."""
        return self._stamp_field

    def envelope(self, recording: Recording) -> bytes:
        """The message of a recording without the audio, which is at its end."""
        return framing.whole_start(*self._small_parts(recording), recording.nbytes)

    async def upload(self, recording: Recording, audio: Audio, attempt: Attempt) -> Receipt:
        """Send one recording in one call.

        ``attempt.sent`` is called as the transport takes a stream's bytes, and for a single message
        when the call ends, since gRPC reports nothing before. Raises one of the five SinkErrors, or
        SourceChanged.
        """
        pool = self._pool
        if pool is None:
            raise NotSent(_CLOSED, hint=_OPEN_IT, code="CLOSED")
        started = time.monotonic()
        try:
            header = await self._authorization.header()
        except BaseException:
            attempt.on_not_started()
            raise
        timeout = attempt.timeout - (time.monotonic() - started)
        if timeout <= 0:
            raise NotSent("the credentials came too late", code="DEADLINE_EXCEEDED")
        sending = _Sending(recording, audio, attempt, header, timeout)
        async with pool.call(audio.size) as call:
            try:
                message = audio.framed(self.envelope(recording))
                if message is None:
                    end = await self._stream(call, sending)
                else:
                    end = await self._whole(call, sending, message)
            except grpc.aio.UsageError:
                # The channel was closed before the call began.
                raise NotSent(_CLOSED, hint=_OPEN_IT, code="CLOSED") from None
            if isinstance(end, Receipt) or not never_left(end):
                call.reached(delivered=isinstance(end, Receipt))
            else:
                call.unreached()
        if isinstance(end, Receipt):
            self._authorization.accepted(header)
            return end
        error = classify(
            end,
            extent=sending.extent,
            where=named(self._endpoint),
            unavailable=self._unavailable,
            size=sending.largest,
            connection_id=recording.connection_id,
            scheme=header.partition(" ")[0],
        )
        if isinstance(error, Rejected):
            # It was let in.
            self._authorization.accepted(header)
        refused = isinstance(error, Unauthorized) and end.code is grpc.StatusCode.UNAUTHENTICATED
        if refused and await self._authorization.replaced(header):
            raise NotSent(error.problem, code=error.code, request_id=error.request_id)
        raise error

    async def find(
        self,
        connection_id: str,
        keys: Sequence[str],
        *,
        waits: Callable[[float], None] | None = None,
    ) -> list[Match]:
        """The talks that Search finds for these keys, with their stamps by Get.

        Waits as the quota of Get requires, and reports the pauses to ``waits``. Raises
        SearchFailed.
        """
        if self._lookup is None:
            raise SearchFailed("Search needs a stamp field", hint="name one", code="NO_STAMP_FIELD")
        with self._naming_proxy():
            return await self._lookup.find(connection_id, keys, self._ask, waits)

    async def fields_of(self, connection_id: str, talk_id: str) -> dict[str, str] | None:
        """The metadata fields of a talk with their types, None if there is no such talk.

        Raises SearchFailed.
        """
        with self._naming_proxy():
            return await fields_of(connection_id, talk_id, self._ask, self._quota)

    @contextmanager
    def _naming_proxy(self) -> Iterator[None]:
        try:
            yield
        except SearchFailed as error:
            if proxy := proxy_in_use(self._endpoint):
                error.problem += f" (through the proxy {proxy})"
            raise

    async def _ask(self, method: str, request: bytes) -> bytes | RpcResult:
        try:
            while True:
                header = await self._authorization.header()
                answer = await self._ask_once(method, request, header)
                # Of an answer without a message, gRPC makes None.
                if not isinstance(answer, RpcResult):
                    self._authorization.accepted(header)
                    return answer
                refused = answer.code is grpc.StatusCode.UNAUTHENTICATED
                if not (refused and await self._authorization.replaced(header)):
                    return answer
        except SearchFailed:
            raise
        except SinkError as error:
            raise SearchFailed(
                error.problem, hint=error.hints, code=error.code, fault=error.fault
            ) from error

    async def _ask_once(self, method: str, request: bytes, header: str) -> bytes | RpcResult:
        pool = self._pool
        if pool is None:
            raise SearchFailed(_CLOSED, hint=_OPEN_IT, code="CLOSED")
        async with pool.call() as call:
            try:
                query: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = call.channel.unary_unary(
                    method
                )
                ids = (("authorization", header), ("x-client-request-id", str(uuid.uuid4())))
                return await query(request, metadata=ids, timeout=_QUERY_SECONDS)
            except grpc.aio.UsageError:
                raise SearchFailed(_CLOSED, hint=_OPEN_IT, code="CLOSED") from None
            except grpc.aio.AioRpcError as error:
                return RpcResult.of(error, (header.partition(" ")[2],))
            except asyncio.CancelledError:
                if _asked_to_stop():
                    raise
                return ENDED_WITHIN
            except Exception as error:  # noqa: BLE001 - gRPC may raise anything
                return unreadable(error)

    async def _whole(self, call: Call, sending: "_Sending", message: bytes) -> Receipt | RpcResult:
        sending.extent = Extent.WHOLE
        sending.largest = len(message)
        whole = exchange.begin(call, wire.UPLOAD, message, sending.headers, sending.timeout)
        if whole is None:
            end = await self._written(call, sending, message)
        else:
            end = await whole.end(sending.secrets)
        if isinstance(end, Receipt) or not never_left(end):
            sending.attempt.sent(sending.audio.size)
        return end

    async def _written(
        self, call: Call, sending: "_Sending", message: bytes
    ) -> Receipt | RpcResult:
        rpc, reply = self._begin(call, wire.UPLOAD, sending)
        try:
            await write(rpc, message)
            await write(rpc, None)
        except Over:
            pass  # the reply has the reason
        except asyncio.CancelledError:
            rpc.cancel()
            if _asked_to_stop():
                raise
        return await reply.end()

    async def _stream(self, call: Call, sending: "_Sending") -> Receipt | RpcResult:
        rpc, reply = self._begin(call, wire.UPLOAD_AS_STREAM, sending)
        try:
            await self._feed(rpc, sending)
        except SourceError as error:
            await _spoil(rpc, reply)
            raise SourceChanged(error.problem, hint=error.hints) from error
        except Over:
            pass  # the reply has the reason
        except asyncio.CancelledError:
            rpc.cancel()
            if _asked_to_stop():
                raise
        except BaseException:
            rpc.cancel()
            raise
        return await reply.end()

    def _begin(self, call: Call, method: str, sending: "_Sending") -> tuple[Rpc, Reply]:
        upload: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = call.channel.stream_stream(
            method
        )
        rpc = upload(metadata=sending.headers, timeout=sending.timeout)
        return rpc, Reply(rpc, sending.secrets, call)

    async def _feed(self, rpc: Rpc, sending: "_Sending") -> None:
        metadata, audio = self._small_parts(sending.recording)
        await write(rpc, framing.stream_start(metadata))
        await write(rpc, framing.stream_format(audio))
        size = sending.audio.size
        read = 0
        chunks = sending.audio.chunks(self._chunk_size)
        try:
            async for chunk in chunks:
                read += len(chunk)
                if read >= size:
                    sending.extent = Extent.WHOLE
                message = framing.stream_chunk(chunk)
                sending.largest = max(sending.largest, len(message))
                await write(rpc, message)
                sending.attempt.sent(len(chunk))
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        if read != size:
            raise SourceChanged(f"{sending.recording.path} ended after {read} of {size} bytes")
        sending.extent = Extent.WHOLE
        await write(rpc, None)

    def _small_parts(self, recording: Recording) -> tuple[bytes, bytes]:
        metadata = framing.talk_metadata(recording, self._stamp_field)
        return metadata, framing.audio_metadata(recording.audio)


class _Sending:
    """An upload in flight. Its repr does not show the credential."""

    def __init__(
        self,
        recording: Recording,
        audio: Audio,
        attempt: Attempt,
        authorization: str,
        timeout: float,
    ) -> None:
        self.recording = recording
        self.audio = audio
        self.attempt = attempt
        self.authorization = authorization
        self.timeout = timeout
        self.extent = Extent.PART
        self.largest = 0  # of the messages, in bytes

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("authorization", self.authorization),
            ("x-client-request-id", self.attempt.client_request_id),
            ("idempotency-key", self.recording.key),
        )

    def secrets(self) -> tuple[str, ...]:
        """The texts to redact in the service's words: the credential, the personal data."""
        metadata = self.recording.metadata
        return (
            self.authorization.partition(" ")[2],
            *metadata.fields.values(),
            *(user.id for user in metadata.users),
            *(value for user in metadata.users for value in user.fields.values()),
        )


async def _spoil(rpc: Rpc, reply: Reply) -> None:
    # To a careless server a cancelled stream can look complete, so that it stores a part. A message
    # that cannot be parsed is an error to any server.
    with suppress(Over):
        await write(rpc, _UNPARSABLE)
        await write(rpc, None)
    end = await reply.end()
    if isinstance(end, Receipt):
        raise InDoubt(
            f"its file changed while it was sent, and the service stored the part that it had as"
            f" talk {end.talk_id}",
            hint="compare the talk with the recording",
            code="SOURCE_CHANGED",
            request_id=end.request_id,
        )


def _asked_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
