"""The header of a sink's requests, and what follows when the service refuses it."""

from collections.abc import Callable

from batch_uploader.core.errors import ConfigError, SinkError
from batch_uploader.sinks.speechsense.credentials import Credentials, Replaceable
from batch_uploader.sinks.speechsense.redaction import remember


class Authorization:
    """The header for all requests of a sink.

    A header that the service refuses is replaced once, if its credentials can make another. If the
    replacement is refused, too, before the service has accepted it, there is no further one.
    """

    on_renewal_failed: Callable[[SinkError, float | None], None] | None = None

    def __init__(self, credentials: Credentials) -> None:
        if isinstance(credentials, type) or not callable(getattr(credentials, "header", None)):
            # The value is not shown: it may be the secret itself.
            raise ConfigError("credentials have no header(); give ApiKey(...) or one of the others")
        self._credentials = credentials
        self._replacement = ""
        self._accepted = True
        self._told = ""

    @property
    def kind(self) -> str:
        """What the credentials are and where they come from, for messages."""
        kind: str = getattr(self._credentials, "kind", type(self._credentials).__name__)
        return kind

    @property
    def life(self) -> float | None:
        """For how many more seconds the header is valid; None: for ever, or not known."""
        life: float | None = getattr(self._credentials, "life", None)
        return life

    async def header(self) -> str:
        """The current header. Raises NotSent or Unauthorized if it cannot be obtained."""
        header = await self._credentials.header()
        remember(header.partition(" ")[2])
        trouble: SinkError | None = getattr(self._credentials, "trouble", None)
        if trouble is None:
            self._told = ""
        elif trouble.problem != self._told:
            self._told = trouble.problem
            if self.on_renewal_failed is not None:
                self.on_renewal_failed(trouble, self.life)
        return header

    def accepted(self, header: str) -> None:
        """The service accepted a request with this header."""
        if header == self._replacement:
            self._accepted = True

    async def replaced(self, header: str) -> bool:
        """Whether another request may be made, with another header than this refused one.

        Raises as ``header``.
        """
        if not isinstance(self._credentials, Replaceable):
            return False
        if header == self._replacement and not self._accepted:
            return False
        self._credentials.refused(header)
        current = await self.header()
        if current == header:
            return False
        if current != self._replacement:
            self._replacement, self._accepted = current, False
        return True
