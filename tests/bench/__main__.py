"""The benchmark: ``make bench``, or ``make bench WORK="small-files memory" RUNS=3``.

Prints what each work found and writes it into its section of docs/performance.md. SCALE=0.01 makes
all of it shorter, and writes nothing. BENCH_DIR is the folder to work in, on a real disk.
"""

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import ssl
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from bench.lab import Lab
from bench.report import put

WORKS = (
    *("large-files", "small-files", "slope", "memory", "stalls", "start", "link"),
    *("first-run", "second-run", "essence", "conversion", "tables"),
)
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"


def main():
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help=", ".join(WORKS))
    parser.add_argument("--runs", type=int, default=5, help="of each client; medians are taken")
    given = parser.parse_args()
    if unknown := set(given.works).difference(WORKS):
        parser.error(f"there is no work {min(unknown)}; there are {', '.join(WORKS)}")
    scale = float(os.environ.get("SCALE", "1"))
    lab = Lab(os.environ.get("BENCH_DIR", ROOT / ".bench"), scale)
    # Ours is the other core, too: the client is to be alone.
    client_core_free = os.sched_getaffinity(0) - {lab.client_core} or {lab.client_core}
    machine = describe(lab, given.runs)
    for name in given.works or WORKS:
        work = import_module(f"bench.works.{name.replace('-', '_')}")
        os.sched_setaffinity(0, client_core_free)
        section = work.run(lab, given.runs)
        section.about = f"{section.about}\n\n{machine}"
        sys.stdout.write(section.text() + "\n")
        sys.stdout.flush()
        if scale == 1:
            PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), [section]), encoding="utf-8")


def describe(lab, runs):
    """The machine, the versions, and how busy it was."""
    git = ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, check=False, capture_output=True, text=True).stdout.strip()
    code = ["git", "-C", ROOT, "diff", "--quiet", "HEAD", "--", "batch_uploader", "tests"]
    if subprocess.run(code, check=False).returncode:
        commit += " with changes"
    busy = os.getloadavg()[0]
    warning = "; **a busy machine: to be measured again**" if busy > 1 else ""
    versions = ", ".join(
        f"{package} {importlib.metadata.version(package)}" for package in ("grpcio", "protobuf")
    )
    day = dt.datetime.now(dt.UTC).date()
    return (
        f"{day}, commit {commit}, medians of {runs} runs. {cpu()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, {file_system(lab.folder)}, Python "
        f"{platform.python_version()}, {versions}, {ssl.OPENSSL_VERSION}. "
        f"Load before: {busy:.1f}{warning}."
    )


def cpu():
    """The model, as the system names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def file_system(folder):
    """The type of the file system that the data and the ledger lie on."""
    found = subprocess.run(
        ["stat", "-f", "-c", "%T", folder], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
