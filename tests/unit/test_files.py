"""Files of our own: private, replaced whole, and never by way of a link or another's file."""

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from batch_uploader.host import files

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither modes nor FIFOs")


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_a_created_file_is_private_from_the_start_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        descriptor = files.create_private(tmp_path / "new")
    finally:
        os.umask(old)

    os.write(descriptor, b"one")
    os.close(descriptor)
    assert mode_of(tmp_path / "new") == 0o600
    assert files.is_private(tmp_path / "new")


def test_creating_keeps_what_is_there_and_appends(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one")

    descriptor = files.create_private(path)
    os.write(descriptor, b"two")
    os.close(descriptor)

    assert path.read_bytes() == b"onetwo"


def test_creating_refuses_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="a link") as caught:
        files.create_private(tmp_path / "link")

    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "target").exists()


def test_creating_refuses_a_link_where_the_system_knows_no_flag_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "NO_LINKS", 0)
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="a link") as caught:
        files.create_private(tmp_path / "link")

    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "target").exists()


@posix
@pytest.mark.parametrize(
    ("mode", "private"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)]
)
def test_a_file_is_private_if_nobody_else_may_use_it(tmp_path, mode, private):
    path = tmp_path / "key"
    path.touch()
    path.chmod(mode)

    assert files.is_private(path) is private


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_replacement_is_whole_private_and_leaves_nothing_else(tmp_path, old):
    path = tmp_path / "manifest.jsonl"
    if old is not None:
        path.write_bytes(old)
        path.chmod(0o644)

    with files.replace_atomically(path) as file:
        file.write(b"new")
        assert path.exists() == (old is not None)
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert temporary.name.startswith(".")
        assert files.is_private(temporary)

    assert path.read_bytes() == b"new"
    assert files.is_private(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_replacement_leaves_the_old_file_whole_fault_12(tmp_path, failure):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"old")

    def write_half():
        with files.replace_atomically(path) as file:
            file.write(b"new")
            raise failure

    with pytest.raises(failure):
        write_half()

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole_fault_12(tmp_path, monkeypatch, step):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)

    with pytest.raises(OSError, match="No space"), files.replace_atomically(path) as file:
        file.write(b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_write_that_fails_in_the_buffer_reports_once_fault_12(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"old")

    def write():
        with files.replace_atomically(path) as file:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, file.fileno())
            os.close(full)
            file.write(b"new")

    with pytest.raises(OSError, match="No space left"):
        write()

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replacement_is_durable_before_and_after_it_takes_the_name(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("fsync"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda *ab: (steps.append("replace"), replace(*ab)))

    with files.replace_atomically(tmp_path / "a"):
        pass

    after = [] if sys.platform == "win32" else ["fsync"]
    assert steps == ["fsync", "replace", *after]


def test_replacing_a_link_does_not_touch_what_it_leads_to(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)

    with files.replace_atomically(tmp_path / "link") as file:
        file.write(b"new")

    assert target.read_bytes() == b"old"
    assert (tmp_path / "link").read_bytes() == b"new"


@posix
@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_only_a_file_system_that_cannot_sync_directories_is_excused(
    tmp_path, monkeypatch, code, fails
):
    def fail(descriptor):
        raise OSError(code, "no")

    monkeypatch.setattr(os, "fsync", fail)
    if fails:
        with pytest.raises(OSError, match="no"):
            files.sync_directory(tmp_path)
    else:
        files.sync_directory(tmp_path)


@pytest.fixture
def victim(tmp_path):
    """Somebody else's file, which must stay what it is whatever leads to it."""
    path = tmp_path / "victim"
    path.write_bytes(b"somebody's")
    path.chmod(0o644)
    yield path
    assert path.read_bytes() == b"somebody's"
    assert mode_of(path) == 0o644


def _link(path, victim):
    path.symlink_to(victim)


def _second_name(path, victim):
    path.hardlink_to(victim)


def _link_to_nothing(path, victim):
    path.symlink_to(victim.with_name("nothing"))


def _pipe(path, victim):
    os.mkfifo(path)


def _directory(path, victim):
    path.mkdir()


def _written(path):
    """All that a write changes; to follow a link changes when it was read."""
    seen = os.lstat(path)
    owner = seen.st_mode, seen.st_uid, seen.st_gid, seen.st_nlink
    return seen.st_ino, owner, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


@posix
@pytest.mark.parametrize("put", [_link, _second_name, _link_to_nothing, _pipe, _directory])
def test_what_we_did_not_make_is_not_opened_to_be_written_fault_96(tmp_path, victim, put):
    path = tmp_path / "ours"
    put(path, victim)
    before = sorted(tmp_path.iterdir())
    status = _written(path)
    for touch in (files.create_private, files.require_own):
        with pytest.raises(files.NotOurs, match=r"ours: it "):
            touch(path)
    with suppress(files.NotOurs):
        files.close_to_others(path)
    assert _written(path) == status
    assert sorted(tmp_path.iterdir()) == before


@posix
def test_only_a_file_of_ones_own_is_closed_to_others_fault_96(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for each in (mine, theirs):
        each.touch()
        each.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(theirs, 12345, 12345)
        files.close_to_others(theirs)
        assert mode_of(theirs) == 0o644
    files.close_to_others(mine)
    assert mode_of(mine) == 0o600
    files.close_to_others(tmp_path / "nothing")


@posix
def test_a_second_name_keeps_what_is_written_no_more_fault_96(tmp_path, victim):
    path = tmp_path / "ours"
    path.hardlink_to(victim)
    files.unshare(path)
    assert path.read_bytes() == b"somebody's"
    assert path.stat().st_nlink == 1
    path.write_bytes(b"ours")
    files.unshare(path)
    assert path.read_bytes() == b"ours"


def test_leftovers_are_files_under_our_temporary_names_alone(tmp_path):
    path, other = tmp_path / "ledger.db", tmp_path / "manifest"
    for name in (path, other, files.temporary_name(path)):
        files.temporary_name(name).touch()
    files.temporary_name(path).mkdir()
    files.remove_leftovers(files.temporary_name(path))
    assert len(list(tmp_path.iterdir())) == 4
    files.remove_leftovers(path)
    directory, of_other = sorted(tmp_path.iterdir(), key=Path.is_file)
    assert directory.is_dir()
    files.remove_leftovers(other)
    assert not of_other.exists()


class TestTrust:
    @pytest.mark.parametrize(
        ("mode", "trusted"),
        [(0o700, True), (0o755, True), (0o775, False), (0o702, False), (0o1777, False)],
    )
    @posix
    def test_what_others_may_write_is_theirs_as_well(self, tmp_path, mode, trusted):
        """Fault 98."""
        folder = tmp_path / "folder"
        folder.mkdir()
        folder.chmod(mode)
        wanted = files.Trust.OURS if trusted else files.Trust.OTHERS
        assert files.trust(folder) is wanted
        assert list(folder.iterdir()) == []

    def test_what_is_not_there_is_ours_to_make(self, tmp_path):
        (tmp_path / "file").touch()
        for folder in (tmp_path / "nothing", tmp_path / "file", tmp_path / "file" / "folder"):
            assert files.trust(folder) is files.Trust.OURS

    def test_a_link_is_told(self, tmp_path):
        """Fault 98."""
        (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
        assert files.trust(tmp_path / "link") is files.Trust.LINK

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="gives a folder away")
    def test_a_folder_of_somebody_else_is_theirs(self, tmp_path):
        """Fault 98."""
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o700)
        os.chown(folder, 12345, 12345)
        assert files.trust(folder) is files.Trust.OTHERS

    @posix
    @pytest.mark.parametrize("refuses", [False, True])
    def test_a_file_system_without_modes_tells_nothing(self, tmp_path, monkeypatch, refuses):
        """Fault 98: FAT refuses another mode, CIFS takes no notice of it."""

        def fchmod(descriptor, mode):
            if refuses:
                raise PermissionError(errno.EPERM, "no")

        folder = tmp_path / "folder"
        folder.mkdir()
        folder.chmod(0o777)
        monkeypatch.setattr(os, "fchmod", fchmod)
        assert files.trust(folder) is files.Trust.UNTOLD
