"""A fortnight of nights at a PBX, and another one in which all goes wrong that can.

And what whoever is on duty finds in the morning. The program's clock is moved from night to night;
nothing else of it is. Each night ``check`` is asked first.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from e2e.alarms import alarms, metrics
from support.audio_makers import mp3
from support.shims import compile_shim

DAY, HOUR, MINUTE = 86_400, 3_600, 60
RULES = ("--skip-empty",)
EMPTY = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
"""A call that nobody answered: 44 bytes, a header and nothing else."""
M4A = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + bytes(3000)


class Night(NamedTuple):
    """What happened before the run, and what the morning must show.

    ``waits`` and ``left_out`` count recordings on record, ``talks`` what the service has so far.
    ``foretold`` is how ``check`` ends, as the run does unless it is given. ``mail`` nights are run
    as by cron: they say nothing but the ``words``, in one screen. ``kinds`` is what needs somebody
    in the morning: status, code, how many, and how many of them new.
    """

    happens: str
    code: int
    talks: int
    left_out: int
    waits: int
    words: tuple[str, ...]
    foretold: int | None = None
    mail: bool = False
    kinds: tuple[tuple[str, str, int, int], ...] = ()


def by_cron(happens, code, talks, left_out, *words, foretold=None, kinds=()):
    return Night(happens, code, talks, left_out, 0, words, foretold, True, kinds)


SCREEN = 25
AWAY = ("has no recordings", "check the mount")
FORTNIGHT = (
    Night("calls arrive", 0, 2, 3, 0, ("Uploaded 2 recordings", "left out: 3")),
    Night("calls arrive", 0, 4, 6, 0, ("Uploaded 2 recordings", "already there 2")),
    Night(
        "a call is being recorded",
        *(0, 6, 9, 1),
        ("1 file left to the next run: 1 may still be being written (--min-age-open)",),
    ),
    Night("it has ended", 0, 9, 12, 0, ("Uploaded 3 recordings",)),
    Night("the share is away", 4, 9, 12, 0, AWAY),
    Night("the share is back", 0, 13, 18, 0, ("Uploaded 4 recordings",)),
    Night(
        "a sidecar is late",
        *(0, 15, 21, 1),
        ("1 file left to the next run: 1 without a sidecar yet (--sidecar-wait)",),
    ),
    Night("the sidecar has come", 0, 18, 24, 0, ("Uploaded 3 recordings",)),
    Night(
        "the clock of a recorder is ahead",
        *(0, 20, 27, 1),
        ("1 with a time in the future: check the clocks",),
    ),
    Night(
        "our clock is two days behind",
        *(0, 23, 30, 1),
        (
            "already there 20 ",
            "1 file left to the next run: 1 with a time in the future: check the",
        ),
    ),
    Night("our clock is right again", 0, 26, 33, 0, ("Uploaded 3 recordings",)),
    Night(
        "half of the share is away",
        *(1, 28, 36, 0),
        ("are gone, more than half of what the last run saw", "nothing was forgotten"),
    ),
    Night(
        "a new kind of file, and a recorder that hangs",
        *(0, 30, 39, 1),
        ("2 files look like audio and are not taken: 2 .m4a (MPEG-4 audio)", "--include '*.m4a'"),
    ),
    Night(
        "the recorder hangs",
        *(1, 32, 42, 1),
        ("1 recording needs attention", "waiting too long"),
        kinds=(("stuck", "NO_END_YET", 1, 1),),
    ),
    Night("it has been restarted", 0, 35, 45, 0, ("Uploaded 3 recordings",)),
    Night("nothing happens", 0, 35, 45, 0, ("Nothing new", "2 .m4a")),
    by_cron(
        "the service is down at two",
        *(6, 35, 48),
        "error: nothing got through, and --max-outage is 1s",
        "hint: check the endpoint",
        foretold=0,
    ),
    by_cron("the service is back", 0, 39, 51),
    by_cron(
        "the key is revoked", 3, 39, 54, "does not accept the", "from --api-key-file", foretold=0
    ),
    by_cron("there is a new key", 0, 43, 57),
    by_cron("the key is gone", 2, 43, 57, "error: --api-key-file: no such file", foretold=0),
    by_cron("there is a new key", 0, 47, 63),
    by_cron("the disk is full", 7, 47, 63, "its disk is full", foretold=0),
    by_cron("the disk has room again", 0, 51, 69),
    by_cron("the share is away", 4, 51, 69, *AWAY),
    by_cron("the share is back", 0, 55, 75),
    by_cron(
        "three files are broken",
        *(1, 57, 78),
        *("error: 3 recordings need attention invalid", "bad2.wav", "unknown: ", "status "),
        kinds=(("invalid", "unknown", 3, 3),),
    ),
    by_cron(
        "the defects stay",
        *(1, 59, 81),
        "error: 3 recordings need attention: 3 known, none of them new",
        kinds=(("invalid", "unknown", 3, 0),),
    ),
    by_cron(
        "one is mended and another one is broken",
        *(1, 62, 84),
        "error: 3 recordings need attention: 2 known, 1 new invalid new.wav unknown:",
        kinds=(("invalid", "unknown", 3, 1),),
    ),
    by_cron("they are acknowledged", 0, 64, 87),
    by_cron(
        "an older ledger is put back",
        *(7, 64, 87),
        "error: the ledger is behind the manifest",
        kinds=(("invalid", "unknown", 3, 0),),
    ),
    by_cron("the newest ledger is put back", 0, 68, 93),
)

ALARMS = {
    "the share is away": ("BatchUploaderFailed",),
    "half of the share is away": ("BatchUploaderMostGone",),
    "the recorder hangs": ("BatchUploaderAttention",),
    "the service is down at two": ("BatchUploaderFailed",),
    "the key is revoked": ("BatchUploaderFailed",),
    "the key is gone": ("BatchUploaderFailed",),
    "the disk is full": ("BatchUploaderFailed",),
    "three files are broken": ("BatchUploaderAttention",),
    "the defects stay": ("BatchUploaderAttention",),
    "one is mended and another one is broken": ("BatchUploaderAttention",),
    "an older ledger is put back": ("BatchUploaderFailed",),
}
"""What Prometheus raises in the morning, by the example's rules; after all other nights nothing."""


