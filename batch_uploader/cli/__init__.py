"""The command line: thin commands that parse, call, print and return an exit code."""

import os
import sys
from contextlib import suppress

import click

from batch_uploader import __version__
from batch_uploader.cli import commands, output
from batch_uploader.cli.emulator import emulator
from batch_uploader.cli.helping import completion, help_
from batch_uploader.cli.options import Group
from batch_uploader.cli.output import ExitCode, explain_failure

_STANDARD_STREAMS = 3

_HELP = """Upload a directory of call recordings to Yandex SpeechSense exactly once.

\b
Start here:
  batch-uploader demo                  see it work, no account needed
  batch-uploader init calls/           recognise an archive, write its settings
  batch-uploader doctor calls/         whether the service can be reached, and what is missing
  batch-uploader check calls/          what would be uploaded, and what is wrong
  batch-uploader upload calls/ --connection-id ID --api-key-file key

\b
Exit codes:
  0  everything is uploaded       4  the directory cannot be read
  1  something needs attention    5  another run is going on
  2  usage or settings            6  a limit was reached
  3  the credentials are refused  7  the ledger or the disk failed
  130, 143  interrupted
"""


@click.group(
    name="batch-uploader",
    cls=Group,
    help=_HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    __version__, "-V", "--version", message="%(prog)s %(version)s", prog_name="batch-uploader"
)
@click.pass_context
def app(context: click.Context) -> int:
    """The program; without a command it prints its help, and exits with an error."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    return ExitCode.USAGE


for _command in (
    commands.init,
    commands.upload,
    commands.check,
    commands.status,
    commands.runs,
    commands.resolve,
    commands.manifest,
    commands.doctor,
    emulator,
    commands.demo,
    completion,
    help_,
):
    app.add_command(_command)


def main() -> None:
    """Run the command line of this process, and exit."""
    _open_streams()
    code = _run()
    sys.exit(_flush_streams(code))


def _run() -> int:
    try:
        code = app(prog_name="batch-uploader", standalone_mode=False)
    except click.UsageError as error:
        return _misused(error)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except Exception as error:  # noqa: BLE001 - users do not get tracebacks
        return explain_failure(error)
    return code if isinstance(code, int) else ExitCode.FINE


def _misused(error: click.UsageError) -> int:
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx is not None else "batch-uploader"
    output.error(message[:1].lower() + message[1:], f"{path} --help")
    return ExitCode.USAGE


def _open_streams() -> None:
    """Open closed standard streams on the null device.

    Otherwise a ledger or a recording could get their descriptors, and a library's output would go
    into it.
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
    """Flush the output. Returns the given exit code, or that of lost output."""
    # At its exit Python would report a closed pipe, and use an exit code of its own.
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
