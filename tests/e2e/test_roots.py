"""Directories of which one contains the other; the emulator's talks are the judge."""

import json
import os
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import anyio
import pytest
from e2e.conftest import API_KEY, CONNECTION, Program, emulator, events

from batch_uploader import ApiKey, ConfigError, Endpoint, Status, check_directory, upload_directory
from batch_uploader.emulator import stored_talks
from batch_uploader.ledgers.sqlite import SqliteLedger

MARCH = ["a.wav", "b.wav"]
TREE = ["2025/03/a.wav", "2025/03/b.wav", "2025/04/a.wav", "2025/04/b.wav"]


class Archive:
    """A tree of calls, and uploads of any of its folders; ``talks`` counts those of each call."""

    def __init__(self, calls, program, service, talks):
        self.calls = calls
        self.program = program
        self.service = service
        self.talks = talks
        self.march = calls.folder / "2025" / "03"
        self.april = calls.folder / "2025" / "04"

    @property
    def folder(self):
        return self.calls.folder

    def __call__(self, folder, *flags, command="upload", **how):
        words = ["--connection-id", CONNECTION]
        if command == "upload":
            words = [*self.service.flags, "--api-key-file", self.calls.key_file]
        return self.program(command, folder, *words, *flags, **how)

    def refused(self, folder, *flags, code=2):
        """Refused, by ``check`` as well, in the same words; returns them in one line."""
        made = [each for each in folder.rglob(".batch-uploader/*") if each.name == "ledger.db"]
        done = [self(folder, *flags, command=each) for each in ("upload", "check")]
        assert [each.code for each in done] == [code, code], done[0].said + done[1].said
        problems = [each.err[each.err.index("error:") :].partition("\nhint")[0] for each in done]
        assert problems[0] == problems[1]
        assert made == [
            each for each in folder.rglob(".batch-uploader/*") if each.name == "ledger.db"
        ]
        return " ".join(done[0].err.split())

    def manifest(self, folder):
        lines = (folder / "manifest.jsonl").read_text().splitlines()
        return {line["path"]: line["status"] for line in map(json.loads, lines)}


@pytest.fixture
def archive(calls, program, service):
    calls.write(*TREE)
    return Archive(calls, program, service, lambda: Counter(service.counts(calls)))


ONCE = Counter(TREE)


def pasted(told, begin):
    """The command of a hint, without the batch-uploader, as a shell takes it."""
    line = told.partition(f"{begin} batch-uploader ")[2]
    return line.partition(" hint:")[0].split()


@pytest.mark.parametrize("way", ["that one", "adopt"])
def test_a_subfolder_and_then_the_tree(archive, way):
    """Fault 103: both ways out lead on, and neither sends anything twice."""
    assert archive(archive.march).code == 0
    told = archive.refused(archive.folder)
    assert f"{archive.march} below {archive.folder} was uploaded by itself" in told
    assert not (archive.folder / ".batch-uploader").exists()
    assert archive.talks() == Counter(TREE[:2])
    if way == "that one":
        again = archive.program(*pasted(told, "upload that one by itself:"))
        assert again.code == 0, again.said
        assert archive.talks() == Counter(TREE[:2])
        return
    done = archive.program(*pasted(told, "which is then used no more:"))
    assert done.code == 0, done.said
    assert f"adopted the ledger of {archive.march}: 2 records" in " ".join(done.err.split())
    assert archive.talks() == ONCE
    assert archive.manifest(archive.folder) == dict.fromkeys(TREE, "uploaded")
    for _ in range(2):
        assert archive(archive.folder).code == 0
        assert archive(archive.folder, command="check").code == 0
    told = archive.refused(archive.march)
    assert f"was adopted by the one of {archive.folder}" in told
    refused = archive.program("resolve", archive.march, "a.wav", "--give-up")
    assert (refused.code, "decisions are made there" in " ".join(refused.err.split())) == (2, True)
    status = archive.program("status", archive.march)
    assert (status.code, "was adopted by" in " ".join(status.out.split())) == (1, True)
    assert archive.program("manifest", archive.march).out.count("\n") == 2
    assert archive.talks() == ONCE


