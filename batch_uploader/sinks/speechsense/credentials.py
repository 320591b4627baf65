"""Credentials, and the files that hold them. No class here shows its secret in a repr."""

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, Self, runtime_checkable

import anyio

from batch_uploader.core.checks import as_path
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import quote
from batch_uploader.host.exposure import others_may_write
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.iam import DEFAULT_IAM_ENDPOINT, AuthorizedKey, exchange
from batch_uploader.sinks.speechsense.renewal import IssuedToken, Renewable
from batch_uploader.sinks.speechsense.secret import sound

_LOOK_EVERY: Final = 5.0
_LARGEST_FILE: Final = 1024 * 1024


class Credentials(Protocol):
    """The ``authorization`` header of requests."""

    async def header(self) -> str:
        """The current value of the header: a scheme, a space, the secret.

        Raises NotSent or Unauthorized if it cannot be obtained.
        """


@runtime_checkable
class Replaceable(Protocol):
    """Credentials that can make another header if the service refuses one."""

    def refused(self, header: str) -> None:
        """The service refused this header: if it is still in use, the next one is another."""


class ApiKey:
    """An API key of a service account. Raises ConfigError if it is malformed."""

    def __init__(self, key: str) -> None:
        self._header = f"Api-Key {sound(key, 'the API key')}"

    def __repr__(self) -> str:
        return "ApiKey(...)"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read it from a file that only its owner may write. Raises ConfigError."""
        return cls(read_secret_file(as_path("path", path)))

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return "the API key"

    async def header(self) -> str:
        """The same for ever."""
        return self._header


class IamToken:
    """An IAM token, valid for at most 12 hours. Raises ConfigError if it is malformed."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {sound(token, 'the IAM token')}"

    def __repr__(self) -> str:
        return "IamToken(...)"

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        return "the IAM token"

    async def header(self) -> str:
        """The same for ever."""
        return self._header


class IamTokenFile:
    """An IAM token in a file that another program renews; read again when the file changes.

    Raises ConfigError if the file has no valid token at first. If the file cannot be read later,
    the last token stays in use until the service refuses it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path = as_path("path", path)
        self._clock = clock
        self._looking = anyio.Lock()
        self._refused = False
        self._looked = clock()
        # Stat before reading, so that a write in between is seen as a change.
        self._seen = _version(path)
        self._header = f"Bearer {read_secret_file(path)}"

    def __repr__(self) -> str:
        return f"IamTokenFile({str(self._path)!r})"

    @property
    def kind(self) -> str:
        """What it is and where it comes from, for messages."""
        return f"the IAM token in {self._path}"

    def refused(self, header: str) -> None:
        """The service refused this header: look at the file at once."""
        if header == self._header:
            self._refused = True

    async def header(self) -> str:
        """The token of the file, at most a few seconds old."""
        # Only one that replaces a refused token is worth waiting for.
        if self._refused or (self._due and not self._looking.locked()):
            async with self._looking:
                if self._refused or self._due:
                    await anyio.to_thread.run_sync(self._look)
                    self._refused, self._looked = False, self._clock()
        return self._header

    @property
    def _due(self) -> bool:
        return self._clock() - self._looked >= _LOOK_EVERY

    def _look(self) -> None:
        version = _version(self._path)
        if version is None or version == self._seen:
            return
        # It may just be being renewed; it is read again later.
        with suppress(ConfigError):
            self._header = f"Bearer {read_secret_file(self._path)}"
            self._seen = version


class ServiceAccountKey(Renewable):
    """The authorized key of a service account, exchanged for IAM tokens as they expire.

    A token is renewed an hour before it expires (halfway, if it is valid for less than two hours),
    once for all callers that wait for it. If IAM cannot be reached, the old one is used until it
    expires.
    """

    def __init__(
        self,
        key: AuthorizedKey,
        *,
        endpoint: Endpoint = DEFAULT_IAM_ENDPOINT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._key = key
        self._endpoint = endpoint

    def __repr__(self) -> str:
        return f"ServiceAccountKey({self._key!r})"

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, endpoint: Endpoint = DEFAULT_IAM_ENDPOINT
    ) -> Self:
        """Read the JSON that ``yc iam key create`` writes. Raises ConfigError."""
        path = as_path("path", path)
        return cls.parse(_read_private(path), f"the file {path}", endpoint=endpoint)

    @classmethod
    def parse(cls, text: str, name: str, *, endpoint: Endpoint = DEFAULT_IAM_ENDPOINT) -> Self:
        """Take the same JSON as a text; ``name`` is used in errors. Raises ConfigError."""
        return cls(AuthorizedKey.parse(text, name), endpoint=endpoint)

    @property
    def kind(self) -> str:
        """What it is and where it comes from."""
        return f"the IAM token of the service account {self._key.service_account_id}"

    async def _obtain(self) -> IssuedToken:
        return await exchange(self._key, self._endpoint)


def read_secret_file(path: Path) -> str:
    """The secret in a file that only its owner may write. Blocking.

    White space around it and a byte-order mark are removed. Raises ConfigError, which does not show
    the content.
    """
    return sound(_read_private(path), f"the file {path}")


def _read_private(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            # A file shared by its owner on purpose must not get the advice to chmod.
            raise ConfigError(
                f"{path} is a directory or a device", hint="specify the file with the secret"
            )
        if others_may_write(path):
            raise ConfigError(
                f"other users can write {path}, so the key in it may be theirs",
                hint=f"chmod 600 {quote(str(path))}",
            )
        # What is not UTF-8 is refused together with other characters that secrets do not have.
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror})", hint="check its name, owner and mode"
        ) from error


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
