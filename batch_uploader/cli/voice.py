"""How the command line speaks, and with which number it ends.

Data goes to stdout, everything else to stderr. An error is one line that begins with ``error:``;
what to do about it follows as ``hint:``. No traceback is shown but to those who ask for it with
``BATCH_UPLOADER_TRACEBACK=1``.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from batch_uploader.core import errors
from batch_uploader.ui.outlet import Line, can_draw, error, hint, plain_text
from batch_uploader.ui.printing import show
from batch_uploader.ui.text import printable, sentence

TRACEBACK_VARIABLE = "BATCH_UPLOADER_TRACEBACK"


class ExitCode(IntEnum):
    """What a command tells the shell; interrupted runs end with 128 and the signal's number."""

    FINE = 0
    ATTENTION = 1
    USAGE = 2
    UNAUTHORIZED = 3
    SOURCE = 4
    LOCKED = 5
    LIMIT = 6
    LEDGER = 7
    BUG = 70


# The first that fits decides: subclasses stand before their parents.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (errors.ConfigError, ExitCode.USAGE),
    (errors.Unauthorized, ExitCode.UNAUTHORIZED),
    (errors.SourceError, ExitCode.SOURCE),
    (errors.LedgerLocked, ExitCode.LOCKED),
    (errors.LedgerError, ExitCode.LEDGER),
    (errors.UploaderError, ExitCode.LEDGER),
    (OSError, ExitCode.LEDGER),
    (MemoryError, ExitCode.LEDGER),
)


def explain_failure(failure: Exception) -> ExitCode:
    """Say on stderr what ended the command; the exit code for it."""
    cause = _cause(failure)
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        import traceback  # help is there a fiftieth sooner without it

        traceback.print_exception(failure, file=sys.stderr)
    code = next((code for kind, code in _CODES if isinstance(cause, kind)), ExitCode.BUG)
    if code is ExitCode.BUG and _wants_threads(cause):
        code = ExitCode.LEDGER
    show(list(_lines(cause, code)), sys.stderr)
    return code


def fail(message: str, *hints: str) -> None:
    """Print an error with its hints on stderr."""
    show([error(sentence(message)), *(hint(sentence(text)) for text in hints)], sys.stderr)


def advise(*hints: str) -> None:
    """Print hints on stderr."""
    show([hint(sentence(text)) for text in hints], sys.stderr)


@contextmanager
def data_on_stdout() -> Iterator[None]:
    """Within it data is written to stdout; a reader that goes away ends that, and is no failure.

    Raises UploaderError where the data is lost otherwise: a program that has half of it and an exit
    code of 0 would take it for the whole.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as failure:
        raise errors.UploaderError(
            f"what belongs on stdout cannot be written there ({failure.strerror}):"
            " see to the disk, or send it elsewhere"
        ) from failure


def tell(lines: Iterable[Line]) -> None:
    """Print lines of data on stdout. Raises UploaderError where that fails."""
    if can_draw(sys.stdout):
        show(list(lines), sys.stdout)
        return
    with data_on_stdout():
        encoding = sys.stdout.encoding
        # What an encoding lacks must not end it.
        sys.stdout.write(plain_text(lines).encode(encoding, "backslashreplace").decode(encoding))


def quote(text: str) -> str:
    """The text as one word of a shell's command line, printable whatever is in it."""
    if printable(text) == text:
        return shlex.quote(text)
    # In the notation of bash and zsh.
    safe = (c if printable(c) == c and c not in "'\\" else f"\\U{ord(c):08x}" for c in text)
    return f"$'{''.join(safe)}'"


def _wants_threads(cause: Exception) -> bool:
    # Python has no type for it.
    return isinstance(cause, RuntimeError) and "start new thread" in str(cause)


def _cause(failure: Exception) -> Exception:
    # Task groups wrap what happened in them.
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _lines(cause: Exception, code: ExitCode) -> Iterator[Line]:
    if code is ExitCode.BUG:
        yield error(sentence(f"unexpected: {type(cause).__name__}: {cause}"))
        yield hint(
            "this is a bug; please report it with what is printed if you repeat the command with"
            f" {TRACEBACK_VARIABLE}=1 (nothing is sent twice: the ledger knows what was on its way)"
        )
        return
    if isinstance(cause, MemoryError):
        yield error("this machine gives no more memory")
        yield hint(
            "what is on its way takes less with --whole-limit 2M and --concurrency 4; or"
            " allow more: ulimit -v, MemoryMax= in a unit of systemd, --memory of a container"
        )
    elif _wants_threads(cause):
        yield error("this machine starts no more threads")
        yield hint(
            "allow more: ulimit -u, TasksMax= in a unit of systemd, --pids-limit of a container"
        )
    elif isinstance(cause, OSError):
        where = f" {cause.filename}" if cause.filename else ""
        yield error(sentence(f"a file or the disk failed:{where} {cause.strerror or cause}"))
    else:
        yield error(sentence(str(cause)))
    for note in getattr(cause, "__notes__", ()):
        yield hint(sentence(note))
