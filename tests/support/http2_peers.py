"""Peers of bare HTTP/2 frames, for what no gRPC server would say: proxies, resets, GOAWAY."""

import asyncio
import socket
import struct
from typing import ClassVar

from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel import Endpoint, Security

END_STREAM, END_HEADERS = 1, 4


class FrameServer:
    """Speaks just enough HTTP/2 to read a request to its end, then runs ``script(writer, stream)``.

    A connection ends when its script closes it.
    """

    _PREFACE: ClassVar = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8

    def __init__(self, script):
        self._script = script
        self._tasks = set()
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            # One that is closed and has nothing left to send cannot be aborted.
            if writer.transport.get_write_buffer_size() or not writer.is_closing():
                writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def endpoint(self):
        return Endpoint("127.0.0.1", self.port, Security.PLAINTEXT)

    def _serve(self, reader, writer):
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._tasks.add(task)
        self._writers.append(writer)

    async def _talk(self, reader, writer):
        try:
            assert await reader.readexactly(len(self._PREFACE)) == self._PREFACE
            writer.write(self.frame(self.SETTINGS, 0, 0))
            while True:
                head = await reader.readexactly(9)
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
                body = await reader.readexactly(size)
                if kind == self.SETTINGS and not flags & 1:
                    writer.write(self.frame(self.SETTINGS, 1, 0))
                elif kind == self.PING and not flags & 1:
                    writer.write(self.frame(self.PING, 1, 0, body))
                elif kind == self.DATA and size:
                    more = struct.pack(">I", size)
                    writer.write(self.frame(self.WINDOW, 0, 0, more))
                    writer.write(self.frame(self.WINDOW, 0, stream, more))
                if kind == self.DATA and flags & 1:
                    await self._script(writer, stream)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @staticmethod
    def frame(kind, flags, stream, body=b""):
        return (
            struct.pack(">I", len(body))[1:]
            + bytes((kind, flags))
            + struct.pack(">I", stream)
            + body
        )

    @classmethod
    def answer(cls, stream, *headers, flags=END_STREAM | END_HEADERS):
        """A HEADERS frame, by default the last one; literals without Huffman."""
        block = b""
        for name, value in headers:
            assert len(name) < 127
            block += b"\x00" + bytes((len(name),)) + name.encode()
            block += _length(len(value)) + value.encode()
        return cls.frame(cls.HEADERS, flags, stream, block)


def _length(number):
    """An integer of HPACK behind a prefix of seven bits."""
    if number < 127:
        return bytes((number,))
    number -= 127
    digits = [127]
    while number >= 128:
        digits.append(number % 128 + 128)
        number //= 128
    return bytes((*digits, number))


def reset(code):
    async def script(writer, stream):
        writer.write(FrameServer.frame(FrameServer.RST, 0, stream, struct.pack(">I", code)))

    return script


def http(status, body=b"", kind="text/html"):
    async def script(writer, stream):
        headers = ((":status", str(status)), ("content-type", kind))
        flags = END_HEADERS if body else END_HEADERS | END_STREAM
        writer.write(FrameServer.answer(stream, *headers, flags=flags))
        if body:
            writer.write(FrameServer.frame(FrameServer.DATA, END_STREAM, stream, body))

    return script


def says(code, text):
    async def script(writer, stream):
        headers = (
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", str(code.value[0])),
            ("grpc-message", text),
        )
        writer.write(FrameServer.answer(stream, *headers))

    return script


def goes_away(last, code=0, text=b"max_age"):
    async def script(writer, stream):
        body = struct.pack(">II", last, code) + text
        writer.write(FrameServer.frame(FrameServer.GOAWAY, 0, 0, body))
        await writer.drain()
        writer.close()

    return script


async def hangs_up(writer, stream):
    writer.close()


async def resets_the_connection(writer, stream):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def talks_nonsense(writer, stream):
    writer.write(b"nonsense " * 100)


async def keeps_silent(writer, stream):
    pass


def answers(*parts):
    """Writes these in turn, each made for the stream; see ``head``, ``message`` and ``ends``."""

    async def script(writer, stream):
        for part in parts:
            writer.write(part(stream))
            await writer.drain()

    return script


def head(*headers):
    """The headers of an answer that goes on."""
    usual = ((":status", "200"), ("content-type", "application/grpc"))
    return lambda stream: FrameServer.answer(stream, *usual, *headers, flags=END_HEADERS)


def message(content, *, flag=0, size=None):
    """A message in frames; ``size`` is what it says of itself, where that is a lie."""
    body = struct.pack(">BI", flag, len(content) if size is None else size) + content
    frames = [body[start : start + 16_000] for start in range(0, len(body), 16_000)]
    return lambda stream: b"".join(
        FrameServer.frame(FrameServer.DATA, 0, stream, frame) for frame in frames
    )


def talk(talk_id, **how):
    """The message that names a talk."""
    return message(wire.UploadTalkResponse(talk_id=talk_id).SerializeToString(), **how)


def ends(status, text="", *headers):
    """The trailers, the last of an answer."""
    said = (("grpc-message", text),) if text else ()
    return lambda stream: FrameServer.answer(stream, ("grpc-status", str(status)), *said, *headers)


def breaks(code):
    """A reset of the stream in the middle of an answer."""
    return lambda stream: FrameServer.frame(FrameServer.RST, 0, stream, struct.pack(">I", code))


def stores_talks(troubles):
    """Answers with talk IDs, but for as long as ``troubles`` has something else to run.

    ``requests`` counts all that came in, ``talks`` are those that it named.
    """
    talks = []

    async def script(writer, stream):
        script.requests += 1
        if (trouble := next(troubles, None)) is not None:
            await trouble(writer, stream)
            return
        talks.append(f"talk-{len(talks) + 1}")
        await answers(head(), talk(talks[-1]), ends(0))(writer, stream)

    script.talks = talks
    script.requests = 0
    return script
