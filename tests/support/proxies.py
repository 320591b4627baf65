"""HTTP proxies, on this machine."""

import contextlib

import anyio

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class HttpProxy:
    """Notes the request line of whoever connects, and refuses it."""

    def __init__(self, answer=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"):
        self._answer = answer

    async def __aenter__(self):
        self.asked = []
        self._listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = self._listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django here
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._listener.serve, self._serve)
        return self

    async def __aexit__(self, *exc):
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        await self._listener.aclose()

    async def _serve(self, stream):
        # Who only looks whether somebody listens says nothing.
        async with stream:
            with contextlib.suppress(*_GONE):
                await self._answer_to(stream)

    async def _answer_to(self, stream):
        self.asked.append((await stream.receive()).split(b"\r\n")[0])
        await stream.send(self._answer)


class Tunnel(HttpProxy):
    """Lets everybody through to one port of this machine, whatever they ask for."""

    def __init__(self, port):
        self._behind = port

    async def _answer_to(self, stream):
        async with await anyio.connect_tcp("127.0.0.1", self._behind) as server:
            self.asked += (await stream.receive()).split(b"\r\n")
            await stream.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with anyio.create_task_group() as group:
                group.start_soon(_pass_on, stream, server)
                await _pass_on(server, stream)
                group.cancel_scope.cancel()


async def _pass_on(source, target):
    with contextlib.suppress(*_GONE):
        while True:
            await target.send(await source.receive())