def test_the_tree_and_then_a_subfolder(archive):
    """Fault 103: each run looks above."""
    assert archive(archive.folder).code == 0
    told = archive.refused(archive.march)
    assert f"{archive.folder}, which contains {archive.march}, was uploaded as a whole" in told
    assert not (archive.march / ".batch-uploader").exists()
    assert archive.program(*pasted(told, "upload that one by itself:")).code == 0
    done = archive.program(*pasted(told, "which is then used no more:"))
    assert done.code == 0, done.said
    assert archive.manifest(archive.march) == dict.fromkeys(MARCH, "uploaded")
    assert f"was adopted by the one of {archive.march}" in archive.refused(archive.folder)
    archive.calls.write("2025/03/c.wav")
    assert archive(archive.march).code == 0
    # And back again: the tree knows what was sent meanwhile.
    archive.calls.write("2025/04/c.wav")
    assert archive(archive.folder, "--adopt").code == 0
    assert archive(archive.folder).code == 0
    assert f"was adopted by the one of {archive.folder}" in archive.refused(archive.march)
    assert archive.talks() == Counter([*TREE, "2025/03/c.wav", "2025/04/c.wav"])


def test_what_a_relative_path_named_is_found_from_anywhere(archive, tmp_path):
    """Fault 103: ledgers say where their directories are."""
    ledgers = [tmp_path / "ledgers" / f"{name}.db" for name in ("march", "all")]
    ledgers[0].parent.mkdir()
    far = archive.program
    archive.program = Program(archive.folder)
    assert archive(Path("2025/03"), "--ledger", ledgers[0]).code == 0
    shutil.rmtree(archive.march / ".batch-uploader")  # as if it could not be written
    archive.program = far
    assert "2025/03" in archive.refused(archive.folder, "--ledger", ledgers[1])
    archive.program = Program(tmp_path)
    assert archive(Path("calls"), "--adopt", "--ledger", "ledgers/all.db").code == 0
    archive.program = far
    told = archive.refused(archive.march, "--ledger", ledgers[0])
    assert f"--ledger {ledgers[1]}" in told
    assert archive.talks() == ONCE


def test_the_adopter_with_its_usual_ledger_is_named_without_it(archive, tmp_path):
    archive.program = Program(tmp_path)
    assert archive(Path("calls/2025/03")).code == 0
    assert archive(Path("calls"), "--adopt").code == 0
    told = archive.refused(archive.march)
    assert f"batch-uploader upload {archive.folder}" in told
    assert "--ledger" not in told


@pytest.mark.slow
def test_three_of_which_each_contains_the_next(archive):
    """Fault 103: what the largest adopted of the smallest is adopted with it."""
    year = archive.march.parent
    for folder, flags in (
        (archive.march, ()),
        (archive.folder, ("--adopt",)),
        (year, ("--adopt",)),
        (archive.folder, ("--adopt",)),
        (archive.march, ("--adopt",)),
        (year, ("--adopt",)),
    ):
        if flags:
            assert archive(folder).code == 2
        done = archive(folder, *flags)
        assert done.code == 0, done.said
        assert archive(folder).code == 0
    archive.refused(archive.march)
    assert f"{year} below {archive.folder} was uploaded" not in archive.refused(archive.folder)
    assert archive.talks() == ONCE


