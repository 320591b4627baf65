"""The runs that no ledger has: where they are kept, and their place among those on record."""

import sys
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from batch_uploader.app.history import merged
from batch_uploader.core.runs import KILLED, Run, RunBegin, RunEnd
from batch_uploader.ledgers.refused import RefusedRuns
from batch_uploader.ledgers.sqlite.file import connect_writing

SIZE = 16 * 1024


def run(at, ending="error", code=7, run_id="", ended=None):
    begin = RunBegin(run_id, "1", "host", 7, "{}")
    end = None if ending is None else RunEnd(ending, f"why {at}", code)
    return Run("c", begin, at, end, at + 1 if ended is None else ended)


def make(ledger):
    with closing(connect_writing(ledger)):
        pass


@pytest.fixture
def ledger(tmp_path):
    folder = tmp_path / "calls" / ".batch-uploader"
    folder.mkdir(parents=True, mode=0o700)
    return folder / "ledger.db"


@pytest.fixture
def kept(ledger, tmp_path):
    return RefusedRuns(ledger, tmp_path / "calls", {"XDG_STATE_HOME": str(tmp_path / "state")})


def test_without_a_ledger_nothing_is_made_where_the_recordings_should_be(kept, ledger, tmp_path):
    kept.reserve()
    kept.add(run(1))
    assert kept.read() == [run(1)]
    assert list(ledger.parent.iterdir()) == []
    (file,) = (tmp_path / "state" / "batch-uploader").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_directory_has_its_own(kept, ledger, tmp_path):
    kept.add(run(1))
    other = RefusedRuns(ledger, tmp_path / "other", {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert other.read() == []


def test_directories_of_one_name_have_their_own(tmp_path, monkeypatch):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    ledger = Path("calls", ".batch-uploader", "ledger.db")
    kept = []
    for place in ("one", "two"):
        (tmp_path / place / "calls").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / place)
        kept.append(RefusedRuns(ledger, Path("calls"), state))
    kept[0].add(run(1))
    assert kept[1].read() == []
    real = tmp_path / "one" / "calls"
    assert RefusedRuns(real / ledger.relative_to("calls"), real, state).read() == [run(1)]


def test_without_a_home_it_is_lost_and_nothing_fails(ledger, tmp_path):
    kept = RefusedRuns(ledger, tmp_path, {})
    kept.add(run(1))
    assert kept.read() == []


def test_beside_a_ledger_it_is_written_in_place_so_that_a_full_disk_has_room(kept, ledger):
    make(ledger)
    kept.reserve()
    beside = ledger.with_name("ledger.db-refused")
    before = beside.stat()
    assert before.st_size == SIZE
    kept.add(run(1))
    kept.add(run(2))
    after = beside.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, SIZE)
    assert kept.read() == [run(2), run(1)]


def test_the_oldest_make_room_for_the_latest(kept, ledger):
    make(ledger)
    for at in range(300):
        kept.add(run(at))
    found = kept.read()
    assert found[0] == run(299)
    assert 50 < len(found) < 300
    assert [each.began_at_ns for each in found] == list(range(299, 299 - len(found), -1))


def test_a_reason_of_any_length_leaves_room_for_others(kept, ledger):
    make(ledger)
    kept.add(run(1))
    kept.add(replace(run(2), end=RunEnd("error", "ä" * 100_000, 7)))
    long, short = kept.read()
    assert short == run(1)
    assert 1_000 < len(long.end.reason) < 3_000


def test_a_line_that_is_torn_or_of_another_version_hides_no_other(kept, ledger):
    make(ledger)
    kept.add(run(1))
    kept.add(run(2))
    beside = ledger.with_name("ledger.db-refused")
    lines = beside.read_bytes().strip().splitlines()
    beside.write_bytes(b"\n".join([lines[0], b'{"connection_id": 7}', lines[1][:40], b"\xff"]))
    assert kept.read() == [run(1)]


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_nothing_is_written_where_others_may_put_files(kept, ledger, tmp_path):
    make(ledger)
    ledger.parent.chmod(0o777)
    kept.add(run(1))
    assert not ledger.with_name("ledger.db-refused").exists()
    assert kept.read() == [run(1)]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_link_in_its_place_is_not_followed(kept, ledger, tmp_path):
    make(ledger)
    (tmp_path / "precious").write_text("mine")
    ledger.with_name("ledger.db-refused").symlink_to(tmp_path / "precious")
    kept.reserve()
    kept.add(run(1))
    assert (tmp_path / "precious").read_text() == "mine"


def test_they_stand_where_they_happened():
    first, second = run(10, "completed", 0, "a"), run(30, "completed", 0, "b")
    early, between, late = run(5), run(20), run(40)
    found = merged([second, first], [late, between, early], running=False)
    assert found == [late, second, between, first, early]


def test_the_order_of_those_on_record_is_not_that_of_clocks():
    """The second one ran while the clock was behind."""
    first, second = run(100, "completed", 0, "a"), run(50, "completed", 0, "b")
    assert merged([second, first], [], running=False) == [second, first]


def test_one_without_an_end_was_killed_unless_it_goes_on():
    open_, older = run(30, None, None, "b"), run(10, None, None, "a")
    killed = RunEnd(KILLED)
    found = merged([open_, older], [], running=True)
    assert [each.end for each in found] == [None, killed]
    found = merged([open_, older], [], running=False)
    assert [each.end for each in found] == [killed, killed]


def test_the_end_that_a_full_disk_kept_from_the_ledger_is_added():
    open_ = run(30, None, None, "a", ended=0)
    kept = run(30, "error", 7, "a")
    assert merged([open_], [kept], running=False) == [
        replace(open_, end=kept.end, ended_at_ns=kept.ended_at_ns)
    ]


def test_what_met_a_run_that_goes_on_is_no_news_and_is_if_that_one_was_killed():
    going_on, locked = run(10, None, None, "a", ended=0), run(20, code=5)
    earlier = run(5)
    assert merged([going_on], [locked, earlier], running=True) == [going_on, earlier]
    found = merged([going_on], [locked], running=False)
    assert [each.end.exit_code for each in found] == [5, None]
    ended_later = run(10, "completed", 0, "a", ended=30)
    assert merged([ended_later], [locked], running=False)[0] == ended_later
