"""``batch-uploader help`` and ``completion``: what the program says about itself.

Both are made by Click from the commands and flags, so they cannot be stale.
"""

import click
from click.shell_completion import CompletionItem, get_completion_class

from batch_uploader.cli.options import command

_SHELLS = ("bash", "zsh", "fish")


class _CommandName(click.ParamType):  # type: ignore[type-arg] # older ones take no argument
    """The name of a command, completed by the shell."""

    name = "command"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The commands that begin with what was typed."""
        del param
        group = ctx.find_root().command
        assert isinstance(group, click.Group)  # noqa: S101 - for the type checker
        return [
            CompletionItem(name) for name in group.list_commands(ctx) if name.startswith(incomplete)
        ]


@command(
    click.Argument(["name"], metavar="[COMMAND]", required=False, type=_CommandName()),
    examples=("batch-uploader help", "batch-uploader help upload"),
)
def help_(name: str | None) -> int:
    """Show the help of the program or of a command, as --help does."""
    root = click.get_current_context().find_root()
    asked = root
    if name is not None:
        group = root.command
        assert isinstance(group, click.Group)  # noqa: S101 - for the type checker
        found, known, _ = group.resolve_command(root, [name])
        assert known is not None  # noqa: S101 - what is unknown raises UsageError
        asked = click.Context(known, info_name=found, parent=root)
    click.echo(asked.get_help())
    return 0


@command(
    click.Argument(["shell"], metavar="SHELL", type=click.Choice(_SHELLS)),
    examples=(
        'eval "$(batch-uploader completion bash)"    # in ~/.bashrc',
        'eval "$(batch-uploader completion zsh)"     # in ~/.zshrc, after compinit',
        "batch-uploader completion fish > ~/.config/fish/completions/batch-uploader.fish",
    ),
)
def completion(shell: str) -> int:
    """Print what makes bash, zsh or fish complete commands, flags, their values and files.

    Bash has to be version 4.4 or newer.
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - Click has all three
    root = click.get_current_context().find_root()
    variable = f"_{root.command_path.replace('-', '_').upper()}_COMPLETE"
    click.echo(made(root.command, {}, root.command_path, variable).source())
    return 0
