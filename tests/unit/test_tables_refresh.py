"""The index of a table: what is read again, what has changed since, and what survives a kill."""

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.table_harness import Folder, age, as_csv, wanted

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables import lines as lines_module
from batch_uploader.prepare.about.tables import names, refresh
from batch_uploader.prepare.about.tables.index import VERSION
from batch_uploader.prepare.about.tables.table import Table

HEADER = ("uid", "recordingfile")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def rows(*numbers, uid="u"):
    return [[f"{uid}{number}", f"{number}.wav"] for number in numbers]


def uids(table, *numbers):
    found = [table.about(wanted(f"{number}.wav")) for number in numbers]
    return [each and each.fields["uid"] for each in found]


def changed(table, since, *numbers):
    """Of which of these recordings something has changed."""
    keys = table.changed_since(since)
    return [number for number in numbers if keys is None or names.key(str(number)) in keys]


@pytest.fixture
def bytes_read(monkeypatch):
    """The lines that were read of tables, counted."""
    count = []
    plain = lines_module.Lines.__next__

    def counted(self):
        text = plain(self)
        count.append(text)
        return text

    monkeypatch.setattr(lines_module.Lines, "__next__", counted)
    return count


def test_what_is_appended_is_read_from_there(folder, bytes_read):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(500))]))
    with folder.table("cdr.csv") as table:
        before = table.generation
    bytes_read.clear()
    with folder.table("cdr.csv") as table:
        assert table.generation == before
        assert not table.changed_since(before)
    assert not bytes_read
    folder.append("cdr.csv", as_csv(rows(500, 3, uid="new")))
    with folder.table("cdr.csv") as table:
        assert bytes_read == ["new500,500.wav\r\n", "new3,3.wav\r\n"]
        assert table.rows == 502
        assert uids(table, 499, 500) == ["u499", "new500"]
        [defect] = table.about(wanted("3.wav"))
        assert "line 5 and cdr.csv, line 503" in defect.message
        assert changed(table, before, 2, 3, 4, 500) == [3, 500]
        assert not table.changed_since(table.generation)


def test_a_table_that_is_written_again_changes_only_what_differs(folder):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(100))]))
    with folder.table("cdr.csv") as table:
        before = table.generation
    folder.write("cdr.csv", as_csv([HEADER, *rows(7, uid="x"), *rows(*range(1, 102))[::-1]]))
    with folder.table("cdr.csv") as table:
        assert changed(table, before, *range(103)) == [0, 7, 100, 101]
        between = table.generation
    folder.append("cdr.csv", as_csv(rows(50, uid="y")))
    with folder.table("cdr.csv") as table:
        assert changed(table, before, *range(103)) == [0, 7, 50, 100, 101]
        assert changed(table, between, *range(103)) == [50]


def test_a_new_export_changes_only_what_it_has_rows_for(folder):
    folder.write("cdr-1.csv", as_csv([HEADER, *rows(*range(50))]))
    with folder.table("cdr-*.csv") as table:
        before = table.generation
    folder.write("cdr-2.csv", as_csv([HEADER, *rows(*range(45, 55))]))
    with folder.table("cdr-*.csv") as table:
        assert changed(table, before, *range(60)) == list(range(45, 55))
        assert changed(table, "", 0, 59) == [0, 59]
        between = table.generation
    (folder.path / "cdr-1.csv").unlink()
    with folder.table("cdr-*.csv") as table:
        assert changed(table, between, 0, 59) == [0, 59]


def test_the_same_size_and_other_content_is_seen(folder):
    path = folder.write("cdr.csv", as_csv([HEADER, *rows(1, 2)]))
    with folder.table("cdr.csv"):
        pass
    path.write_bytes(path.read_bytes().replace(b"u1", b"x1"))
    age(path, 900)
    with folder.table("cdr.csv") as table:
        assert uids(table, 1, 2) == ["x1", "u2"]


