"""The three upload methods, with the faults that the emulator can have in them."""

import asyncio
import hashlib
import io
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Never

import grpc
from google.protobuf.json_format import MessageToJson
from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import Container, Role, User
from batch_uploader.emulator.control import Control
from batch_uploader.emulator.faults import Fault, Faults, LostAnswer
from batch_uploader.emulator.inspection import check_declaration, inspect, length_of_truncated
from batch_uploader.emulator.rules import (
    Connection,
    RpcRefusal,
    check_metadata,
    check_text,
    invalid,
    parse,
)
from batch_uploader.emulator.store import Talk, TalkStore
from batch_uploader.emulator.streams import Stream
from batch_uploader.host.files import replace_atomically
from batch_uploader.sinks.speechsense import wire

_IN_THREAD: Final = 256 * 1024
"""From this size in bytes on, audio is inspected in a thread, so as not to block other requests."""

_SUFFIXES: Final = {
    Container.WAV: "wav",
    Container.OGG_OPUS: "ogg",
    Container.MP3: "mp3",
    Container.RAW: "raw",
}
_BUSY: Final = {
    Fault.UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "The service is unavailable, try again"),
    Fault.EXHAUSTED: (grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests, slow down"),
}
_LOST: Final = {
    LostAnswer.INTERNAL: (grpc.StatusCode.INTERNAL, "Internal error"),
    LostAnswer.PROXY: (
        grpc.StatusCode.UNAVAILABLE,
        (
            "upstream connect error or disconnect/reset before headers. "
            "reset reason: connection termination"
        ),
    ),
}


class Caller(Struct, frozen=True):
    """The caller: data from the request's headers, and two actions on its connection.

    ``require_presence`` raises CancelledError if the client cancelled the request, ``cut`` resets
    its connection.
    """

    client_request_id: str | None
    idempotency_key: str | None
    require_presence: Callable[[], Awaitable[None]]
    cut: Callable[[], None]


class Policy(Struct, frozen=True):
    """The checks of uploads, and what is kept besides the store.

    ``keep_audio`` is the folder for the bytes; ``keep_truncated`` stores the received part of
    broken streams.
    """

    connections: Mapping[str, Connection]
    keep_audio: Path | None
    keep_truncated: bool


class FaultPlan(Struct, frozen=True):
    """The faults of one upload; fixed when it begins, since the faults may be replaced."""

    fault: Fault | None
    faults: Faults


