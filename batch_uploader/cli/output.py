"""Output and exit codes of the command line.

Data goes to stdout, everything else to stderr. An error is one line that begins with ``error:``,
followed by ``hint:`` lines with what to do, and ``note:`` lines with details. A traceback is shown
only with ``BATCH_UPLOADER_TRACEBACK=1``.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from batch_uploader.core import errors
from batch_uploader.core.text import sentence
from batch_uploader.ui import stream
from batch_uploader.ui.printing import show
from batch_uploader.ui.stream import Line, can_draw, plain_text

TRACEBACK_VARIABLE = "BATCH_UPLOADER_TRACEBACK"


class ExitCode(IntEnum):
    """The exit codes; interrupted runs end with 128 plus the signal's number."""

    FINE = 0
    ATTENTION = 1
    USAGE = 2
    UNAUTHORIZED = 3
    SOURCE = 4
    LOCKED = 5
    LIMIT = 6
    LEDGER = 7
    BUG = 70


# The first match decides: subclasses are before their parents.
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
    """Print on stderr what ended the command. Returns the exit code."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        import traceback  # without it help is 2 % faster

        traceback.print_exception(failure, file=sys.stderr)
    code = exit_code_of(failure)
    show(list(_lines(_cause(failure), code)), sys.stderr)
    return code


def exit_code_of(failure: Exception) -> ExitCode:
    """The exit code for an exception that ends a command."""
    cause = _cause(failure)
    code = next((code for kind, code in _CODES if isinstance(cause, kind)), ExitCode.BUG)
    return ExitCode.LEDGER if code is ExitCode.BUG and _wants_threads(cause) else code


def error(problem: str, *hints: str) -> None:
    """Print an error with its hints on stderr."""
    show([stream.error(sentence(problem)), *map(_hint, hints)], sys.stderr)


def hint(*texts: str) -> None:
    """Print hints on stderr."""
    show(list(map(_hint, texts)), sys.stderr)


def cures(failure: errors.UploaderError) -> None:
    """Print the hints and notes of an error on stderr."""
    show([*map(_hint, failure.hints), *_notes(failure)], sys.stderr)


@contextmanager
def data_on_stdout() -> Iterator[None]:
    """A context for writing data to stdout; a closed pipe ends it without an error.

    Raises UploaderError if data is lost otherwise: with an exit code of 0 a program would take a
    part for the whole.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as failure:
        raise errors.UploaderError(
            f"stdout cannot be written ({failure.strerror})",
            hint="check the disk and its free space, or redirect the output elsewhere",
        ) from failure


def data(lines: Iterable[Line]) -> None:
    """Print lines of data on stdout. Raises UploaderError if that fails."""
    if can_draw(sys.stdout):
        show(list(lines), sys.stdout)
        return
    with data_on_stdout():
        encoding = sys.stdout.encoding
        # Characters that the encoding lacks are escaped.
        sys.stdout.write(plain_text(lines).encode(encoding, "backslashreplace").decode(encoding))


def _wants_threads(cause: Exception) -> bool:
    # Python has no exception class for it.
    return isinstance(cause, RuntimeError) and "start new thread" in str(cause)


def _cause(failure: Exception) -> Exception:
    # Task groups wrap exceptions in groups.
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _hint(text: str) -> Line:
    if isinstance(text, errors.CommandHint):
        from batch_uploader.cli.again import spelled  # imports the settings, and help must be fast

        text = spelled(text)
    return stream.hint(sentence(text))


def _lines(cause: Exception, code: ExitCode) -> Iterator[Line]:
    problem, hints = _described(cause, code)
    yield stream.error(sentence(problem))
    yield from map(_hint, hints)
    yield from _notes(cause)


def _notes(cause: Exception) -> list[Line]:
    return [stream.note(sentence(note)) for note in getattr(cause, "__notes__", ())]


def _described(cause: Exception, code: ExitCode) -> tuple[str, Iterable[str]]:
    """The problem and its hints."""
    if code is ExitCode.BUG:
        report = (
            "this is a bug; please report it with what the command prints under"
            f" {TRACEBACK_VARIABLE}=1 (nothing is sent twice: the ledger records every upload)"
        )
        return f"unexpected: {type(cause).__name__}: {cause}", (report,)
    if isinstance(cause, MemoryError):
        return "out of memory", (
            "reduce what is held in memory: --whole-limit 2M --concurrency 4",
            "or raise the limit: ulimit -v, MemoryMax= in a systemd unit, --memory of a container",
        )
    if _wants_threads(cause):
        return "cannot start more threads", (
            "raise the limit: ulimit -u, TasksMax= in a systemd unit, --pids-limit of a container",
        )
    if isinstance(cause, OSError):
        where = f"{cause.filename}: " if cause.filename else "the disk failed: "
        return f"{where}{cause.strerror or cause}", ("check the file, the disk and its free space",)
    if isinstance(cause, errors.UploaderError):
        return _located(cause), cause.hints
    return str(cause), ()


def _located(cause: errors.UploaderError) -> str:
    if not (isinstance(cause, errors.ConfigError) and cause.setting):
        return cause.problem
    from batch_uploader.cli.again import located  # as above

    return located(cause)
