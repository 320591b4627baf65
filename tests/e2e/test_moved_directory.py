"""A path that leads to another directory in the middle of a run: a link turned, a rotation."""

import sys

import pytest
from e2e.conftest import Calls, assert_one_talk_each, events

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no open directory is moved there"),
    pytest.mark.slow,
]

FOLDERS = 8
LISTED_AT_ONCE = 1_000
NOT_THE_YOUNG = ("--min-age", "10m")


def day(path):
    """Recordings in folders that are listed one by one: what else is there is too young to go up.

    Their names are the same each day.
    """
    calls = Calls(path)
    names = [f"{number}/call.wav" for number in range(FOLDERS)]
    calls.write(*names)
    for number in range(FOLDERS):
        for young in range(LISTED_AT_ONCE):
            (path / str(number) / f"young-{young}.wav").touch()
    return calls, dict.fromkeys(names, 1)


def flags_for(service, calls):
    return (*service.flags, "--api-key-file", calls.key_file, *NOT_THE_YOUNG)


def upload_while(program, service, path, calls, happens, *flags):
    """Upload a path; ``happens`` once the first recording is on its way."""
    slow = ("--progress", "json", "--concurrency", "1", *flags)
    process = program.start("upload", path, *flags_for(service, calls), *slow)
    next(events(process, "upload_started"))
    happens()
    return program.finish(process)


def turn(link, to):
    new = link.with_name("new")
    new.symlink_to(to, target_is_directory=True)
    new.replace(link)


@pytest.mark.parametrize("below", ["", "calls"], ids=["link", "link on the way"])
def test_a_link_that_is_turned_takes_nothing_of_the_other_directory_along(
    program, start_service, tmp_path, below
):
    """Fault 93: neither its recordings, nor does it get a ledger or a manifest of this run."""
    if below:
        for name in ("monday", "tuesday"):
            (tmp_path / name).mkdir()
    monday, names = day(tmp_path / "monday" / below)
    tuesday, _ = day(tmp_path / "tuesday" / below)
    link = tmp_path / "today"
    link.symlink_to("monday", target_is_directory=True)
    today = link / below
    with start_service("--latency", "300ms") as service:
        result = upload_while(program, service, today, monday, lambda: turn(link, "tuesday"))
        assert result.code == 4, result.said
        assert f"{today} became another directory" in result.err
        assert_one_talk_each(monday, service, names)
        assert service.talks(tuesday) == []
        assert sorted(file.name for file in tuesday.folder.iterdir() if not file.is_dir()) == []
        assert not (tuesday.folder / ".batch-uploader").exists()
        for calls, path in ((tuesday, today), (monday, monday)):
            result = program("upload", path, *flags_for(service, calls))
            assert result.code == 0, result.said
            assert_one_talk_each(calls, service, names)
        assert len(service.talks()) == 2 * FOLDERS


@pytest.mark.parametrize("elsewhere", [False, True], ids=["ledger within", "ledger elsewhere"])
@pytest.mark.parametrize("then", ["nothing", "an empty one", "another day"])
def test_a_directory_that_is_rotated_is_gone_on_with_where_it_is(
    program, start_service, tmp_path, then, elsewhere
):
    """Fault 93: what went up is recorded with it, and the other one gets no manifest of it."""
    path, aside = tmp_path / "calls", tmp_path / "calls.1"
    calls, names = day(path)
    if then == "another day":
        day(tmp_path / "next")
    ledger = ("--ledger", tmp_path / "ledger.db") if elsewhere else ()

    def rotate():
        path.rename(aside)
        if then == "an empty one":
            path.mkdir()
        if then == "another day":
            (tmp_path / "next").rename(path)

    with start_service("--latency", "300ms") as service:
        result = upload_while(program, service, path, calls, rotate, *ledger)
        assert result.code == 4, result.said
        assert service.counts(path) == names
        if then != "nothing":
            assert not (path / "manifest.jsonl").exists()
            assert not (path / ".batch-uploader").exists()
        calls.folder = aside
        result = program("upload", aside, *flags_for(service, calls), *ledger)
        assert result.code == 0, result.said
        assert service.counts(path) == names
        assert {line["status"] for line in calls.manifest().values()} == {"uploaded"}
        assert set(calls.manifest()) == set(names)
        if then == "another day":
            calls.folder = path
            result = program("upload", path, *flags_for(service, calls))
            assert result.code == 0, result.said
            assert service.counts(path) == service.counts(tmp_path / "next") == names
            assert set(calls.manifest()) == set(names)