@pytest.mark.slow
def test_an_adopted_ledger_is_taken_back_though_all_was_moved(archive, tmp_path):
    """Fault 103: its home is known by its word."""
    assert archive(archive.march).code == 0
    assert archive(archive.folder, "--adopt").code == 0
    moved = archive.folder.rename(tmp_path / "moved")
    assert archive(moved).code == 0
    for _ in range(2):
        assert archive(moved / "2025" / "03").code == 2
        assert archive(moved / "2025" / "03", "--adopt").code == 0
        assert archive(moved / "2025" / "03").code == 0
        assert archive(moved).code == 2
        assert archive(moved, "--adopt").code == 0
    assert archive.talks() == ONCE


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["ledger within", "ledger elsewhere"])
def test_a_ledger_of_another_user_is_met(archive, tmp_path, elsewhere):
    """Fault 103: but adopted only once its folder is ours."""
    ledger = ("--ledger", tmp_path / "march.db") if elsewhere else ()
    assert archive(archive.march, *ledger).code == 0
    theirs = archive.march / ".batch-uploader"
    for each in (theirs, *theirs.iterdir()):
        os.chown(each, 12345, 12345)
    archive.refused(archive.folder)
    if not elsewhere:
        refused = archive(archive.folder, "--adopt")
        assert (refused.code, "other users can write to" in refused.err) == (7, True)
    for each in (theirs, *theirs.iterdir()):
        os.chown(each, 0, 0)
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.talks() == ONCE


def test_what_is_held_stays_held(archive):
    """Faults 103, 107: other audio at the path of a talk, in the folder and then in the tree."""
    assert archive(archive.march).code == 0
    other = archive.folder / "other" / "2025/03/a.wav"
    archive.calls.write(str(other.relative_to(archive.folder)))
    archive.calls.put("2025/03/a.wav", other.read_bytes())
    shutil.rmtree(archive.folder / "other")
    assert archive(archive.march).code == 1
    assert archive.manifest(archive.march)["a.wav"] == "possible_duplicate"
    for flags in (["--adopt"], []):
        assert archive(archive.folder, *flags).code == 1
        assert archive.manifest(archive.folder)["2025/03/a.wav"] == "possible_duplicate"
    assert archive.talks() == ONCE


def test_two_subfolders_are_adopted_at_once(archive):
    """Fault 103."""
    for each in (archive.march, archive.april):
        assert archive(each).code == 0
    told = archive.refused(archive.folder)
    assert f"{archive.march}, {archive.april} below {archive.folder} were uploaded by them" in told
    for each in (archive.march, archive.april):
        assert f"upload each by itself: batch-uploader upload {each} --connection-id" in told
    assert archive(archive.folder, "--adopt").code == 0
    assert archive(archive.folder, "--adopt").code == 0, "nothing is left to adopt"
    assert archive.talks() == ONCE
    for each in (archive.march, archive.april):
        archive.refused(each)


def test_beside_each_other_they_are_no_obstacle(archive):
    """Fault 103."""
    for each in (archive.march, archive.april, archive.march):
        assert archive(each).code == 0
    assert archive.talks() == ONCE


def test_ledgers_of_other_connections_are_no_obstacle(archive, tmp_path):
    """Fault 103: above and below; each connection gets each call once."""
    other = ("--connection-id", "other")
    with emulator(tmp_path / "two", "--connection", "other") as service:
        archive.service = service
        assert archive(archive.march).code == 0
        assert archive(archive.folder, *other).code == 0
        assert archive(archive.march).code == 0, "the tree is of the other one"
        told = archive(archive.folder, "--progress", "json")
        assert (told.code, told.out) == (2, ""), "it has looked for the other one alone"
        assert "uploaded by itself: recordings of calls would" in " ".join(told.err.split())
        assert archive(archive.march, *other).code == 2
        # What is adopted for one connection goes on for another.
        assert archive(archive.april, "--connection-id", "other", "--adopt").code == 0
        assert archive(archive.folder, *other).code == 2
        assert archive(archive.folder, "--adopt").code == 0
        assert archive(archive.march).code == 2
        talks = stored_talks(service.folder / "talks.db")
        for connection in (CONNECTION, "other"):
            names = [each.fields["name"] for each in talks if each.connection_id == connection]
            assert Counter(names) == ONCE


