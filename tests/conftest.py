"""Fixtures for all the tests, the table of faults, and what is slow or fails among others."""

import atexit
import os
import shutil
import tempfile

import hypothesis
import pytest

# gRPC's handlers of a fork abort the child if it goes on meanwhile, and a subprocess with a
# preexec_fn is one. It reads this when it is loaded.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# Where runs are kept that were refused before there was a ledger.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="batch-uploader-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

pytest_plugins = ["support.fault_table", "support.processes"]

_LONG = {"bench", "fuzz", "kill", "soak"}
"""The folders whose tests are all slow; elsewhere those are that say so."""


@pytest.fixture
def anyio_backend():
    """grpc.aio knows asyncio alone."""
    return "asyncio"


def pytest_addoption(parser):
    """For what failed among others: see the Makefile."""
    parser.addoption(
        "--alone", action="store_true", help="names, in .flakes too, what passes when it is alone"
    )


def pytest_terminal_summary(terminalreporter, config):
    """A test that fails and passes alone is a defect to mend, so it is not to go unseen."""
    names = [report.nodeid for report in terminalreporter.stats.get("passed", ())]
    if config.option.alone and names:
        terminalreporter.section("failed among the others, passed alone: to be mended")
        terminalreporter.write_line("\n".join(names))
        with (config.rootpath / ".flakes").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in names)


def pytest_collection_modifyitems(items):
    """What ``make test`` has no time for, and ``make test-all`` has."""
    for item in items:
        if _LONG & {*item.path.parts}:
            item.add_marker(pytest.mark.slow)
