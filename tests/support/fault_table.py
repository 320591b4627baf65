"""Which tests show what of docs/faults.md; ``--faults`` runs these and prints the table.

A test claims a fault by its name (``test_fault_6_...``) or in its docstring ("Fault 6", "Faults 15,
16 and 18 to 20: ..."); what stands in brackets after a number does not matter.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

CATALOGUE = Path(__file__).parents[2] / "docs" / "faults.md"

_ROW = re.compile(r"^\| *(\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_ONE = r"\d+(?:\s*\([^)]*\))?"
_JOIN = r"(?:\s*,\s*and|\s*,|\s+and|\s+to|-)\s*"
_CLAIM = re.compile(rf"\bfaults?\s+({_ONE}(?:{_JOIN}(?:faults?\s+)?{_ONE})*)", re.IGNORECASE)


def catalogue():
    """What goes wrong, by its number."""
    return {int(number): fault for number, fault, _ in _ROW.findall(CATALOGUE.read_text("utf-8"))}


def claimed(name, docstring):
    """The numbers that the name of a test or its docstring names."""
    found = set()
    for claim in _CLAIM.findall(f"{name.replace('_', ' ')}. {docstring or ''}"):
        bare = re.sub(r"\([^)]*\)", "", claim)
        for first, last in re.findall(r"(\d+)(?:(?:\s+to\s+|-)(\d+))?", bare):
            found.update(range(int(first), int(last or first) + 1))
    return found


class FaultTable:
    """Selects the tests that claim a fault, hears how they end, and prints the table.

    With xdist the workers select and the controller prints, so what a test claims travels with its
    reports.
    """

    def __init__(self, config):
        self._worker = hasattr(config, "workerinput")
        self._faults = catalogue()
        self._ended = defaultdict(Counter)
        self._tests = defaultdict(set)
        self._gaps = []

    def pytest_collection_modifyitems(self, config, items):
        chosen, others = [], []
        for item in items:
            numbers = claimed(item.originalname, item.function.__doc__)
            (chosen if numbers else others).append(item)
            item.user_properties.append(("faults", sorted(numbers)))
        config.hook.pytest_deselected(items=others)
        items[:] = chosen

    def pytest_runtest_logreport(self, report):
        if report.when != "call" and report.passed:
            return
        # A test with parameters is one line.
        name = report.nodeid.partition("[")[0]
        self._ended[name][report.outcome] += 1
        for number in dict(report.user_properties).get("faults", ()):
            self._tests[number].add(name)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if self._worker:
            return
        strangers = self._tests.keys() - self._faults.keys()
        self._gaps = sorted(strangers | {n for n in self._faults if self._outcome(n) == "GAP"})
        if self._gaps and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _outcome(self, number):
        ends = sum((self._ended[name] for name in self._tests[number]), Counter())
        if ends["failed"]:
            return "failed"
        return "passed" if ends["passed"] else "GAP"

    def pytest_terminal_summary(self, terminalreporter):
        if self._worker:
            return
        write = terminalreporter.write_line
        terminalreporter.section("faults")
        for number, fault in self._faults.items():
            write(f"{number:>3}  {fault:<75} {self._outcome(number)}")
            for name in sorted(self._tests[number]):
                ends = ", ".join(
                    f"{count} {end}" for end, count in sorted(self._ended[name].items())
                )
                write(f"       {name.removeprefix('tests/')}  {ends}")
        gaps = ", ".join(map(str, self._gaps)) or "none"
        write(f"{len(self._faults)} faults; without a test: {gaps}")


def pytest_addoption(parser):
    """The one flag."""
    parser.addoption(
        "--faults", action="store_true", help="run the tests of docs/faults.md, print its table"
    )


def pytest_configure(config):
    if config.option.faults:
        config.pluginmanager.register(FaultTable(config))