def test_a_ledger_that_appears_below_later_is_met_when_its_folder_is_read(archive, tmp_path):
    """Fault 103: uploaded where the tree is not to be seen, as from another machine."""
    assert archive(archive.folder).code == 0
    may = archive.folder / "2025" / "05"
    archive.calls.write("2025/05/a.wav")
    away = tmp_path / "away"
    shutil.copytree(may, away)
    assert archive(away).code == 0
    shutil.move(away / ".batch-uploader", may)
    told = archive.refused(archive.folder)
    assert f"{may} below {archive.folder} was uploaded by itself" in told
    done = archive.program(*pasted(told, "which is then used no more:"))
    assert done.code == 0, done.said
    assert archive.talks() == Counter([*TREE, "2025/05/a.wav"])


@pytest.mark.slow
def test_what_only_failed_elsewhere_is_no_obstacle(archive, tmp_path):
    """Fault 103: nothing of it is stored, as after a first attempt with a wrong key."""
    wrong = tmp_path / "wrong"
    wrong.write_text("no-such-key-0123456789")
    wrong.chmod(0o600)
    for folder in (archive.march, archive.folder, archive.april):
        sending = (*archive.service.flags, "--api-key-file", wrong)
        assert archive.program("upload", folder, *sending).code == 3
    assert archive(archive.folder).code == 0
    told = archive.refused(archive.march)
    assert f"{archive.folder}, which contains {archive.march}," in told
    assert archive.talks() == ONCE


def test_a_ledger_of_before_there_was_this_rule_looks_once(archive):
    """Fault 103: then both may have sent the same."""
    assert archive(archive.folder, "--exclude", "2025/03/**").code == 0
    archive.calls.change_ledger("DELETE FROM facts WHERE name = 'looked_below calls'")
    (archive.folder / ".batch-uploader").rename(archive.folder / "aside")
    assert archive(archive.march).code == 0
    (archive.folder / "aside").rename(archive.folder / ".batch-uploader")
    refused = archive(archive.folder, "--progress", "json")
    assert (refused.code, refused.out) == (2, ""), "before the run begins"
    assert archive(archive.march).code == 0, "what lies there only its own ledger knows"
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.talks() == ONCE


def test_the_ledger_of_the_tree_is_rebuilt_from_its_manifest(archive):
    """Fault 103: it adopts again what it had adopted, which takes what was in doubt out of it."""
    assert archive(archive.march).code == 0
    assert archive(archive.folder, "--adopt").code == 0
    shutil.rmtree(archive.folder / ".batch-uploader")
    assert archive(archive.folder).code == 7
    assert archive(archive.folder, "--rebuild").code == 2
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.manifest(archive.folder) == dict.fromkeys(TREE, "uploaded")
    shutil.rmtree(archive.folder / ".batch-uploader")
    archive.calls.write("2025/05/a.wav")
    done = archive(archive.folder, "--rebuild", "--adopt")
    assert done.code == 1, "the new one is in doubt"
    assert archive.talks() == ONCE


def test_a_copy_of_what_lies_elsewhere_in_the_tree(archive):
    """Fault 103: its talk comes along, so that a further copy is known."""
    assert archive(archive.folder).code == 0
    for name in ("a.wav", "a.json"):
        shutil.copy2(archive.march / name, archive.april / f"copy{name[1:]}")
    assert archive(archive.folder).code == 0
    assert archive.manifest(archive.folder)["2025/04/copy.wav"] == "duplicate"
    for name in ("a.wav", "a.json"):
        shutil.copy2(archive.march / name, archive.april / f"more{name[1:]}")
    assert archive(archive.april, "--adopt").code == 0
    assert archive.manifest(archive.april) == {
        "a.wav": "uploaded",
        "b.wav": "uploaded",
        "copy.wav": "uploaded",
        "more.wav": "duplicate",
    }
    assert archive.talks() == ONCE


