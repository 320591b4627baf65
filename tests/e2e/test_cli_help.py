"""Help that teaches, that is there at once, and what is said about mistakes and bugs."""

import os
import re
import subprocess
import sys

import pytest
from e2e.conftest import assert_one_talk_each

from batch_uploader import __version__
from batch_uploader.cli import app, output
from batch_uploader.cli.options import Flag
from batch_uploader.core.errors import LedgerError, LedgerLocked
from batch_uploader.core.runs import LOCKED_OUT
from batch_uploader.core.text import quote

COMMANDS = list(app.commands)
HEAVY = [
    "grpc",
    "soundfile",
    "sqlite3",
    "numpy",
    "cryptography",
    "google.protobuf",
    "rich",
    "anyio",
    "asyncio",
    "json",
    "batch_uploader.core.model",
]
NETWORK = ["grpc", "google.protobuf", "cryptography"]
FOR_THE_FEW = ["tomllib", "tempfile", "numpy", "jinja2"]
"""For a settings file, for what only a library recognises, for expressions; or never."""


def imported(names, *arguments):
    """Those of the names that are imported when a command has ended."""
    code = (
        "import sys\n"
        "from batch_uploader.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {names} if name in sys.modules], file=sys.stderr)\n"
    )
    # Coverage would import some of them itself.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env=plain
    )
    return result.stderr.splitlines()[-1]


class TestHelp:
    def test_it_names_every_command_and_exit_code(self, inside):
        result = inside("--help")
        assert result.code == 0
        for command in COMMANDS:
            assert f"\n  {command}  " in result.out
        for code in ("0  everything", "1  something", "7  the ledger", "130, 143"):
            assert code in result.out

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_itself(self, inside, command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "120")
        result = inside(command, "--help")
        assert result.code == 0
        assert "Usage: batch-uploader " + command in result.out
        if command != "demo":
            assert f"batch-uploader {command} " in result.out.split("Examples")[1]

    def test_flags_stand_in_groups_with_their_defaults_and_variables(self, inside, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        text = inside("upload", "--help").out
        unwrapped = "".join(text.split())
        for panel in ("Destination", "Credentials", "What to read", "Validation", "Output"):
            assert f"\n{panel}" in text
        assert "[default:DIRECTORY/.batch-uploader/ledger.db]" in unwrapped
        assert "[env:SPEECHSENSE_CONNECTION_ID]" in unwrapped

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--help"],
            ["upload", "--help"],
            ["help", "upload"],
            ["completion", "zsh"],
            ["--version"],
            ["uplod"],
        ],
    )
    def test_nothing_heavy_is_imported_for_it(self, arguments):
        assert imported(HEAVY, *arguments) == "[]"

    @pytest.mark.parametrize("command", ["status", "check", "manifest"])
    def test_nothing_of_the_network_is_imported_for_what_sends_nothing(self, command, tmp_path):
        names = [*NETWORK, "jinja2"]
        assert imported(names, command, tmp_path, "--connection-id", "c") == "[]"

    def test_what_few_need_is_not_imported_for_an_upload_that_goes_well(self, calls, service):
        calls.write("a.wav")
        arguments = ("upload", calls, *service.flags, "--api-key-file", calls.key_file)
        names = [*NETWORK, *FOR_THE_FEW]
        assert imported(names, *arguments) == "['grpc', 'google.protobuf']"
        assert_one_talk_each(calls, service, ["a.wav"])

    def test_the_version_is_told(self, inside):
        assert inside("--version").out == f"batch-uploader {__version__}\n"
        assert inside("-V").out == inside("--version").out

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ("upload --kind ", ["two-channel", "one-channel"]),
            ("upload --sidecar opt", ["optional"]),
            ("upload --sample ", []),
            ("upload --call-id n", ["none"]),
            ("manifest --format ", ["jsonl", "csv"]),
            ("emulator --lost-answer b", ["blank"]),
            ("completion ", ["bash", "zsh", "fish"]),
            ("help resol", ["resolve"]),
        ],
    )
    def test_shells_complete_flags_and_words(self, program, typed, words):
        variables = {
            "_BATCH_UPLOADER_COMPLETE": "bash_complete",
            "COMP_WORDS": f"batch-uploader {typed}",
            "COMP_CWORD": str(len(typed.split(" "))),
        }
        result = program(env=variables)
        assert result.out.split() == [f"plain,{word}" for word in words]

    def test_every_flag_of_the_examples_is_there(self, inside, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        for name, command in app.commands.items():
            lines = " ".join(line.split("|")[0] for line in command.examples)
            flags = re.findall(r"--[a-z-]+", lines)
            text = inside(name, "--help").out.split("Examples")[0]
            assert flags or not any(isinstance(each, Flag) for each in command.params)
            assert [flag for flag in flags if f"{flag} " not in text] == []


class TestMistakes:
    def test_no_command_at_all_prints_the_help(self, inside):
        result = inside()
        assert result.code == 2
        assert "Usage: batch-uploader" in result.out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["uplod"], "error: no such command 'uplod'"),
            (["upload"], "error: missing argument 'DIRECTORY'"),
            (["upload", ".", "--concurency", "2"], "error: no such option '--concurency'"),
            (["check", ".", "--raw-rate"], "requires an argument"),
            (["manifest", ".", "--format", "xml"], "error: --format: unknown value 'xml'"),
            (["emulator", "--host", "0.0.0.0"], "loopback"),  # noqa: S104 - what is refused
            (["emulator", "--unavailable", "2"], "--unavailable"),
        ],
    )
    def test_a_command_line_that_makes_no_sense(self, inside, arguments, said):
        result = inside(*arguments)
        assert result.code == 2
        assert result.out == ""
        assert said in result.err
        assert result.err.startswith("error: ")

    def test_a_usage_error_points_to_the_help_of_its_command(self, inside):
        result = inside("upload", "--no-such")
        assert result.err.splitlines()[-1] == "hint: batch-uploader upload --help"


