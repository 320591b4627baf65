"""Other people's files, under the names of our own or named by mistake: they stay as they are."""

import os
import sqlite3
import stat
import sys
from contextlib import closing

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and pipes of POSIX")


def seen(path):
    """All that may be told of a file without touching it."""
    status = os.lstat(path)
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
    return status.st_mode, status.st_uid, status.st_mtime_ns, content


def tree(folder):
    return {path: seen(path) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def outside(tmp_path):
    """Where links lead, with a victim that everybody may read."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "victim").write_bytes(b"dear diary\n" * 100)
    (folder / "victim").chmod(0o644)
    return folder


def ledger_of(calls):
    return calls.folder / ".batch-uploader" / "ledger.db"


def link(path, outside):
    path.symlink_to(outside / "victim")


def link_to_nothing(path, outside):
    path.symlink_to(outside / "nothing")


def second_name(path, outside):
    path.hardlink_to(outside / "victim")


def pipe(path, outside):
    os.mkfifo(path)


def directory(path, outside):
    path.mkdir()


def remove(path):
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize(
    "case",
    [
        (".manifest.jsonl.behind", link, 0),
        (".manifest.jsonl.behind", link_to_nothing, 0),
        (".manifest.jsonl.behind", second_name, 0),
        (".batch-uploader/ledger.db", link, 7),
        (".batch-uploader/ledger.db", link_to_nothing, 7),
        (".batch-uploader/ledger.db.lock", directory, 7),
        (".batch-uploader/ledger.db-wal", link, 7),
        (".batch-uploader/ledger.db-shm", second_name, 0),
        (".batch-uploader/ledger.db-journal", pipe, 7),
        (".batch-uploader/ledger.db-answers", second_name, 7),
        (".batch-uploader/ledger.db-run", link_to_nothing, 7),
        (".batch-uploader/source.json", link, 7),
        (".batch-uploader/ledger.db-owner", link, 7),
        (".batch-uploader/ledger.db-owner", second_name, 0),
        (".batch-uploader/ledger.db-owner", pipe, 7),
        (".batch-uploader/ledger.db-owner.next", second_name, 7),
        (".batch-uploader/ledger.db-owner.next", link, 7),
        ("manifest.jsonl", link_to_nothing, 0),
        ("manifest.jsonl", second_name, 7),
    ],
)
def test_nothing_is_done_by_way_of_a_name(calls, upload, service, outside, case):
    """Fault 96: refused with what to do, or done without; up once when the trap is gone."""
    name, trap, code = case
    calls.write("a.wav")
    assert upload().code == 0
    calls.write("b.wav")
    place, aside = calls.folder / name, outside.parent / "aside"
    if there := place.exists():
        place.rename(aside)
    trap(place, outside)
    before = tree(outside)
    result = upload()
    assert result.code == code, result.err
    assert tree(outside) == before
    if code:
        assert os.fspath(place) in result.err.replace("\n", "")
        assert service.counts(calls) == {"a.wav": 1}
        remove(place)
        if there:
            aside.rename(place)
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1, "b.wav": 1}
    assert tree(outside) == before


def text(path, outside):
    path.write_text("notes")


@pytest.mark.parametrize("trap", [text, pipe, directory, link_to_nothing])
def test_what_was_never_a_ledger_is_no_trace_of_one(calls, upload, service, outside, trap):
    """Fault 96: refused, rebuilt or not; all goes up once it is out of the way."""
    calls.write("a.wav")
    ledger_of(calls).parent.mkdir(mode=0o700)
    trap(ledger_of(calls), outside)
    assert [upload(*flags).code for flags in ([], ["--rebuild"], [])] == [7, 7, 7]
    remove(ledger_of(calls))
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1}


def test_a_log_is_not_written_to_by_another_name(calls, upload, outside, service):
    """Fault 96."""
    calls.write("a.wav")
    before = tree(outside)
    for trap in (link, link_to_nothing, second_name, pipe, directory):
        log = outside.parent / "log.jsonl"
        trap(log, outside)
        result = upload("--log-file", log)
        assert result.code == 2, result.err
        assert "the log file" in result.err
        remove(log)
        assert tree(outside) == before
    assert service.counts(calls) == {}


def make_database(path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE recordings (id)")
        database.execute("PRAGMA application_id = 7")
    path.chmod(0o644)


@pytest.fixture(
    params=[
        ("other.sqlite", None),
        ("notes.txt", b"dear diary\n" * 100),
        ("empty", b""),
        ("call", b"RIFF\0\0\0\0WAVEfmt "),
        ("archive.tar", bytes(10_000)),
    ],
    ids=lambda param: param[0],
)
def other(request, calls, outside):
    """A file that is no ledger; one of them lies among the recordings."""
    name, content = request.param
    path = (calls.folder if name == "notes.txt" else outside) / name
    if content is None:
        make_database(path)
    else:
        path.write_bytes(content)
        path.chmod(0o644)
    return path


def test_another_file_that_is_named_as_the_ledger(calls, upload, program, other):
    """Fault 97: nothing is written to it, nothing is made beside it, and it is not moved."""
    calls.write("a.wav")
    assert upload().code == 0
    before = tree(other.parent)
    results = [
        upload("--ledger", other),
        upload("--rebuild", "--ledger", other),
        program("status", calls, "--ledger", other),
        program("resolve", calls, "--all", "--resend", "--yes", "--ledger", other),
        program("manifest", calls, "--ledger", other),
    ]
    assert {result.code for result in results} == {7}, [result.said for result in results]
    assert tree(other.parent) == before


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", "-answers"])
def test_another_file_whose_name_is_that_of_a_ledgers_log(calls, upload, outside, service, suffix):
    """Fault 97: SQLite would write to it, or remove it."""
    calls.write("a.wav")
    (outside / f"data{suffix}").write_bytes(b"dear diary\n" * 100)
    before = tree(outside)
    result = upload("--ledger", outside / "data")
    assert result.code == 7, result.err
    assert f"data{suffix}" in result.err.replace("\n", "")
    assert {path: each for path, each in tree(outside).items() if path in before} == before
    assert not (outside / "data").exists()
    assert service.counts(calls) == {}


@pytest.mark.parametrize("name", ["b.wav", "a.wav", "a.json", "b.JSON", "new.mp3"])
def test_a_recording_or_a_sidecar_is_no_ledger(calls, upload, service, outside, name):
    """Fault 97: neither in the directory nor elsewhere, be it there or not."""
    calls.write("a.wav")
    before = tree(calls.folder)
    for folder in (calls.folder, outside):
        result = upload("--ledger", folder / name)
        assert result.code == 2, result.err
        assert "--ledger:" in result.err
        assert "is named like a recording or a sidecar" in result.err
    assert tree(calls.folder) == before
    assert [each.name for each in outside.iterdir()] == ["victim"]
    assert service.counts(calls) == {}


class TestFolder:
    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
    def test_one_that_others_may_write_is_refused(self, calls, upload, service, mode):
        """Fault 98."""
        calls.write("a.wav")
        folder = calls.folder / ".batch-uploader"
        folder.mkdir()
        folder.chmod(mode)
        for flags in ((), ("--rebuild",)):
            result = upload(*flags)
            assert result.code == 7
            assert "--ledger" in result.err
            assert "chmod go-w" in result.err
        assert list(folder.iterdir()) == []
        assert service.counts(calls) == {}
        folder.chmod(0o755)
        assert upload().code == 0

    def test_one_whose_file_system_keeps_no_modes_is_told_of(
        self, calls, service, inside, monkeypatch
    ):
        """Fault 98: as on FAT or CIFS, which show one mode for all there is."""
        calls.write("a.wav")
        folder = calls.folder / ".batch-uploader"
        folder.mkdir()
        folder.chmod(0o777)
        monkeypatch.setattr(os, "fchmod", lambda *_: None)
        flags = ("--api-key-file", calls.key_file)
        result = inside("upload", calls, *service.flags, *flags)
        assert result.code == 0, result.err
        assert "since its file system has no permissions" in " ".join(result.err.split())
        assert service.counts(calls) == {"a.wav": 1}

    def test_a_link_is_refused_with_the_place_that_it_leads_to(
        self, calls, upload, program, service, outside
    ):
        """Fault 98."""
        calls.write("a.wav")
        (calls.folder / ".batch-uploader").symlink_to(outside, target_is_directory=True)
        before = tree(outside)
        result = upload()
        assert result.code == 7
        assert f"--ledger {outside}/ledger.db" in result.err.replace("\n", "")
        assert tree(outside) == before
        assert upload("--ledger", outside / "ledger.db").code == 0
        assert program("status", calls).code == 7
        assert program("status", calls, "--ledger", outside / "ledger.db").code == 0
        assert service.counts(calls) == {"a.wav": 1}

    def test_a_link_that_the_user_names_is_a_name_of_its_ledger(
        self, calls, upload, service, outside
    ):
        calls.write("a.wav")
        ledger, name = outside / "ledger.db", outside.parent / "name"
        assert upload("--ledger", ledger).code == 0
        name.symlink_to(ledger)
        assert upload("--ledger", name).code == 0
        name.unlink()
        name.symlink_to(outside / "nothing.db")
        result = upload("--ledger", name)
        assert result.code == 7
        assert not (outside / "nothing.db").exists()
        assert service.counts(calls) == {"a.wav": 1}


def test_a_backup_of_hard_links_is_not_written_to(calls, upload, service, outside):
    """Fault 96: what a killed run left is linked as well, and stops nobody."""
    calls.write(*(f"{number}.wav" for number in range(20)))
    process = upload("--rate", "4/s", "--progress", "json", start=True)
    for _ in range(8):
        process.stdout.readline()
    process.kill()
    process.communicate()
    ledger = ledger_of(calls)
    names = {each.name for each in ledger.parent.iterdir()}
    assert {"ledger.db-wal", "ledger.db-shm", "ledger.db-answers", "ledger.db.lock"} <= names
    for name in names - {"ledger.db"}:
        (outside / name).hardlink_to(ledger.with_name(name))
    before = {path: each[-1] for path, each in tree(outside).items()}
    upload()
    assert {path: each[-1] for path, each in tree(outside).items()} == before
    assert set(service.counts(calls).values()) == {1}
