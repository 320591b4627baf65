"""A call with one request message and all of its answer, in two batches of gRPC's core.

A bidirectional stream, which receives as much, takes seven batches and three tasks a call, a third
of the cost of a small recording. This uses private parts of gRPC; if they are missing, or other
than here, ``begin`` returns None, and the stream is used.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc import StatusCode

from batch_uploader.core.model import Receipt
from batch_uploader.sinks.speechsense.channel_pool import Call
from batch_uploader.sinks.speechsense.reply import Named
from batch_uploader.sinks.speechsense.rpc_result import ENDED_WITHIN, RpcResult, unreadable

try:
    from grpc._cython import cygrpc  # type: ignore[attr-defined]

    _core: Any = cygrpc
    _needed = (
        *(_core.execute_batch, _core.InternalError, _core.SendInitialMetadataOperation),
        *(_core.SendMessageOperation, _core.SendCloseFromClientOperation),
        *(_core.ReceiveInitialMetadataOperation, _core.ReceiveMessageOperation),
        *(_core.ReceiveStatusOnClientOperation, _core._AioCall.cancel),  # noqa: SLF001
        _core._AioCall.is_locally_cancelled,  # noqa: SLF001
    )
except (ImportError, AttributeError):  # pragma: no cover - of a gRPC to come
    _core = None

Headers = tuple[tuple[str, str], ...]

_CODES: Final = {code.value[0]: code for code in StatusCode}
_NO_FLAGS: Final = 0


def possible(channel: grpc.aio.Channel) -> bool:
    """Whether this version of gRPC has the private parts."""
    return _core is not None and hasattr(getattr(channel, "_channel", None), "call")


def begin(
    call: Call, method: str, message: bytes, headers: Headers, timeout: float
) -> "Exchange | None":
    """Begin the call; None if this version of gRPC cannot, and then nothing was sent.

    Raises UsageError if the channel is closed.
    """
    if not possible(call.channel):
        return None
    try:
        return Exchange(call, method, message, headers, timeout)
    except grpc.aio.UsageError:
        raise
    except Exception:  # noqa: BLE001 - private parts of another version may raise anything
        return None


class Exchange:
    """One call, which begins in the next turn and goes on if its caller is cancelled."""

    def __init__(
        self, call: Call, method: str, message: bytes, headers: Headers, timeout: float
    ) -> None:
        self._call = call
        self._loop = loop = asyncio.get_running_loop()
        beneath: Any = call.channel
        deadline = time.time() + timeout
        self._rpc = beneath._channel.call(method.encode("ascii"), deadline, None, None)  # noqa: SLF001
        self._named = Named()
        self._status = _core.ReceiveStatusOnClientOperation(_NO_FLAGS)
        self._initial = _core.ReceiveInitialMetadataOperation(_NO_FLAGS)
        # As it includes the status, this batch succeeds however the call ends.
        sent = (
            _core.SendInitialMetadataOperation(headers, _NO_FLAGS),
            _core.SendMessageOperation(message, _NO_FLAGS),
            _core.SendCloseFromClientOperation(_NO_FLAGS),
            self._status,
        )
        self._over = loop.create_task(_core.execute_batch(self._rpc, sent, loop))
        # A task of its own, so that a cancelled caller does not lose what was received.
        self._hearing = loop.create_task(self._hear())
        call.cancel = self.cancel

    async def end(self, secrets: Callable[[], tuple[str, ...]]) -> Receipt | RpcResult:
        """How the call ended. ``secrets`` returns texts to redact in the peer's words."""
        try:
            failure = await asyncio.shield(self._hearing)
        except asyncio.CancelledError:
            if not self._hearing.done() or self._hearing.cancelled():
                self.cancel()
                raise
            failure = self._hearing.result()
        named = self._named
        if failure is not None:
            return unreadable(failure, talk_id=named.shown)
        status = self._status
        metadata = (*(status.trailing_metadata() or ()), *(self._initial.initial_metadata() or ()))
        code = _CODES.get(status.code(), StatusCode.UNKNOWN)
        if code is StatusCode.OK:
            return named.accepted(metadata, secrets)
        if code is StatusCode.CANCELLED and self._rpc.is_locally_cancelled():
            return ENDED_WITHIN
        return RpcResult(
            code,
            status.details() or "",
            metadata,
            secrets(),
            connected=self._call.connected,
            talk_id=named.shown,
        )

    def cancel(self) -> None:
        """Cancel the call unless it has ended."""
        if not self._over.done():
            self._rpc.cancel(ENDED_WITHIN.details)

    async def _hear(self) -> Exception | None:
        """Receive until the status arrives. Returns the error if gRPC could not parse a message."""
        initial: tuple[Any, ...] = (self._initial,)
        try:
            while (message := await self._receive(initial)) is not None:
                self._named.add(message)
                initial = ()
                # Nearly always the status arrives with the message.
                await asyncio.sleep(0)
                if self._over.done():
                    break
            await self._over
        except Exception as error:  # noqa: BLE001 - gRPC may raise anything
            return error
        return None

    async def _receive(self, also: tuple[Any, ...]) -> bytes | None:
        received = _core.ReceiveMessageOperation(_NO_FLAGS)
        try:
            await _core.execute_batch(self._rpc, (*also, received), self._loop)
        except _core.InternalError:
            # No message will come; the status says why.
            return None
        message: bytes | None = received.message()
        return message
