"""A month in the life of a PBX: calls arrive and change, runs are killed, a ledger is put back.

The files' times are those of the month. Every talk is judged by the emulator's records, and every
exit code by the book of the simulation. MONTH_SEED draws another month, NIGHTS its length.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from e2e.conftest import API_KEY, emulator
from e2e.nights import Nights
from support import sound_makers as sound
from support.changing_archive import Archive, fields_of, in_utc

SEED = int(os.environ.get("MONTH_SEED", "1"))
NIGHTS = int(os.environ.get("NIGHTS", "30"))
CALLS, LINES = 4, 3
"""Calls a day; those on lines are in files that have the same names each day."""
SEARCHED = ("--stamp-field", "upload_key", "--hold", "1s", "--wait-for-doubt")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX"),
    pytest.mark.timeout(60 + 20 * NIGHTS),
]


class Month:
    """What happens to the archive by day, and which exit code that gives the next morning."""

    def __init__(self, nights):
        self.nights = nights
        self.archive = nights.archive
        self.chance = random.Random(SEED)
        self.figures = Counter()
        self.calls = 0
        self.late = {}
        """The sidecars that are yet to come, with their fields."""
        self.doubtful = frozenset()
        """What was in doubt at the end of the night."""

    def happens(self, day):
        """A day, with the work of the evening."""
        self._late_sidecars_come()
        self._names_are_used_again()
        self._calls_arrive(day)
        if day >= 1:
            self._convert(self._folder(day - 1), "wav", "mp3", share=0.8)
        if day >= 3:
            self._tag(self._folder(day - 3))
        if day >= 8:
            self._convert(self._folder(day - 8), "mp3", "opus", share=0.5)
        if day >= 12:
            self._move(self._folder(day - 12), f"archive/{day - 12:02}")

    def _folder(self, day):
        return f"2025/04/{day + 1:02}"

    def _calls_arrive(self, day):
        for _ in range(CALLS):
            self._arrives(f"{self._folder(day)}/call-{self.calls}.wav", self._folder(day))

    def _names_are_used_again(self):
        """But not the name of a file that may be needed again."""
        for line in range(LINES):
            name = f"lines/line-{line}.wav"
            if not self.doubtful & {name}:
                self._arrives(name, "lines")

    def _arrives(self, name, folder):
        call, self.calls = self.calls, self.calls + 1
        seconds = self.chance.choice((0.5, 2.0, 6.0))
        self.archive.put(name, sound.call_wav(call, seconds), call=call)
        fields = fields_of(call, record_path=folder)
        sidecar = str(Path(name).with_suffix(".json"))
        if folder != "lines" and self.chance.random() < 0.1:
            self.late[sidecar] = fields
            self.figures["late sidecars"] += 1
        else:
            self.archive.describe(sidecar, fields)

    def _late_sidecars_come(self):
        for sidecar, fields in self.late.items():
            self.archive.describe(sidecar, fields)
        self.late = {}

    def _convert(self, folder, source, target, share):
        for name in self.archive.files(f"{folder}/*.{source}"):
            if self.chance.random() < share:
                to = str(Path(name).with_suffix(f".{target}"))
                self.archive.change(name, sound.converted, source, target, to=to)
                self.figures[f"converted to {target}"] += 1

    def _tag(self, folder):
        for name in self.archive.files(f"{folder}/*.mp3"):
            self.archive.change(name, sound.tagged)
            self.figures["tagged"] += 1

    def _move(self, folder, to):
        """To the archive, where all is exported again."""
        self.archive.move(folder, to)
        for sidecar in self.archive.files(f"{to}/*.json"):
            date = in_utc(self.archive.fields(sidecar)["date"])
            self.archive.correct(sidecar, record_path=to, date=date)
            self.figures["moved"] += 1

    def night(self):
        """The run of the night, that may be killed and is then started again."""
        while self.chance.random() < 0.4:
            self._killed()
        result = self.nights.upload()
        assert result.code == self._expected(), result.said
        self._judge()

    def _killed(self):
        """A run that is killed at a moment between its start and its end."""
        process = self.nights.start("--concurrency", "2", "--rate", "6/s")
        try:
            process.communicate(timeout=self.chance.uniform(0.3, 1.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.figures["kills"] += 1

    def _expected(self):
        """1 while nothing can prove what a killed run sent; a late sidecar is waited for."""
        lines = self.archive.manifest()
        told = {line["status"] for line in lines}
        assert told <= {"uploaded", "duplicate", "in_doubt"}, lines
        unclear = {line["path"]: line for line in lines if line["status"] == "in_doubt"}
        self.figures.update(line["error"]["code"] for line in unclear.values())
        self.doubtful = unclear.keys()
        return 1 if unclear else 0

    def _judge(self):
        """No call twice, and each one that lies there is on record."""
        counts = self.nights.counts()
        assert not [call for call, count in counts.items() if count > 1], counts
        told = {line["path"]: line for line in self.archive.manifest()}
        for kind in ("wav", "mp3", "opus"):
            for name in self.archive.files(f"**/*.{kind}"):
                if str(Path(name).with_suffix(".json")) not in self.late:
                    status = told[name]["status"]
                    assert counts[self.archive.call(name)] == 1 or status == "in_doubt", name

    def put_back(self, backup):
        """The ledger of a backup takes the place of the present one, and the cure is followed."""
        place = self.archive.folder / ".batch-uploader"
        shutil.rmtree(place)
        shutil.copytree(backup, place)
        assert self.nights.upload().code == 7
        assert self.nights.upload("--rebuild").code == self._expected()
        self._decide()
        self._judge()
        self.figures["put back"] += 1

    def _decide(self):
        """A human looks up at the service what neither ledger nor manifest can tell."""
        held = {self.archive.book[talk.sha256.hex()]: talk for talk in self.nights.talks()}
        lines = [line for line in self.archive.manifest() if line["status"] == "in_doubt"]
        for line in lines:
            there = (self.archive.folder / line["path"]).exists()
            talk = held.get(self.archive.call(line["path"])) if there else None
            word = ("--resend", "--yes") if talk is None else ("--talk-id", talk.talk_id)
            told = self.nights.command("resolve", self.archive, line["path"], *word)
            assert told.code == 0, told.said
            self.figures["decided by a human"] += 1


@pytest.fixture
def nights(tmp_path, program):
    archive = Archive(tmp_path / "archive", days_ago=NIGHTS + 10)
    key_file = tmp_path / "key"
    key_file.write_text(API_KEY)
    key_file.chmod(0o600)
    faults = (
        "--seed",
        SEED,
        "--store-late",
        "50ms",
        "--lose-answer",
        0.02,
        "--lost-answer",
        "reset",
    )
    with emulator(tmp_path / "service", *faults) as service:
        yield Nights(archive, program, service, "calls", key_file, SEARCHED)


def test_a_month_in_the_life_of_a_pbx(nights, tmp_path):
    """Faults 1, 89 and 109."""
    month = Month(nights)
    for day in range(NIGHTS):
        month.happens(day)
        month.night()
        if day == NIGHTS // 2 - 2:
            backup = shutil.copytree(nights.archive.folder / ".batch-uploader", tmp_path / "backup")
        if day == NIGHTS // 2:
            month.put_back(backup)
    day = NIGHTS
    while month.late or month.doubtful:
        month.happens(day)
        month.night()
        day += 1
    print(dict(month.figures))  # noqa: T201 - for whoever draws another month
    assert nights.counts() == dict.fromkeys(range(month.calls), 1)
    assert all(month.figures[each] for each in ("kills", "converted to opus", "moved", "tagged"))
    nights.last = nights.upload()
    nights.nothing_to_do()
