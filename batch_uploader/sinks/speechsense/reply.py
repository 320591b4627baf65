"""Writes the messages of an upload, and reads its answer to the end.

All methods are called as bidirectional streams. For a unary response gRPC drops the message if an
error status follows, and with it the talk ID; for a unary request it reads so late that it may miss
the answer of a proxy.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode

from batch_uploader.core.model import Receipt
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel_pool import Call
from batch_uploader.sinks.speechsense.rpc_result import (
    ENDED_WITHIN,
    RpcResult,
    flaw,
    request_id,
    unreadable,
)

Rpc: TypeAlias = grpc.aio.StreamStreamCall[bytes, bytes]


_FAILED: Final = (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError)


class Over(Exception):  # noqa: N818 - control flow, not a mistake
    """The call ended before all was written; ``Reply.end`` has the reason."""


async def write(rpc: Rpc, message: bytes | None) -> None:
    """Write a message, or with None the end of the stream. Raises Over.

    gRPC's ``write`` invents a status (INTERNAL) while the service's is still to arrive
    (grpc/grpc#36066), so the private method beneath it is used if it exists.
    """
    try:
        await (rpc.done_writing() if message is None else _write(rpc, message))
    except _FAILED as error:
        raise Over from error
    except Exception as error:
        # Whatever it was, a part may have been sent.
        rpc.cancel()
        raise Over from error


async def _write(rpc: Rpc, message: bytes) -> None:
    beneath: Any = getattr(rpc, "_cython_call", None)
    ready: Any = getattr(rpc, "_metadata_sent", None)
    if beneath is None or ready is None:
        await rpc.write(message)
        return
    await ready.wait()
    if rpc.done():
        raise asyncio.InvalidStateError("the call is over")
    await beneath.send_serialized_message(message)


class Named:
    """The talk IDs in the messages of an answer; at most two different ones are kept."""

    def __init__(self) -> None:
        self._talk_ids: set[str] = set()

    def add(self, message: bytes) -> None:
        """Add a message of the answer."""
        if len(self._talk_ids) < 2:  # noqa: PLR2004
            self._talk_ids.add(_talk_id(message))

    @property
    def talk_id(self) -> str | None:
        """The talk ID, "" if a message could not be parsed, None if there was no message."""
        return max(self._talk_ids, default=None)

    @property
    def shown(self) -> str | None:
        """The talk ID for messages, "" if it cannot be valid."""
        named = self.talk_id
        return "" if named and flaw(named) else named

    def accepted(
        self,
        metadata: tuple[tuple[str, str | bytes], ...],
        secrets: Callable[[], tuple[str, ...]],
    ) -> Receipt | RpcResult:
        """The result if the status is OK."""
        talk_id = self.talk_id
        if not talk_id:
            return RpcResult(StatusCode.OK, metadata=metadata)
        wrong = "more than one talk ID" if len(self._talk_ids) > 1 else flaw(talk_id)
        if wrong is not None:
            return RpcResult(StatusCode.OK, wrong, metadata, talk_id="")
        return Receipt(talk_id, request_id(metadata, secrets()) if metadata else None)


class Reply:
    """Reads a call's answer from the beginning, and goes on if its caller is cancelled."""

    def __init__(self, rpc: Rpc, secrets: Callable[[], tuple[str, ...]], call: Call) -> None:
        self._rpc = rpc
        self._secrets = secrets
        self._call = call
        self._named = Named()
        loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Receipt | RpcResult | grpc.aio.UsageError] = loop.create_future()
        # A task of its own, so that a cancelled caller does not lose what was received.
        self._task = loop.create_task(self._listen())

    async def end(self) -> Receipt | RpcResult:
        """How the call ended. Raises UsageError if it never began."""
        try:
            end = await self._end
        except asyncio.CancelledError:
            if self._end.cancelled():
                self._rpc.cancel()
                raise
            end = self._end.result()
        if isinstance(end, grpc.aio.UsageError):
            raise end
        return end

    async def _listen(self) -> None:
        end = await self._hear()
        if not self._end.done():
            self._end.set_result(end)

    async def _hear(self) -> Receipt | RpcResult | grpc.aio.UsageError:
        try:
            async for message in self._rpc:
                self._named.add(message)
            metadata = (*await self._rpc.trailing_metadata(), *await self._rpc.initial_metadata())
        except grpc.aio.AioRpcError as error:
            connected = self._call.connected
            return RpcResult.of(
                error, self._secrets(), connected=connected, talk_id=self._named.shown
            )
        except grpc.aio.UsageError as error:
            return error
        except asyncio.CancelledError:
            # Not cancelled by us: the channel was closed.
            return ENDED_WITHIN
        except Exception as error:  # noqa: BLE001 - gRPC may raise anything here, too
            return unreadable(error, talk_id=self._named.shown)
        return self._named.accepted(metadata, self._secrets)


def _talk_id(message: bytes) -> str:
    try:
        return wire.UploadTalkResponse.FromString(message).talk_id
    except DecodeError:
        return ""
