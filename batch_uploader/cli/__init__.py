"""The command line: thin commands that parse, call, print and end with an exit code."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import cleandoc
from typing import Annotated

import typer

from batch_uploader import __version__
from batch_uploader.cli import commands
from batch_uploader.cli.emulator import emulator
from batch_uploader.cli.voice import ExitCode, explain_failure, fail

_STANDARD_STREAMS = 3

# Typer carries click under a name of its own since 0.20 or so; what it raises for a command line
# that makes no sense is this in all of its versions.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_HELP = """
Put a directory of call recordings into Yandex SpeechSense exactly once.

\b
[bold]Start here[/bold]
  batch-uploader demo                  see it work, no account needed
  batch-uploader check calls/          what would go up, and what is wrong
  batch-uploader upload calls/ --connection-id ID --api-key-file key

\b
[bold]Exit codes[/bold]
  0  everything is up             4  the directory cannot be read
  1  something needs attention    5  another run is going
  2  usage or settings            6  a limit was reached
  3  the credentials are refused  7  the ledger or the disk failed
  130, 143  interrupted
"""

app = typer.Typer(
    name="batch-uploader",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"batch-uploader {__version__}")  # noqa: T201 - what was asked for
        raise typer.Exit


@app.callback()
def _program(
    _version_asked: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Only the flags that go before any command."""


def _add(command: Callable[..., int | None]) -> None:
    # Typer keeps the ends of lines in the text, and loses those in the epilog.
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
    examples = commands.EXAMPLES.get(command.__name__, ())
    epilog = "\n\n".join(["[bold]Examples[/bold]", *examples]) if examples else None
    app.command(help=None if "\b" in text else text, epilog=epilog)(command)


for _command in (
    commands.upload,
    commands.check,
    commands.status,
    commands.resolve,
    commands.manifest,
    emulator,
    commands.demo,
):
    _add(_command)


def main() -> None:
    """Run the command line of this process, and exit."""
    _open_streams()
    # What gRPC's core has to say of handshakes and closed connections is in our errors, and on
    # stderr it would tear the display.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    code = _run()
    sys.exit(_flush_streams(code))


def _run() -> int:
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:  # noqa: BLE001 - nobody wants to see a traceback
        return explain_failure(error)
    return code if isinstance(code, int) else ExitCode.FINE


def _misused(error: Exception) -> int:
    message = getattr(error, "format_message", lambda: str(error))().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is not None and not message:
        # There was no command at all, and Typer printed the help.
        return ExitCode.USAGE
    path = context.command_path if context is not None else "batch-uploader"
    fail(message[:1].lower() + message[1:], f"{path} --help")
    return ExitCode.USAGE


def _open_streams() -> None:
    """Give the standard streams that are closed to nobody.

    Otherwise a ledger or a recording would be opened under their numbers, and what a library prints
    would go into it.
    """
    for number in range(_STANDARD_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good


def _flush_streams(code: int) -> int:
    """The exit code: the given one, unless what was printed is lost."""
    # Python would complain, and end with a code of its own, if it met a closed pipe at its exit.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            lost = isinstance(error, OSError) and not isinstance(error, BrokenPipeError)
            if lost and stream is sys.stdout and code == ExitCode.FINE:
                code = explain_failure(error)
    return code
