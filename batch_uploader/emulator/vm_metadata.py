"""The metadata service of a virtual machine, which issues tokens of its service account."""

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from batch_uploader.emulator.control import Control
from batch_uploader.emulator.tokens import Authenticator

_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_FLAVOR: Final = ("metadata-flavor", "google")
_LONGEST_HEAD: Final = 16 * 1024


class MetadataService:
    """Answers HTTP on loopback, from ``listen`` to ``close``."""

    def __init__(self, authenticator: Authenticator, control: Control) -> None:
        self._authenticator = authenticator
        self._control = control
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Listen; 0 lets the system choose a port. Returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST_HEAD)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            # Not wait_closed: that waits for clients, which may have gone to sleep.
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            with self._control.exchange():
                await asyncio.sleep(self._control.faults.latency)
                status, body = self._answer(head)
            lines = (
                f"HTTP/1.1 {status.value} {status.phrase}",
                "Metadata-Flavor: Google",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write("\r\n".join((*lines, "", body)).encode("ascii"))
            await writer.drain()
        writer.close()

    def _answer(self, head: str) -> tuple[HTTPStatus, str]:
        request, *lines = head.split("\r\n")
        headers = [tuple(map(str.strip, line.lower().split(":", 1))) for line in lines]
        if _FLAVOR not in headers:
            return HTTPStatus.FORBIDDEN, "the header Metadata-Flavor: Google is missing"
        if request.split(" ")[:2] != ["GET", _PATH]:
            return HTTPStatus.NOT_FOUND, "not found"
        self._control.count("MetadataToken")
        if self._authenticator.revoked:
            return HTTPStatus.NOT_FOUND, "the service account is gone"
        token = self._authenticator.issue()
        life = round(token.expires_at - self._authenticator.clock())
        answer = {"access_token": token.text, "expires_in": life, "token_type": "Bearer"}
        return HTTPStatus.OK, json.dumps(answer)
