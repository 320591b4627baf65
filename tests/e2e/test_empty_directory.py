"""An empty directory is taken for the mount point of a share that is away."""

import json
import shutil

import pytest
from e2e.conftest import Calls

NAMES = [f"{number}.wav" for number in range(5)]


def content(folder):
    return sorted(path.name for path in folder.rglob("*"))


def unmount(calls):
    """What is left of a share that is away: the mount point."""
    shutil.move(calls.folder, calls.folder.with_name("share"))
    calls.folder.mkdir()


def mount(calls):
    calls.folder.rmdir()
    shutil.move(calls.folder.with_name("share"), calls.folder)


@pytest.mark.parametrize("flags", [(), ("--progress", "none"), ("--dry-run",), ("--rebuild",)])
def test_nothing_is_made_in_an_empty_mount_point(calls, upload, service, flags):
    """Fault 105."""
    calls.write(*NAMES)
    assert upload().code == 0
    unmount(calls)
    result = upload(*flags)
    assert result.code == 4, result.said
    assert f"error: the directory {calls} has no recordings" in result.err
    assert "hint: check the mount" in result.err
    assert content(calls.folder) == []
    mount(calls)
    assert upload().code == 0
    assert service.counts(calls) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("--rebuild",)])
def test_with_the_ledger_elsewhere_nothing_is_made_and_nothing_is_forgotten(
    calls, upload, program, service, flags
):
    ledger = ("--ledger", calls.folder.with_name("of-calls.db"))
    calls.write(*NAMES)
    calls.broken("bad.wav", b"no audio")
    assert upload(*ledger).code == 1
    before = program("manifest", calls, *ledger).out
    unmount(calls)
    result = upload(*ledger, *flags)
    assert result.code == 4, result.said
    assert "has no recordings, and its ledger has 6 recordings on record" in result.err
    assert "--allow-empty" in result.err
    assert content(calls.folder) == []
    assert program("manifest", calls, *ledger).out == before
    mount(calls)
    assert upload(*ledger).code == 1
    assert service.counts(calls) == dict.fromkeys(NAMES, 1)


def test_a_rebuilt_ledger_would_take_for_new_what_is_behind_the_mount_point(
    calls, upload, tmp_path, service
):
    where = ("--ledger", tmp_path / "of-calls.db", "--manifest", tmp_path / "of-calls.jsonl")
    calls.write(*NAMES)
    assert upload(*where).code == 0
    for left in tmp_path.glob("of-calls.db*"):
        left.unlink()
    unmount(calls)
    result = upload(*where, "--rebuild")
    assert result.code == 4, result.said
    assert not list(tmp_path.glob("of-calls.db*"))
    assert content(calls.folder) == []


def test_a_directory_may_be_empty_at_first(calls, upload, service):
    result = upload("--allow-empty")
    assert result.code == 0, result.said
    assert "no recordings found" in result.err
    assert upload().code == 0, "it is on record"
    calls.write("a.wav")
    assert upload().code == 0
    (calls.folder / "a.wav").unlink()
    (calls.folder / "a.json").unlink()
    assert upload().code == 0
    assert service.counts(calls) == {"a.wav": 1}


def test_files_may_leave_on_purpose(calls, upload, program):
    calls.write(*NAMES)
    calls.broken("bad.wav", b"no audio")
    assert upload().code == 1
    for path in (*calls.folder.glob("*.wav"), *calls.folder.glob("*.json")):
        path.unlink()
    assert upload().code == 4
    assert program("check", calls).code == 4
    assert program("check", calls, "--allow-empty").code == 0
    assert upload().code == 4, "a check puts nothing on record"
    result = upload("--allow-empty")
    assert result.code == 0, result.said
    assert calls.manifest().keys() == set(NAMES)
    assert (upload().code, program("check", calls).code) == (0, 0)