def test_for_programs_as_well(archive, service):
    """Fault 103."""
    endpoint = Endpoint.parse(service.address, ca_file=service.folder / "tls" / "ca.pem")

    async def run(folder, **how):
        return await upload_directory(
            folder,
            connection_id=CONNECTION,
            credentials=ApiKey(API_KEY),
            endpoint=endpoint,
            **how,
        )

    anyio.run(run, archive.march)
    for refusing in (
        run(archive.folder),
        check_directory(archive.folder, connection_id=CONNECTION),
    ):
        with pytest.raises(ConfigError, match="was uploaded by itself") as error:
            anyio.run(lambda refusing=refusing: refusing)
        assert "--adopt" in str(error.value)
        assert error.value.others == ((str(archive.march), None),)
    summary = anyio.run(partial(run, archive.folder, adopt=True))
    assert (summary.counts[Status.UPLOADED], summary.already_there) == (2, 2)
    assert archive.talks() == ONCE


def test_what_is_excluded_is_not_looked_at(archive):
    """Fault 103: it is not sent; when it is excluded no more, it is met."""
    assert archive(archive.march).code == 0
    assert archive(archive.folder, "--exclude", "2025/03/**").code == 0
    assert archive.talks() == ONCE
    assert archive(archive.march).code == 0, "nothing is sent by both"
    archive.refused(archive.folder)
    assert archive.talks() == ONCE


@pytest.mark.slow
@pytest.mark.parametrize("pointed", [True, False], ids=["pointer", "no pointer"])
@pytest.mark.parametrize("exists", [True, False], ids=["second exists", "second is new"])
def test_two_ledgers_for_one_directory(archive, tmp_path, pointed, exists):
    """Fault 103: by the pointer, or by the place that the other ledger names."""
    first, second = tmp_path / "state" / "one.db", tmp_path / "state" / "two.db"
    second.parent.mkdir()
    if exists:
        assert archive(archive.folder, "--ledger", second, "--connection-id", "strict").code == 1
        shutil.rmtree(archive.folder / ".batch-uploader")
        (archive.folder / "manifest.jsonl").unlink()
    assert archive(archive.folder, "--ledger", first).code == 0
    if not pointed:
        shutil.rmtree(archive.folder / ".batch-uploader")
    (archive.folder / "manifest.jsonl").unlink()
    told = archive.refused(archive.folder, "--ledger", second)
    assert f"--ledger {first}" in told
    assert archive(archive.folder, "--ledger", first).code == 0
    assert archive.talks() == ONCE


@pytest.mark.slow
def test_a_cron_job_in_another_working_directory(archive, tmp_path):
    """Fault 103: relative paths lead to the same directory, or to a ledger that is not its own."""
    (tmp_path / "state").mkdir()
    for here in (tmp_path, archive.folder, archive.march):
        archive.program.directory = here
        assert archive(os.path.relpath(archive.folder, here)).code == 0
    shutil.rmtree(archive.folder / ".batch-uploader")
    (archive.folder / "manifest.jsonl").unlink()
    archive.program.directory = tmp_path / "state"
    assert archive(archive.folder, "--ledger", "calls.db").code == 0
    assert archive.talks() == ONCE + ONCE, "its ledger is gone with all that told of it"
    archive.program.directory = tmp_path
    assert archive(archive.folder, "--ledger", "calls.db").code == 2
    assert archive.talks() == ONCE + ONCE


@pytest.mark.slow
def test_ledgers_in_one_place_of_directories_that_overlap(archive, tmp_path, unprivileged):
    """Fault 103: the directories are read-only, so they have no pointers."""
    state = tmp_path / "state"
    state.mkdir()

    def send(folder, *flags):
        name = folder.name
        places = ("--ledger", state / f"{name}.db", "--manifest", state / f"{name}.jsonl")
        return archive(folder, *places, *flags, preexec=unprivileged)

    for each in (archive.folder, archive.march, archive.april):
        each.chmod(0o555)
    try:
        assert send(archive.march).code == 0
        assert send(archive.april).code == 0
        assert send(archive.folder).code == 2
        assert archive.talks() == ONCE
        assert send(archive.folder, "--adopt").code == 0
        assert send(archive.march).code == 2
        assert send(archive.folder).code == 0
        assert archive.talks() == ONCE
    finally:
        for each in (archive.folder, archive.march, archive.april):
            each.chmod(0o755)


