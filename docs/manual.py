"""The manual page: every command and flag from the program itself, exit codes from the README.

Written by write_reference.py to docs/batch-uploader.1, which the wheel installs.
"""

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from batch_uploader import __version__
from batch_uploader.cli import app
from batch_uploader.cli.options import Command, Flag, Panel

README = Path(__file__).parents[1] / "README.md"
VARIABLE = re.compile(r"\benv: ([A-Z_]+)")
HEAD = """\
.\\" Written by docs/write_reference.py from the program's own help, which a test checks.
.TH BATCH\\-UPLOADER 1 "" "batch\\-uploader {version}" "User Commands"
.SH NAME
batch\\-uploader \\- upload call recordings to Yandex SpeechSense exactly once
.SH SYNOPSIS
.B batch\\-uploader
.I COMMAND
.RI [ OPTION ...]
.RI [ DIRECTORY ]
.SH DESCRIPTION
Uploads the recordings of a directory to a connection of Yandex SpeechSense, each exactly once, and
keeps every one of them in a ledger that survives a kill. Run it again at any time: the next run
continues.
.PP
Flags override environment variables, these the settings file, and that the defaults. Durations read
90 (seconds), 90s, 30m, 2h, sizes 512K, 8M, 1G. Data for programs goes to stdout, everything else to
stderr. A secret is never an argument.
"""
FILES = {
    "batch-uploader.toml": "Settings, in the working directory.",
    "DIRECTORY/.batch-uploader/ledger.db": "The state of every recording; never delete it.",
    "DIRECTORY/manifest.jsonl": "The result and the talk ID of every recording.",
}


def manual() -> str:
    """The whole page."""
    commands = [(name, each) for name, each in app.commands.items() if isinstance(each, Command)]
    lines = [HEAD.format(version=escaped(__version__)) + ".SH COMMANDS"]
    for name, command in commands:
        lines += _command(name, command)
    lines += [".SH EXIT STATUS", *_described(_exit_codes())]
    lines += [".SH ENVIRONMENT", *_described(_variables(each for _, each in commands))]
    lines += [".SH FILES", *_described(FILES)]
    lines += [".SH SEE ALSO", escaped(f"{_address()}: the set-up guide and the rest of the manual")]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Command) -> Iterator[str]:
    arguments = [str(each.metavar) for each in command.params if isinstance(each, click.Argument)]
    yield f'.SS "{escaped(" ".join(["batch-uploader", name, *arguments]))}"'
    yield from _paragraphs(cleandoc(command.help or ""))
    for panel, flags in command.panels(click.Context(command, help_option_names=[])).items():
        if panel is not Panel.COMMAND:
            yield from (".PP", f"{escaped(panel)}:")
        yield from _described({_names(flag): flag.help or "" for flag in flags})
    if command.examples:
        yield from (".PP", "Examples:", ".PP", ".nf", ".RS 4")
        yield from map(escaped, command.examples)
        yield from (".RE", ".fi")


def _names(flag: Flag) -> str:
    return ", ".join(flag.opts) + (f" {flag.metavar}" if flag.metavar else "")


def _described(texts: dict[str, str]) -> Iterator[str]:
    for term, text in texts.items():
        yield from (".TP", f'.B "{escaped(term)}"', escaped(" ".join(text.split())))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from (escaped(" ".join(paragraph.split())), ".PP")


def _exit_codes() -> dict[str, str]:
    rows = re.findall(r"^\| ([0-9, ]+) \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def _variables(commands: Iterator[Command]) -> dict[str, str]:
    used: dict[str, dict[str, None]] = {}
    for command in commands:
        for param in command.params:
            if isinstance(param, Flag):
                for variable in VARIABLE.findall(param.help or ""):
                    used.setdefault(variable, {})[param.opts[0]] = None
    return {name: f"See {', '.join(flags)}." for name, flags in sorted(used.items())}


def _address() -> str:
    page = (README.parent / "pyproject.toml").read_text("utf-8")
    (address,) = re.findall(r'^Documentation = "(.*)"', page, re.MULTILINE)
    return address


def escaped(text: str) -> str:
    """Text as roff reads it: with hyphens that can be copied, and no line that is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text