def test_the_settings_file_may_say_it(calls, upload, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("allow-empty = true\n")
    assert upload("--config", settings).code == 0


@pytest.mark.parametrize("left", ["notes.txt", ".hidden/a.wav", ".a.wav", "empty/folder/"])
def test_what_is_no_recording_does_not_count(calls, inside, left):
    path = calls.folder / left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if left.endswith("/") else path.write_bytes(b"?")
    result = inside("check", calls)
    assert result.code == 4, result.said


@pytest.mark.parametrize(
    ("left", "flags", "code"),
    [
        ("deep/er/a.wav", ("--sidecar-wait", "0"), 1),
        ("a.json", ("--sidecar-wait", "0"), 1),
        ("a.pcm", ("--include", "*.pcm", "--sidecar", "optional"), 1),
        ("a.wav", ("--exclude", "*.wav"), 0),
        ("drafts/a.wav", ("--exclude", "drafts/**"), 0),
    ],
)
def test_what_a_run_tells_of_or_leaves_out_shows_that_the_share_is_there(
    calls, inside, left, flags, code
):
    calls.put(left, b"?")
    result = inside("check", calls, *flags)
    assert result.code == code, result.said


def test_a_link_that_leads_out_shows_it_too(calls, inside, tmp_path):
    (tmp_path / "archive").mkdir()
    (calls.folder / "archive").symlink_to(tmp_path / "archive")
    result = inside("check", calls)
    assert result.code == 1, result.said


class TestMostIsGone:
    @pytest.fixture
    def half_mounted(self, calls, upload):
        calls.write(*NAMES)
        calls.broken("bad.wav", b"no audio")
        assert upload().code == 1
        for name in ("bad.wav", *NAMES[:3]):
            (calls.folder / name).unlink()
            (calls.folder / name).with_suffix(".json").unlink(missing_ok=True)
        return calls

    @pytest.mark.parametrize("progress", ["auto", "none"])
    def test_the_run_goes_on_and_tells(self, half_mounted, upload, program, progress):
        new = []
        for night in range(2):
            new += [f"{night}/new{number}.wav" for number in range(4)]
            half_mounted.write(*new[-4:])
            result = upload("--progress", progress)
            assert result.code == 1, result.said
            said = " ".join(result.err.split())
            assert "4 recordings on record are gone, more than half" in said
            assert "nothing was forgotten" in said
            assert "--allow-empty" in said
            for command in ("status", "check"):
                told = program(command, half_mounted)
                assert told.code == 1, told.said
                assert "4 recordings on record are gone" in " ".join(told.err.split())
                assert json.loads(program(command, half_mounted, "--json").out)["gone"] == 4
        lines = half_mounted.manifest()
        assert lines.keys() == {*NAMES, "bad.wav", *new}
        assert lines["bad.wav"]["status"] == "invalid"

    def test_a_check_foretells_it_and_puts_nothing_on_record(self, half_mounted, program):
        assert program("check", half_mounted).code == 1
        assert program("status", half_mounted).code == 1, "for the defect alone"
        assert "are gone" not in program("status", half_mounted).err
        assert program("check", half_mounted, "--allow-empty").code == 0

    def test_a_check_knows_what_was_moved(self, half_mounted, upload, program):
        half_mounted.write(*NAMES[:3])
        assert upload().code == 0
        (half_mounted.folder / "2025").mkdir()
        for path in half_mounted.folder.glob("[0-9].*"):
            path.rename(half_mounted.folder / "2025" / path.name)
        assert program("check", half_mounted).code == 0
        assert upload().code == 0
        assert program("status", half_mounted).code == 0

    def test_programs_are_told(self, half_mounted, upload):
        result = upload("--progress", "json")
        told = {line["event"]: line for line in map(json.loads, result.out.splitlines())}
        assert (told["most_gone"]["gone"], told["most_gone"]["on_record"]) == (4, 6)
        assert told["run_finished"]["gone"] == 4
        assert result.code == 1

    def test_said_once_it_is_heard_for_good(self, half_mounted, upload, program):
        assert upload().code == 1
        assert upload("--allow-empty").code == 0
        assert upload().code == 0
        assert "bad.wav" not in half_mounted.manifest()
        assert program("status", half_mounted).code == program("check", half_mounted).code == 0

    def test_what_comes_back_was_never_away(self, half_mounted, upload, program, service):
        assert upload().code == 1
        half_mounted.write(*NAMES[:3])
        result = upload()
        assert result.code == 0, result.said
        assert service.counts(half_mounted) == dict.fromkeys(NAMES, 1)
        assert program("status", half_mounted).code == 0

    def test_what_was_gone_before_it_was_adopted_is_not_gone_at_once(
        self, calls, upload, program, service, tmp_path
    ):
        calls.write("own.wav")
        assert upload().code == 0
        other = Calls(tmp_path / "other")
        other.write(*NAMES)
        flags = (*service.flags, "--api-key-file", calls.key_file)
        assert program("upload", other, *flags).code == 0
        for path in (*other.folder.glob("[1-4].*"), other.folder / "manifest.jsonl"):
            path.unlink()
        other.folder.rename(calls.folder / "other")
        result = upload("--adopt")
        assert result.code == 0, result.said
        assert "are gone" not in result.err
