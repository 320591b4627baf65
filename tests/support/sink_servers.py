"""A small SpeechSense that does what it is told."""

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode

from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel import Endpoint, Security


class Moment(StrEnum):
    START = "start"
    """Before the body is read; of a stream after its first message."""
    END = "end"
    """After the body, nothing is stored."""
    STORED = "stored"
    """After the body, the talk is stored."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one call. Without a code: OK without a talk ID; ``hang``: silence."""

    code: StatusCode | None = None
    details: str = ""
    trailing: tuple = ()
    moment: Moment = Moment.END
    hang: bool = False
    answer: bytes = b""


@dataclass
class Received:
    method: str
    headers: dict
    metadata: wire.TalkMetadata
    audio: wire.AudioMetadata
    sha256: bytes
    size: int
    messages: int = 1


@dataclass
class TalkServer(grpc.GenericRpcHandler):
    """Stores talks; each call takes the next trouble, if there is one, as its own."""

    credentials: grpc.ServerCredentials | None = None
    options: tuple = ()
    talks: list[Received] = field(default_factory=list)
    calls: list[dict] = field(default_factory=list)
    peers: set[str] = field(default_factory=set)
    """Who called: one address and port a connection."""
    troubles: deque[Trouble] = field(default_factory=deque)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: deque = field(default_factory=deque)
    jwts: list[str] = field(default_factory=list)
    spoilt: int = 0
    spelling: str = "userMeta."
    lenient: bool = False
    """Whether a filter by a name that it does not know finds everything, and is no error."""
    unindexed: int = 0
    """So many of the latest talks Search does not see."""
    searches: list = field(default_factory=list)
    reached: dict = field(default_factory=dict)
    """Where in the audio a conversation ends, in milliseconds, by talk ID."""

    async def __aenter__(self):
        self.reading.set()
        self._server = grpc.aio.server(
            options=(*self.options, ("grpc.max_receive_message_length", 64 << 20))
        )
        self._server.add_generic_rpc_handlers([self])
        if self.credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", self.credentials)
        await self._server.start()
        return self

    async def __aexit__(self, *exc):
        await self._server.stop(0)

    async def stop(self, grace=0):
        await self._server.stop(grace)

    @property
    def endpoint(self):
        return Endpoint("127.0.0.1", self.port, Security.PLAINTEXT)

    def service(self, handler_call_details):
        handlers = {
            wire.UPLOAD: grpc.unary_unary_rpc_method_handler(self._upload),
            wire.UPLOAD_AS_STREAM: grpc.stream_unary_rpc_method_handler(self._upload_as_stream),
            wire.SEARCH: grpc.unary_unary_rpc_method_handler(self._search),
            wire.GET: grpc.unary_unary_rpc_method_handler(self._get),
            wire.CREATE_IAM_TOKEN: grpc.unary_unary_rpc_method_handler(self._create),
        }
        return handlers.get(handler_call_details.method)

    async def _upload(self, request, context):
        trouble = self._begin(context)
        await _at(Moment.START, trouble, context)
        message = wire.UploadTalkRequest.FromString(request)
        data = message.audio.audio_data.data
        return await self._end(
            trouble,
            context,
            Received(
                "Upload",
                self.calls[-1],
                message.metadata,
                message.audio.audio_metadata,
                hashlib.sha256(data).digest(),
                len(data),
            ),
        )

    async def _upload_as_stream(self, requests, context):
        trouble = self._begin(context)
        headers = self.calls[-1]
        digest, size, messages, metadata, audio = hashlib.sha256(), 0, 0, None, None
        async for raw in requests:
            await self.reading.wait()
            try:
                message = wire.StreamTalkRequest.FromString(raw)
            except DecodeError:
                self.spoilt += 1
                raise
            if messages == 0:
                metadata = message.metadata
                await _at(Moment.START, trouble, context)
                if trouble and trouble.moment is Moment.START and trouble.answer:
                    await asyncio.sleep(0.1)
                    return trouble.answer
            elif messages == 1:
                audio = message.audio.audio_metadata
            else:
                digest.update(message.audio.chunk.data)
                size += len(message.audio.chunk.data)
            messages += 1
        received = Received(
            "UploadAsStream", headers, metadata, audio, digest.digest(), size, messages
        )
        return await self._end(trouble, context, received)

    async def _search(self, request, context):
        message = wire.SearchTalkRequest.FromString(request)
        if not message.filters:
            await _at(Moment.END, self._begin(context), context)
            return wire.SearchTalkResponse().SerializeToString()
        (condition,) = message.filters
        self.searches.append((condition.key, list(condition.any_match.values)))
        await _at(Moment.END, self._begin(context), context)
        name = condition.key.removeprefix(self.spelling)
        known = name != condition.key
        if not known and not self.lenient:
            await context.abort(StatusCode.INVALID_ARGUMENT, f"no such key: {condition.key}")
        seen = self.talks[: len(self.talks) - self.unindexed]
        ids = [
            f"talk-{number}"
            for number, talk in enumerate(seen, start=1)
            if talk.metadata.connection_id == message.connection_id
            and (not known or talk.metadata.fields.get(name) in condition.any_match.values)
        ]
        return wire.SearchTalkResponse(talk_ids=ids, talks_count=len(ids)).SerializeToString()

    async def _get(self, request, context):
        message = wire.GetTalkRequest.FromString(request)
        await _at(Moment.END, self._begin(context), context)
        return wire.GetTalkResponse(
            talk=[self._talk(talk_id) for talk_id in message.talk_ids]
        ).SerializeToString()

    def _talk(self, talk_id):
        stored = self.talks[int(talk_id.removeprefix("talk-")) - 1].metadata
        fields = [wire.Field(name=name, value=value) for name, value in stored.fields.items()]
        talk = wire.Talk(id=talk_id, connection_id=stored.connection_id, talk_fields=fields)
        if talk_id in self.reached:
            ends = talk.conversation_statistics.conversation_boundaries
            ends.end_time_ms = self.reached[talk_id]
        return talk

    async def _create(self, request, context):
        self.jwts.append(wire.CreateIamTokenRequest.FromString(request).jwt)
        answer = self.tokens.popleft()
        if isinstance(answer, Trouble):
            await context.abort(answer.code, answer.details)
        token, expires_at = answer
        response = wire.CreateIamTokenResponse(iam_token=token)
        response.expires_at.FromSeconds(int(expires_at))
        return response.SerializeToString()

    def _begin(self, context):
        self.calls.append(dict(context.invocation_metadata()))
        self.peers.add(context.peer())
        self.busy.set()
        return self.troubles.popleft() if self.troubles else None

    async def _end(self, trouble, context, received):
        await _at(Moment.END, trouble, context)
        if trouble and trouble.moment is Moment.END:
            return trouble.answer
        self.talks.append(received)
        await _at(Moment.STORED, trouble, context)
        if trouble:
            return trouble.answer
        number = len(self.talks)
        context.set_trailing_metadata((("x-request-id", f"req-{number}"),))
        return wire.UploadTalkResponse(talk_id=f"talk-{number}").SerializeToString()


async def _at(moment, trouble, context):
    if trouble is None or trouble.moment is not moment:
        return
    if trouble.hang:
        await asyncio.sleep(60)
    if trouble.code is not None:
        await context.abort(trouble.code, trouble.details, trouble.trailing)
    context.set_trailing_metadata(trouble.trailing)
