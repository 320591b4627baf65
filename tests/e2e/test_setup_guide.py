"""The set-up guide, followed line by line against the emulator: it leaves nothing out."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batch_uploader.cli import app

ROOT = Path(__file__).parents[2]


def steps(guide):
    """The commands by section; the rehearsal is without a number."""
    parts = re.split(r"^## (.*)$", guide, flags=re.MULTILINE)
    shown = {
        title: "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {title: script for title, script in shown.items() if script}


def uploaded(folder):
    lines = (folder / "calls" / "manifest.jsonl").read_text().splitlines()
    return {line["path"] for line in map(json.loads, lines) if line["status"] == "uploaded"}


@pytest.fixture
def shell(tmp_path):
    """Runs lines as they are printed; all that they leave running ends with the test."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    started = []

    def run(script, *, code=0):
        shell = subprocess.Popen(
            ["/bin/sh", "-ec", script],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(shell.pid)
        said, _ = shell.communicate(timeout=60)
        assert shell.returncode == code, f"{script}\n{said}"
        return said

    yield run
    for group in started:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.parametrize("page", ["setup.md", "unchecked.md"])
def test_every_flag_that_it_names_is_there(page):
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = set(re.findall(r"`(--[a-z-]+)", text))
    assert len(named) > 5
    flags = (param.opts for command in app.commands.values() for param in command.params)
    assert named <= {flag for some in flags for flag in some}


@pytest.mark.parametrize("page", ["setup.md", "ru/setup.md"])
def test_every_step_of_the_guide_in_its_order(page, shell, tmp_path):
    guide = (ROOT / "docs" / page).read_text("utf-8")
    scripts = steps(guide)
    numbers = [title.split()[0] for title in scripts][1:]
    assert numbers == ["4.", "5.", "6.", "7.", "9."]
    rehearsal, key, describe, check, sample, everything = scripts.values()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    (stand_in,) = re.findall(r"`(--endpoint 127\.0\.0\.1:9090 --plaintext)`", guide)
    (secret,) = re.findall(r"(?<=\(#4-).*?`(.*?)`", guide, re.DOTALL)
    # A person would see that it is ready, and the terminal is not its output.
    ready = "> ready 2>&1 &\nuntil grep -q listening ready; do sleep 0.1; done\n"
    shell(rehearsal.replace("9090", port).replace("&\n", ready))
    # A person takes longer than --min-age for the next steps.
    for file in (tmp_path / "calls").rglob("*.*"):
        os.utime(file, (0, 0))
    shell(key.replace("cat > speechsense-key", f"echo {secret} > speechsense-key"))
    assert (tmp_path / "speechsense-key").stat().st_mode & 0o777 == 0o600
    describe = describe.replace("--connection-id ID", "--connection-id rehearsal")
    shell(f"{describe.rstrip()} {stand_in.replace('9090', port)}\n")
    (declared,) = re.findall(r"^```toml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    settings = tmp_path / "batch-uploader.toml"
    written = settings.read_text()
    assert '[connection]\nkind = "two-channel"\n' in written
    settings.write_text(written.replace('[connection]\nkind = "two-channel"\n', declared))
    shell(check)
    assert "Uploaded 3 recordings" in shell(sample)
    first = uploaded(tmp_path)
    assert len(first) == 3
    assert len(list((tmp_path / "talks").iterdir())) == 3
    # Nothing of the sample is sent again: there is one talk for each that is uploaded.
    shell(everything)
    assert first < uploaded(tmp_path)
    assert len(list((tmp_path / "talks").iterdir())) == len(uploaded(tmp_path)) > 20
