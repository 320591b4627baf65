"""A metadata service that answers what it is told, byte by byte if need be."""

import asyncio
import contextlib
import json


def http(body, status="200 OK"):
    body = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def token(text, life=43200):
    return http(json.dumps({"access_token": text, "expires_in": life, "token_type": "Bearer"}))


@contextlib.asynccontextmanager
async def metadata_service(*answers):
    """Yields its address and its requests. An answer is bytes, or None for silence."""
    requests, left, silent = [], list(answers), asyncio.Event()

    async def serve(reader, writer):
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            await silent.wait()
        else:
            writer.write(answer)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        silent.set()
        server.close()
