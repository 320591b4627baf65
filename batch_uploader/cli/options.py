"""Extensions of Click: flags in panels, commands with examples.

Imports only Click, since help must be fast, and so must a run without work.
"""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from batch_uploader.core.errors import BadValue, ConfigError

_WORD = re.compile(r"[a-z][a-z-]*")
"""What is typed as it stands, unlike a DURATION."""


class Panel(StrEnum):
    """The groups of flags, in the order of the help."""

    COMMAND = "Options"
    WHERE = "Destination"
    WHO = "Credentials (choose one)"
    WHAT = "What to read"
    SOUND = "Validation"
    HOW = "Pace and limits"
    DOUBT = "Duplicate protection"
    FILES = "Files"
    OUTPUT = "Output"
    CREDENTIALS = "Accepted credentials"
    KEPT = "Connections and storage"
    ANSWERS = "Faults in the answers (P is a probability from 0 to 1)"
    NETWORK = "Faults of the process and the network"


class Flag(click.Option):
    """An option of a panel; shells complete the words that its metavar lists."""

    def __init__(
        self,
        names: str,
        text: str,
        panel: Panel = Panel.COMMAND,
        metavar: str | None = None,
        **more: Any,
    ) -> None:
        if words := [word for word in (metavar or "").split("|") if _WORD.fullmatch(word)]:
            more["shell_complete"] = lambda _ctx, _param, typed: [
                word for word in words if word.startswith(typed)
            ]
        super().__init__(names.split(), help=text, metavar=metavar, **more)
        self.panel = panel


class Parsed(click.ParamType):  # type: ignore[type-arg] # older ones take no argument
    """A value parsed by a function, which raises BadValue."""

    name = "value"

    def __init__(self, parse: Callable[[str], Any], completed: str | None = None) -> None:
        self._parse = parse
        self._completed = completed

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to the shell to complete a "file" or a "dir"."""
        if self._completed is None:
            return super().shell_complete(ctx, param, incomplete)
        return [CompletionItem(incomplete, type=self._completed)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text; a default that is already a value stays."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except BadValue as error:
            name = param.get_error_hint(ctx).strip("'") if param and ctx else self.name
            raise ConfigError(f"{name}: {error.problem}", hint=error.hints) from None


def _path(text: str) -> Path:
    # Only checked for being empty: other problems of a path have exit codes of their own. An empty
    # path would be the working directory, and is nearly always an unset variable.
    if not text:
        raise BadValue("it is empty", hint="check whether a variable is unset")
    return Path(text)


PATH = Parsed(_path, "file")
FOLDER = Parsed(_path, "dir")


class Command(click.Command):
    """A command with its flags in panels, and examples that can be copied."""

    examples: Sequence[str] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a superfluous argument without showing it, as Click would: it may be a secret."""
        ctx.allow_extra_args = True
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            raise ConfigError(
                "unexpected extra arguments",
                hint="quote a path that contains spaces, and keep a key in a file",
            )
        return extra

    def panels(self, ctx: click.Context) -> dict[Panel, list[Flag]]:
        """The flags by panel, in the order of the help."""
        flags: dict[Panel, list[Flag]] = {panel: [] for panel in Panel}
        for param in self.get_params(ctx):
            if isinstance(param, Flag):
                flags[param.panel].append(param)
        return {panel: some for panel, some in flags.items() if some}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list for each panel."""
        for panel, flags in self.panels(ctx).items():
            with formatter.section(panel):
                formatter.write_dl(
                    [record for flag in flags if (record := flag.get_help_record(ctx))]
                )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - Click's
        """Write the examples, one line each."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Group(click.Group):
    """Commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's
        """The names of the commands."""
        return list(self.commands)


def command(
    *params: click.Parameter, flags: Sequence[Flag] = (), examples: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command of its name, with its docstring as the help.

    The function gets the given ones of ``flags``, by long name, as the parameter ``flags``.
    """
    names = {str(flag.name): str(flag.name).replace("_", "-") for flag in flags}

    def decorate(function: Callable[..., Any]) -> Command:
        def called(**values: Any) -> Any:
            # Later the same shortage would look like an error of the ledger or the directory.
            from batch_uploader.sinks.speechsense.resources import (
                DESCRIPTORS_WITHOUT_GRPC,
                require_descriptors,
            )

            require_descriptors(DESCRIPTORS_WITHOUT_GRPC)
            if names:
                group = {names[name]: values.pop(name) for name in names}
                values["flags"] = {
                    name: list(value) if isinstance(value, tuple) else value
                    for name, value in group.items()
                    if value not in (None, False, ())
                }
            return function(**values)

        made = Command(
            function.__name__.rstrip("_"),
            callback=called,
            params=[*params, *flags],
            help=function.__doc__,
            short_help=(function.__doc__ or "").partition("\n")[0],
        )
        made.examples = examples
        return made

    return decorate
