"""What ``doctor`` examines, and what its checks have learned so far."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from batch_uploader.app.places import Places
from batch_uploader.core.errors import UploaderError
from batch_uploader.sinks.speechsense.asking import SearchAnswer
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.credentials import Credentials
from batch_uploader.sinks.speechsense.route import Route

_T = TypeVar("_T")


class Patient:
    """The settings to examine, then what is known of them.

    ``credentials`` may be the error of those that cannot be used. ``find_places`` finds the
    directory, None without one; it blocks.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | UploaderError,
        connection_id: str | None,
        find_places: Callable[[], Places] | None,
        concurrency: int,
    ) -> None:
        self.endpoint = endpoint
        self.credentials = credentials
        self.connection_id = connection_id
        self.find_places = find_places
        self.concurrency = concurrency
        self.ailing: set[str] = set()
        """The checks that did not end well."""
        self.route: Route | None = None
        self.addresses: list[str] = []
        """Of what is connected to first; once TCP was tried, only those that work."""
        self.first_answer: SearchAnswer | None = None
        """What the service answers to nobody."""
        self.header = ""
        """The credentials as a header: a secret."""
        self.answer: SearchAnswer | None = None
        """What it answers to the credentials."""
        self.clock_off: float = 0.0
        """The seconds by which this machine's clock is ahead of the service's."""
        self.places: Places | None = None

    def lacks(self, *checks: str) -> str | None:
        """The first of these checks that did not end well."""
        return next((each for each in checks if each in self.ailing), None)


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run what blocks in a thread of its own, which nobody waits for if it takes too long.

    A name server, a peer or a share may never answer; anyio's threads would keep the process from
    ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not future.done():
            set_it()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            failure = error
            outcome: Callable[[], None] = lambda: future.set_exception(failure)  # noqa: E731
        else:
            outcome = lambda: future.set_result(result)  # noqa: E731
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, daemon=True).start()
    return await future