def test_snapshots_that_carry_the_ledger_along(archive, tmp_path):
    """Fault 103: each is a copy with hard links, and has what was sent until then."""
    assert archive(archive.folder).code == 0
    snapshots = tmp_path / "snapshots"
    for number in range(3):
        shutil.copytree(
            archive.folder, snapshots / f"hourly.{number}" / "calls", copy_function=os.link
        )
        archive.calls.write(f"2025/04/new-{number}.wav")
        assert archive(archive.folder).code == 0
    told = archive.refused(snapshots)
    assert f"hourly.0/calls, {snapshots}" in told.replace("\n", "")
    inodes = {each: each.stat().st_ino for each in snapshots.glob("*/*/*/ledger.db")}
    for _ in range(2):
        done = archive(snapshots, "--adopt")
        assert done.code == 0, done.said
        assert archive(snapshots).code == 0
    assert {each: each.stat().st_ino for each in inodes} == inodes
    statuses = Counter(archive.manifest(snapshots).values())
    assert statuses == {"uploaded": 6, "duplicate": 9}
    assert archive(archive.folder).code == 0, "the original goes on"
    assert archive.talks() == ONCE + Counter(f"2025/04/new-{number}.wav" for number in range(3))


@pytest.mark.parametrize("link", [True, False], ids=["hard links", "copies"])
def test_a_copy_with_its_ledger_is_not_gone_on_with_beside_the_original(archive, tmp_path, link):
    """Fault 91: a call that comes to both would be sent by each."""
    assert archive(archive.folder).code == 0
    copy = tmp_path / "copy"
    how = {"copy_function": os.link} if link else {}
    shutil.copytree(archive.folder, copy, **how)
    archive.calls.write("new.wav")
    for name in ("new.wav", "new.json"):
        shutil.copy2(archive.folder / name, copy / name)
    told = archive(copy)
    assert told.code == (7 if link else 2), told.said
    assert archive(archive.folder).code == 0
    assert archive.talks() == ONCE + Counter(["new.wav"])
    archive.folder.rename(tmp_path / "old")
    if not link:
        assert archive(copy).code == 0, "it takes the place of the original"


def test_runs_that_overlap_at_the_same_time(archive, start_service, tmp_path):
    """Fault 104: also first runs, which know nothing of each other yet."""
    with start_service("--latency", "2s") as service:
        flags = (*service.flags, "--api-key-file", archive.calls.key_file)
        slow = (*flags, "--progress", "json", "--concurrency", "1")
        first = archive.program.start("upload", archive.march, *slow)
        next(events(first, "upload_started"))
        refused = archive.program("upload", archive.folder, *flags)
        assert refused.code == 5, refused.said
        told = " ".join(refused.err.split())
        assert f"(process {first.pid}) uses {archive.march} below {archive.folder}" in told
        beside = archive.program("upload", archive.april, *flags)
        assert beside.code == 0, beside.said
        assert archive.program.finish(first).code == 0
        archive.calls.write("new.wav")
        whole = archive.program.start("upload", archive.folder, *slow, "--adopt")
        next(events(whole, "upload_started"))
        refused = archive.program("upload", archive.march, *flags)
        assert refused.code == 5, refused.said
        told = " ".join(refused.err.split())
        assert f"uses {archive.folder}, which contains {archive.march}" in told
        assert archive.program.finish(whole).code == 0
        names = [talk.fields["name"] for talk in stored_talks(service.folder / "talks.db")]
        assert Counter(names) == ONCE + Counter(["new.wav"])


