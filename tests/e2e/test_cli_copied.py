"""``ledger.db`` alone is copied, or put back; the emulator's records are the judge."""

import json
import shutil

import pytest

BEHIND = "is older than what its last run left"
NAMES = [f"{number % 3}/call-{number}.wav" for number in range(16)]


def ledger_of(calls):
    return calls.folder / ".batch-uploader" / "ledger.db"


def manifest_of(calls):
    return calls.folder / "manifest.jsonl"


def counts(program, calls, *flags):
    document = json.loads(program("status", calls, "--json", *flags).out)
    return {
        name: each["recordings"] for name, each in document["totals"].items() if each["recordings"]
    }


def interrupted_by(upload, service, act, *flags, after=5):
    """A run of which something is done in the middle; its process, which goes on."""
    slowly = ("--rate", "10/s", "--progress", "json")
    process = upload(*slowly, *flags, to=service, start=True)
    ended = 0
    for line in process.stdout:
        ended += json.loads(line)["event"] == "settled"
        if ended == after:
            break
    act(process)
    process.communicate()
    return process


@pytest.fixture
def copied(calls, upload, tmp_path):
    """A ledger of which a copy was made in the middle of the run that sent all; the copy."""

    def make(service):
        calls.write(*NAMES)
        copy = tmp_path / "copy.db"
        process = interrupted_by(upload, service, lambda _: shutil.copy(ledger_of(calls), copy))
        assert process.returncode == 0
        assert service.counts(calls) == dict.fromkeys(NAMES, 1)
        return copy

    return make


def test_a_copy_from_the_middle_of_a_run_put_back_in_its_place(
    calls, upload, start_service, copied
):
    """Fault 90."""
    with start_service() as service:
        shutil.copy(copied(service), ledger_of(calls))
        refused = upload(to=service)
        assert (refused.code, BEHIND in refused.err) == (7, True)
        assert refused.err.rstrip().endswith(" --rebuild")
        result = upload("--rebuild", to=service)
        assert result.code == 0, result.err
        assert upload(to=service).code == 0
        assert service.counts(calls) == dict.fromkeys(NAMES, 1)
        talks = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        assert {path: line["talk_id"] for path, line in calls.manifest().items()} == talks


def test_without_a_manifest_what_it_lacks_is_in_doubt(
    calls, upload, program, start_service, copied
):
    """Fault 90: in a folder of its own nothing tells of it but its mark."""
    with start_service() as service:
        copy = copied(service)
        manifest_of(calls).unlink()
        shutil.copy(copy, ledger_of(calls))
        assert upload(to=service).code == 7
        shutil.rmtree(ledger_of(calls).parent)
        flags = ("--ledger", copy)
        for _ in range(2):
            assert upload(*flags, to=service).code == 7
        assert upload("--rebuild", *flags, to=service).code == 1
        told = counts(program, calls, *flags)
        assert sum(told.values()) == len(NAMES)
        assert told["in_doubt"] >= 1
        assert service.counts(calls) == dict.fromkeys(NAMES, 1)


def test_one_copied_in_a_run_that_is_killed_then(calls, upload, start_service, tmp_path):
    """Fault 90: elsewhere it is a copy, in its place it is what the kill left."""
    calls.write(*NAMES)
    copy = tmp_path / "copy.db"

    def act(process):
        process.kill()
        process.wait()
        shutil.copy(ledger_of(calls), copy)

    with start_service() as service:
        interrupted_by(upload, service, act)
        assert upload("--ledger", copy, to=service).code == 7
        assert upload(to=service).code in {0, 1}
        assert set(service.counts(calls).values()) == {1}


@pytest.mark.parametrize("what", ["the ledger", "all that was there"])
def test_an_older_one_put_back_beside_the_log_of_a_killed_run(
    calls, upload, program, start_service, what
):
    """Fault 90: the log is not its own, and would tear it to pieces."""
    backup = calls.folder.parent / "backup"
    with start_service() as service:
        calls.write("first.wav")
        assert upload(to=service).code == 0
        shutil.copytree(ledger_of(calls).parent, backup)
        calls.write(*NAMES)
        interrupted_by(upload, service, lambda process: process.kill(), "--concurrency", "1")
        held = len(service.talks(calls))
        log = ledger_of(calls).with_name("ledger.db-wal").read_bytes()
        assert log
        for file in backup.iterdir():
            if what != "the ledger" or file.name == "ledger.db":
                shutil.copy(file, ledger_of(calls).parent)
        refused = upload(to=service)
        assert (refused.code, BEHIND in refused.err) == (7, True)
        assert ledger_of(calls).read_bytes() == (backup / "ledger.db").read_bytes()
        assert upload("--rebuild", to=service).code == 1
        assert counts(program, calls) == {"uploaded": 1, "in_doubt": len(NAMES)}
        after = service.counts(calls)
        assert set(after.values()) == {1}
        assert len(after) <= held + 1 < len(NAMES), "what was on its way at the kill"
        (aside,) = ledger_of(calls).parent.glob("ledger.db.behind-*Z-wal")
        assert aside.read_bytes() == log


def test_what_was_copied_while_no_run_went_on_goes_on(calls, upload, start_service, tmp_path):
    """Fault 90: alone, and elsewhere; and then the one that it came from is the older one."""
    with start_service() as service:
        calls.write("a.wav", "b.wav")
        assert upload(to=service).code == 0
        shutil.copy(ledger_of(calls), tmp_path / "moved.db")
        ledger_of(calls).rename(tmp_path / "old.db")
        calls.write("c.wav")
        moved = ("--ledger", tmp_path / "moved.db")
        assert upload(*moved, to=service).code == 0
        assert upload(*moved, to=service).code == 0
        assert service.counts(calls) == dict.fromkeys(["a.wav", "b.wav", "c.wav"], 1)
        # What went on elsewhere is ahead of what lies beside it here.
        (tmp_path / "moved.db").rename(ledger_of(calls))
        assert upload(to=service).code == 0
        shutil.copy(tmp_path / "old.db", ledger_of(calls))
        assert upload(to=service).code == 7
        assert service.counts(calls) == dict.fromkeys(["a.wav", "b.wav", "c.wav"], 1)


def test_who_only_reads_is_told_as_well(calls, upload, program, start_service, tmp_path):
    """Fault 90: no manifest tells it, and status and check have no worse news for later."""
    with start_service() as service:
        away = ("--manifest", tmp_path / "away.jsonl")
        calls.write("a.wav")
        assert upload(*away, to=service).code == 0
        shutil.copy(ledger_of(calls), tmp_path / "old.db")
        assert [program(each, calls).code for each in ("status", "check")] == [0, 0]
        calls.write("b.wav")
        assert upload(*away, to=service).code == 0
        shutil.copy(tmp_path / "old.db", ledger_of(calls))
        told = program("status", calls)
        assert (told.code, f"upload is refused: the ledger {ledger_of(calls)}" in told.err) == (
            1,
            True,
        )
        assert BEHIND in " ".join(told.err.split())
        assert "uploaded" in told.out
        told = program("check", calls)
        assert (told.code, BEHIND in " ".join(told.err.split())) == (7, True)
