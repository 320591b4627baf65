"""Notifications to systemd (sd_notify)."""

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self


class ServiceManager:
    """The connection to systemd's notification socket, as a context manager.

    ``watchdog`` is the watchdog's interval in seconds, None if it is off. Raises nothing: without a
    socket, or if it fails, notifications are dropped.
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
        """Connect to the socket if there is one."""
        # An address that begins with @ is in Linux's abstract namespace, and begins with a zero
        # byte.
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
        """Whether there is a socket."""
        return self._socket is not None

    def tell(self, **state: str) -> None:
        """Send a notification: ``READY="1"``, ``STATUS="..."``."""
        if self._socket is not None:
            text = "\n".join(f"{name}={value}" for name, value in state.items())
            with suppress(OSError):
                self._socket.send(text.encode())
