"""A ledger that has two names, or none any more; the emulator's records are the judge."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from e2e.conftest import assert_one_talk_each, events

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed"),
    pytest.mark.slow,
]

SLOW = ("--store-late", "0.2s")


def ledger_of(calls):
    return calls.folder / ".batch-uploader" / "ledger.db"


def names(count):
    return [f"{number}.wav" for number in range(count)]


def linked(source, target):
    """A backup as ``cp -al`` makes it: each file is another name of the one that it is of."""
    shutil.copytree(source, target, copy_function=os.link)


def begin(upload, service, *flags, uploads=4):
    """A run once so many uploads began."""
    run = upload("--progress", "json", "--concurrency", 2, *flags, to=service, start=True)
    begun = events(run, "upload_started")
    for _ in range(uploads):
        next(begun)
    return run


# Two names


def test_a_second_name_is_refused_while_a_run_goes_on_and_after_it(
    calls, program, upload, start_service, tmp_path
):
    """Fault 86."""
    calls.write("first.wav")
    second = tmp_path / "second" / "other.db"
    second.parent.mkdir()
    with start_service(*SLOW) as service:
        assert upload(to=service).code == 0
        os.link(ledger_of(calls), second)
        calls.write(*names(30))
        run = begin(upload, service)
        refused = upload("--ledger", second, to=service)
        assert refused.code == 5, refused.err
        assert f"is another name of {ledger_of(calls)}" in refused.err
        assert program.finish(run).code == 0
        calls.write("last.wav")
        refused = upload("--ledger", second, to=service)
        assert refused.code == 7, refused.err
        assert f"hint: use {ledger_of(calls)}; " in refused.err
        assert upload(to=service).code == 0
        assert_one_talk_each(calls, service, ["first.wav", *names(30), "last.wav"])


@pytest.mark.parametrize("order", [1, -1])
def test_a_second_name_of_a_ledger_without_a_home_is_refused(
    calls, program, upload, start_service, order
):
    """Fault 86: an older version made it, and both begin at once."""
    second = calls.folder.parent / "other.db"
    with start_service(*SLOW) as service:
        calls.write("first.wav")
        assert upload(to=service).code == 0
        forget_home(ledger_of(calls))
        os.link(ledger_of(calls), second)
        calls.write(*names(12))
        both = [(), ("--ledger", second)]
        runs = [upload(*flags, to=service, start=True) for flags in both]
        codes = [program.finish(run).code for run in runs]
        assert codes.count(0) <= 1
        assert set(codes) <= {0, 2, 5, 7}
        second.unlink()
        assert upload(to=service).code == 0, "with one name left it goes on"
        assert_one_talk_each(calls, service, ["first.wav", *names(12)])


def forget_home(ledger):
    """Make it one of which nothing says where it is at home."""
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("DELETE FROM facts WHERE name LIKE 'ledger_%'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_backup_of_hard_links_stops_nobody_and_stays_as_it_was(
    calls, upload, service, program, tmp_path
):
    """Fault 86: not even the one of a run that was killed."""
    calls.write("a.wav")
    assert upload(to=service).code == 0
    backup = tmp_path / "backup"
    linked(calls.folder, backup)
    calls.write("b.wav")
    assert upload().code == 0
    assert upload().code == 0
    assert_one_talk_each(calls, service, ["a.wav", "b.wav"])
    told = program("manifest", backup)
    assert told.code == 0
    assert told.out.count("\n") == 1, "the backup knows what it knew"
    assert (backup / "manifest.jsonl").read_text().count("\n") == 1


def test_a_backup_that_takes_the_place_of_what_is_gone_goes_on(
    calls, upload, service, program, tmp_path
):
    """Fault 86."""
    calls.write("a.wav")
    assert upload().code == 0
    backup = tmp_path / "backup"
    linked(calls.folder, backup)
    flags = (*service.flags, "--api-key-file", calls.key_file)
    refused = program("upload", backup, *flags)
    assert refused.code == 7, refused.err
    shutil.rmtree(calls.folder)
    assert program("upload", backup, *flags).code == 0
    assert service.counts(calls) == {"a.wav": 1}


def test_a_backup_of_a_killed_run_stops_nobody(calls, upload, start_service, program, tmp_path):
    """Fault 86: its log has two names as well."""
    calls.write(*names(8))
    with start_service(*SLOW) as service:
        run = begin(upload, service, "--stamp-field", "key", uploads=5)
        run.kill()
        run.communicate()
        linked(calls.folder, tmp_path / "backup")
        result = upload("--stamp-field", "key", "--hold", "1s", "--wait-for-doubt", to=service)
        assert result.code == 0, result.err
        assert_one_talk_each(calls, service, names(8))


def test_another_path_to_the_same_directory_is_the_same_ledger(
    calls, upload, service, program, tmp_path
):
    """Fault 86: a directory that was moved, a link that leads to it."""
    calls.write("a.wav")
    assert upload().code == 0
    link = tmp_path / "link"
    link.symlink_to(calls.folder)
    flags = (*service.flags, "--api-key-file", calls.key_file)
    assert program("upload", link, *flags).code == 0
    moved = tmp_path / "moved"
    calls.folder.rename(moved)
    assert program("upload", moved, *flags).code == 0
    assert service.counts(calls) == {"a.wav": 1}


def test_a_ledger_below_a_directory_that_may_only_be_passed_through(
    calls, upload, service, unprivileged, tmp_path
):
    """Fault 87: to see that it is there takes no right to list anything."""
    calls.write("a.wav")
    above = tmp_path / "above"
    (above / "state").mkdir(parents=True)
    above.chmod(0o100)
    try:
        result = upload("--ledger", above / "state" / "ledger.db", preexec=unprivileged)
    finally:
        above.chmod(0o700)
    assert result.code == 0, result.err
    assert service.counts(calls) == {"a.wav": 1}


# None any more


def removed(ledger):
    shutil.rmtree(ledger.parent)


def file_removed(ledger):
    ledger.unlink()


def moved(ledger):
    ledger.parent.rename(ledger.parent.with_name("old"))


def replaced(ledger):
    older = ledger.with_name("older.db")
    shutil.copyfile(ledger, older)
    older.replace(ledger)


def folder_made_anew(ledger):
    removed(ledger)
    ledger.parent.mkdir()


@pytest.mark.parametrize("how", [removed, file_removed, moved, replaced, folder_made_anew])
def test_a_ledger_that_is_taken_away_under_a_run_stops_it(
    calls, upload, start_service, program, how
):
    """Fault 87: what it knew is in the manifest, and nothing goes up twice after that."""
    calls.write(*names(120), seconds=0.01)
    with start_service(*SLOW) as service:
        run = begin(upload, service, uploads=10)
        how(ledger_of(calls))
        stopped = program.finish(run)
        assert stopped.code == 7, stopped.err
        assert "was removed, moved or replaced during this run" in stopped.err
        talks = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        assert len(talks) < 20, "it stops at the next claim"
        lines = calls.manifest()
        assert {
            path: line["talk_id"] for path, line in lines.items() if line["status"] == "uploaded"
        } == talks
        for flags in ((), ("--rebuild", "--stamp-field", "key"), ()):
            again = upload(*flags, to=service)
            assert "begin with an upload" not in again.err
            assert max(service.counts(calls).values()) == 1


def test_what_the_manifest_cannot_take_is_said(calls, upload, start_service, program, tmp_path):
    """Fault 87: with path and talk ID."""
    calls.write(*names(20), seconds=0.01)
    place = tmp_path / "state"
    place.mkdir()
    flags = ("--ledger", place / "sub" / "ledger.db", "--manifest", place / "m.jsonl")
    with start_service(*SLOW) as service:
        run = begin(upload, service, *flags, uploads=6)
        shutil.rmtree(place)
        stopped = program.finish(run)
        assert stopped.code == 7, stopped.err
        talks = service.talks(calls)
        assert 0 < len(talks) < 20
        for talk in talks:
            assert f"note: {talk.fields['name']} is stored as talk {talk.talk_id}\n" in stopped.err


@pytest.mark.parametrize(
    "left", [".manifest.jsonl.behind", ".batch-uploader/ledger.db-owner", "manifest.jsonl"]
)
def test_one_file_that_tells_of_a_ledger_is_enough_to_begin_none(
    calls, upload, service, program, left
):
    """Fault 87."""
    calls.write("a.wav", "b.wav")
    assert upload().code == 0
    content = Path(calls, left).read_bytes() if Path(calls, left).exists() else b""
    shutil.rmtree(ledger_of(calls).parent)
    Path(calls, "manifest.jsonl").unlink()
    Path(calls, left).parent.mkdir(exist_ok=True)
    Path(calls, left).write_bytes(content)
    for command in ("upload", "check", "status", "manifest"):
        flags = (*service.flags, "--api-key-file", calls.key_file) if command == "upload" else ()
        refused = program(command, calls, *flags)
        assert refused.code == 7, refused.err
        assert left.rpartition("/")[2] in refused.err
        assert "begin with" not in refused.err
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}