def test_an_adoption_waits_for_no_run_of_the_other(archive, start_service):
    """Fault 104: a ledger that another process has open is not adopted, whatever the locks say."""
    assert archive(archive.march).code == 0

    async def hold():
        async with SqliteLedger(archive.march / ".batch-uploader" / "ledger.db", CONNECTION):
            return archive(archive.folder, "--adopt")

    refused = anyio.run(hold)
    assert refused.code == 5, refused.said
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.talks() == ONCE


@pytest.mark.parametrize("which", ["march", "folder"], ids=["below", "above"])
def test_an_outdated_ledger_is_not_adopted(archive, tmp_path, which):
    """Fault 103: what it lacks would be sent again."""
    root = getattr(archive, which)
    other = archive.folder if which == "march" else archive.march
    assert archive(root).code == 0
    shutil.copytree(root / ".batch-uploader", tmp_path / "backup")
    archive.calls.write("2025/03/c.wav")
    assert archive(root).code == 0
    shutil.rmtree(root / ".batch-uploader")
    shutil.copytree(tmp_path / "backup", root / ".batch-uploader")
    before = archive.talks()
    refused = archive(other, "--adopt")
    assert refused.code == 7, refused.said
    assert archive.talks() == before


@pytest.mark.slow
def test_the_adopter_was_put_back_from_a_backup(archive, tmp_path):
    """Fault 103: then what it adopted later is not on record."""
    assert archive(archive.folder, "--exclude", "2025/03/**").code == 0
    backup = tmp_path / "backup"
    shutil.copytree(archive.folder / ".batch-uploader", backup)
    assert archive(archive.march).code == 2
    (archive.folder / ".batch-uploader").rename(tmp_path / "hidden")
    assert archive(archive.march).code == 0
    (tmp_path / "hidden").rename(archive.folder / ".batch-uploader")
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.talks() == ONCE
    shutil.rmtree(archive.folder / ".batch-uploader")
    shutil.copytree(backup, archive.folder / ".batch-uploader")
    (archive.folder / "manifest.jsonl").unlink()
    assert archive(archive.folder).code == 2
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.talks() == ONCE


def test_a_ledger_below_that_is_gone(archive):
    """Fault 103: its pointer tells that there was one."""
    ledger = archive.folder.parent / "march.db"
    assert archive(archive.march, "--ledger", ledger).code == 0
    ledger.rename(ledger.with_name("aside.db"))
    for flags in ([], ["--adopt"]):
        refused = archive(archive.folder, *flags)
        assert refused.code == 7, refused.said
        assert f"the ledger {ledger} of {archive.march} is gone" in " ".join(refused.err.split())
    ledger.with_name("aside.db").rename(ledger)
    assert archive(archive.folder, "--adopt").code == 0
    assert archive.talks() == ONCE


def test_what_is_in_doubt_below_stays_so(archive, tmp_path):
    """Fault 103: with its stamp, by which it is found; it is not sent again."""
    stamp = ("--stamp-field", "upload_key")
    lost = ("--lose-answer", "1", "--lost-answer", "internal", "--search-unavailable", "1")
    for flags, folder, adopt, code in (
        (lost, archive.march, (), 1),
        ((), archive.folder, ("--adopt",), 0),
    ):
        with emulator(tmp_path / "lost", *flags) as service:
            sending = (*service.flags, "--api-key-file", archive.calls.key_file, *stamp)
            done = archive.program("upload", folder, *sending, *adopt)
            assert done.code == code, done.said
            names = [talk.fields["name"] for talk in stored_talks(service.folder / "talks.db")]
        if code:
            assert set(archive.manifest(folder).values()) == {"in_doubt"}
    assert archive.manifest(archive.folder) == dict.fromkeys(TREE, "uploaded")
    assert Counter(names) == ONCE
