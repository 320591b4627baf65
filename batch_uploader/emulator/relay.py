"""A TCP relay in front of the server: the only way to reset a single connection.

It does not interpret the data. Towards the server each connection has a port of its own, which gRPC
reports as the peer; by that port the connection is found.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""Closing a socket with this option sends a reset."""


class Relay:
    """Listens on an address and forwards everything to a port of the same host."""

    def __init__(self, host: str, backend_port: int) -> None:
        self._host = host
        self._backend_port = backend_port
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._clients: dict[int, _End] = {}
        self._joining: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()

    async def listen(self, port: int) -> int:
        """Start listening. Returns the port; 0 chooses one. Raises OSError if it is in use."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _End(self._join, self._lost), self._host, port
        )
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def close(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._joining:
            task.cancel()
        if self._joining:
            await asyncio.wait(self._joining)
        if self._ends:
            self._idle.clear()
            for end in self._ends:
                end.reset()
            await self._idle.wait()

    def cut(self, peer: str) -> None:
        """Reset the connection that the server sees as this peer, if it still exists."""
        client = self._clients.get(int(peer.rpartition(":")[2]))
        if client is not None:
            client.reset()

    def _lost(self, end: "_End") -> None:
        self._ends.discard(end)
        self._clients.pop(end.port, None)
        if not self._ends:
            self._idle.set()

    def _join(self, client: "_End") -> None:
        self._ends.add(client)
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _connect(self, client: "_End") -> None:
        def made(backend: _End) -> None:
            self._ends.add(backend)
            self._clients[backend.port] = client

        loop = asyncio.get_running_loop()
        try:
            _, backend = await loop.create_connection(
                lambda: _End(made, self._lost, client), self._host, self._backend_port
            )
        except OSError:
            client.reset()
            return
        client.pair(backend)


class _End(asyncio.Protocol):
    """One of the two sockets of a relayed connection; forwards backpressure."""

    def __init__(
        self,
        on_made: Callable[["_End"], None],
        on_lost: Callable[["_End"], None],
        other: "_End | None" = None,
    ) -> None:
        self._on_made = on_made
        self._on_lost = on_lost
        self._other = other
        self._transport: asyncio.Transport | None = None
        self.port = 0
        """The local port, set when the connection is made."""

    @property
    def transport(self) -> asyncio.Transport:
        """The transport; the connection must have been made."""
        if self._transport is None:
            raise RuntimeError("not connected yet")
        return self._transport

    def pair(self, other: "_End") -> None:
        """Forward everything to the other from now on."""
        self._other = other
        if self.transport.is_closing():
            other.transport.close()
        else:
            self.transport.resume_reading()

    def reset(self) -> None:
        """Reset the connection; the other end closes with it."""
        connection: socket.socket = self.transport.get_extra_info("socket")
        # It may already be closed.
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.port = transport.get_extra_info("sockname")[1]
        if self._other is None:
            self._transport.pause_reading()
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._on_lost(self)
        if self._other is not None:
            self._other.transport.close()
