"""The shims of C that are preloaded into the installed program."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Compiles one of them: the library's path."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    assert compiler, "this test needs a C compiler, as installing Python packages may"
    folder = tmp_path_factory.mktemp("shims")

    def compile_(name):
        library = folder / f"{name}.so"
        source = Path(__file__).with_name(f"{name}.c")
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True)
        return library

    return compile_


@pytest.fixture(scope="session")
def shim(compiled):
    """What kills at a system call, and what fills the disk."""
    return compiled("shim")
