"""The shims of C that are preloaded into the installed program."""

from pathlib import Path

import pytest
from support.shims import compile_shim


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Compiles one of them: the library's path."""
    folder = tmp_path_factory.mktemp("shims")
    return lambda name: compile_shim(Path(__file__).with_name(f"{name}.c"), folder)


@pytest.fixture(scope="session")
def shim(compiled):
    """What kills at a system call, and what fills the disk."""
    return compiled("shim")