@pytest.mark.parametrize("more", [(), (700,)])
def test_a_fresh_copy_that_begins_as_the_old_file_is_not_read_again(folder, bytes_read, more):
    path = folder.write("cdr.csv", as_csv([HEADER, *rows(*range(700))]))
    with folder.table("cdr.csv") as table:
        before = table.generation
    path.rename(path.with_name("old.csv"))
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(700), *more)]))
    bytes_read.clear()
    with folder.table("cdr.csv") as table:
        assert len(bytes_read) == len(more)
        assert changed(table, before, *range(702)) == list(more)
    bytes_read.clear()
    with folder.table("cdr.csv") as table:
        assert table.rows == 700 + len(more)
    assert not bytes_read


def test_a_fresh_copy_that_differs_in_one_row_is_read_whole(folder, monkeypatch):
    monkeypatch.setattr(refresh, "_HEAD", 100)
    monkeypatch.setattr(refresh, "_ROWS_A_COMMIT", 100)
    path = folder.write("cdr.csv", as_csv([HEADER, *rows(*range(700))]))
    with folder.table("cdr.csv") as table:
        before = table.generation
    path.rename(path.with_name("old.csv"))
    others = as_csv([HEADER, *rows(*range(350)), *rows(350, uid="x"), *rows(*range(351, 701))])
    folder.write("cdr.csv", others)
    with folder.table("cdr.csv") as table:
        assert changed(table, before, *range(702)) == [350, 700]
        assert uids(table, 350) == ["x350"]


def test_a_grown_table_that_begins_otherwise_is_read_whole(folder):
    path = folder.write("cdr.csv", as_csv([HEADER, *rows(1, 2)]))
    with folder.table("cdr.csv"):
        pass
    with path.open("r+b") as file:
        file.write(as_csv([("uid", "recordingfile"), *rows(3, 4, 5)]))
    age(path, 900)
    with folder.table("cdr.csv") as table:
        assert uids(table, 1, 2, 3, 4, 5) == [None, None, "u3", "u4", "u5"]


def test_a_row_that_is_still_being_written_waits(folder):
    path = folder.write("cdr.csv", as_csv([HEADER, *rows(1)]) + b"u2,2.wav\r\nu3,3.w")
    age(path, 1)
    with folder.table("cdr.csv") as table:
        assert uids(table, 1, 2, 3) == ["u1", "u2", None]
        assert table.fault_count == 0
        before = table.generation
    with path.open("ab") as file:
        file.write(b"av\r\nu4,4.wav\r\n")
    with folder.table("cdr.csv") as table:
        assert uids(table, 2, 3, 4) == ["u2", "u3", "u4"]
        assert changed(table, before, 1, 2, 3, 4) == [3, 4]


@pytest.mark.parametrize("last", [b"u3,3.wav", b"u3,3", b"u3", b'u3,"3.wav\n'])
def test_a_last_row_without_a_line_end_counts_when_it_is_old(folder, last):
    path = folder.write("cdr.csv", as_csv([HEADER, *rows(1, 2)]) + last)
    with folder.table("cdr.csv") as table:
        assert uids(table, 1, 2, 3) == ["u1", "u2", "u3" if last.startswith(b"u3,3") else None]
        assert table.fault_count == (last == b"u3") + (b'"' in last)
        before = table.generation
    whole = b'u3,"3.wav"\r\nu4,4.wav\r\n'
    path.write_bytes(path.read_bytes())
    with path.open("r+b") as file:
        file.seek(-len(last), 2)
        file.write(whole)
    age(path, 900)
    with folder.table("cdr.csv") as table:
        assert uids(table, 1, 2, 3, 4) == ["u1", "u2", "u3", "u4"]
        assert table.fault_count == 0
        assert 4 in changed(table, before, 4)


def test_a_header_that_is_still_being_written_is_none(folder):
    path = folder.write("cdr.csv", b"uid,recordi")
    with folder.table("cdr.csv") as table:
        assert table.rows == 0
    with path.open("ab") as file:
        file.write(b"ngfile\r\nu1,1.wav\r\n")
    with folder.table("cdr.csv") as table:
        assert uids(table, 1) == ["u1"]


