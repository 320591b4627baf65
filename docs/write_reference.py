"""Writes docs/reference.md: every command and flag, from the program itself.

.venv/bin/python docs/write_reference.py [--check]
"""

import re
import sys
from pathlib import Path
from typing import Any

import typer

from batch_uploader.cli import app

TARGET = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Written by `docs/write_reference.py` from the program's own help; a test holds it to that.

Flags win over environment variables, those over the settings file, that over the defaults.
Durations read `90`, `90s`, `30m`, `2h` (a bare number is seconds), sizes `512K`, `8M`, `1G`.
What a program may want goes to stdout, everything else to stderr. `-h` or `--help` comes with every
command, `--version`, `--install-completion` and `--show-completion` without one.
"""


def reference() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    parts = [HEAD]
    for name, command in group.commands.items():
        parts.append(f"## `batch-uploader {name}`\n\n{_plain(command.help)}\n")
        parts.append(_table(command))
        if command.epilog:
            examples = [line for line in _plain(command.epilog).split("\n\n")[1:] if line]
            parts.append("```sh\n" + "\n".join(examples) + "\n```\n")
    return "\n".join(parts)


def _table(command: Any) -> str:
    rows: dict[str, list[str]] = {}
    for param in command.params:
        if param.name == "help":
            continue
        if param.param_type_name == "option":
            flag = "`, `".join(param.opts) + (f" {param.metavar}" if param.metavar else "")
        else:
            flag = (param.metavar or param.name).upper()
        flag = f"`{flag}`".replace("|", "\\|")
        text = _plain(getattr(param, "help", "") or "").replace("|", "\\|").replace("\n", " ")
        if param.param_type_name == "option" and _shown_default(param):
            text += f" [default: {param.default}]"
        panel = getattr(param, "rich_help_panel", None) or ""
        rows.setdefault(panel, []).append(f"| {flag} | {text} |")
    lines = ["| flag | |", "|---|---|"]
    for panel, flags in rows.items():
        if panel:
            lines.append(f"| **{panel}** | |")
        lines += flags
    return "\n".join(lines) + "\n"


def _shown_default(param: Any) -> bool:
    plain = isinstance(param.default, str | int | float) and not isinstance(param.default, bool)
    return plain and param.show_default is True and "default:" not in (param.help or "")


def _plain(text: str) -> str:
    text = re.sub(r"(?<!\\)\[/?bold\]", "", text.replace("\b\n", ""))
    # Lines that are indented are commands to type.
    text = re.sub(r"(?m)^\n((?:  \S.*\n?)+)", r"\n```sh\n\1\n```", text)
    return text.replace("\\[", "[").strip()


def main() -> None:
    """Write it, or with --check only tell whether it is as it should be."""
    text = reference()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text(encoding="utf-8") != text:
            raise SystemExit("docs/reference.md is stale: run docs/write_reference.py")
        return
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
