"""Every fault of docs/faults.md has a test, and ``--faults`` tells what came of each."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.fault_table import catalogue, claimed

TESTS = Path(__file__).parents[1]


def test_every_fault_has_a_test_and_every_number_is_a_fault():
    numbers = set()
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if function and node.name.startswith("test_"):
                numbers |= claimed(node.name, ast.get_docstring(node))
    assert numbers == catalogue().keys()
    assert list(catalogue()) == sorted(catalogue())


@pytest.mark.parametrize(
    ("name", "docstring", "numbers"),
    [
        ("test_it", None, []),
        ("test_it", "Without fault, and 5 others.", []),
        ("test_it", "Fault 6.", [6]),
        ("test_it", "fault 53, fault 60", [53, 60]),
        ("test_it", "Faults 1, 9, 14 to 17, 21: 2 runs.", [1, 9, 14, 15, 16, 17, 21]),
        ("test_it", "Faults 1 (at random), 10 (7 times) and 12.", [1, 10, 12]),
        ("test_it", "Fault 68, and 14: nothing.", [14, 68]),
        ("test_it", "Faults 44-46, 50.", [44, 45, 46, 50]),
        ("test_it", "Faults 15, 16,\n    and 18.", [15, 16, 18]),
        ("test_fault_52_8_mb_are_skipped", None, [52]),
        ("test_odd_names_fault_39", "Fault 40.", [39, 40]),
    ],
)
def test_what_a_test_claims(name, docstring, numbers):
    assert claimed(name, docstring) == {*numbers}


SAMPLES = '''
import pytest

def test_sound():
    """Faults 1 and 2."""

@pytest.mark.parametrize("n", [1, 2])
def test_broken(n):
    """Fault 2."""
    assert n < 2

@pytest.mark.skip(reason="not here")
def test_skipped():
    """Fault 3."""

def test_stranger():
    """Fault 999."""

def test_other():
    raise AssertionError("it is not about a fault")
'''


@pytest.fixture
def table(tmp_path):
    """Runs pytest over the samples: its exit code and the table."""
    (tmp_path / "test_sample.py").write_text(SAMPLES)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS}\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["support.fault_table"]\n')
    # Without all the plugins that are of no use there it starts in a moment.
    environment = {"PATH": os.defpath, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run(*flags):
        command = [sys.executable, "-m", "pytest", "--faults", *flags]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout.partition("= faults =")[2].splitlines()

    return run


@pytest.mark.parametrize("how", [(), ("-p", "xdist", "-n", "1")], ids=["here", "in a worker"])
def test_the_table_tells_what_failed_and_what_is_missing(table, how):
    code, lines = table(*how)
    assert code == 1
    ends = {line.split()[0]: line.split()[-1] for line in lines if line.lstrip()[:1].isdigit()}
    assert [ends[number] for number in "1234"] == ["passed", "failed", "GAP", "GAP"]
    tests = [line.partition("::")[2] for line in lines if "::" in line]
    assert tests[:4] == [
        "test_sound  1 passed",
        "test_broken  1 failed, 1 passed",
        "test_sound  1 passed",
        "test_skipped  1 skipped",
    ]
    assert not any("test_other" in test for test in tests)
    assert any("without a test: 3, 4, 5" in line and ", 999" in line for line in lines)


def test_a_gap_is_a_failure(table):
    code, lines = table("-k", "sound")
    assert code == 1
    assert any("without a test: 3, 4, 5" in line for line in lines)