class Uploads:
    """Receives talks. Every method returns the response or raises RpcRefusal."""

    def __init__(self, store: TalkStore, control: Control, policy: Policy) -> None:
        self._store = store
        self._control = control
        self._policy = policy
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Store at once what was to be stored late. No request may be running."""
        self._closing.set()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def upload(self, data: bytes, caller: Caller) -> wire.UploadTalkResponse:
        """A recording in one message, or new metadata for a talk, whose audio is then ignored."""
        await self._pace(len(data))
        request = parse(wire.UploadTalkRequest, data)
        content = request.audio.audio_data.data
        plan = self._plan_faults(_identity(caller, request.metadata, content))
        connection = check_metadata(request.metadata, self._policy.connections)
        talk = _talk("Upload", caller, request.metadata)
        if request.talk_id:
            talk = replace(talk, talk_id=request.talk_id)
            work = self._update(talk)
        else:
            look = partial(_look, content, request.audio.audio_metadata, connection)
            small = len(content) < _IN_THREAD
            sha256, duration = look() if small else await asyncio.to_thread(look)
            talk = replace(talk, sha256=sha256, size=len(content), duration=duration)
            container = check_declaration(request.audio.audio_metadata)
            work = self._add(talk, container, io.BytesIO(content))
        talk_id = await self._settle(caller, plan, talk.talk_id, work)
        return wire.UploadTalkResponse(talk_id=talk_id)

    async def upload_text(self, data: bytes, caller: Caller) -> wire.UploadTextResponse:
        """A chat, or new metadata for one, whose messages change only if some are sent."""
        await self._pace(len(data))
        request = parse(wire.UploadTextRequest, data)
        content = request.text_content.SerializeToString(deterministic=True)
        plan = self._plan_faults(_identity(caller, request.metadata, content))
        check_metadata(request.metadata, self._policy.connections)
        talk = _talk("UploadText", caller, request.metadata)
        if content or not request.talk_id:
            check_text(request)
            talk = replace(talk, text=_text(request.text_content))
        if request.talk_id:
            talk = replace(talk, talk_id=request.talk_id)
            work = self._update(talk)
        else:
            work = self._store.add(talk)
        talk_id = await self._settle(caller, plan, talk.talk_id, work)
        return wire.UploadTextResponse(talk_id=talk_id)

    async def upload_as_stream(
        self, messages: AsyncIterator[bytes], caller: Caller
    ) -> wire.UploadTalkResponse:
        """A recording in pieces. A broken stream is discarded, unless the policy keeps it."""
        with ExitStack() as stack:
            stream = stack.enter_context(Stream())
            try:
                connection, plan = await self._read(messages, stream, caller)
            except asyncio.CancelledError:
                if self._policy.keep_truncated and stream.size:
                    self._in_background(self._add_truncated(stream, caller, stack.pop_all()))
                raise
            early = plan.fault is Fault.EARLY_OK
            metadata, declared = stream.finish()
            look = (
                partial(length_of_truncated, stream.handle, stream.size, declared)
                if early
                else partial(inspect, stream.handle, stream.size, declared, connection.channels)
            )
            talk = replace(
                _talk("UploadAsStream", caller, metadata),
                sha256=stream.sha256,
                size=stream.size,
                duration=await asyncio.to_thread(look),
                truncated=early,
            )
            work = self._add(talk, check_declaration(declared), stream.handle)
            talk_id = await self._settle(caller, plan, talk.talk_id, work, stack)
        return wire.UploadTalkResponse(talk_id=talk_id)

    async def _read(
        self, messages: AsyncIterator[bytes], stream: Stream, caller: Caller
    ) -> tuple[Connection, FaultPlan]:
        """Read the whole stream. Raises CancelledError if the client is gone."""
        connection: Connection | None = None
        plan = FaultPlan(None, self._control.faults)
        async for data in messages:
            stream.take(parse(wire.StreamTalkRequest, data))
            if connection is None and stream.metadata is not None:
                plan = self._plan_faults(_identity(caller, stream.metadata))
                connection = check_metadata(stream.metadata, self._policy.connections)
            await self._pace(len(data))
            if plan.fault is Fault.EARLY_OK and stream.size:
                break
        await caller.require_presence()
        if connection is None:
            raise invalid("metadata", "is missing: the stream is blank")
        return connection, plan

    def _plan_faults(self, identity: bytes) -> FaultPlan:
        """Choose the faults of an upload; raises RpcRefusal if the fault is a refusal."""
        faults = self._control.faults
        if self._control.over_rate():
            raise RpcRefusal(*_BUSY[Fault.EXHAUSTED], pushback=faults.pushback)
        fault = self._control.fault(identity)
        if fault in _BUSY:
            raise RpcRefusal(*_BUSY[fault], pushback=faults.pushback)
        if fault is Fault.ABORT_EARLY:
            raise RpcRefusal(faults.abort_code, "The request is refused early, on purpose")
        return FaultPlan(fault, faults)

    async def _settle(
        self,
        caller: Caller,
        plan: FaultPlan,
        talk_id: str,
        work: Coroutine[None, None, None],
        needed: ExitStack | None = None,
    ) -> str:
        """Store a completely received talk. Returns the talk ID of the answer.

        Storing goes on if the client is gone; it takes over the data that it needs.
        """
        number = self._control.upload_received()
        if plan.fault is Fault.SILENT:
            work.close()
            await _for_ever()
        owned = needed.pop_all() if needed else ExitStack()
        late = plan.faults.store_late
        await asyncio.shield(self._in_background(self._keep(number, work, owned, late)))
        if plan.fault is not Fault.LOSE_ANSWER:
            return talk_id
        lost = plan.faults.lost_answer
        if lost is LostAnswer.BLANK:
            return ""
        if lost in _LOST:
            raise RpcRefusal(*_LOST[lost])
        if lost is LostAnswer.RESET:
            caller.cut()
        return await _for_ever()

    async def _keep(
        self, number: int, work: Coroutine[None, None, None], owned: ExitStack, late: float
    ) -> None:
        with owned:
            if late:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), late)
            await work
            self._control.upload_stored(number)

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A waiting caller gets its error; without one the error is dropped.
        if not task.cancelled():
            task.exception()

    async def _update(self, talk: Talk) -> None:
        if not await self._store.update(talk):
            raise RpcRefusal(grpc.StatusCode.NOT_FOUND, f"Talk {talk.talk_id} is not found")

    async def _add(self, talk: Talk, container: Container, audio: BinaryIO) -> None:
        if self._policy.keep_audio is not None:
            file = self._policy.keep_audio / f"{talk.talk_id}.{_SUFFIXES[container]}"
            await asyncio.to_thread(_copy, audio, file)
        await self._store.add(talk)

    async def _add_truncated(self, stream: Stream, caller: Caller, owned: ExitStack) -> None:
        with owned:
            metadata, declared = stream.finish()
            duration = await asyncio.to_thread(
                length_of_truncated, stream.handle, stream.size, declared
            )
            talk = replace(
                _talk("UploadAsStream", caller, metadata),
                sha256=stream.sha256,
                size=stream.size,
                duration=duration,
                truncated=True,
            )
            await self._add(talk, check_declaration(declared), stream.handle)

    async def _pace(self, nbytes: int) -> None:
        wait = self._control.transfer_time(nbytes)
        if wait > 0:
            await asyncio.sleep(wait)


async def _for_ever() -> Never:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody answers this")


def _identity(caller: Caller, metadata: wire.TalkMetadata, content: bytes = b"") -> bytes:
    """Identifies a recording, the same for every attempt."""
    if caller.idempotency_key:
        return caller.idempotency_key.encode()
    digest = hashlib.blake2b(metadata.SerializeToString(deterministic=True))
    digest.update(content)
    return digest.digest()


def _look(
    content: bytes, declared: wire.AudioMetadata, connection: Connection
) -> tuple[bytes, float]:
    duration = inspect(io.BytesIO(content), len(content), declared, connection.channels)
    return hashlib.sha256(content).digest(), duration


def _talk(method: str, caller: Caller, metadata: wire.TalkMetadata) -> Talk:
    """A new talk without its content."""
    return Talk(
        talk_id=str(uuid.uuid4()),
        connection_id=metadata.connection_id,
        fields=dict(metadata.fields),
        users=tuple(
            User(user.id, Role(_role(user.role)), dict(user.fields)) for user in metadata.users
        ),
        method=method,
        client_request_id=caller.client_request_id,
        idempotency_key=caller.idempotency_key,
    )


def _role(role: wire.UserRole) -> str:
    return wire.UserRole.Name(role).removeprefix("USER_ROLE_").lower()


def _text(content: wire.TextContent) -> str:
    return MessageToJson(content, preserving_proto_field_name=True, indent=None)


def _copy(audio: BinaryIO, file: Path) -> None:
    audio.seek(0)
    with replace_atomically(file) as target:
        shutil.copyfileobj(audio, target)