@pytest.mark.parametrize("harm", ["gone", "cut", "noise", "other", "version", "empty"])
def test_an_index_that_cannot_be_used_is_made_again(folder, harm):
    """Fault 122: the recordings still have their rows, and all are looked at again."""
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(3000))]))
    with folder.table("cdr.csv") as table:
        before = table.generation
    [path] = folder.indexes.glob("*.db")
    content = path.read_bytes()
    match harm:
        case "gone":
            path.unlink()
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "noise":
            noise = random.Random(1).randbytes(len(content) - 4096)
            path.write_bytes(content[:4096] + noise)
        case "other":
            path.write_bytes(b"hello" * 1000)
        case "version":
            with sqlite3.connect(path) as connection:
                connection.execute(
                    "UPDATE state SET json = replace(json, ?, ?)",
                    (f'"version":{VERSION}', f'"version":{VERSION + 1}'),
                )
                assert connection.total_changes == 1
            connection.close()
        case "empty":
            path.write_bytes(b"")
    folder.append("cdr.csv", as_csv(rows(3000)))
    with folder.table("cdr.csv") as table:
        assert uids(table, 0, 2999, 3000) == ["u0", "u2999", "u3000"]
        assert table.rows == 3001
        assert changed(table, before, 5) == [5]


def test_other_settings_make_another_index(folder):
    folder.write("cdr.csv", as_csv([("uid", "other"), ["7.wav", "8.wav"]]))
    for column, path in (("uid", "7.wav"), ("other", "8.wav"), ("uid", "7.wav")):
        with folder.table("cdr.csv", column=column) as table:
            assert table.about(wanted(path))


def test_faults_are_bounded_and_counted_and_stay_told(folder):
    bad = [["only one"]] * 1000
    folder.write("cdr.csv", as_csv([HEADER, *rows(1), *bad, *rows(2)]))
    for _ in range(2):
        with folder.table("cdr.csv") as table:
            assert table.fault_count == 1000
            found = table.faults()
            assert len(found) == 100
            assert found[0].path == "cdr.csv"
            assert found[0].message == "line 3: it has 1 values, and the table 2 columns"
            assert uids(table, 1, 2) == ["u1", "u2"]


def test_a_table_that_is_not_there(folder):
    for name in ("cdr.csv", "cdr-*.csv"):
        with pytest.raises(ConfigError, match="there is no such file"), folder.table(name):
            pass
    folder.write("cdr.csv", b"")
    with folder.table("cdr.csv") as table:
        assert table.about(wanted("1.wav")) is None


REFRESH = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from support.table_harness import Folder
    from batch_uploader.prepare.about.tables import refresh
    refresh._ROWS_A_COMMIT = 100
    commit = refresh.Index.commit
    def slowly(*args, **more):
        commit(*args, **more)
        time.sleep({pause})
    refresh.Index.commit = slowly
    with Folder(Path({folder!r})).table("cdr.csv") as table:
        print(table.rows)