class Pbx:
    """The archive of a PBX, and the program on a machine beside it, by their simulated clocks."""

    def __init__(self, calls, program, service, shims):
        self.calls, self.program, self.service = calls, program, service
        self.shims = ":".join(map(str, shims))
        self.full = calls.folder.with_name("the disk is full")
        self.key = calls.key_file.read_text()
        self.ledgers = [calls.folder.with_name(name) for name in ("older", "newest")]
        self.flags = ()
        self.number = self.behind = 0
        self.aside = calls.folder.with_name("share")
        self.prom = calls.folder.with_name("calls.prom")
        self.whole = mp3(9)
        self.hung = mp3(12)

    @property
    def now(self):
        return time.time() + self.number * DAY

    def put(self, name, content, age=5 * HOUR):
        """A file that was written so long before the run."""
        self.calls.put(name, content)
        self.touch(name, age)

    def touch(self, name, age):
        os.utime(self.calls.folder / name, (self.now - age,) * 2)

    def describe(self, name, age=5 * HOUR):
        fields = {"origin": str(self.calls), "name": name}
        self.put(f"{name.rpartition('.')[0]}.json", json.dumps(fields).encode(), age)

    def run(self, command, *flags):
        shift = self.number * DAY - self.behind
        env = {
            "LD_PRELOAD": self.shims,
            "CLOCK_SHIFT": str(shift),
            "KILL_UNDER": str(self.calls),
            "FULL_WHILE": str(self.full),
        }
        return self.program(command, self.calls, *flags, env=env)

    def upload(self, *flags):
        key = ("--api-key-file", self.calls.key_file)
        usual = (*self.service.flags, *key, *RULES, "--metrics-file", self.prom)
        return self.run("upload", *usual, *self.flags, *flags)

    def require_metrics(self, night, success_before):
        """What monitors see in the morning is what the table says. Returns the last success."""
        found = metrics(self.prom)
        success = found["batch_uploader_last_success_timestamp_seconds"]
        ended = found["batch_uploader_last_run_end_timestamp_seconds"]
        assert found["batch_uploader_run_exit_code"] == night.code
        assert found["batch_uploader_running"] == 0
        assert success == (ended if night.code <= 1 else success_before)
        assert abs(ended - (self.now - self.behind)) < 2 * MINUTE
        assert alarms(found, ended) == ALARMS.get(night.happens, ())
        if night.code <= 1:
            waits = [
                found[f'batch_uploader_recordings{{status="{s}"}}'] for s in ("waiting", "stuck")
            ]
            assert sum(waits) == night.waits
        return success

    def require_status(self, night, where):
        """What ``status`` and ``runs`` tell in the morning."""
        result = self.run("status", "--json")
        told = json.loads(result.out)
        (connection,) = told["connections"]
        assert (result.code, told["fine"]) == (int(night.code > 0), night.code == 0), where
        assert connection["last_run"]["exit_code"] == night.code, where
        assert connection["ended_badly"] == (night.code > 1), where
        assert told["never_ran"] is False, where
        found = [
            (each["status"], each["code"], each["recordings"], each["new"])
            for each in connection["kinds"]
        ]
        assert found == [*night.kinds], where
        shown = " ".join(self.run("status").out.split())
        assert f"ended with exit code {night.code}" in shown, where
        if self.calls.ledger.exists() and not self.ledgers[1].exists():
            totals = {status: each["recordings"] for status, each in told["totals"].items()}
            assert totals["uploaded"] == night.talks, where
            assert totals["left_out"] == night.left_out, where
            assert totals["waiting"] + totals["stuck"] == night.waits, where

    def happens(self, what):
        self.number += 1
        getattr(self, what.replace(",", "").replace(" ", "_"))()

    def calls_arrive(self, day=None):
        """Two calls, and three that nobody answered."""
        folder = f"{day or self.number:02}"
        unanswered = [f"{folder}/unanswered{n}.wav" for n in range(3)]
        names = [f"{folder}/call{n}.wav" for n in range(2)] + unanswered
        self.calls.write(*names)
        for name in unanswered:
            self.calls.put(name, EMPTY)
        for name in names:
            self.touch(name, 5 * HOUR)
            self.touch(name.replace(".wav", ".json"), 5 * HOUR)

    def a_call_is_being_recorded(self):
        self.calls_arrive()
        self.put("night.mp3", self.whole[:2000], 20)
        self.describe("night.mp3", 20)

    def it_has_ended(self):
        self.calls_arrive()
        self.put("night.mp3", self.whole, 23 * HOUR)

    def the_share_is_away(self):
        shutil.move(self.calls.folder, self.aside)
        self.calls.folder.mkdir()

    def the_share_is_back(self):
        self.calls.folder.rmdir()
        shutil.move(self.aside, self.calls.folder)
        self.calls_arrive(self.number - 1)
        self.calls_arrive()

    def a_sidecar_is_late(self):
        self.calls_arrive()
        self.calls.write("late.wav")
        self.touch("late.wav", 3 * MINUTE)
        (self.calls.folder / "late.json").unlink()

    def the_sidecar_has_come(self):
        self.calls_arrive()
        self.describe("late.wav")

    def the_clock_of_a_recorder_is_ahead(self):
        self.calls_arrive()
        self.calls.write("ahead.wav")
        self.touch("ahead.wav", -2 * HOUR)
        self.touch("ahead.json", -2 * HOUR)

    def our_clock_is_two_days_behind(self):
        self.calls_arrive()
        self.put("behind.mp3", mp3(7))
        self.describe("behind.mp3")
        self.behind = 2 * DAY

    def our_clock_is_right_again(self):
        self.calls_arrive()
        self.behind = 0

    def half_of_the_share_is_away(self):
        self.calls_arrive()
        self.aside.mkdir()
        for number in range(1, self.number - 2):
            if (folder := self.calls.folder / f"{number:02}").exists():
                shutil.move(folder, self.aside)

    def a_new_kind_of_file_and_a_recorder_that_hangs(self):
        for folder in self.aside.iterdir():
            shutil.move(folder, self.calls.folder)
        self.aside.rmdir()
        self.calls_arrive()
        for name in ("new/a.m4a", "new/b.m4a"):
            self.put(name, M4A)
            self.describe(name)
        self.put("hung.mp3", self.hung[:3000], 20)
        self.describe("hung.mp3")

    def the_recorder_hangs(self):
        self.calls_arrive()
        self.put("hung.mp3", self.hung[:6000], 20)

    def it_has_been_restarted(self):
        self.calls_arrive()
        self.put("hung.mp3", self.hung)

    def nothing_happens(self):
        pass

    def the_service_is_down_at_two(self):
        self.calls_arrive()
        self.flags = ("--endpoint", "127.0.0.1:9", "--max-outage", "1s")

    def the_service_is_back(self):
        self.calls_arrive()
        self.flags = ()

    def the_key_is_revoked(self):
        self.calls_arrive()
        self.calls.key_file.write_text("revoked-key-0123456789")

    def there_is_a_new_key(self):
        self.calls_arrive()
        self.calls.key_file.write_text(self.key)
        self.calls.key_file.chmod(0o600)

    def the_key_is_gone(self):
        self.calls_arrive()
        self.calls.key_file.unlink()

    def the_disk_is_full(self):
        self.calls_arrive()
        self.full.touch()

    def the_disk_has_room_again(self):
        self.calls_arrive()
        self.full.unlink()

    def three_files_are_broken(self):
        self.calls_arrive()
        for number in range(3):
            self.put(f"bad{number}.wav", b"no audio")
            self.describe(f"bad{number}.wav")

    def the_defects_stay(self):
        self.calls_arrive()

    def one_is_mended_and_another_one_is_broken(self):
        self.calls_arrive()
        self.calls.write("bad0.wav")
        self.touch("bad0.wav", 5 * HOUR)
        self.touch("bad0.json", 5 * HOUR)
        self.put("new.wav", b"no audio")
        self.describe("new.wav")

    def they_are_acknowledged(self):
        self.calls_arrive()
        older, _ = self.ledgers
        shutil.copytree(self.calls.ledger.parent, older)
        assert self.run("resolve", "--kind", "unknown", "--acknowledge").code == 0

    def an_older_ledger_is_put_back(self):
        self.calls_arrive()
        older, newest = self.ledgers
        shutil.move(self.calls.ledger.parent, newest)
        shutil.copytree(older, self.calls.ledger.parent)

    def the_newest_ledger_is_put_back(self):
        self.calls_arrive()
        _, newest = self.ledgers
        shutil.rmtree(self.calls.ledger.parent)
        shutil.move(newest, self.calls.ledger.parent)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the shim is preloaded as on Linux")
