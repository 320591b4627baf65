"""Writes docs/reference.md, in English and Russian, and batch-uploader.1: every command and flag.

.venv/bin/python docs/write_reference.py [--check]

All of it comes from the program itself; docs/ru/reference.toml has the Russian of each paragraph.
"""

import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from textwrap import fill

import click
from manual import manual
from translation import Translation

from batch_uploader.cli import app
from batch_uploader.cli.options import Command, Flag, Panel

HERE = Path(__file__).parent
HEAD = """# Reference

[По-русски](ru/reference.md)

Written by `docs/write_reference.py` from the program's own help, which a test checks.

Flags override environment variables, these the settings file, and that the defaults.
Durations read `90`, `90s`, `30m`, `2h` (a bare number is seconds), sizes `512K`, `8M`, `1G`.
Data for programs goes to stdout, everything else to stderr. Every command has `-h` and `--help`;
`-V` and `--version` work without a command.
"""
Translate = Callable[[str], str]


def reference(translate: Translate) -> str:
    """The whole page."""
    parts = [_paragraphs(HEAD, translate)]
    for name, command in app.commands.items():
        assert isinstance(command, Command)  # noqa: S101 - for the type checker
        arguments = [
            str(each.metavar) for each in command.params if isinstance(each, click.Argument)
        ]
        parts.append(f"## `{' '.join(['batch-uploader', name, *arguments])}`\n")
        parts.append(_paragraphs(cleandoc(command.help or ""), translate))
        if table := _table(command, translate):
            parts.append(table)
        if command.examples:
            parts.append("```sh\n" + "\n".join(command.examples) + "\n```\n")
    return "\n".join(parts)


def _paragraphs(text: str, translate: Translate) -> str:
    texts = (translate(" ".join(each.split())) for each in text.split("\n\n"))
    width = {"width": 100, "break_long_words": False, "break_on_hyphens": False}
    return "\n\n".join(fill(each, **width) for each in texts) + "\n"


def _table(command: Command, translate: Translate) -> str:
    lines = []
    for panel, flags in command.panels(click.Context(command, help_option_names=[])).items():
        if panel is not Panel.COMMAND:
            lines.append(f"| **{translate(panel)}** | |")
        lines += (_row(flag, translate) for flag in flags)
    return "\n".join([f"| {translate('flag')} | |", "|---|---|", *lines]) + "\n" if lines else ""


def _row(flag: Flag, translate: Translate) -> str:
    names = "`, `".join(flag.opts) + (f" {flag.metavar}" if flag.metavar else "")
    cells = (f"`{names}`", translate(" ".join((flag.help or "").split())))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    """Write them, or with --check only tell whether they are as they should be."""
    russian = Translation(HERE / "ru" / "reference.toml")
    pages = {
        "reference.md": reference(str),
        "ru/reference.md": reference(russian),
        "batch-uploader.1": manual(),
    }
    for name, text in pages.items():
        target = HERE / name
        if "--check" not in sys.argv[1:]:
            target.write_text(text, encoding="utf-8")
        elif target.read_text(encoding="utf-8") != text:
            raise SystemExit(f"docs/{name} is stale: run docs/write_reference.py")
    for wrong in russian.out_of_step():
        print(wrong, file=sys.stderr)


if __name__ == "__main__":
    main()