"""


def start_refresh(folder, pause=0):
    code = textwrap.dedent(REFRESH).format(
        tests=str(Path(__file__).parents[1]), folder=str(folder.path), pause=pause
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


@pytest.mark.parametrize("how", ["first", "appended", "written again"])
def test_killed_at_any_moment_it_is_never_half_believed(folder, how):
    """Fault 122: SIGKILL at ten moments of refresh after refresh; then each row is there, once."""
    count = 12_000
    first = as_csv([HEADER, *rows(*range(count))])
    folder.write("cdr.csv", first if how == "first" else as_csv([HEADER, *rows(0)]))
    if how != "first":
        with folder.table("cdr.csv"):
            pass
        if how == "appended":
            folder.append("cdr.csv", as_csv(rows(*range(1, count))))
        else:
            folder.write("cdr.csv", as_csv([HEADER, *rows(*range(count), uid="new")]))
    uid = "new" if how == "written again" else "u"
    drawn = random.Random(how)
    kills = 0
    for _ in range(10):
        process = start_refresh(folder, pause=0.003)
        seen = sum(each.stat().st_size for each in folder.indexes.glob("*") if each.exists())
        deadline = time.monotonic() + 20
        # Only what writes is worth killing.
        while process.poll() is None and time.monotonic() < deadline:
            now = [each.stat().st_size for each in folder.indexes.glob("*.db*") if each.exists()]
            if sum(now) != seen:
                break
            time.sleep(0.001)
        time.sleep(drawn.random() * 0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 3
    with folder.table("cdr.csv") as table:
        assert table.rows == count
        assert uids(table, *range(0, count, 97)) == [f"{uid}{each}" for each in range(0, count, 97)]
    [index] = folder.indexes.glob("*.db")
    with sqlite3.connect(index) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM places").fetchone() == (count,)
    connection.close()


def test_a_killed_refresh_is_continued(folder, monkeypatch, bytes_read):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(1000))]))
    monkeypatch.setattr(refresh, "_ROWS_A_COMMIT", 100)
    plain, commits = refresh.Index.commit, []

    def commit(*args, **more):
        if len(commits) == 5:
            raise KeyboardInterrupt
        commits.append(1)
        plain(*args, **more)

    monkeypatch.setattr(refresh.Index, "commit", commit)
    with pytest.raises(KeyboardInterrupt), folder.table("cdr.csv"):
        pass
    monkeypatch.setattr(refresh.Index, "commit", plain)
    bytes_read.clear()
    with folder.table("cdr.csv") as table:
        assert len(bytes_read) == 500
        assert table.rows == 1000
        assert uids(table, 0, 999) == ["u0", "u999"]


def test_two_processes_refresh_one_table_in_turn(folder):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(20_000))]))
    processes = [start_refresh(folder) for _ in range(3)]
    assert [each.communicate()[0].strip() for each in processes] == [b"20000"] * 3
    assert not list(folder.indexes.glob("*.new*"))


def test_damage_that_shows_late_costs_one_run(folder):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(5000))]))
    with folder.table("cdr.csv") as table:
        [path] = folder.indexes.glob("*.db")
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE blocks SET data = x'00' WHERE id > 10")
        connection.close()
        assert uids(table, 1) == ["u1"]
        with pytest.raises(OSError, match="run it again"):
            uids(table, 4999)
    with folder.table("cdr.csv") as table:
        assert uids(table, 1, 4999) == ["u1", "u4999"]


def test_changes_are_known_for_some_generations_and_not_too_many(folder, monkeypatch):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(10))]))
    with folder.table("cdr.csv") as table:
        first = table.generation
    for number in range(10, 75):
        folder.append("cdr.csv", as_csv(rows(number)))
        with folder.table("cdr.csv") as table:
            if number == 20:
                later = table.generation
    assert changed_whole(folder, first) is None
    assert len(changed_whole(folder, later)) == 54
    monkeypatch.setattr("batch_uploader.prepare.about.tables.index._MOST_CHANGES", 100)
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(80), uid="new")]))
    assert changed_whole(folder, later) is None


def changed_whole(folder, since):
    with folder.table("cdr.csv") as table:
        return table.changed_since(since)


def test_a_copied_index_is_brought_up_to_date_and_its_origin_left_alone(folder, bytes_read):
    folder.write("cdr.csv", as_csv([HEADER, *rows(*range(300))]))
    with folder.table("cdr.csv") as table:
        before = table.generation
    [origin] = folder.indexes.glob("*.db")
    content = origin.read_bytes()
    folder.append("cdr.csv", as_csv(rows(300)))
    bytes_read.clear()
    copies = folder.path / "copies"
    with Table(folder.table("cdr.csv").spec, copies, None, folder.indexes) as table:
        assert len(bytes_read) == 1
        assert changed(table, before, 299, 300) == [300]
        assert uids(table, 0, 300) == ["u0", "u300"]
    assert origin.read_bytes() == content
    origin.write_bytes(content[: len(content) // 2])
    with Table(folder.table("cdr.csv").spec, copies, None, folder.indexes) as table:
        assert uids(table, 0, 300) == ["u0", "u300"]
