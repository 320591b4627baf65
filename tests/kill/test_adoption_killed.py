"""SIGKILL at each system call of an adoption that changes either ledger (faults 2 and 103).

MOMENTS is as in ``test_system_calls``.
"""

import itertools
import shutil
import signal
import subprocess
import sys

import pytest
from e2e.conftest import PATIENCE, PROGRAM, Calls, emulator, environment
from kill.test_system_calls import MOMENTS, drawn

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="preloading and /proc of Linux"),
    pytest.mark.timeout(3600),
]

MONTHS = ("03", "04")
NAMES = [f"{month}/{number}.wav" for month in MONTHS for number in range(3)]


class Adoption:
    """Two folders that were uploaded by themselves, and the directory that adopts them."""

    def __init__(self, folder, service, shim):
        self.calls = Calls(folder / "calls").write(*NAMES)
        self.service = service
        self.shim = shim
        self.before = folder / "before"
        for month in MONTHS:
            assert self.upload(self.calls.folder / month) == 0
        shutil.copytree(self.calls.folder, self.before)

    def upload(self, folder, *flags, **variables):
        """Its exit code; variables are for the shim."""
        sending = (*self.service.flags, "--api-key-file", self.calls.key_file)
        return subprocess.run(
            [PROGRAM, "upload", folder, *sending, *flags],
            env=environment(**variables),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        ).returncode

    def adopt(self, **variables):
        """On the directory as it was in the beginning, under the shim."""
        shutil.rmtree(self.calls.folder)
        shutil.copytree(self.before, self.calls.folder)
        under = {"LD_PRELOAD": str(self.shim), "KILL_UNDER": str(self.calls.folder)}
        return self.upload(self.calls.folder, "--adopt", **under, **variables)

    def counts(self):
        return self.service.counts(self.calls)


@pytest.fixture
def adoption(tmp_path, shim):
    with emulator(tmp_path / "service") as service:
        yield Adoption(tmp_path, service, shim)


def test_an_adoption_that_is_killed_is_repeated_and_nothing_is_sent(adoption, tmp_path):
    """Faults 2 and 103: whichever of the ledgers is used in between."""
    log = tmp_path / "log"
    assert adoption.adopt(KILL_LOG=str(log)) == 0
    calls = log.read_text().splitlines()
    both = {f"fdatasync /{each}.batch-uploader/ledger.db-wal" for each in ("", "03/", "04/")}
    assert both <= {*calls}
    killed = 0
    for moment in drawn(calls, MOMENTS) if MOMENTS else itertools.count(1):
        code = adoption.adopt(KILL_AT=str(moment))
        if code != -signal.SIGKILL:
            assert code == 0
            if not MOMENTS:
                break
            continue
        killed += 1
        folder = adoption.calls.folder
        codes = {adoption.upload(folder / month) for month in MONTHS}
        assert codes <= {0, 2}, "until it is adopted a folder goes on"
        assert adoption.upload(folder) in {0, 2}, "all of it is adopted, or it refuses"
        assert adoption.upload(folder, "--adopt") == 0
        assert {adoption.upload(folder / month) for month in MONTHS} == {2}
        assert adoption.upload(folder) == 0
        assert {path: line["status"] for path, line in adoption.calls.manifest().items()} == (
            dict.fromkeys(NAMES, "uploaded")
        )
        assert adoption.counts() == {f"{name}": 1 for name in NAMES}
    assert killed >= (MOMENTS or len(calls)) // 2
