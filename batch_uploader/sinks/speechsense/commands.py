"""Credentials that a command prints."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from batch_uploader.core.checks import require_type
from batch_uploader.core.errors import ConfigError, NoSuchService, NotSent
from batch_uploader.sinks.speechsense.redaction import remember, shown
from batch_uploader.sinks.speechsense.renewal import IssuedToken, Renewable
from batch_uploader.sinks.speechsense.secret import LONGEST_SECRET, sound

_TIMEOUT: Final = 60.0
_KILLED_WITHIN: Final = 2.0
_MOST_OUTPUT: Final = 2 * LONGEST_SECRET
_MOST_ERRORS: Final = 4096
_QUOTED: Final = 200
_PIECE: Final = 4096
_POLL: Final = 0.02
_READ_WITHIN: Final = 1.0
"""Seconds; for the rest of what a command wrote that has ended."""


class _Command(Renewable):
    """What ``command`` prints; its words are as a shell would split them."""

    what = ""

    def __init__(
        self,
        command: str,
        *,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._words = _split(command)
        self._timeout = timeout

    def __repr__(self) -> str:
        # Arguments may hold a secret.
        return f"{type(self).__name__}({self._words[0]!r})"

    @property
    def kind(self) -> str:
        """What it is and where it comes from."""
        return f"the {self.what} of {self._named}"

    @property
    def _named(self) -> str:
        return f"the command {Path(self._words[0]).name}"

    async def _obtain(self) -> IssuedToken:
        try:
            with anyio.fail_after(self._timeout):
                run = await _run(self._words)
        except TimeoutError:
            raise NotSent(
                f"{self._named} did not end within {self._timeout:g} seconds",
                hint="run it yourself: it may be waiting for an answer",
                code="COMMAND_TIMEOUT",
            ) from None
        except OSError as error:
            raise self._failed(f"cannot be run ({error.strerror})") from None
        if run.code != 0:
            raise self._failed(f"failed (exit code {run.code}{run.said()})")
        if run.printed is None:
            raise self._failed("printed too much for a secret")
        try:
            secret = sound(run.printed.decode("utf-8", "replace"), "its output")
        except ConfigError:
            lines = len(run.printed.strip().splitlines())
            how = f"{lines} lines" if lines > 1 else "no single word" if lines else "nothing"
            raise self._failed(f"printed {how}, not one {self.what}{run.said('; ')}") from None
        remember(secret)
        return IssuedToken(secret, None)

    def _failed(self, problem: str) -> NotSent:
        return NoSuchService(
            f"{self._named} {problem}",
            hint=f"run it yourself: it must print only the {self.what}",
            code="COMMAND_FAILED",
        )


class IamTokenCommand(_Command):
    """The IAM token that a command prints, such as ``yc iam create-token``.

    It is run without a shell, again every half an hour, and when the service refuses what it
    printed. Raises ConfigError if the command cannot be split or its program is not there.
    """

    what = "IAM token"


class ApiKeyCommand(_Command):
    """The API key that a command prints, such as that of a password manager.

    It is run as the command of ``IamTokenCommand``.
    """

    what = "API key"
    scheme = "Api-Key"


class _Run:
    """How a command ended; ``printed`` is None if it was too much."""

    def __init__(self, code: int, printed: bytes | None, errors: bytes) -> None:
        self.code = code
        self.printed = printed
        self._errors = errors

    def said(self, before: str = ": ") -> str:
        """What it wrote to stderr, redacted, after ``before``."""
        words = (self.printed or b"").decode("utf-8", "replace").split()
        text = shown(self._errors.decode("utf-8", "replace"), _QUOTED, words)
        return f'{before}"{text}"' if text else ""


def _split(command: str) -> list[str]:
    require_type("command", command, str)
    try:
        words = shlex.split(command)
    except ValueError:
        raise ConfigError("a quote in the command is not closed", hint="close it") from None
    if not words:
        raise ConfigError("the command is empty", hint="write it like: yc iam create-token")
    found = shutil.which(words[0])
    if found is None:
        raise ConfigError(
            "the program of the command is not there, or cannot be run",
            hint="check its name and PATH; it is run without a shell, so use no pipes or variables,"
            " or put them in a script",
        )
    return [found, *words[1:]]


async def _run(words: list[str]) -> _Run:
    """Run it to its end; if this is cancelled or it prints too much, kill it with what it began."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    printed, errors = _Kept(_MOST_OUTPUT), _Kept(_MOST_ERRORS)
    readers = [
        asyncio.ensure_future(printed.read(process.stdout)),
        asyncio.ensure_future(errors.read(process.stderr, drain=True)),
    ]
    exit_code = asyncio.ensure_future(_exit_code(process))
    ended = False
    try:
        await asyncio.wait([exit_code, readers[0]], return_when=asyncio.FIRST_COMPLETED)
        code = 0 if printed.is_too_much else await exit_code
        # What it left running, such as an agent, may hold its output open for ever.
        _, still_open = await asyncio.wait(readers, timeout=_READ_WITHIN)
        ended = not (still_open or printed.is_too_much)
    finally:
        for task in (exit_code, *readers):
            task.cancel()
        if not ended:
            await _kill(process)
    return _Run(code, None if printed.is_too_much else printed.content, errors.content)


class _Kept:
    """What a command writes, at most a byte more than ``most``."""

    def __init__(self, most: int) -> None:
        self.content = b""
        self._most = most

    @property
    def is_too_much(self) -> bool:
        """Whether it was more than that."""
        return len(self.content) > self._most

    async def read(self, stream: asyncio.StreamReader | None, *, drain: bool = False) -> None:
        """Read to the end; if it is too much, only to ``drain`` it."""
        while stream and (piece := await stream.read(_PIECE)):
            self.content += piece[: self._most + 1 - len(self.content)]
            if self.is_too_much and not drain:
                break


async def _exit_code(process: Process) -> int:
    # Some versions of Python end wait() only when the output is closed, too.
    while process.returncode is None:  # noqa: ASYNC110
        await anyio.sleep(_POLL)
    return process.returncode


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            # Also what it started, which may hold its output open.
            os.killpg(process.pid, signal.SIGKILL)
    # What left the group may hold the output open for ever.
    with anyio.move_on_after(_KILLED_WITHIN, shield=True):
        await process.communicate()
    # Nothing public closes it.
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