def test_each_morning_shows_what_the_table_says(calls, program, service, tmp_path):
    """Faults 13, 61, 105."""
    here = Path(__file__).parent
    sources = (here / "clock.c", here.with_name("kill") / "shim.c")
    pbx = Pbx(calls, program, service, [compile_shim(each, tmp_path) for each in sources])
    success = 0
    for night in FORTNIGHT:
        pbx.happens(night.happens)
        where = f"night {pbx.number}, {night.happens}"
        foretold = pbx.run("check", *RULES)
        result = pbx.upload(*(("--progress", "none") if night.mail else ()))
        said = " ".join(result.err.split())
        expected = night.code if night.foretold is None else night.foretold
        assert (result.code, foretold.code) == (night.code, expected), (where, said)
        if night.mail:
            assert len(result.err.splitlines()) <= (SCREEN if night.code else 0), result.err
        for words in night.words:
            assert words in said, where
        talks = service.counts(calls)
        assert (len(talks), set(talks.values())) == (night.talks, {1}), where
        success = pbx.require_metrics(night, success)
        pbx.require_status(night, where)
    digests = {talk.fields["name"]: talk.sha256 for talk in service.talks(calls)}
    assert digests["night.mp3"] == hashlib.sha256(pbx.whole).digest()
    assert digests["hung.mp3"] == hashlib.sha256(pbx.hung).digest()