class TestBugs:
    def test_a_bug_is_one_line_with_a_code_of_its_own(self, capsys, monkeypatch):
        monkeypatch.delenv("BATCH_UPLOADER_TRACEBACK", raising=False)
        bug = ExceptionGroup("unhandled", [ValueError("of two\nlines")])
        assert output.explain_failure(bug) == 70
        error, hint = capsys.readouterr().err.splitlines()
        assert error == "error: unexpected: ValueError: of two lines"
        assert hint.startswith("hint: this is a bug; please report it")

    def test_its_traceback_is_for_those_who_ask(self, capsys, monkeypatch):
        monkeypatch.setenv("BATCH_UPLOADER_TRACEBACK", "1")
        bug = ValueError("x")
        bug.__cause__ = KeyError("y")
        output.explain_failure(bug)
        assert "direct cause" in capsys.readouterr().err

    def test_a_failing_disk_is_no_bug(self, capsys):
        assert output.explain_failure(OSError(28, "No space left on device", "/x")) == 7
        assert capsys.readouterr().err.splitlines() == [
            "error: /x: No space left on device",
            "hint: check the file, the disk and its free space",
        ]

    def test_what_is_wrapped_keeps_its_code(self, capsys):
        assert output.explain_failure(ExceptionGroup("g", [LedgerError("it broke")])) == 7
        assert capsys.readouterr().err == "error: it broke\n"

    def test_each_hint_has_a_line_of_its_own(self, capsys):
        assert output.explain_failure(LedgerLocked("it is held", hint=["wait", "or stop it"])) == 5
        assert output.ExitCode.LOCKED == LOCKED_OUT
        assert capsys.readouterr().err == "error: it is held\nhint: wait\nhint: or stop it\n"

    @pytest.mark.parametrize(
        "name", ["a.wav", "a b.wav", "a   b.wav", "x'y.wav", "n\nl.wav", "é\x1b'\\.wav"]
    )
    @pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell reads it")
    def test_a_quoted_name_is_what_the_shell_reads(self, name):
        quoted = quote(name)
        assert quoted.isprintable()
        script = f"printf %s {quoted}"
        result = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
        assert result.stdout.decode() == name
