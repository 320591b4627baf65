"""The documentation is true: what it shows is run, what it lists is all there is."""

import json
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import batch_uploader
from batch_uploader.cli import app
from batch_uploader.cli.options import Flag

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(language, page=README):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("script", ["write_reference.py", "write_python.py"])
def test_what_is_written_from_the_program_is_as_it_stands_there(script):
    subprocess.run([sys.executable, ROOT / "docs" / script, "--check"], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_the_manual_page_is_shown_with_every_command_and_flag():
    page = ROOT / "docs" / "batch-uploader.1"
    command = ["groff", "-man", "-Tascii", "-P-c", "-ww", "-rHY=0", "-rLL=200n", page]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert shown.stderr == ""
    text = re.sub(".\b", "", shown.stdout)
    assert "batch-uploader - upload call recordings" in text
    for name, command in app.commands.items():
        section = text.partition(f"\n   batch-uploader {name}")[2].partition("\n   batch-")[0]
        for flag in (each for each in command.params if isinstance(each, Flag)):
            assert re.search(rf"^ +{', '.join(flag.opts)}\b", section, re.MULTILINE), flag.opts
        for example in command.examples:
            assert f"    {example}\n" in section
    for variable in ("API_KEY", "SPEECHSENSE_CONNECTION_ID", "BATCH_UPLOADER_CONFIG"):
        assert re.search(rf"^ +{variable}$", text, re.MULTILINE)


def test_the_page_for_programs_names_all_of_the_library_and_what_it_shows_is_python():
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    told = re.findall(r"^#### `(\w+)`", page, re.MULTILINE)
    assert set(told) > set(batch_uploader.__all__)
    shown = blocks("python", page.partition("## Reference")[0])
    whole = [block for block in shown if "import" in block]
    assert len(whole) == 2
    for block in whole:
        exec(compile(block, "docs/python.md", "exec"), {})  # noqa: S102


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_names_every_command_and_exit_code(program):
    commands = re.findall(
        r"^## `batch-uploader (\w+)", (ROOT / "docs/reference.md").read_text(), re.MULTILINE
    )
    assert commands == list(app.commands)
    for command in commands:
        assert f"| `batch-uploader {command}" in README
    for code in (0, 1, 2, 3, 4, 5, 6, 7):
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE)
    assert "| 130, 143 |" in README


def test_the_first_commands_are_targets_of_the_makefile():
    setup = next(block for block in blocks("sh") if "make demo" in block)
    targets = re.findall(r"^make ([\w-]+)", setup, re.MULTILINE)
    assert targets == ["demo", "test", "test-all"]
    makefile = (ROOT / "Makefile").read_text()
    assert {*targets} <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def test_ci_runs_what_the_readme_says():
    commands = (ROOT / ".ci" / "run").read_text().partition("cd ")[2].splitlines()[1:]
    said = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    assert commands
    assert {*commands} <= {*said}


def test_only_the_endings_that_the_page_on_audio_names_are_looked_for(calls, inside):
    page = (ROOT / "docs" / "audio.md").read_text("utf-8")
    (listed,) = re.findall(r"names end in (.*?), or that `--include` takes", page, re.DOTALL)
    endings = set(re.findall(r"`(\.\w+)`", listed))
    for ending in {".wav", ".mp3", ".ogg", ".opus", ".flac", ".amr", ".m4a", *endings}:
        calls.put(f"call{ending[1:]}{ending}", b"fLaC" + bytes(100))

    def defects(*flags):
        document = json.loads(inside("check", calls, "--json", "--sidecar", "optional", *flags).out)
        return {Path(each["path"]).suffix: each["code"] for each in document["defects"]}

    assert defects().keys() == endings
    assert defects("--include", "*.flac")[".flac"] == "format"


def test_the_upload_that_the_readme_shows(program, calls, service):
    """Every line of it, in a shell, with only the endpoint and the secrets filled in."""
    calls.write("2025/01/a.wav", "2025/01/b.wav")
    script = next(block for block in blocks("sh") if "batch-uploader check calls/" in block)
    script = script.replace("=...", "=$GIVEN", 1).replace("=...", "=$KEY", 1)
    assert "..." not in script.split("#")[0]
    bin_folder = Path(sys.executable).parent
    environment = {
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "GIVEN": "calls",
        "KEY": calls.key_file.read_text(),
        "SPEECHSENSE_ENDPOINT": service.address,
        "BATCH_UPLOADER_CONFIG": str(calls.folder.parent / "settings.toml"),
    }
    Path(environment["BATCH_UPLOADER_CONFIG"]).write_text(
        f'ca-file = "{service.folder / "tls" / "ca.pem"}"\n'
    )
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        check=False,
        cwd=calls.folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert service.counts(calls) == {"2025/01/a.wav": 1, "2025/01/b.wav": 1}
    shown = next(line for line in blocks("json") if '"talk_id"' in line)
    assert set(re.findall(r'"(\w+)":', shown)) == set(calls.manifest()["2025/01/a.wav"])


def test_the_emulator_as_the_readme_shows_it(calls):
    calls.write("a.wav")
    script = next(block for block in blocks("sh") if "batch-uploader emulator" in block)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    script = script.replace("9090", port).replace("/tmp/", f"{calls.folder.parent}/")  # noqa: S108
    # As a person would, wait for it to be ready; and clean up.
    script = script.replace(
        "&\n", "> ready & trap 'kill $!' EXIT\nuntil grep listening ready; do sleep 0.1; done\n"
    )
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        check=False,
        cwd=calls.folder.parent,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert calls.manifest()["a.wav"]["status"] == "uploaded"


def test_the_program_that_the_readme_shows_is_one():
    (snippet,) = blocks("python")
    compile(snippet, "README.md", "exec")


def test_an_installed_copy_is_whole(tmp_path):
    """`pip install .` of the README, with what is in the environment already."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".git", ".venv", ".bench", "tests", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {
        str(p.relative_to(ROOT)) for p in (ROOT / "batch_uploader").rglob("*") if p.is_file()
    }
    shipped = {name for name in shipped if "__pycache__" not in name}
    assert shipped <= names
    assert [name for name in names if name.endswith(".data/data/share/man/man1/batch-uploader.1")]
    assert "batch_uploader/py.typed" in names
