"""What differs between operating systems: locks, private files, atomic replacement, no links."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from batch_uploader import system

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither modes nor FIFOs")

HOLD_A_LOCK = """
import sys, time
from pathlib import Path
from batch_uploader.system import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
lock = FileLock(Path(sys.argv[2]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""


LINKED = "symbolic links|Not a directory"


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path):
    mine, other = system.FileLock(tmp_path / "lock"), system.FileLock(tmp_path / "lock")

    assert mine.acquire()
    assert mine.acquire()
    assert not other.acquire()
    mine.release()
    mine.release()
    assert other.acquire()
    assert not mine.acquire()
    other.release()


def test_a_killed_process_leaves_its_lock_free_fault_10(tmp_path):
    path = tmp_path / "lock"
    other = tmp_path / "other"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_LOCK, str(path), str(other)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"True\n"
        assert not system.FileLock(path).acquire()
        holder.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        holder.wait()

    lock = system.FileLock(path)
    assert lock.acquire()
    lock.release()


@posix
def test_a_lock_file_is_private_and_stays(tmp_path):
    path = tmp_path / "lock"
    lock = system.FileLock(path)
    lock.acquire()
    lock.release()

    assert mode_of(path) == 0o600


def test_a_lock_that_cannot_be_made_is_an_error_and_not_a_held_lock(tmp_path):
    lock = system.FileLock(tmp_path / "nowhere" / "lock")

    with pytest.raises(FileNotFoundError):
        lock.acquire()


@posix
def test_a_file_system_without_locks_is_an_error_and_leaks_nothing(tmp_path, monkeypatch):
    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(system, "_lock", no_locks)
    before = open_descriptors()

    with pytest.raises(OSError, match="No locks"):
        system.FileLock(tmp_path / "lock").acquire()

    assert open_descriptors() == before


@posix
def test_a_created_file_is_private_from_the_start_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        descriptor = system.create_private(tmp_path / "new")
    finally:
        os.umask(old)

    os.write(descriptor, b"one")
    os.close(descriptor)
    assert mode_of(tmp_path / "new") == 0o600
    assert system.is_private(tmp_path / "new")


def test_creating_keeps_what_is_there_and_appends(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one")

    descriptor = system.create_private(path)
    os.write(descriptor, b"two")
    os.close(descriptor)

    assert path.read_bytes() == b"onetwo"


def test_creating_refuses_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match=LINKED) as caught:
        system.create_private(tmp_path / "link")

    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "target").exists()


def test_creating_refuses_a_link_where_the_system_knows_no_flag_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "_NO_LINKS", 0)
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match=LINKED) as caught:
        system.create_private(tmp_path / "link")

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

    assert system.is_private(path) is private


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_replacement_is_whole_private_and_leaves_nothing_else(tmp_path, old):
    path = tmp_path / "manifest.jsonl"
    if old is not None:
        path.write_bytes(old)
        path.chmod(0o644)

    with system.replace_atomically(path) as file:
        file.write(b"new")
        assert path.exists() == (old is not None)
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert temporary.name.startswith(".")
        assert system.is_private(temporary)

    assert path.read_bytes() == b"new"
    assert system.is_private(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_replacement_leaves_the_old_file_whole_fault_12(tmp_path, failure):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"old")

    def write_half():
        with system.replace_atomically(path) as file:
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

    with pytest.raises(OSError, match="No space"), system.replace_atomically(path) as file:
        file.write(b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_write_that_fails_in_the_buffer_reports_once_fault_12(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"old")

    def write():
        with system.replace_atomically(path) as file:
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

    with system.replace_atomically(tmp_path / "a"):
        pass

    after = [] if sys.platform == "win32" else ["fsync"]
    assert steps == ["fsync", "replace", *after]


def test_replacing_a_link_does_not_touch_what_it_leads_to(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)

    with system.replace_atomically(tmp_path / "link") as file:
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
            system.sync_directory(tmp_path)
    else:
        system.sync_directory(tmp_path)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"content")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "outside" / "file")
    (root / "door").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "inner").symlink_to(root / "a", target_is_directory=True)
    return root


def test_opening_beneath_reads_a_file_by_its_parts(tree):
    descriptor = system.open_beneath(str(tree), ["a", "b", "file"])

    assert os.read(descriptor, 100) == b"content"
    os.close(descriptor)
    assert system.stat_beneath(str(tree), ["a", "b", "file"]).st_size == 7


def test_the_root_itself_may_be_a_link(tree, tmp_path):
    (tmp_path / "alias").symlink_to(tree, target_is_directory=True)

    os.close(system.open_beneath(str(tmp_path / "alias"), ["a", "b", "file"]))


@pytest.mark.parametrize("parts", [["link"], ["door", "file"], ["inner", "b", "file"]])
def test_opening_beneath_follows_no_link_fault_38(tree, parts):
    with pytest.raises(OSError, match=LINKED) as caught:
        system.open_beneath(str(tree), parts)

    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@posix
@pytest.mark.parametrize("parts", [["link"], ["door", "file"], ["inner", "b", "file"]])
def test_systems_without_relative_opening_follow_no_link_either(tree, parts):
    with pytest.raises(OSError, match=LINKED) as caught:
        system._resolve_beneath(str(tree), parts)

    assert caught.value.errno == errno.ELOOP
    resolved = system._resolve_beneath(str(tree), ["a", "b", "file"])
    assert Path(resolved).read_bytes() == b"content"


def test_looking_at_a_link_describes_the_link(tree):
    assert stat.S_ISLNK(system.stat_beneath(str(tree), ["link"]).st_mode)


@posix
def test_opening_a_fifo_does_not_wait_for_a_writer_fault_37(tree):
    os.mkfifo(tree / "fifo")

    descriptor = system.open_beneath(str(tree), ["fifo"])

    assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    os.close(descriptor)


def test_scanning_beneath_lists_a_folder_but_none_behind_a_link(tree):
    with system.scan_beneath(str(tree), ["a"]) as items:
        assert [(item.name, item.is_dir(), system.is_junction(item)) for item in items] == [
            ("b", True, False)
        ]
    with pytest.raises(OSError, match=LINKED), system.scan_beneath(str(tree), ["inner"]):
        pass


@posix
def test_nothing_beneath_leaks_a_descriptor(tree):
    before = open_descriptors()

    for parts in (["nowhere"], ["link"], ["door", "file"], ["a", "nowhere", "file"]):
        with pytest.raises(OSError, match=f"{LINKED}|No such file"):
            system.open_beneath(str(tree), parts)
    os.close(system.open_beneath(str(tree), ["a", "b", "file"]))
    with system.scan_beneath(str(tree), ["a"]):
        pass

    assert open_descriptors() == before
