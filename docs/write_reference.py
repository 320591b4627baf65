"""Writes docs/reference.md and batch-uploader.1: every command and flag, from the program itself.

.venv/bin/python docs/write_reference.py [--check]
"""

import sys
from inspect import cleandoc
from pathlib import Path

import click
from manual import manual

from batch_uploader.cli import app
from batch_uploader.cli.options import Command, Flag, Panel

HERE = Path(__file__).parent
HEAD = """# Reference

Written by `docs/write_reference.py` from the program's own help, which a test checks.

Flags override environment variables, these the settings file, and that the defaults.
Durations read `90`, `90s`, `30m`, `2h` (a bare number is seconds), sizes `512K`, `8M`, `1G`.
Data for programs goes to stdout, everything else to stderr. Every command has `-h` and `--help`;
`-V` and `--version` work without a command.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, command in app.commands.items():
        assert isinstance(command, Command)  # noqa: S101 - for the type checker
        arguments = [
            str(each.metavar) for each in command.params if isinstance(each, click.Argument)
        ]
        parts.append(f"## `{' '.join(['batch-uploader', name, *arguments])}`\n")
        parts.append(f"{cleandoc(command.help or '')}\n")
        if table := _table(command):
            parts.append(table)
        if command.examples:
            parts.append("```sh\n" + "\n".join(command.examples) + "\n```\n")
    return "\n".join(parts)


def _table(command: Command) -> str:
    lines = []
    for panel, flags in command.panels(click.Context(command, help_option_names=[])).items():
        if panel is not Panel.COMMAND:
            lines.append(f"| **{panel}** | |")
        lines += map(_row, flags)
    return "\n".join(["| flag | |", "|---|---|", *lines]) + "\n" if lines else ""


def _row(flag: Flag) -> str:
    names = "`, `".join(flag.opts) + (f" {flag.metavar}" if flag.metavar else "")
    cells = (f"`{names}`", " ".join((flag.help or "").split()))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    """Write them, or with --check only tell whether they are as they should be."""
    for name, text in {"reference.md": reference(), "batch-uploader.1": manual()}.items():
        target = HERE / name
        if "--check" not in sys.argv[1:]:
            target.write_text(text, encoding="utf-8")
        elif target.read_text(encoding="utf-8") != text:
            raise SystemExit(f"docs/{name} is stale: run docs/write_reference.py")


if __name__ == "__main__":
    main()
