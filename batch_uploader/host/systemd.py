"""What the service manager is told of us."""

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self


class ServiceManager:
    """Where systemd hears of us (sd_notify), as a context manager; nobody listens elsewhere.

    ``watchdog`` is after how many seconds without a word it takes us for dead, None if it never
    does. Raises nothing: whoever cannot be told is not told.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.watchdog: float | None = None
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID") in {None, str(os.getpid())}
        if self._address and meant and microseconds.isdecimal() and int(microseconds):
            self.watchdog = int(microseconds) / 1e6

    def __enter__(self) -> Self:
        """Reach it, if it is there."""
        # An address that begins with @ is no file: Linux writes it with a zero byte.
        if self._address[:1] in {"/", "@"} and sys.platform != "win32":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(0)
            try:
                abstract = self._address.startswith("@")
                self._socket.connect("\0" + self._address[1:] if abstract else self._address)
            except OSError:
                self.__exit__(None, None, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def listens(self) -> bool:
        """Whether anybody is there."""
        return self._socket is not None

    def tell(self, **state: str) -> None:
        """Say something: ``READY="1"``, ``STATUS="..."``."""
        if self._socket is not None:
            text = "\n".join(f"{name}={value}" for name, value in state.items())
            with suppress(OSError):
                self._socket.send(text.encode())
