"""What is generated from ``protos/`` is what is committed, wherever it is generated."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batch_uploader.sinks.speechsense import wire

ROOT = Path(__file__).resolve().parents[3]
GENERATED = (
    "batch_uploader/sinks/speechsense/wire/descriptors.binpb",
    "batch_uploader/sinks/speechsense/wire/messages.pyi",
)


def generate(root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "protos/generate.py"), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The definitions elsewhere, with nothing generated yet."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    (tmp_path / GENERATED[0]).parent.mkdir(parents=True)
    return tmp_path


def test_what_is_committed_is_not_stale():
    done = generate(ROOT, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_output_does_not_depend_on_where_it_is_made(copy: Path):
    done = generate(copy)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{name} written" for name in GENERATED]
    for name in GENERATED:
        assert (copy / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_check_names_what_is_stale_and_writes_nothing(copy: Path):
    generate(copy)
    stub = copy / GENERATED[1]
    stub.write_text("# edited by hand\n")
    (copy / GENERATED[0]).unlink()

    done = generate(copy, "--check")

    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"{name} is stale" for name in GENERATED]
    assert stub.read_text() == "# edited by hand\n"
    assert not (copy / GENERATED[0]).exists()


def test_a_definition_that_does_not_compile_writes_nothing(copy: Path):
    (copy / "protos/broken.proto").write_text('syntax = "proto3"; message {')
    done = generate(copy)
    assert done.returncode == 1
    assert "broken.proto" in done.stderr
    assert not (copy / GENERATED[0]).exists()


def test_two_definitions_may_not_share_a_name(copy: Path):
    (copy / "protos/zz.proto").write_text('syntax = "proto3"; package zz; message Talk {}')
    done = generate(copy)
    assert done.returncode == 1
    assert done.stderr == "zz.proto: names are taken by another file: ['Talk']\n"


def test_the_stub_names_exactly_what_there_is():
    stub = ast.parse((ROOT / GENERATED[1]).read_text())
    declared = {node.name for node in stub.body if isinstance(node, ast.ClassDef)}
    assert {name for name in declared if not name.startswith("_")} == set(wire.messages.__all__)
