"""Completion in the shells themselves: a person types, presses Tab, and runs the line."""

import os
import pty
import re
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path
from select import select

import pytest

from batch_uploader.cli import app

BIN = Path(sys.executable).parent
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
TURN_ON = {
    "bash": 'eval "$(batch-uploader completion bash)"',
    "zsh": 'autoload -U compinit; compinit -u; eval "$(batch-uploader completion zsh)"',
    "fish": "batch-uploader completion fish | source",
}
PATIENCE = 10


class Terminal:
    """A shell at a terminal."""

    def __init__(self, command, directory, home):
        self._mine, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, 200))
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(home), "TERM": "xterm"}
        self._process = subprocess.Popen(
            command,
            preexec_fn=lambda: os.login_tty(theirs),
            pass_fds=[theirs],
            env=environment,
            cwd=directory,
        )
        os.close(theirs)
        self._seen = ""

    def type(self, keys):
        os.write(self._mine, keys.encode())

    def wait_for(self, text):
        """Wait until it is shown; what came before it is forgotten."""
        ends = time.monotonic() + PATIENCE
        while text not in (plain := self._plain()):
            assert time.monotonic() < ends, f"{text!r} is not in {plain!r}"
            if select([self._mine], [], [], 0.1)[0]:
                self._seen += os.read(self._mine, 65536).decode(errors="replace")
        self._seen = ""
        return plain

    def _plain(self):
        return re.sub(r"\x1b(\[[0-9;?=>]*[A-Za-z]|[()].|[=>]|\][^\x07]*\x07)|\r", "", self._seen)

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._mine)


@pytest.fixture(params=START)
def terminal(request, tmp_path):
    """A shell in which completion is turned on."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    (tmp_path / "home").mkdir()
    (tmp_path / "my-calls").mkdir()
    (tmp_path / "my-settings.toml").touch()
    opened = Terminal(START[shell], tmp_path, tmp_path / "home")
    try:
        opened.type(f"{TURN_ON[shell]}; echo turned-o''n\n")
        opened.wait_for("turned-on")
        yield opened
    finally:
        opened.close()


def test_it_completes_commands_flags_values_and_places(terminal):
    terminal.type("batch-uploader chec\t")
    terminal.wait_for("check ")
    terminal.type("my-c\t")
    terminal.wait_for("my-calls")
    terminal.type(" --kin\t")
    terminal.wait_for("--kind")
    terminal.type(" two\t")
    terminal.wait_for("two-channel")
    terminal.type(" --confi\t")
    terminal.wait_for("--config")
    terminal.type(" my-s\t")
    terminal.wait_for("my-settings.toml")
    terminal.type("\n")
    # The line that was completed is one that runs: the empty directory is what is wrong.
    terminal.wait_for("the directory my-calls has no recordings")


def test_it_completes_the_commands_of_help(terminal):
    terminal.type("batch-uploader hel\t")
    terminal.wait_for("help ")
    terminal.type("resol\t")
    terminal.wait_for("resolve")
    terminal.type("\n")
    terminal.wait_for("Usage: batch-uploader resolve")


def test_another_shell_is_named(inside):
    result = inside("completion", "tcsh")
    assert result.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.err


@pytest.mark.parametrize("name", app.commands)
def test_help_is_that_of_the_flag(inside, name):
    result = inside("help", name)
    assert result.code == 0
    assert result.out == inside(name, "--help").out


def test_help_by_itself_is_that_of_the_program(inside):
    assert inside("help").out == inside("--help").out


def test_help_for_a_command_that_is_misspelt(inside):
    result = inside("help", "uplod")
    assert result.code == 2
    assert "no such command 'uplod'" in result.err
