"""Commands of cures, as they are printed, run by a shell as a user would."""

import io
import os
import shutil
import subprocess

import pytest

from batch_uploader.core.model import AudioInfo
from batch_uploader.core.text import sentence
from batch_uploader.prepare.audio import AudioRules, probe
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.names import escape_name

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="there is no ffmpeg here")


def probed(data, path="call.wav", rules=None):
    return probe(io.BytesIO(data), path, len(data), rules or AudioRules())


def command_of(defect):
    """The command in the defect's cure, as it is printed: in one line."""
    return sentence(defect.cure).split("`")[1]


def shell_words(command):
    """The words of one command, as a shell reads them."""
    words = ["bash", "-c", f"printf '%s\\0' {command}"]
    said = subprocess.run(words, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    return os.fsdecode(said.stdout).split("\0")[:-1]


def cured(folder, name, data, rules):
    """The command of the cure for this file, as a run over ``calls`` would give it."""
    path = escape_name(name)
    source = DirectorySource("calls")
    defect = probe(io.BytesIO(data), path, len(data), rules, user_path=source.user_path)
    assert not isinstance(defect, AudioInfo)
    (folder / "calls").mkdir(exist_ok=True)
    (folder / "calls" / name).write_bytes(data)
    return command_of(defect)


def shell(command, folder, *, tools=None, check=False):
    """Run the command; its exit code."""
    path = os.environ["PATH"]
    env = {**os.environ, "PATH": f"{tools}:{path}" if tools else path, "LC_ALL": "C.UTF-8"}
    words = ["bash", "-c", command]
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.run(words, cwd=folder, env=env, check=check, **quiet).returncode


def follow(folder, data, rules=None, name="call.wav"):
    """The recording that is in the file's place after its cure was followed."""
    shell(cured(folder, name, data, rules or AudioRules()), folder, check=True)
    assert {each.name for each in (folder / "calls").iterdir()} == {name, f"{name}.orig"}
    assert (folder / "calls" / f"{name}.orig").read_bytes() == data
    return (folder / "calls" / name).read_bytes()
