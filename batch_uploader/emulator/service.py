"""The gRPC service of the emulator: its methods by path, with serialised messages."""

import asyncio
import secrets
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from batch_uploader.emulator.control import Control
from batch_uploader.emulator.queries import Queries
from batch_uploader.emulator.rules import RpcRefusal, parse
from batch_uploader.emulator.tokens import Authenticator
from batch_uploader.emulator.uploads import Caller, Uploads
from batch_uploader.sinks.speechsense import wire

_Context = grpc.aio.ServicerContext[bytes, bytes]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Work = Callable[[Caller], Awaitable[Message]]


class Service(grpc.GenericRpcHandler):
    """Authenticates, delays and answers requests, and turns a RpcRefusal into a status.

    It serves the three uploads, Search, Get and IamTokenService/Create; gRPC itself answers
    UNIMPLEMENTED to the rest. Each answer has ``x-request-id``, ``x-server-trace-id`` and the
    ``date`` of the emulator's clock in its trailing metadata.
    """

    def __init__(
        self,
        uploads: Uploads,
        queries: Queries,
        authenticator: Authenticator,
        control: Control,
        cut: Callable[[str], None],
    ) -> None:
        self._authenticator = authenticator
        self._control = control
        self._cut = cut
        self._methods = {
            wire.UPLOAD: self._unary(uploads.upload),
            wire.UPLOAD_TEXT: self._unary(uploads.upload_text),
            wire.UPLOAD_AS_STREAM: self._stream(uploads.upload_as_stream),
            wire.SEARCH: self._unary(lambda data, _: queries.search(data)),
            wire.GET: self._unary(lambda data, _: queries.get(data)),
            wire.CREATE_IAM_TOKEN: grpc.unary_unary_rpc_method_handler(self._create_token),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        """The handler of a method; gRPC calls this once for each RPC."""
        method = handler_call_details.method
        self._control.count(method.rpartition("/")[2])
        return self._methods.get(method)

    def _unary(self, work: Callable[[bytes, Caller], Awaitable[Message]]) -> _Handler:
        async def handle(data: bytes, context: _Context) -> bytes:
            return await self._admit(context, lambda caller: work(data, caller))

        return grpc.unary_unary_rpc_method_handler(handle)

    def _stream(
        self, work: Callable[[AsyncIterator[bytes], Caller], Awaitable[Message]]
    ) -> _Handler:
        async def handle(messages: AsyncIterator[bytes], context: _Context) -> bytes:
            return await self._admit(context, lambda caller: work(messages, caller))

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _admit(self, context: _Context, work: _Work) -> bytes:
        headers = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        }
        authorization = headers.get("authorization")
        caller = Caller(
            headers.get("x-client-request-id"),
            headers.get("idempotency-key"),
            require_presence=lambda: _require_presence(context),
            cut=lambda: self._cut(context.peer()),
        )

        async def admitted() -> Message:
            self._authenticator.admit(authorization)
            return await work(caller)

        return await self._answer(context, admitted)

    async def _create_token(self, data: bytes, context: _Context) -> bytes:
        async def exchange() -> Message:
            token = self._authenticator.exchange(parse(wire.CreateIamTokenRequest, data).jwt)
            response = wire.CreateIamTokenResponse(iam_token=token.text)
            response.expires_at.FromNanoseconds(round(token.expires_at * 1e9))
            return response

        with self._control.exchange():
            return await self._answer(context, exchange)

    async def _answer(self, context: _Context, work: Callable[[], Awaitable[Message]]) -> bytes:
        ids = (
            ("x-request-id", str(uuid.uuid4())),
            ("x-server-trace-id", secrets.token_hex(16)),
            ("date", formatdate(self._authenticator.clock(), usegmt=True)),
        )
        context.set_trailing_metadata(ids)
        try:
            if self._control.faults.latency:
                await asyncio.sleep(self._control.faults.latency)
            return (await work()).SerializeToString()
        except RpcRefusal as refusal:
            await context.abort(refusal.code, refusal.message, ids + refusal.trailers())
        except sqlite3.Error as error:
            message = f"The emulator cannot use its store: {error}"
            await context.abort(grpc.StatusCode.INTERNAL, message, ids)


async def _require_presence(context: _Context) -> None:
    """Raise CancelledError if the client is gone, which the end of a stream does not show.

    A stream that was cancelled, timed out or lost its client ends like a finished one (grpc#33038),
    and the cancellation comes milliseconds later, if at all. Sending something shows it at once.
    """
    try:
        await context.send_initial_metadata(())
    except grpc.aio.BaseError:
        raise asyncio.CancelledError from None
    if context.cancelled():
        raise asyncio.CancelledError
