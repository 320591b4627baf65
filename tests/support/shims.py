"""Shims of C that are preloaded into the installed program."""

import shutil
import subprocess


def compile_shim(source, folder):
    """Compile one of them: the library's path."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    assert compiler, "this test needs a C compiler, as installing Python packages may"
    library = folder / f"{source.stem}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    return library
